"""Verdicts by rule, the choice among good samples, the exact mix, and pass rates that RL chooses prompts by."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import recipe, run_recipe, write
from tables import each

from r1hf.core.errors import ConfigError, DataError
from r1hf.data.choose import choose, exact, exact_mix
from r1hf.data.filters import Verdict
from r1hf.data.pass_rates import check_bounds, with_pass_rate, within
from r1hf.models.sampling import Completion
from r1hf.selection.verdicts import NOBODY, by_rules, check_rules


def think(answer: str) -> str:
    return f"<think>I work it out.</think> <answer>{answer}</answer>"


SUM = {"question": "2 + 3 * 4?", "answer": "14", "language": "en"}
OPTIONS = {"question": "Which is a bird?", "answer": "B", "choices": ["cat", "owl"], "task": "choice"}
PROGRAM = {"question": "Echo.", "answer": "", "task": "code", "tests": {"inputs": ["3\n"], "outputs": ["3\n"]}}
ECHO = think("```python\nprint(input())\n```")


@each(
    "row, text, right",
    [
        (SUM | {"task": "reasoning"}, think("14"), True),
        (SUM | {"task": "math"}, think("The answer is 14."), True),
        (SUM | {"task": "stem"}, think("20"), False),
        (SUM | {"task": "logic"}, "nothing", False),
        (OPTIONS, think("B"), True),
        (OPTIONS, think("owl"), True),
        (OPTIONS, think("A"), False),
        (OPTIONS, think("A or B"), False),
        (PROGRAM, ECHO, True),
        (PROGRAM, think("```python\nprint(4)\n```"), False),
        (PROGRAM, think("I would echo it."), False),
        (PROGRAM | {"tests": "{broken"}, ECHO, None),
        (PROGRAM | {"tests": None}, ECHO, None),
        (SUM | {"task": "gym"}, think("14"), None),
        (SUM | {"task": "proof"}, think("14"), None),
        (SUM | {"task": None}, think("14"), None),
        (SUM | {"task": "reasoning", "answer": None}, think("14"), None),
    ],
)
def test_each_task_has_its_rule_and_a_row_without_one_is_nobodys(row: Any, text: str, right: bool | None) -> None:
    (verdict,) = by_rules([row], [text])
    assert verdict.right is right and (right is not None or verdict == NOBODY)


def test_a_task_without_a_rule_is_named_before_the_run() -> None:
    problems: list[str] = []
    check_rules(problems, [SUM | {"task": "proof"}, SUM | {"task": "math"}], judged=True)
    assert problems == []
    check_rules(problems, [SUM | {"task": "proof"}, SUM | {"task": "math"}], judged=False)
    (problem,) = problems
    assert "no rule judges task proof" in problem and "judge: MODEL" in problem


TEXTS = ["first multiply three by four", "first multiply three by four then", "add four three times and then two", "x"]
SAMPLES = [Completion(text, tokens, False) for text, tokens in zip(TEXTS, (9, 10, 12, 30), strict=True)]


@each(
    "how, most, places",
    [
        ("first", None, [0, 1, 2, 3]),
        ("first", 2, [0, 1]),
        ("shortest", 1, [0]),
        ("shortest", None, [0, 1, 2, 3]),
        ("diverse", 2, [0, 2]),
        ("diverse", 9, [0, 1, 2, 3]),
    ],
)
def test_choice_among_good_samples(how: Any, most: int | None, places: list[int]) -> None:
    assert choose(SAMPLES, most, how) == places
    assert choose([], most, how) == []


def test_the_shortest_comes_first_wherever_it_was_sampled() -> None:
    assert choose(SAMPLES[::-1], 2, "shortest") == [3, 2]


@each(
    "ratio, part",
    [
        (0.333, (1, 3)),
        (0.3333, (1, 3)),
        (0.667, (2, 3)),
        (0.28, (7, 25)),
        (0.3, (3, 10)),
        (0.301, (301, 1000)),
        (2, (2, 1)),
    ],
)
def test_a_rounded_ratio_means_its_fraction(ratio: float, part: tuple[int, int]) -> None:
    assert exact(ratio).as_integer_ratio() == part


@given(st.integers(0, 400), st.integers(0, 400), st.sampled_from([0.0, 1 / 3, 0.25, 0.5, 1.0, 2 / 3, 2.0]))
def test_the_mix_is_exact(reasoning: int, general: int, ratio: float) -> None:
    mix = exact_mix(reasoning, general, ratio)
    assert 0 <= mix.reasoning <= reasoning and 0 <= mix.general <= general
    if not ratio:
        assert mix == (reasoning, 0)
    elif reasoning >= 4 and general >= 2:
        assert mix.general == pytest.approx(mix.reasoning * ratio, abs=1e-9)
        bigger = exact_mix(reasoning + 12, general + 12, ratio)
        assert bigger.reasoning > mix.reasoning
    assert exact_mix(600_001, 200_000, 1 / 3) == (600_000, 200_000)


@each(
    "reasoning, general, ratio, short",
    [(25, 7, 0.28, False), (30, 10, 1 / 3, False), (3, 1, 0.333333, False), (2, 1, 1 / 3, True), (9, 9, 0, False)],
)
def test_too_few_rows_for_the_ratio_are_said_and_no_others(
    reasoning: int, general: int, ratio: float, short: bool
) -> None:
    said: list[str] = []
    stage: Any = SimpleNamespace(say=said.append, config=SimpleNamespace(seed=0))
    module = recipe("rejection_sampling")
    module.mixed(stage, [module.Kept(0, {})] * reasoning, [{}] * general, ratio)
    assert any("too few" in line for line in said) == short, said


RATED = [SUM | {"task": "reasoning", "pass_rate": rate} for rate in (0, 0.25, 0.5, 1.0, None)]


def test_pass_rates_count_what_could_be_judged() -> None:
    verdicts = [Verdict(True), Verdict(False), Verdict(None), Verdict(True)]
    row = with_pass_rate(SUM, verdicts)
    assert (row["samples"], row["right"], row["pass_rate"]) == (4, 2, 2 / 3)
    assert with_pass_rate(SUM, [Verdict(None)])["pass_rate"] is None


@each(
    "least, most, rates",
    [
        (None, None, [0, 0.25, 0.5, 1.0, None]),
        (0.2, None, [0.25, 0.5, 1.0]),
        (None, 0.9, [0, 0.25, 0.5]),
        (0.25, 0.5, [0.25, 0.5]),
        (1.0, None, [1.0]),
    ],
)
def test_prompts_are_chosen_by_their_pass_rate(least: float | None, most: float | None, rates: list[Any]) -> None:
    assert [row["pass_rate"] for row in within(RATED, least, most)] == rates


@each(
    "rows, said",
    [
        ([SUM], "no column pass_rate, .*prompts: RUN/rejection_sampling/prompts.jsonl"),
        ([SUM | {"pass_rate": "half"}], "row 1: pass_rate is 'half', no share"),
        ([SUM | {"pass_rate": 40}], "row 1: pass_rate is 40, no share"),
        ([SUM | {"pass_rate": 1.0}], "no prompt has a pass_rate from 0.1 to 0.9; theirs are from 1 to 1"),
        ([SUM | {"pass_rate": None}], "theirs are unknown"),
    ],
)
def test_pass_rates_that_nothing_can_be_chosen_by(rows: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        within(rows, 0.1, 0.9)


def test_bounds_are_checked_with_the_configuration(tmp_path: Path) -> None:
    problems: list[str] = []
    check_bounds(problems, SimpleNamespace(min_pass_rate=0.9, max_pass_rate=0.1), RATED)
    assert problems == ["min_pass_rate 0.9 is above max_pass_rate 0.1, so that no prompt is left"]
    rows = write(tmp_path / "rows.jsonl", [SUM | {"task": "reasoning"}])
    with pytest.raises(ConfigError, match="(?s)min_pass_rate: -1 is below 0.*prompts: no column pass_rate"):
        run_recipe("reasoning_rl", prompts=rows, min_pass_rate=-1, max_pass_rate=0.5, output_dir=tmp_path / "made")
