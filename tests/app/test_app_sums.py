"""The right answer that the chat fills in: of sums and of nothing else, and only as long as the question stands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="Gradio is not installed: make install EXTRAS=dev,app")

from r1chat.chat_tab import EXAMPLES
from r1chat.right_answer import settle
from r1chat.sums import right_answer
from tables import each

TYPED = Path(__file__).resolve().parents[2] / "r1hf/tasks/typed.jsonl"
SUMS = {
    "2+2": "4",
    "What is 7 - 2 * 3?": "1",
    "(2 + 3) × 4 = ?": "20",
    "what's 3x4+2": "14",
    "3 X 4": "12",
    "What is (2 + 3) · 4 ?": "20",
    "HOW MUCH IS 15 + 4*5": "35",
    "please, could you tell me what 9-4 is": "5",
    "3 times 4 plus two": "14",
    "forty-two minus two": "40",
    "5 − 3 – 1": "1",
    "2-5": "-3",
    "-5+8": "3",
    "1+2+3+4+5+6": "21",
    "2*(3+(4-1))": "12",
    "（２＋３）×４等于多少？": "20",
    "请计算：15+4×5": "35",
    "請問3加4等於多少": "7",
    "算一下三加四": "7",
    "二十三加四十五等于几": "68",
    "6乘以7是多少？": "42",
}
NO_SUMS = [
    *("", "?", "7", "(5)", "Who are you?", "2 3", "(2+3", "2+3)", "2+*3", "()", "x + 3 = 7", "solve 3x + 1"),
    *("8/2", "2^3+1", "2³+1", "3.5+1", "1,000+1", "007+1", "99999+1", "+".join("1" * 9), "2(3+4)", "2+2=4?"),
    *("What is 2+2 in binary?", "half of 3+4", "what is not 3+4", "2+2 and 3+3", "pages 3-5", "3+4 apples"),
    *(
        "2026-11-29",
        "555-1234",
        "1-800-555-1234",
        "Three apples plus four apples?",
        "c++ 3+4",
        "一百加二",
        "3+4个苹果",
    ),
    *("what is 3 + 4 times as much", "__import__('os').system('x') + 1", "9**9**9", "2+2" + " " * 300),
]


@each("question, value", SUMS.items())
def test_a_sum_is_worked_out(question: str, value: str) -> None:
    assert right_answer(question) == value


@each("question", NO_SUMS)
def test_nothing_else_is(question: str) -> None:
    assert right_answer(question) is None


def test_it_agrees_with_the_typed_questions() -> None:
    rows = [json.loads(line) for line in TYPED.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        found = right_answer(row["question"])
        assert found == row["answer"] if row["kind"] == "sum" else found in (None, row["answer"]), row


def test_the_examples_are_of_every_shape() -> None:
    values = [right_answer(text) for text in EXAMPLES]
    assert values[:4] == ["14", "8", "20", "61"] and values[4:] == [None] * 4


@each(
    "question, gold, before, shown",
    [
        ("2+3", "14", ["2+3*4", "14"], ("5", True)),  # edited, a sum
        ("Who are you?", "14", ["2+3*4", "14"], ("", False)),  # edited, no sum
        ("2+3*4", "14", ["2+3*4", "14"], ("14", True)),
        ("2+3*4", "", ["2+3*4", "14"], ("", False)),  # a person took it away
        ("2+3*4", "15", ["2+3*4", "14"], ("15", False)),  # or wrote another
        ("capital?", "Paris", ["2+3*4", "14"], ("Paris", False)),  # a person's own, for the new question
        ("capital of Italy?", "Paris", ["capital?", "Paris"], ("", False)),  # and that was asked before
        ("2+3", "", ["capital?", ""], ("5", True)),
        ("2+3", "", None, ("5", True)),  # whatever a browser sends
        ("2+3", "", [1, {}], ("5", True)),
        ("hello", "9", "14", ("9", False)),
    ],
)
def test_a_right_answer_belongs_to_its_question(
    question: str, gold: str, before: object, shown: tuple[str, bool]
) -> None:
    assert settle(question, gold, before) == shown
