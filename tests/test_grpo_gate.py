"""The gate on the outcome: which groups lose their advantages, and which keep them."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import grpo_signal_run as toy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_run import ROOT, launched
from tables import each

from r1hf.core.errors import ConfigError
from r1hf.rewards import format_reward
from r1hf.trainers.gate import flat_groups, pass_rates, places

NAN = math.nan


@each(
    "outcomes, flat",
    [
        ([[1], [1], [1], [1]], True),
        ([[0], [0], [0], [0]], True),
        ([[1], [0], [1], [1]], False),
        ([[0.3], [0.6], [0.3], [0.3]], False),  # partial credit is an outcome too
        ([[NAN], [1], [1], [NAN]], True),  # nothing is known that differs
        ([[NAN], [1], [0], [NAN]], False),
        ([[NAN], [NAN], [NAN], [NAN]], False),  # a general prompt
        ([[1, NAN], [1, NAN], [1, NAN], [1, NAN]], True),
        ([[NAN, 1], [NAN, 0], [NAN, 1], [NAN, 1]], False),
    ],
)
def test_which_groups_are_flat(outcomes: list[list[float]], flat: bool) -> None:
    assert flat_groups(torch.tensor(outcomes, dtype=torch.float32), 4).tolist() == [flat]


@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, NAN]), min_size=3, max_size=3), min_size=1, max_size=5))
def test_flat_and_pass_rate_are_what_the_words_say(groups: list[list[float]]) -> None:
    outcomes = torch.tensor(groups).reshape(-1, 1)
    for found, rate, group in zip(flat_groups(outcomes, 3).tolist(), pass_rates(outcomes, 3), groups, strict=True):
        judged = [value for value in group if value == value]
        assert found is (bool(judged) and len(set(judged)) == 1)
        assert rate == (judged.count(1.0) / len(judged) if judged else None)


def test_outcome_rewards_are_found_by_name() -> None:
    names = ["accuracy_reward", "format_reward", "code_reward_sums", "helpful_reward"]
    assert places(names) == [0, 2] and places(names, ["helpful"]) == [3] and places(["format_reward"]) == []


# Training


def spread(group: list[float | None]) -> bool:
    return len({value for value in group if value is not None}) > 1


def check(report: dict[str, Any], gated: bool) -> tuple[int, int]:
    """Groups that the gate closed, and those that it would have closed had there been one."""
    closed = 0
    for row in report["seen"]:
        for start in range(0, len(row["prompts"]), toy.GROUP):
            part = slice(start, start + toy.GROUP)
            assert len(set(row["prompts"][part])) == 1
            outcome, shape = zip(*row["rewards"][part], strict=True)
            moved = any(abs(value) > 1e-3 for value in row["advantages"][part])
            judged = any(value is not None for value in outcome)
            if judged and not spread(list(outcome)):
                closed += spread(list(shape))
                assert moved is (spread(list(shape)) and not gated)
            elif spread(list(shape)) and not judged:
                assert moved, "format still teaches where nothing judges the outcome"
    return closed, len(report["seen"])


@pytest.mark.parametrize("gate", ["outcome", "none"])
def test_only_groups_without_a_difference_in_outcome_are_closed(tmp_path: Path, gate: str) -> None:
    trainer = toy.trainer(tmp_path, gate=gate)
    trainer.train()
    closed, generations = check({"seen": trainer.seen}, gate == "outcome")
    assert generations == 6 and closed > 0
    shares = [row["groups/gated"] for row in trainer.state.log_history if "groups/gated" in row]
    assert len(shares) == (6 if gate == "outcome" else 0)
    if gate == "outcome":
        counted = [
            sum(
                judged and not spread(outcome)
                for start in range(0, 16, toy.GROUP)
                for outcome in [[value for value, _ in row["rewards"][start : start + toy.GROUP]]]
                for judged in [any(value is not None for value in outcome)]
            )
            / 4
            for row in trainer.seen
        ]
        assert shares == counted


def test_evaluation_is_not_gated(tmp_path: Path) -> None:
    trainer = toy.trainer(tmp_path, gate="outcome")
    trainer.model.eval()
    row = next(row for row in trainer.train_dataset if toy.number(row) == 0)
    trainer.num_generations_eval = toy.GROUP
    trainer._generate_and_score_completions([dict(row) for _ in range(16)])
    assert "groups/gated" not in trainer._metrics["eval"]


@pytest.mark.parametrize(
    ("rewards", "settings"),
    [
        ([format_reward], {}),
        ([toy.accuracy, format_reward], {"outcome_rewards": ["code"]}),
        ([toy.accuracy, format_reward], {"reward_weights": [0.0, 1.0]}),
    ],
)
def test_a_gate_without_an_outcome_that_is_paid_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rewards: list[Any], settings: dict[str, Any]
) -> None:
    class Few(toy.Watched):
        def __init__(self, *arguments: Any, **named: Any):
            super().__init__(*arguments, **{**named, "reward_funcs": rewards})

    monkeypatch.setattr(toy, "Watched", Few)
    with pytest.raises(ConfigError, match="gate: none of the rewards that are paid .*set outcome_rewards"):
        toy.trainer(tmp_path, gate="outcome", **settings)


@pytest.mark.slow
def test_two_processes_gate_their_own_part(tmp_path: Path) -> None:
    """The groups' rewards come from both; each process holds half of the advantages."""
    settings = {"gate": "outcome", "max_steps": 4}
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = launched(*words, str(ROOT / "tests" / "grpo_signal_run.py"), str(tmp_path), json.dumps(settings))
    assert done.returncode == 0, done.stderr[-2000:]
    closed, generations = check(json.loads((tmp_path / "report.json").read_text()), True)
    assert generations == 4 and closed > 0
