"""Multiple choice and text: for each a list of passes, a list of cheats, and what always holds."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from tables import each

from r1hf.verify.choice import verify_choice
from r1hf.verify.countdown import verify_countdown
from r1hf.verify.text import verify_text

OPTIONS = ["London", "Paris", "Rome", "12"]

LABELS = [
    *("B", "b", "(B)", "(b)", "B.", "B:", "B)", "[B]", "【B】", "**B**", "`B`", "Ｂ", "（Ｂ）", "Ｂ．", " B \n"),
    *("\\text{B}", "\\textbf{(B)}", "\\boxed{B}", "\\boxed{\\text{B}}", "$\\mathrm{B}$", "$B$"),
    *("B) 12", "B. Vienna", "B、维也纳", "B - 12", "B: 12", "(B) 12 cm", "B. It is the capital"),
    *(
        "the answer is B",
        "The correct answer is (B).",
        "Option B",
        "Option B is correct.",
        "B is correct",
        "I choose B",
    ),
    *("Answer: B", "So the correct option is B.", "The best choice is B"),
    *(
        "选B",
        "选择B",
        "选 B。",
        "答案：B",
        "答案是B。",
        "答案为 B",
        "故选：B",
        "故选B",
        "正确答案是B",
        "应选B",
        "B选项",
        "B项正确",
    ),
]
NO_LABEL = [
    *(None, "", " ", "A", "E", "?", "a cat", "Because", "Baby", "12", "42", "none", "B?C", "B" * 3000),
    *("A or B", "B or A", "A, B", "B, C", "A and B", "B and C", "AB", "ABCD", "A B", "A/B", "A, B, C, D", "[A, B]"),
    *("either A or B", "Both A and B", "(A) or (B)", "A) 1 or B) 2", "B) 12 or C) 13", "B) 12 or A", "B. A.", "B\nC"),
    *("not B", "B is wrong", "B is incorrect", "B. But C could be right", "A is wrong, B", "B, because A is wrong"),
    *("All of the above", "B or C?", "A或B", "A、B", "B和C", "选A或B", "选AB", "答案不是B", "B不正确"),
]


@each("prediction", LABELS)
def test_a_choice_in_any_dress(prediction):
    assert verify_choice(prediction, "B") is True
    assert verify_choice(prediction, "C") is False


@each("prediction", NO_LABEL)
def test_a_choice_that_is_none_or_several(prediction):
    assert verify_choice(prediction, "B") is False


@each("gold", ["B", "(B)", "B. Paris", "b", "Paris", 1])
@each(
    "prediction, right",
    [
        *[
            (text, True)
            for text in ("B", "Paris", "paris.", "PARIS", "“Paris”", "B) Paris", "B Paris", "\\text{Paris}")
        ],
        *[(text, True) for text in ("The answer is Paris", "选B", "B: Paris is the capital of France", "(B) Paris")],
        *[(text, False) for text in ("London", "A", "A) Paris", "B) London", "B) 12", "12", "Paris or London", "E")],
        *[(text, False) for text in ("Paris, London", "B) Paris or London", "B. Paris. Or Rome", "Not Paris", "Par")],
        *[(text, False) for text in ("Paris London", "B) Paris, C) Rome", "London, not Paris")],
    ],
)
def test_a_choice_where_the_options_are_known(prediction, right, gold):
    assert verify_choice(prediction, gold, OPTIONS) is right


def test_options_in_other_shapes():
    arc = {"label": ["1", "2"], "text": ["iron", "wood"]}
    assert (
        verify_choice("2", "2", arc) is verify_choice("wood", "2", arc) is verify_choice("(2) wood", "2", arc) is True
    )
    assert verify_choice("1", "2", arc) is verify_choice("iron", "2", arc) is False
    assert verify_choice("wood", "Y", {"X": "iron", "Y": "wood"}) is True
    labelled = ["A. London", "B. Paris"]
    assert verify_choice("Paris", "B", labelled) is verify_choice("B", "Paris", labelled) is True
    assert verify_choice("A", "B", ["same", "same"]) is True  # nobody can tell them apart
    assert verify_choice("D) Vitamin C", "D", ["Vitamin A", "Vitamin B", "Iron", "Vitamin C"]) is True
    assert verify_choice("A. Lincoln", "C", ["Grant", "Davis", "A. Lincoln"]) is True
    assert verify_choice("A cat", "B", ["dog", "cat"]) is True  # an article, not a label


SEVERAL = ["A, C", "C, A", "AC", "CA", "A C", "A and C", "(A), (C)", "(A)(C)", "A、C", "A和C", "A; C", "A & C", "a, c"]
SEVERAL += ["both A and C", "答案：AC", "选AC", "A,C.", "A\nC"]


@each("prediction", SEVERAL)
@each("gold", ["A, C", "AC", "C and A"])
def test_several_right_options_in_any_order(prediction, gold):
    assert verify_choice(prediction, gold) is True
    assert verify_choice(prediction, gold, ["one", "two", "three", "four"]) is True
    assert verify_choice(prediction, "A") is verify_choice(prediction, "A, B") is False


@each("prediction", ["A", "C", "A or C", "A/C", "A, B", "A, B, C", "ABC", "D", "", "A或C"])
def test_not_all_of_several_or_more(prediction):
    assert verify_choice(prediction, "A, C") is False


@each(
    "gold, options",
    [(None, None), ("", None), ("Paris", None), ("??", None), ("E", OPTIONS), (9, OPTIONS), (True, OPTIONS)],
)
def test_a_gold_that_names_no_option_judges_nobody(gold, options):
    assert verify_choice("A", gold, options) is None
    assert verify_choice("", gold, options) is None


# Text

SAME = [
    *(("Paris", "paris"), ("The Eiffel Tower", "Eiffel tower"), ("Paris.", "Paris"), ("“Paris”", "Paris")),
    *(
        ("U.S.A.", "USA"),
        ("e-mail", "email"),
        ("well-known", "well known"),
        ("don’t", "don't"),
        ("**Paris**", "Paris"),
    ),
    *(
        ("Ｐａｒｉｓ", "paris"),
        ("straße", "STRASSE"),
        ("e\u0301", "é"),
        ("new\u00a0york", "New  York"),
        ("pa\u200bris", "Paris"),
    ),
    *(("《红楼梦》", "红楼梦"), ("北 京", "北京"), ("“是”。", "是"), ("東京 です", "東京です"), ("Париж!", "париж")),
    *(
        ("1,000", "1000"),
        ("10–14", "10-14"),
        ("\\text{Paris}", "Paris"),
        ("$Paris$", "Paris"),
        ("a", "A"),
        ("−5", "-5"),
    ),
    *(
        ("Paris, France", "paris france"),
        ("Lord of The Rings", "lord of the rings"),
        ("Hepatitis A virus", "hepatitis a virus"),
    ),
]
DIFFERENT = [
    *(
        ("3.14", "314"),
        ("-14", "14"),
        ("−5", "5"),
        ("1,2", "12"),
        ("10:30", "1030"),
        ("C#", "C"),
        ("C++", "C"),
        ("50%", "50"),
    ),
    *(("Vitamin", "Vitamin A"), ("the", "a"), ("...", "?!"), ("", "x"), ("3.0", "30"), ("1/2", "12"), ("R&D", "RD")),
    *(
        ("Paris or London", "Paris"),
        ("The answer is Paris", "Paris"),
        ("Paris, London", "London"),
        ("not Paris", "Paris"),
    ),
    *(("Zürich", "Zurich"), ("北京", "北平"), ("2³", "2"), ("x", "x" * 200_000), (None, "x")),
]


@each("one, other", SAME)
def test_texts_that_say_the_same(one, other):
    assert verify_text(one, other) is verify_text(other, one) is True


@each("one, other", DIFFERENT)
def test_texts_that_do_not(one, other):
    assert verify_text(one, other) is not True and verify_text(other, one) is not True


def test_exact_text_and_lists_of_golds():
    assert verify_text(" Paris\n", "Paris", exact=True) is True
    assert verify_text("e\u0301", "é", exact=True) is True
    assert verify_text("paris", "Paris", exact=True) is verify_text("Paris.", "Paris", exact=True) is False
    assert verify_text("NYC", ["New York", "NYC"]) is True
    assert verify_text("LA", ["New York", "NYC"]) is False
    assert [verify_text("x", gold) for gold in (None, "", "  ", [], [""])] == [None] * 5


HOSTILE = """
from r1hf.verify.choice import verify_choice
from r1hf.verify.countdown import verify_countdown
from r1hf.verify.text import verify_text

million, many = 10**6, 1999
answers = ["99**98**97", "1e999999999", "(" * million, "9" * million, " " * million, "B. " + "a" * million]
answers += ["-" * many + "1", "=" * many, "so " * 600 + "B", "选" * many, "1" + " " * 1990 + "+", "A " * 900]
answers += ["the " * 4000, "\\\\text{" * 3000, "," * 19000, "\\n" * many + "B"]
for answer in answers:
    verify_countdown(answer, [9, 9], 1)
    verify_countdown("9=" + answer, [9], 9)
    verify_choice(answer, "B")
    verify_choice(answer, "A, B", ["a", "b" * 99])
    verify_text(answer, "y")
    verify_text("y", answer)
"""


def test_hostile_answers_end_at_once():
    """In a process of its own, killed if one of them hangs."""
    done = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


NOISE = (
    st.text(alphabet=st.sampled_from(list("ABCabc()[]{}.,;:/=+-*$\\ \n0129的选答案是或and or the")), max_size=40)
    | st.text()
)


@given(NOISE, NOISE)
def test_no_text_breaks_a_verifier(one, other):
    assert verify_text(one, other) in (True, False, None)
    if one.strip() and other.strip():
        assert verify_text(one, other) == verify_text(other, one)
    if other.strip():
        assert verify_text(other, other) is True
    for options in (None, OPTIONS, [one, other]):
        assert verify_choice(one, other, options) in (True, False, None)
    assert verify_countdown(one, [1, 2], 3) in (True, False)


@given(NOISE, st.sampled_from("ACD"))
def test_two_labels_are_never_one(noise, other):
    assert verify_choice(f"B or {other}", "B") is verify_choice(f"{other}) {noise} (B)", "B") is False


@given(
    st.sampled_from("ABCD"),
    st.sampled_from("ABCD"),
    st.sampled_from(["{}", "({})", "{}.", "选{}", "Option {}", "{}) it"]),
)
def test_only_the_gold_label_is_right(given_label, gold, dress):
    assert verify_choice(dress.format(given_label), gold) is (given_label == gold)
