"""Prompts that teach nothing are passed over and come back; the same seed and history decide the same."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import grpo_signal_run as toy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_run import ROOT, launched

from r1hf.core.errors import ConfigError, StageError
from r1hf.trainers.difficulty import DifficultySampler, History

RATES = {0: 1.0, 1: 0.0, 2: 0.5, 3: None}  # by index mod 4, as in grpo_signal_run.accuracy


def history(prompts: int = 12, size: int = 4, lag: int = 2, seed: int = 7, **rules: int) -> History:
    return History(prompts, size, lag, seed, **{"right": 2, "wrong": 4, "revisit": 4, **rules})


def run(made: History, generations: int) -> list[list[int]]:
    """Chooses as far ahead as a loader may, and records by RATES."""
    chosen = []
    for generation in range(made.recorded, generations):
        made.prompts_of(generation + made.lag - 1)
        chosen.append(made.prompts_of(generation))
        made.record([RATES[index % 4] for index in chosen[-1]])
    return chosen


def test_what_teaches_nothing_rests_and_returns() -> None:
    counts = [0] * 4
    chosen = run(history(), 300)
    for prompts in chosen[30:]:
        assert len(set(prompts)) == 4
        for index in prompts:
            counts[index % 4] += 1
    assert counts[0] * 3 < counts[2] and counts[1] * 3 < counts[2]
    assert abs(counts[3] - counts[2]) <= 6, "without a judge nobody rests"
    for index in range(12):  # nobody is forgotten: within revisit + 1 rounds over all prompts
        places = [place for place, prompts in enumerate(chosen) if index in prompts]
        assert max(b - a for a, b in zip(places, places[1:], strict=False)) < 5 * 12 // 4 + 2


def test_where_all_is_learned_all_are_still_visited() -> None:
    made = history()
    for generation in range(40):
        made.record([1.0] * len(made.prompts_of(generation)))
    assert {index for prompts in made.chosen[-4:] for index in prompts} == set(range(12))


def test_forgetting_ends_the_rest() -> None:
    made = history(prompts=4, size=2, lag=1)
    right = True
    visits = []
    for generation in range(60):
        if generation == 30:
            right = False
        prompts = made.prompts_of(generation)
        visits.append(0 in prompts)
        made.record([(1.0 if right else 0.5) if index == 0 else 0.5 for index in prompts])
    assert sum(visits[5:30]) * 2 < sum(visits[35:])


@given(
    st.integers(1, 6), st.integers(1, 4), st.integers(0, 40), st.integers(0, 25), st.integers(0, 5), st.integers(0, 99)
)
def test_a_history_from_a_checkpoint_goes_on_alike(
    size: int, lag: int, stop: int, more: int, ahead: int, seed: int
) -> None:
    prompts = size + 5
    whole = history(prompts, size, lag, seed)
    expected = run(whole, stop + more)
    made = history(prompts, size, lag, seed)
    assert run(made, stop) == expected[:stop]
    if stop:
        made.prompts_of(stop + min(ahead, lag) - 1)  # the loader may have asked ahead, more or less
    again = history(prompts, size, lag, seed)
    again.load_state_dict(json.loads(json.dumps(made.state_dict())))
    assert run(again, stop + more) == expected[stop:]


def test_how_far_the_loader_asked_ahead_decides_nothing() -> None:
    eager, lazy = history(lag=3), history(lag=3)
    generator = random.Random(1)
    for generation in range(60):
        eager.prompts_of(generation + generator.randrange(3))
        assert eager.prompts_of(generation) == lazy.prompts_of(generation)
        for each in (eager, lazy):
            each.record([RATES[index % 4] for index in each.prompts_of(generation)])


def test_the_sampler_keeps_trls_contract_and_replays_an_epoch() -> None:
    made = history(prompts=13, lag=9)
    sampler = DifficultySampler(made, list(range(13)), 2, 3)
    indices = list(sampler)
    assert len(indices) == len(sampler) == 3 * 4 * 2 * 3
    for start in range(0, len(indices), 24):
        batch = indices[start : start + 8]
        assert indices[start : start + 24] == batch * 3 and batch[::2] == batch[1::2] and len(set(batch)) == 4
    assert list(sampler) == indices
    sampler.set_epoch(1)
    assert list(sampler) != indices


def test_a_missing_or_foreign_history_is_named() -> None:
    with pytest.raises(StageError, match="those of generation 0 are missing"):
        history(lag=2).prompts_of(3)
    with pytest.raises(StageError, match="another number of prompts than 13; go on with the same data"):
        history(prompts=13).load_state_dict(history().state_dict())


# Training


def rested(report: list[dict[str, Any]]) -> None:
    """In the second half, prompts that are always right or wrong are rarer than those that teach."""
    counts = [0] * 4
    for row in report[len(report) // 2 :]:
        for index in row["prompts"]:
            counts[index % 4] += 1
    assert counts[0] < counts[2] and counts[1] < counts[2]


SETTINGS = {"difficulty_sampling": True, "difficulty_wrong": 2, "max_steps": 24, "step_metrics": False}
SHAPES = {
    "one batch a step": {},
    "two steps a generation": {"per_device_train_batch_size": 8, "steps_per_generation": 2},
    "two generations a step": {
        **{"gradient_accumulation_steps": 2, "steps_per_generation": 1, "max_steps": 12},
    },
    "workers ask ahead": {"dataloader_num_workers": 1},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_training_passes_over_what_teaches_nothing(tmp_path: Path, shape: str) -> None:
    made = toy.trainer(tmp_path, **{**SETTINGS, **SHAPES[shape]})
    made.train()
    rested(made.seen)
    assert made.history is not None and made.history.recorded == len(made.seen)
    logged = [row for row in made.state.log_history if "difficulty/pass_rate" in row]
    last = logged[-1]
    assert any(0 < row["difficulty/skipped"] < 1 for row in logged) and 0 < last["difficulty/pass_rate"] < 1
    assert sum(value for name, value in last.items() if name.startswith("difficulty/share_")) == pytest.approx(1)
    json.dumps(made.history.state_dict())


@pytest.mark.parametrize("stop", [3, 7, 9])  # inside an epoch, inside a generation, at the end of an epoch
@pytest.mark.parametrize("shape", [{}, {"per_device_train_batch_size": 8, "steps_per_generation": 2}])
def test_a_resumed_run_uses_the_same_prompts(tmp_path: Path, stop: int, shape: dict[str, Any]) -> None:
    settings = {**SETTINGS, **shape, "save_strategy": "steps", "save_steps": stop, "max_steps": 16}
    whole = toy.trainer(tmp_path, **settings)
    whole.train()
    again = toy.trainer(tmp_path, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{stop}"))
    assert len(again.seen) > 2
    assert again.seen == whole.seen[-len(again.seen) :]
    assert again.history is not None and whole.history is not None
    assert again.history.state_dict() == whole.history.state_dict()


@pytest.mark.slow
def test_two_processes_choose_what_one_chooses_from_the_same_results(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    script = str(ROOT / "tests" / "grpo_signal_run.py")
    done = launched(*words, script, str(tmp_path), json.dumps(SETTINGS))
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((tmp_path / "report.json").read_text())["seen"]
    rested(report)
    replayed = history(wrong=2)
    for generation, row in enumerate(report):
        assert row["prompts"][:: toy.GROUP] == replayed.prompts_of(generation)
        outcomes = [[value for value, _ in row["rewards"][s : s + toy.GROUP]] for s in range(0, 16, toy.GROUP)]
        replayed.record([None if None in group else group.count(1.0) / len(group) for group in outcomes])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shuffle_dataset": False}, "difficulty_sampling: the order of the prompts is a schedule"),
        ({"difficulty_revisit": 0}, "difficulty_revisit: 0 is below 1"),
        ({"outcome_rewards": ["gym"]}, "difficulty_sampling: none of the rewards"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        toy.trainer(tmp_path, **{**SETTINGS, **settings})
