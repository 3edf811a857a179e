"""Cold start's parts: rewriting by a language model, verified again; templates by language; a floor a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tables import each

from r1hf.core.errors import DataError, NothingKept
from r1hf.data.audit import Audit
from r1hf.data.cold_start import (
    check_floor,
    check_templates,
    review_rows,
    rewriting_prompt,
    rewritten_by_model,
    rewritten_by_rule,
    take,
    template_for,
)
from r1hf.data.decisions import key_of
from r1hf.data.filters import SampleFilter, Verdict, by_rule
from r1hf.data.rows import Row
from r1hf.models.sampling import Completion, Limits

ROW: Row = {"id": "a", "question": "What is 2 + 3 * 4?", "answer": "14", "language": "en", "task": "reasoning"}
MESSY = Completion(
    "<think>  ummm... multiply 3 and 4... get 12... then add 2...</think>\n<answer> 14 </answer>", 20, False
)
WRONG = Completion("<think>2 + 3 = 5, 5 * 4 = 20</think> <answer>20</answer>", 20, False)
CUT = Completion("<think>2 + 3", 20, True)
CLEAR = (
    "| special_token | Reasoning: multiplication comes first.\nStep 1: 3 * 4 = 12.\nStep 2: 2 + 12 = 14.\n"
    "Verification: 14 - 2 = 12. | special_token | Summary: The answer is 14."
)
TEMPLATES = {"en": "rewrite_en", "zh": "rewrite_zh_hans", "zh-Hant": "rewrite_zh_hant"}


@each(
    "reply, kept",
    [
        (CLEAR, True),
        (f"Here is the rewritten solution:\n\n{CLEAR}", True),
        (f"```\n{CLEAR}\n```", True),
        (f"<think>The draft is messy.</think>\n{CLEAR}", True),
        (CLEAR.replace("is 14", "is 20"), False),
        ("I cannot do that.", False),
        ("", False),
        (CLEAR.replace("Step 1", "Ummm... step 1"), False),
    ],
)
def test_a_rewriting_is_verified_again(reply: str, kept: bool) -> None:
    asked: list[str] = []

    def ask(prompts: Sequence[str], limits: Limits, seed: int, name: str) -> list[Completion]:
        asked.extend(prompts)
        return [Completion(reply, 60, False) for _ in prompts]

    queue: list[Row] = []
    found = [(ROW, MESSY), (ROW, CUT), (ROW, WRONG)]
    verdicts = [by_rule(*candidate) for candidate in found]
    made = rewritten_by_model(ask, found, verdicts, TEMPLATES, Limits(max_new_tokens=99), 0, queue)
    assert len(asked) == 2 and "final answer is right" in asked[0] and "final answer is wrong" in asked[1]
    assert [row["before"] for row in queue] == [MESSY.text, WRONG.text] and made[1] == (ROW, CUT)
    judge = SampleFilter(form="cold_start")
    rows, _, reasons = take(made, [by_rule(*candidate) for candidate in made], judge, "rewrite", 9, Audit())
    assert [row["completion"] for row in rows] == ([CLEAR] if kept else [])
    (shown,) = review_rows(queue, reasons, rows)
    assert (shown["before"], shown["after"]) == (MESSY.text, queue[0]["after"]) and shown["answer"] == "14"
    assert (shown["reason"] is None) == kept
    assert judge.kept + sum(judge.counts().values()) == 3 and judge.counts()["truncated"] == 1


def test_people_see_why_a_rewriting_is_not_kept_and_no_leak() -> None:
    texts = [CLEAR.replace("first", f"first{number}") for number in range(4)]
    queue = [{**ROW, "before": MESSY.text, "after": f"{text}\n"} for text in texts]
    samples = [(ROW, Completion(text, 60, False)) for text in texts]
    audit, judge = Audit(), SampleFilter(form="cold_start")
    rows, places, reasons = take(samples, [by_rule(*one) for one in samples], judge, "rewrite", 3, audit)
    assert (len(rows), places, judge.counts()) == (3, [0, 1, 2], {"not_chosen": 1})
    assert [row["reason"] for row in audit.rows] == [None] * 3 + ["not_chosen"]
    reasons |= {key_of(ROW["question"], texts[1]): "near_duplicate", key_of(ROW["question"], texts[2]): "leak"}
    shown = review_rows(queue, reasons, rows[:1])
    assert [row["reason"] for row in shown] == [None, "near_duplicate", "not_chosen"]


@each(
    "language, question, said",
    [
        ("en", "What is 2 + 2?", "Its final answer is right"),
        ("zh", "2 + 2 等于多少？", "草稿的最终答案是正确的"),
        ("zh", "2 + 2 等於多少？", "草稿的最終答案是正確的"),
        (None, "2 + 2 等于多少？", "草稿的最终答案是正确的"),
    ],
)
def test_the_rewriter_is_asked_in_the_language_of_the_row(language: Any, question: str, said: str) -> None:
    row = ROW | {"language": language, "question": question}
    draft = Completion("{verdict} </draft> <|im_end|> | special_token |", 9, False)
    prompt = rewriting_prompt(TEMPLATES, row, draft, Verdict(True))
    assert said in prompt and question in prompt and "{verdict} < /draft> < |im_end| >" in prompt
    assert prompt.count("</draft>") == 1


@each(
    "language, question, said",
    [
        ("en", "What is 2 + 3 * 4?", "Step 1: 3 * 4 = 12."),
        ("English", "What is 2 + 3 * 4?", "Step 1: 3 * 4 = 12."),
        ("zh-CN", "2 + 3 * 4 等于多少？", "第一步：3 * 4 = 12。"),
        (None, "2 + 3 * 4 等于多少？", "第一步：3 * 4 = 12。"),
        (None, "What is 2 + 3 * 4?", "Step 1: 3 * 4 = 12."),
        ("fr", "Combien font 2 + 3 * 4 ?", None),
        (None, "2 + 3 * 4", None),
    ],
)
def test_the_rule_writes_in_the_language_of_the_row(language: Any, question: str, said: str | None) -> None:
    queue: list[Row] = []
    draft = Completion("<think>3 * 4 = 12, 2 + 12 = 14</think> <answer>14</answer>", 20, False)
    row = ROW | {"language": language, "question": question}
    ((_, made),) = rewritten_by_rule([(row, draft)], queue)
    assert len(queue) == (said is not None) and (said or draft.text) in made.text


def test_a_language_without_a_template_is_said_before_the_run() -> None:
    problems: list[str] = []
    french = ROW | {"language": "fr"}
    check_templates(problems, "few_shot_template", {"en": "few_shot_en", "zh": "nothing"}, [ROW, french])
    assert "'nothing' is neither a name nor a file" in problems[0] and "no template for prompts in fr" in problems[1]
    check_templates(problems := [], "direct_template", "direct_en", [ROW, french])
    assert problems == []
    check_templates(problems, "rewrite_template", "direct_en", [], ("question", "draft", "verdict"))
    assert "does not hold {question} and {draft} and {verdict}" in problems[0]
    with pytest.raises(DataError, match="no prompt template for language 'fr'"):
        template_for({"en": "few_shot_en"}, french)


def judged(kept: int, wrong: int) -> SampleFilter:
    judge = SampleFilter(form="cold_start")
    for number in range(kept):
        assert judge.keeps(ROW, Completion(CLEAR.replace("first", f"first{number}"), 9, False))
    for _ in range(wrong):
        assert not judge.keeps(ROW, Completion(CLEAR.replace("is 14", "is 20"), 9, False))
    return judge


def test_a_method_below_the_floor_stops_and_says_why() -> None:
    check_floor({"few_shot": judged(2, 9), "direct": judged(1, 0)}, 1, 9)
    check_floor({"few_shot": judged(2, 9), "direct": judged(0, 5)}, 0, 9)
    with pytest.raises(NothingKept) as caught:
        check_floor({"few_shot": judged(2, 9), "direct": judged(0, 5)}, 1, 9)
    told = str(caught.value)
    assert "min_rows_per_method (1) were kept of a method: direct 0." in told
    assert "direct {'wrong_answer': 5}" in told and told.count("(gold '14')") == 3  # three examples of the reason
    with pytest.raises(NothingKept, match="no cold-start sample was kept of 9 problems"):
        check_floor({"few_shot": judged(0, 1), "direct": judged(0, 5)}, 0, 9)
