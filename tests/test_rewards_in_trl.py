"""Every reward trains in stock `trl.GRPOTrainer`: on strings and conversations, and with strings on two processes."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from small_run import ROOT, launched
from tables import each

pytestmark = pytest.mark.slow

STEPS, BATCH = 3, 16
SCRIPT = str(ROOT / "tests" / "rewards_in_trl.py")
NAMES = ["accuracy", "think_answer", "think_only", "language", "code", "choice", "text", "countdown"]
NAMES += ["repetition", "overlong", "random", "router", "guarded", "weighted"]
NAMES += ["gym"] if importlib.util.find_spec("reasoning_gym") else []

Runs = dict[tuple[int, str, str], dict[str, Any]]


def trained(directory: Path, *launcher: str, steps: int = STEPS, names: tuple[str, ...] = ()) -> Runs:
    done = launched(sys.executable, *launcher, SCRIPT, str(directory), *names, "--steps", str(steps))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    lines = (directory / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {(run["processes"], run["name"], run["form"]): run for run in map(json.loads, lines)}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    return trained(one) | trained(two, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@each(
    "processes, form, name",
    [(*run, name) for run in [(1, "string"), (1, "conversational"), (2, "string")] for name in NAMES],
)
def test_trains_and_logs_its_reward(runs: Runs, name: str, processes: int, form: str) -> None:
    run = runs[processes, name, form]
    assert run["steps"] == STEPS and run["changed"]
    for reward, values in run["metrics"].items():
        assert len(values) == STEPS
        low, high = run["bounds"][reward] or (0.0, 1.0)
        logged = [value for value in values if value is not None]  # None: nobody could be judged in that step
        assert logged and all(low - 1e-6 <= value <= high + 1e-6 for value in logged)
        assert run["judged"][reward] > 0
    assert all(value is not None for value in run["reward"])


@each("name", NAMES)
def test_two_processes_score_and_gather_as_many_as_one(runs: Runs, name: str) -> None:
    one, two = runs[1, name, "string"], runs[2, name, "string"]
    assert one["asked"] == two["asked"] == dict.fromkeys(one["asked"], STEPS * BATCH)
    assert one["gathered"] == two["gathered"] == dict.fromkeys(one["gathered"], BATCH)
    if name not in ("language", "weighted"):  # there the phrases decide who is judged
        assert one["judged"] == two["judged"]


def test_the_policy_learns_what_is_paid(tmp_path: Path) -> None:
    for run in trained(tmp_path, steps=20, names=("accuracy", "choice")).values():
        assert sum(run["reward"][-3:]) > sum(run["reward"][:3]) + 0.9, run
