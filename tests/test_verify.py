"""Final answers and their truth: right spellings, the ways to cheat, hostile input, real data."""

import json
import os
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tables import each

from r1hf.core.errors import ConfigError
from r1hf.text.grammar import from_split
from r1hf.verify import final_answer, parse_number, verify_math, verify_math_batch
from r1hf.verify.extract import gold_answer
from r1hf.verify.math import _judge as judge_here

PAIRS = [
    json.loads(line)
    for line in (Path(__file__).parent / "fixtures" / "math_pairs.jsonl").read_text(encoding="utf-8").splitlines()
]
DATA = os.environ.get("R1HF_BENCHMARK_DATA")  # the folder that benchmarks/verify_math.py takes as --data

FOURTEEN = [
    *("14", " 14 ", "14.", "14。", "14.0", "14.000", "+14", "014", "28/2", "-28/-2", "14/1", r"\frac{28}{2}"),
    *(r"\dfrac{28}{2}", r"$\frac{28}{2}$", "$14$", r"\(14\)", r"\[14\]", r"$$14$$", "**14**", "`14`", "１４", "⑭"),
    *("١٤", "14\u200b", "x = 14", "$x=14$", "14 miles", "14英里", r"14\text{ miles}", r"14^\circ", "$14", r"\$14"),
    *("1.4e1", r"1.4 \times 10^{1}", "13 2/2", "1400%", "\\,14"),
]
NOT_FOURTEEN = [
    *("", "140", "-14", "−14", "–14", "1.4", "14.01", "114", "41", "1 4", "1,4", "14/2", "14,14", "14 14", "14;15"),
    *("14 or 15", "14, 15", "14 and 15", "contains 14", "the number 14", "2 + 12", "2+12", "2 + 3 * 4", r"7 \cdot 2"),
    *("{3, 7}", "{14}", "[14]", "(14, 14)", "14!", "14²", "1⁴", "1₄", "27½", "14 hundred", "14 dozen", "14 x", "14x"),
    *("0x14", "14-0", "--14", "14/0", r"\frac{14}{0}", "fourteen", "NaN", "inf", "14e", "1e1e1", "~~14~~ 15"),
]


@each("text", FOURTEEN)
def test_fourteen(text):
    assert verify_math(text, "14") is True


@each("text", NOT_FOURTEEN)
def test_row_21_not_fourteen(text):
    assert verify_math(text, "14") is False


@each(
    "prediction, gold, verdict",
    [
        ("1400", "1,400", True),
        ("1{,}400", "1400", True),
        (r"1\,400", "1400", True),
        ("1,40", "140", False),
        ("0.5", r"\frac12", True),
        ("0.5", r"\frac{1}{2}", True),
        (".5", "1/2", True),
        ("½", "0.5", True),
        ("3½", "7/2", True),
        (r"3\frac{1}{2}", "3.5", True),
        ("0.333", "1/3", False),
        ("50%", "0.5", True),
        (r"50\%", "50", True),
        ("50%", "5", False),
        ("0.1", "0.10000000000000001", False),
        ("120 miles", "120 mile", True),
        ("120 km", "120 miles", False),
        ("120 miles", "120", True),
        ("120", "120 英里", True),
        ("(A)", "A", True),
        ("a", "A", True),
        ("B", "A", False),
        ("even", r"\text{Even}", True),
        ("odd", r"\text{Even}", False),
        (r"\pi/2", r"\frac{\pi}{2}", True),
        (r"2\sqrt{2}", r"\sqrt{8}", True),
        (r"\sqrt{2}", r"\sqrt{8}", False),
        ("x+1+x", "2x+1", True),
        ("y", "x", False),
        (r"\{7, 3\}", r"\{3, 7\}", True),
        (r"\{3, 7\}", "3", False),
        ("3", r"\{3, 7\}", False),
        (r"(3,\pi/2)", r"\left( 3, \frac{\pi}{2} \right)", True),
        ("[0,1]", "[0,1)", False),
        ("x or y", "x", False),
        ("14", "", None),
        ("14", "  ", None),
        ("14", None, None),
        (None, "14", False),
        ("14", "???", None),
        ("14", "x" * 5000, None),
        ("x" * 5000, "x" * 5000, True),
    ],
)
def test_pairs(prediction, gold, verdict):
    assert verify_math(prediction, gold) is verdict


@each("group", PAIRS)
def test_labelled_pairs(group):
    """Right and wrong answers to one gold, and the same the other way round where the gold can be judged."""
    right = {answer: verify_math(answer, group["gold"]) for answer in group["right"]}
    wrong = {answer: verify_math(answer, group["gold"]) for answer in group["wrong"]}
    assert right == dict.fromkeys(group["right"], True)
    assert wrong == dict.fromkeys(group["wrong"], False)


def test_labelled_pairs_are_many_and_half_of_them_unequal():
    right, wrong = (sum(len(group[side]) for group in PAIRS) for side in ("right", "wrong"))
    assert right + wrong >= 1500 and wrong >= right


ANSWERS_ONLY = [group for group in PAIRS if not group["kind"].startswith("gold with")]


@each("group", ANSWERS_ONLY)
def test_equality_is_symmetric_and_reflexive(group):
    for answer in (*group["right"], *group["wrong"], group["gold"]):
        if answer == "[14]":
            continue  # a gold of one item is that item; a policy's answer is what it wrote
        verdicts = {verify_math(answer, group["gold"]), verify_math(group["gold"], answer)} - {None}
        assert len(verdicts) <= 1, answer
        assert verify_math(answer, answer) in (True, None)


@each(
    "prediction, gold, verdict",
    [
        ("14", "2+12", None),
        ("13", "2+12", False),
        ("2 + 12", "2+12", True),
        ("5", "2x=10", None),
        ("x=5", "2x=10", None),
        ("x=4", "2x=10", False),
        ("1023", "2^{10}-1", None),
        ("5", r"\boxed{3} or \boxed{5}", None),
        ("x", r"\frac{1}{0}", None),
        (r"\frac{1}{0}", "x", False),
        ("5", "#### ", None),
        (r"\boxed{3} \boxed{5}", "???", None),
        (r"\boxed{3} \boxed{5}", "5", False),
        ("x^{2}", "x^{3}", False),
        ("2 + 3 * 4 = 14", "14", True),
        ("2 + 3 * 4 = 15", "15", False),
        ("(2+1, 5)", "(3, 5)", False),
    ],
)
def test_what_nobody_can_judge(prediction, gold, verdict):
    assert verify_math(prediction, gold) is verdict


def _table_of_the_docs():
    page = (Path(__file__).parents[1] / "docs" / "rewards-math.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    cells = [[re.findall(r"`([^`]+)`", cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [[[text.replace("\\|", "|") for text in cell] for cell in row] for row in cells if len(row) == 3 and row[0]]


@each("row", _table_of_the_docs(), ids=lambda row: row[0][0])
def test_what_the_docs_call_equal_is_equal(row):
    (gold,), right, wrong = row
    assert [verify_math(answer, gold) for answer in right] == [True] * len(right)
    assert [verify_math(answer, gold) for answer in wrong] == [False] * len(wrong)


def test_a_batch_is_its_pairs():
    pairs = [(answer, group["gold"]) for group in PAIRS for answer in (*group["right"][:1], *group["wrong"][:1])]
    verdicts = verify_math_batch([pair[0] for pair in pairs], [pair[1] for pair in pairs])
    assert verdicts == [verify_math(*pair) for pair in pairs]
    with pytest.raises(ValueError):
        verify_math_batch(["1"], [])


rationals = st.fractions(max_denominator=10**6)


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12))
def test_integers_equal_themselves_only(first, second):
    assert verify_math(str(first), str(first)) is True
    assert verify_math(str(first), str(second)) is (first == second)
    assert verify_math(f"{first:,}", str(first)) is True
    assert verify_math(f"{first} or {second}", str(first)) is False


@given(rationals, rationals, st.integers(1, 50))
def test_fractions_equal_by_value(first, second, factor):
    spelled = f"{first.numerator * factor}/{first.denominator * factor}"
    latex = rf"\frac{{{first.numerator}}}{{{first.denominator}}}"
    assert verify_math(spelled, str(first)) is True
    assert verify_math(latex, str(first)) is True
    assert verify_math(str(first), str(second)) is (first == second)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_decimals_are_exact(value):
    assert verify_math(f"{value:f}", str(Fraction(value))) is True
    assert parse_number(f"{value:f}").value == Fraction(value)


NEAR_MATHS = st.text(
    st.sampled_from("0123456789xyei+-*/^_=<>!|.,;:()[]{}\\\\ $%°\u00b2\u221a\u03c0\u221e\u00b1\u5143"), max_size=25
)
PIECES = st.lists(
    st.sampled_from(
        [
            "1",
            "2",
            "14",
            "0",
            "x",
            "y",
            "e",
            "i",
            r"\pi",
            "+",
            "-",
            "*",
            "/",
            "^",
            "{",
            "}",
            "(",
            ")",
            "[",
            "]",
            ",",
            "=",
        ]
        + [
            r"\frac",
            r"\sqrt",
            r"\sin",
            r"\ln",
            r"\infty",
            r"\pm",
            r"\cup",
            r"\{",
            r"\}",
            r"\le",
            "<",
            r"\text{cm}",
            "_",
            "!",
        ]
        + [
            r"\frac{1}{2}",
            r"\sqrt{2}",
            r"^{2}",
            r"\in",
            " or ",
            "|",
            r"\begin{pmatrix}",
            r"\end{pmatrix}",
            "&",
            r"\\\\",
            "%",
            "元",
        ]
    ),
    max_size=9,
).map("".join)


@given(st.one_of(NEAR_MATHS, PIECES, st.text(max_size=30)), st.one_of(NEAR_MATHS, PIECES))
@settings(max_examples=300)
def test_any_two_texts_are_judged_the_same_both_ways(first, second):
    # Workers are left out: their verdicts are symmetric by construction, and slow. So are golds that are read further.
    assume(all(gold_answer(text) in (text.strip(), None) for text in (first, second)))
    there, back = judge_here(first, second), judge_here(second, first)
    if there in (True, False) and back in (True, False):
        assert there is back
    assert judge_here(first, first) in (True, None)


@given(PIECES, PIECES)
def test_wrapping_changes_nothing(first, second):
    verdict = judge_here(first, second)
    for wrapped in (f" {first} ", f"${first}$" if "$" not in first else first, f"{first}."):
        assert judge_here(wrapped, second) == verdict


@given(st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 9), st.integers(-9, 9))
def test_polynomials_are_equal_by_value(a, b, scale, shift):
    factored, expanded = rf"(x+{a})({scale}x-{b})", rf"{scale}x^2+({scale}*{a}-{b})x-{a}*{b}"
    assert verify_math(factored.replace("+-", "-").replace("--", "+"), expanded) is True
    assert verify_math(f"{expanded}+{shift}", expanded) is (shift == 0)


@given(st.integers(2, 10**6), st.integers(2, 10**6))
def test_roots_are_equal_by_value(a, b):
    assert verify_math(rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b}}}") in (True, None)
    assert verify_math(rf"{a}\sqrt{{{b}}}", rf"\sqrt{{{a * a * b + 1}}}") is False


@given(st.text(max_size=60).filter(lambda text: not any(char.isnumeric() for char in text)))
def test_no_text_without_digits_is_a_number(text):
    assert parse_number(text) is None
    assert verify_math(text, "14") is False


ANSWERS = [
    ("<think>a</think> <answer>14</answer>", "14"),
    ("<answer>\n14\n</answer>", "14"),
    ("<think>7</think> <answer>The answer is 14.</answer>", "14"),
    ("<think>7</think> <answer>So \\boxed{14} it is</answer>", "14"),
    ("<think>7</think> <answer>\\boxed{\\frac{28}{2}}</answer>", "\\frac{28}{2}"),
    ("<think>7</think> <answer>\\boxed{14} and \\boxed{15}</answer>", "\\boxed{14}, \\boxed{15}"),
    ("<think>7</think> <answer>\\boxed{14} and again \\boxed{14.0}</answer>", "14.0"),
    ("<think>7</think> We multiply first. The answer is 14.", "14"),
    ("<think>7</think> 先乘后加。答案是 14。", "14"),
    ("<think>7</think> 最终答案：14", "14"),
    ("<think>7</think> 总结：答案为14。", "14"),
    ("<think>7</think> **Answer:** 14", "14"),
    ("<think>7</think> The answer is 3.14.", "3.14"),
    ("<think>7</think> 14", "14"),
    ("<think>7</think> It is <answer>14</answer>, I think.", "14"),
    ("| special_token | 7 | special_token | Summary: The answer is 14.", "14"),
    ("|special_token|7|special_token|Summary: 14", "14"),
    ("| special_token | 7 | special_token | 总结：答案是 14。", "14"),
    ("The answer is 14.", "14"),
    ("We get \\boxed{14}.", "14"),
    ("<think>The answer is 7.</think> <answer>14</answer>", "14"),
    ("<think><answer>7</answer></think> <answer>14</answer>", "14"),
    ("<think>a</think> <answer>14 or 15</answer>", "14 or 15"),
]
NO_ANSWER = [
    "",
    "<think>14",
    "<think>The answer is 14.</think>",
    "<think><answer>14</answer>",
    "<think>a</think> <answer>14",
    "<think>a</think> <answer>1<answer>",
    "<think>a</think> <answer></answer>",
    "<think>a</think> <answer>14</answer> <answer>15</answer>",
    "<think>a</think> <answer>14</answer> or <answer>15",
    "<think>a</think> It is <answer>14</answer> or <answer>15</answer>",
    "<think>a</think> It is <answer>14",
    "<think>a</think> <answer>\\boxed{14}. No, wait: \\boxed{15}</answer>",
    "<think>a</think> So \\boxed{14}. No, wait: \\boxed{15",
    "<think>a</think> \\boxed{14}\n\nThe answer is 15.",
    "<think>a</think> The answer is 14. The answer is 15.",
    "2 + 3 * 4 = 14",
    "14",
]


@each("text, answer", ANSWERS)
def test_final_answer(text, answer):
    assert final_answer(text) == answer


@each("text", NO_ANSWER)
def test_no_final_answer(text):
    assert final_answer(text) is None


def test_final_answer_of_the_other_forms():
    assert final_answer("a</think> <answer>14</answer>", prefilled=True) == "14"
    assert final_answer("<answer>14</answer>", prefilled=True) is None
    assert final_answer(from_split("7", "The answer is 14.")) == "14"


def test_words_after_the_statement_are_part_of_it():
    assert verify_math(final_answer("<think>a</think> The answer is 14. No, 15."), "14") is False
    assert verify_math(final_answer("<think>a</think> The answer is not 14."), "14") is False


def test_last_number_only_on_request():
    text = "<think>99</think> First 3 * 4 is 12, then it is 1,014 miles."
    assert final_answer(text) != "1,014"
    assert final_answer(text, fallback="last_number") == "1,014"
    assert final_answer("<think>14", fallback="last_number") is None
    with pytest.raises(ConfigError, match="last_number"):
        final_answer(text, fallback="first_number")


def _rows(name):
    if DATA is None:
        pytest.skip(f"set R1HF_BENCHMARK_DATA to the folder that holds {name}")
    path = Path(DATA) / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_math500_solutions_answer_their_problems():
    rows = _rows("math500.jsonl")
    verdicts = [verify_math(final_answer("<think>a</think> " + row["solution"]), row["answer"]) for row in rows]
    assert verdicts.count(True) >= 499
    # One answer further is another one, save for a few that are the same.
    golds = [row["answer"] for row in rows]
    shifted = [verify_math(answer, gold) for answer, gold in zip(golds[1:], golds, strict=False)]
    same = sum(
        answer.replace(" ", "") == gold.replace(" ", "") for answer, gold in zip(golds[1:], golds, strict=False)
    )
    assert shifted.count(True) <= same + 1
    assert shifted.count(None) <= 5


def test_gsm8k_labels_are_reproduced():
    rows = _rows("gsm8k_model_solutions.jsonl")
    judged = [verify_math(final_answer(row["solution"], fallback="last_number"), row["gold"]) for row in rows]
    assert judged == [row["is_correct"] for row in rows]
