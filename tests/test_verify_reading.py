"""What a text answers: boxes with what stands at them, statements and what takes them back, sentences, golds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import each

from r1hf.rewards import accuracy_reward, choice_reward
from r1hf.verify import final_answer, read_answer, verify_math
from r1hf.verify.extract import gold_answer


def paid(text, gold):
    return accuracy_reward([""], [f"<think>so</think> {text}"], answer=[gold])[0]


BESIDE_A_BOX = {
    "9": [
        *(
            r"\boxed{9}",
            r"\boxed 9",
            r"\boxed9",
            r"\fbox{9}",
            r"$\boxed{\boxed{9}}$",
            r"$x = \boxed{9}$",
            r"\\boxed{9}",
        ),
        *(
            r"$3 + \boxed{9} = 12$",
            r"$$\boxed{9}$$",
            r"\[\boxed{9}\]",
            r"\boxed{9}.",
            r"**\boxed{9}**",
            r"- \boxed{9}",
        ),
        *(
            r"The answer is $\boxed{9}$ (nine).",
            r"$\boxed{9}$ cm",
            r"\boxed{\text{The answer is 9}}",
            r"$7 + 2 = \boxed{9}$",
        ),
        *(
            r"$\boxed{9}$. I hope it is correct.",
            r"We use \boxed notation. So \boxed{9}.",
            r"$17 \equiv \boxed{9} \pmod{8}$",
        ),
        r"\boxed{9}" + "\n\nWe check our answer: 9 - 4 = 5, so our answer is correct.",
    ],
    "-9": [
        r"-\boxed{9}",
        r"$-\boxed{9}$",
        r"$$x = -\boxed{9}$$",
        r"negative \boxed{9}",
        r"-$\boxed{9}$",
        r"$-\,\boxed{9}$",
    ],
    "9 km": [r"\boxed{9} km", r"$\boxed{9}$ km", r"$\boxed{9} \text{ km}$", r"\boxed{9 \text{ km}}", r"\boxed{9}"],
    "9\\%": [r"\boxed{9}\%", r"$\boxed{9}$ percent", r"$\boxed{9\%}$"],
    "x \\geq 9": [r"$x \geq \boxed{9}$", r"\boxed{x \geq 9}"],
    "3,5": [
        r"\boxed{3}, \boxed{5}",
        r"$\boxed{3}$ and $\boxed{5}$",
        r"\boxed{3,5}",
        r"$\boxed{3} \text{ or } \boxed{5}$",
    ],
}
NOT_NINE = [
    *(
        r"-\boxed{9}",
        r"$$-\boxed{9}$$",
        r"2\boxed{9}",
        r"$2\boxed{9}$",
        r"$\boxed{9}\pi$",
        r"\boxed{9}\pi",
        r"$\boxed{9}^2$",
    ),
    *(
        r"$\sqrt{\boxed{9}}$",
        r"$\frac{\boxed{9}}{2}$",
        r"$\boxed{9} \times 10^3$",
        r"\boxed{9} million",
        r"1\boxed{9}",
    ),
    *(
        r"\boxed{9}0",
        r"\boxed{9}.5",
        r"$x > \boxed{9}$",
        r"$x \neq \boxed{9}$",
        r"\boxed{9} or 10",
        r"$\boxed{9}$ or $10$",
    ),
    *(
        r"10 or \boxed{9}",
        r"$(\boxed{9}, 10)$",
        r"$\boxed{9} = 10$",
        r"It is not $\boxed{9}$.",
        r"$\boxed{9}$ is wrong.",
    ),
    *(
        r"\boxed{2\boxed{9}}",
        r"\boxed{\boxed{9}, 10}",
        r"\boxed{9} \boxed{10}",
        r"\boxed{9}, but no: \boxed{10}",
        r"\boxed{9",
    ),
    *(
        r"\boxed{9} and \boxed{",
        r"\boxed{9}. But \boxed",
        r"~~\boxed{9}~~ 10",
        r"\begin{align*} x &= 2\boxed{9} \end{align*}",
    ),
    r"either \boxed{9} or 10",
]


@each("text, gold", [(text, gold) for gold, texts in BESIDE_A_BOX.items() for text in texts])
def test_what_stands_at_a_box_belongs_to_it(text, gold):
    assert paid(text, gold) == 1.0


@each("text", NOT_NINE)
def test_a_box_with_other_company_is_another_answer(text):
    assert paid(text, "9") == 0.0


def test_a_unit_behind_a_box_counts():
    assert paid(r"$\boxed{9} \text{ cm}$", "9 km") == paid(r"\boxed{9} cm", "9 km") == 0.0
    assert paid(r"€\boxed{9}", r"\$9") == 0.0
    assert paid(r"$\boxed{9}$ in total", "9 km") == 1.0  # no inches


TAKEN_BACK = [
    *(
        "The answer is 15.",
        "Actually, it is 15.",
        "Wait, it should be 15.",
        "No, 15.",
        "Sorry, I meant 15.",
        "#### 15",
    ),
    *(
        "Correction: 15",
        "The answer should be 15.",
        "The final result is 15.",
        "**Final Answer**\n\n15",
        "### Answer\n15",
    ),
    *("Ans: 15", "=> 15", "The answer to the question is 15.", "The answer is 14, or rather 15.", "It is not 14."),
    *(
        "This is wrong.",
        "Or maybe 15.",
        "There is no answer.",
        "不对，应该是15。",
        "更正：15",
        "因此，答案应为15。",
        "(15)",
    ),
    *(
        "La respuesta es 15.",
        "Die Antwort ist 15.",
        "Ответ: 15",
        "答えは15です。",
        "So we get 15 instead.",
        "Scrap that.",
    ),
]
CONFIRMED = [
    *(
        "The answer is 14.",
        "The answer is $14$.",
        "So the answer is correct.",
        "Let me know if you need more help!",
        "#### 14",
    ),
    *(
        "I hope it is correct.",
        "The answer is obtained by adding 10 and 4.",
        "Check: 10 + 4 = 14.",
        "答案是14。",
        "Answer: 14.0",
    ),
    *("This makes sense, since 14 is less than 20.", "There are 3 ways to see this."),
]


@each("tail", TAKEN_BACK)
def test_a_box_that_is_taken_back_is_no_answer(tail):
    assert paid(f"So $\\boxed{{14}}$.\n\n{tail}", "14") == 0.0
    assert paid(f"<answer>14</answer> {tail}", "14") == 0.0


@each("tail", CONFIRMED)
def test_a_box_that_is_confirmed_is_an_answer(tail):
    assert paid(f"So $\\boxed{{14}}$.\n\n{tail}", "14") == 1.0


STATED = [
    *(
        "The answer is 14.",
        "The answer is 14 because 10 + 4 = 14.",
        "The answer is 14, since 7 * 2 = 14.",
        "Answer: 14",
    ),
    *(
        "The answer is 14. Let me know if you need more help.",
        "Final Answer: The final answer is $14$. I hope it is correct.",
    ),
    *(
        "The answer to the problem is 14.",
        "The answer is thus 14.",
        "### Final Answer\n\n14",
        "Total: 10+4 = 14\n#### 14",
    ),
    *(
        "The answer is 14 (fourteen).",
        "The answer would be 14.",
        "【答案】14",
        "答：14",
        "The answer equals 14.",
        '"The answer is 14"',
    ),
]
NOT_STATED = [
    *("The wrong answer is 14.", "An incorrect answer is 14.", "The answer is not 14.", "The answer is 14. No, 15."),
    *(
        "The answer is 14 or 15.",
        "The answer is 14, or 15.",
        "The answer is 14. The answer is 15.",
        "The answer is 14 for n = 2.",
    ),
    *("The answer is 14 as well as 15.", "One possible answer is 14, another 15.", "The answer is 15, not 14."),
]


@each("text", STATED)
def test_a_statement_is_read(text):
    assert paid(text, "14") == 1.0


@each("text", NOT_STATED)
def test_a_statement_of_something_else_is_not(text):
    assert paid(text, "14") == 0.0


SENTENCES = {
    "120 miles": ["Summary: Train travels 120 miles.", "The train traveled a total of 120 miles in 3 hours."],
    "72": [
        *(
            "Natalia sold 72 clips.",
            "Natalia sold 72 clips in 2 months.",
            "The total is 72 clips, 48 in April and 24 in May.",
        ),
        *(
            "48 + 24 = 72",
            "So 48 plus 24 gives 72.",
            "所以一共卖了72个。",
            "In total, she sold 72 clips to 48 friends.",
        ),
    ],
    "18": [
        "The total cost is $18.",
        "She makes $18 by selling 9 eggs at $2 each.",
        "The total is 15 + 3 = 18 dollars.",
    ],
    "5": [
        *(
            "It takes 5 hours to travel 300 miles.",
            "Each of the 4 friends gets 5 candies.",
            "If x = 3, then the maximum is 5.",
        ),
        *("3天后，小明还剩5个苹果。", "The maximum is $5$ when $x = 2$.", "He needs 5 buses because 4 * 40 = 160."),
    ],
    "3, 5": ["The solutions are 3 and 5.", "The solutions are $x = 3$ and $x = 5$."],
    "3:2": ["The ratio is 3:2."],
    "-5": ["The temperature is minus 5.", "The profit is -$5."],
    "5200000000": ["It is 5.2 billion."],
    "x \\geq 5": ["Therefore $x \\geq 5$ is the solution.", "So x ≥ 5."],
}
NOT_SAID = [
    ("The solutions are 3 and 5.", "5"),
    ("The ratio is 3:2.", "2"),
    ("It is not 5.", "5"),
    ("So x ≥ 5.", "5"),
    ("They meet at 3:30 PM.", "30"),
    ("It is 5.2 billion.", "5.2"),
    ("The temperature is minus 5.", "5"),
    ("Natalia sold 72 clips in 2 months.", "2"),
    ("Train travels 120 miles.", "120 km"),
    ("It is 5 million people.", "5"),
]


@each("text, gold", [(text, gold) for gold, texts in SENTENCES.items() for text in texts])
def test_sentences_are_read_where_nothing_is_trained_against(text, gold):
    assert verify_math(read_answer(text), gold) is True


@each("text, gold", NOT_SAID)
def test_sentences_do_not_say_another_thing(text, gold):
    assert verify_math(read_answer(text), gold) is not True


@each("text", [text for texts in SENTENCES.values() for text in texts if "=" not in text])
def test_a_reward_reads_no_sentences(text):
    """What the option reads stays closed to a policy: words around a number are no number."""
    assert all(paid(f"<answer>{text}</answer>", gold) != 1.0 for gold, texts in SENTENCES.items() if text in texts)


@each(
    "gold, answer",
    [
        (r"Therefore $x \geq 5$ is the solution.", r"x \geq 5"),
        (r"Answer \( 9 \)", "9"),
        ("The minimum of $f$ is $5$ when $x = 2$.", "5"),
        (r"Hence the probability is $\frac{1}{3}$.", r"\frac{1}{3}"),
        (r"We have $x^2=25$, so $x = \pm 5$. Since $x>0$, $x = 5$.", "x = 5"),
        ('["14"]', "14"),
        ("[14]", "14"),
        ("She has 3 left.\n#### 3", "3"),
    ],
)
def test_golds_in_prose(gold, answer):
    assert gold_answer(gold) == answer


@each(
    "gold",
    [
        "The function is increasing on $(0,1)$ and decreasing on $(1,2)$",
        "The maximum is $5$ and the minimum is $-3$",
        "$2$ if $n$ is even, $3$ if $n$ is odd",
        "all real numbers except $x=3$",
        "There is no such $n$",
        "No, since $n=5$ is a counterexample",
        "(I) $x=1$ (II) $[2,3]$",
        "at least $5$",
        "The remainder is not $3$.",
    ],
)
def test_a_gold_that_says_more_than_a_formula_judges_nobody(gold):
    assert gold_answer(gold) is None
    assert verify_math("5", gold) is None


OPTIONS = [["$\\sin x$", "$-\\sin x$", "0", "1"], ["$(0,1)$", "$[0,1]$", "$(0,1]$", "0"], ["n", "N", "2n", "n+1"]]


@pytest.mark.parametrize("options", OPTIONS)
def test_options_that_look_alike_are_told_apart(options):
    def chosen(text):
        return choice_reward([""], [f"<think>so</think> {text}"], answer=["A"], choices=[options])[0]

    assert chosen("Answer: A") == chosen(f"\\boxed{{{options[0]}}}") == 1.0
    assert chosen("Answer: B") == chosen(f"\\boxed{{{options[1]}}}") == chosen(f"A) {options[1]}") == 0.0


@given(
    st.integers(-999, 999), st.sampled_from(["{}", "$\\boxed{{{}}}$", "The answer is {}.", "Answer: {}", "#### {}"])
)
@settings(max_examples=60, derandomize=True)
def test_a_number_in_any_frame_is_that_number(number, frame):
    text = f"<think>so</think> {frame.format(number)}"
    assert verify_math(final_answer(text), str(number)) is True
    assert verify_math(final_answer(text), str(number + 1)) is False
    assert verify_math(read_answer(text), str(number)) is True
