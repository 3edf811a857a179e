"""Held-out problems asked during RL: a curve with intervals, and a run that does not notice."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_run import CPU, GRPO, answered, arguments, log, manifest, recipe, run_recipe, write
from tables import each

from r1hf.core.config import parse
from r1hf.evaluation.judged import Judged
from r1hf.models.sampling import Completion
from r1hf.trainers.held_out import held_out_rows, logged, own_randomness

SETTINGS: dict[str, Any] = {**CPU, **GRPO, "max_steps": 3, "compact_generation": False}


def rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "completion"} for row in answered(first + count)[first:]]


def test_a_watched_run_ends_in_the_weights_of_one_that_is_not(memorised: Path, tmp_path: Path) -> None:
    prompts, held_out = write(tmp_path / "rows.jsonl", rows(16)), write(tmp_path / "held.jsonl", rows(24))
    watched = {"held_out": held_out, "held_out_steps": 2, "held_out_size": 20, "held_out_k": 2}
    ends, logs = [], []
    for number, more in enumerate(({}, watched)):
        given = {"model": memorised, "prompts": prompts, "output_dir": tmp_path / f"out{number}", **SETTINGS, **more}
        made = run_recipe("reasoning_rl", **given)
        ends.append(manifest(made)["outputs"]["model.safetensors"]["sha256"])
        logs.append(log(made))
    assert ends[0] == ends[1]
    asked = [row for row in logs[1] if "held_out/pass_at_1" in row]
    assert [row["step"] for row in asked] == [0, 2, 3], "before the first step, every second one, after the last"
    for row in asked:
        assert row["held_out/problems"] == 20
        assert row["held_out/pass_at_1_low"] <= row["held_out/pass_at_1"] <= row["held_out/pass_at_1_high"]
    assert asked[0]["held_out/pass_at_1"] > 0.1, "the model knows eight of the answers by heart"
    own = [
        {k: v for k, v in row.items() if "per_second" not in k and k != "step_time"}
        for row in logs[1]
        if row not in asked
    ]
    assert own == [{k: v for k, v in row.items() if "per_second" not in k and k != "step_time"} for row in logs[0]]
    assert "held_out/pass_at_1" in manifest(tmp_path / "out1")["metrics"]


def test_random_numbers_go_on_where_they_were() -> None:
    def three() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def started() -> None:
        random.seed(1), np.random.seed(1), torch.manual_seed(1)  # type: ignore[func-returns-value]

    started()
    undisturbed = [three(), three()]
    started()
    seen = [three()]
    with own_randomness(5):
        inside = three()
    with pytest.raises(ZeroDivisionError), own_randomness(5):
        assert three() == inside
        _ = 1 / 0
    assert [*seen, three()] == undisturbed


def test_the_set_is_fixed_by_the_seed(tmp_path: Path) -> None:
    config = type(
        "C", (), {"held_out": str(write(tmp_path / "r.jsonl", rows(30))), "max_bad_rows": 0, "held_out_size": 9}
    )
    one, two, other = (held_out_rows(config, seed) for seed in (3, 3, 4))
    assert one == two != other and len(one) == 9
    config.held_out_size = 99  # type: ignore[attr-defined]
    assert len(held_out_rows(config, 3)) == 30


def test_what_nobody_judged_has_no_number() -> None:
    item = Judged(Completion("x", 1, False), None, True, None)
    assert logged([[item]]) == {
        **{"held_out/truncation_rate": 0.0, "held_out/mean_completion_tokens": 1.0},
        **{"held_out/unjudged_rate": 1.0, "held_out/problems": 0.0},
    }


@each(
    "more, said",
    [
        ({"held_out_steps": 0}, "held_out_steps: 0; give 1 or more"),
        ({"held_out_k": 0}, "held_out_k: 0; give 1 or more"),
        ({"task": "poetry"}, "held_out: task poetry is not known here"),
        ({"task": "gym"}, "held_out: row 1: task gym, and no column gym"),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("name", ["r1_zero", "reasoning_rl", "all_scenario_rl"])
def test_what_is_wrong_is_said_before_the_run(more: dict[str, Any], said: str, name: str, tmp_path: Path) -> None:
    keys = {key: value for key, value in more.items() if key != "task"}
    path = write(tmp_path / "held.jsonl", [row | {"task": more.get("task", "reasoning")} for row in rows(2)])
    found = parse(recipe(name).CONFIGS, arguments(f"{name}.yaml", held_out=path, **keys))
    recipe(name).preflight(found)
    about = [problem for problem in found.problems if "held_out" in problem]
    assert (said in about[0]) if said else not about, about
