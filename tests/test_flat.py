"""A run that ends well and learnt nothing says so, with likely reasons; one that learns does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_run import GRAPH, write_json, write_run
from report_run import manifest as report_manifest
from small_run import GRPO, manifest, run_recipe
from tables import each

from r1hf.explain.report import build_summary, write_report
from r1hf.rewards.declared import Declared
from r1hf.trainers.flat import warnings_of

HEALTHY = {
    **{"reward": 0.9, "rewards/accuracy_reward/mean": 0.4, "rewards/format_reward/mean": 0.5},
    **{"rewards/accuracy_reward/unjudged": 0.0, "completions/clipped_ratio": 0.1, "completions/mean_length": 30.0},
    **{"completions/unjudged": 0.0, "groups/no_signal": 0.5, "groups/all_wrong": 0.3, "groups/all_right": 0.2},
}
WRONG = {"rewards/accuracy_reward/mean": 0.0, "groups/all_wrong": 1.0, "groups/all_right": 0.0}
CUT = {"completions/clipped_ratio": 1.0, "rewards/format_reward/mean": 0.0, "groups/no_signal": 1.0, "reward": 0.0}
UNJUDGED = {"rewards/accuracy_reward/mean": float("nan"), "rewards/accuracy_reward/unjudged": 1.0}

REWARDS = {"accuracy_reward": Declared(outcome=True), "format_reward": Declared(aspect="format")}

# what the rows say, the warning's name, what it says in this order
CASES: list[tuple[list[dict[str, Any]], str, list[str]]] = [
    (
        [WRONG | CUT],
        "reward",
        ["accuracy_reward stayed at 0", "100% of completions were cut", "end token", "format reward"],
    ),
    ([WRONG, WRONG], "reward", ["in all 2 logged steps", "100% of groups are all wrong", "too hard"]),
    ([WRONG | {"rewards/format_reward/mean": 0.01}], "reward", ["format reward is 0.01", "r1_zero_en"]),
    ([WRONG | {"completions/mean_length": 1.0}], "reward", ["1.0 tokens in the mean", "ends at once"]),
    ([WRONG | {"completions/clipped_ratio": 0.6}], "reward", ["60% of completions were cut"]),
    ([{"groups/no_signal": 1.0, "groups/all_right": 1.0}], "signal", ["rewarded alike", "all right", "too easy"]),
    ([UNJUDGED | {"groups/no_signal": 1.0}], "signal", ["not judged by accuracy_reward", "r1hf check --only rewards"]),
    ([{"completions/clipped_ratio": 0.95}], "cut", ["95% of completions were cut at max_completion_length 64"]),
    ([{"completions/unjudged": 0.97}], "unjudged", ["97% of completions were not judged by any reward"]),
]


@each("changes, name, said", CASES)
def test_each_is_told_by_its_numbers(changes: list[dict[str, Any]], name: str, said: list[str]) -> None:
    found = warnings_of([HEALTHY | change for change in changes], 64, REWARDS)
    assert list(found) == [name]
    places = [found[name].find(words) for words in said]
    assert -1 not in places and places == sorted(places), found[name]


@each(
    "rows",
    [
        [HEALTHY],
        [HEALTHY | WRONG, HEALTHY],  # it moved
        [HEALTHY | {"groups/no_signal": 1.0}, HEALTHY],
        [HEALTHY | {"completions/clipped_ratio": 1.0}, HEALTHY],
        [{"step": 1, "loss": 0.5}],  # supervised
        [{"step": 1, "reward": -0.5, "frac_reward_zero_std": 0.0}],
        [{"step": 1, "reward": float("nan")}],
        [],
    ],
)
def test_a_run_in_which_something_is_learnt_says_nothing(rows: list[dict[str, Any]]) -> None:
    assert warnings_of(rows, 64, REWARDS) == {}


def test_without_outcomes_the_whole_reward_counts() -> None:
    assert "the reward stayed at 0" in warnings_of([{"reward": 0.0, "frac_reward_zero_std": 1.0}], None)["reward"]
    assert "signal" in warnings_of([{"reward": 0.7, "frac_reward_zero_std": 1.0}], None)


def test_a_flat_run_warns_and_a_learning_one_does_not(
    tiny_base: Path, memorised: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real training: a base whose answers are all cut, and a model that knows some of the answers."""
    rows = memorised.parent / "rows.jsonl"
    common = {"prompt_template": "null", **GRPO}
    flat = run_recipe(
        "r1_zero", model=tiny_base, prompts=rows, output_dir=tmp_path / "flat", **common | {"max_completion_length": 4}
    )
    said = manifest(flat)["metrics"]["warnings"]
    assert list(said) == ["reward"] and "cut at max_completion_length 4" in said["reward"]
    assert f"WARNING flat: {said['reward']}" in capsys.readouterr().err
    learning = common | {"max_completion_length": 60, "temperature": 1.3, "max_steps": 4}
    made = run_recipe("r1_zero", model=memorised, prompts=rows, output_dir=tmp_path / "learning", **learning)
    assert "warnings" not in manifest(made)["metrics"]
    assert "WARNING" not in capsys.readouterr().err


def test_the_report_repeats_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", steps=12)
    assert build_summary(run, GRAPH)["warnings"] == {}
    content = report_manifest("r1_zero", 42)
    content["metrics"] = {**content["metrics"], "warnings": {"reward": "stayed at 0 <b>"}}
    write_json(run / "r1_zero" / "manifest.json", content)
    write_report(run, GRAPH)
    assert build_summary(run, GRAPH)["warnings"] == {"r1_zero": ["stayed at 0 <b>"]}
    assert "r1_zero: stayed at 0 &lt;b&gt;" in (run / "report.html").read_text(encoding="utf-8")
