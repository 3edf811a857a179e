"""What is logged at each step is what the rollouts say: on one process and two, over micro-batches and generations."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
from small_run import ROOT, launched
from tables import each

from r1hf.core.errors import ConfigError
from r1hf.data.rows import Row
from r1hf.trainers import reflection
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.replay import replay

SCRIPT = str(ROOT / "tests" / "step_metrics_run.py")


# Reflection words


@each(
    "text, hits, words",
    [
        ("Wait, let me check: 2 + 3 = 5.", 2, 4),
        ("checkers await waiting butter", 0, 4),
        ("WAIT... wait—wait! don't", 3, 4),
        ("re-check it", 1, 3),
        ("等等，不对，重新检查", 4, 8),
        ("wait等等check", 3, 4),
        ("等一下等等", 2, 5),
        ("", 0, 0),
        ("12 + 3 = 15", 0, 0),
        ("подожди, wait", 1, 2),
    ],
)
def test_words_are_counted(text: str, hits: int, words: int) -> None:
    assert reflection.count(text) == (hits, words)


# The ratio in the loss


def sums(*values: list[float]) -> list[list[float]]:
    return [list(value) for value in values]


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_the_ratio_is_that_of_the_loss(level: str) -> None:
    rows: list[Row] = [{"prompt": "a"}, {"prompt": "a"}]
    new, old = sums([-1.0, -2.0], [-0.5, -1.0, -1.5]), sums([-1.5, -2.0], [-0.5, -2.0, -1.0])
    settings = {"num_generations": 2, "step_metrics": True, "importance_sampling_level": level}
    trainer = replay(rows, ["xy", "xyz"], (new, old, old), {"r": lambda prompts, **_: [0.0, 1.0]}, settings)
    batch = trainer.score("group")
    trainer.model.train()
    for _ in range(2):  # two micro-batches: sums, not means of means
        trainer.loss(batch, "grpo")
    logged = trainer._row_metrics()
    differences = [[0.5, 0.0], [0.0, 1.0, -0.5]]
    if level == "sequence":
        differences = [[sum(part) / len(part)] for part in differences]
    ratios = [math.exp(value) for part in differences for value in part]
    assert logged["importance_ratio/mean"] == pytest.approx(sum(ratios) / len(ratios))
    assert logged["importance_ratio/max"] == pytest.approx(max(ratios))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"log_completions": True}, "log_completions: log_rollouts writes them already"),
        ({"rollout_steps": 0}, "rollout_steps: 0 is below 1"),
        ({"rollout_keep": -1}, "rollout_keep: -1 is below 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        R1GRPOConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, per_device_train_batch_size=16, **settings)


# Real training

RUNS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulated": {"gradient_accumulation_steps": 2, "max_steps": 2},
    "reused": {"steps_per_generation": 2, "rollout_steps": 3},
    "every_other": {"steps_per_generation": 1, "logging_steps": 2, "num_iterations": 2},
}
TWICE = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.fixture(scope="module", params=[1, 2])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for each of RUNS, trained by one process and by two."""
    out = tmp_path_factory.mktemp("trained")
    done = launched(sys.executable, *(TWICE if request.param == 2 else ()), SCRIPT, str(out), json.dumps(RUNS))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return out


def expected(rows: pandas.DataFrame) -> dict[str, float]:
    """The metrics of some rollouts, by hand."""
    right, wrong = rows[rows["rewards/accuracy_reward"] == 1], rows[rows["rewards/accuracy_reward"] < 1]
    groups = [rows.iloc[place : place + 8] for place in range(0, len(rows), 8)]
    counts = [reflection.count(text) for text in rows["completion"]]
    share = rows["rewards/language_consistency_reward"].dropna()
    found = {
        "completions/mean_length_right": right["tokens"].mean(),
        "completions/mean_length_wrong": wrong["tokens"].mean(),
        "completions/mean_length": rows["tokens"].mean(),
        "completions/clipped_ratio": rows["truncated"].mean(),
        "completions/unjudged": 0.0,
        "rewards/even_only/unjudged": 0.5,
        "rewards/accuracy_reward/unjudged": 0.0,
        "rewards/language_consistency_reward/unjudged": 1 - len(share) / len(rows),
        "groups/no_signal": sum(bool((group["advantage"].abs() < 1e-2).all()) for group in groups) / len(groups),
        "groups/all_right": sum(bool((group["rewards/accuracy_reward"] == 1).all()) for group in groups) / len(groups),
        "groups/all_wrong": sum(bool((group["rewards/accuracy_reward"] < 1).all()) for group in groups) / len(groups),
        "reflection/share": sum(hits > 0 for hits, _ in counts) / len(counts),
        "reflection/per_completion": sum(hits for hits, _ in counts) / len(counts),
        "reflection/per_100_words": 100 * sum(hits for hits, _ in counts) / sum(words for _, words in counts),
        "language/consistency": share.mean(),
        "language/mixed": (share < 0.9).mean(),
        "reward": rows["reward"].mean(),
    }
    return {name: float(value) for name, value in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_the_log_is_what_the_rollouts_say(trained: Path, name: str) -> None:
    logs = [row for row in json.loads((trained / name / "log.json").read_text(encoding="utf-8")) if "loss" in row]
    rows = pandas.read_parquet(trained / name / "rollouts")
    settings = RUNS[name]
    micro = settings.get("steps_per_generation", settings.get("gradient_accumulation_steps", 1))
    generations = 4 // (settings.get("num_iterations", 1) * settings.get("steps_per_generation", 1))
    generations = settings["max_steps"] if "max_steps" in settings else generations
    assert len(rows) == 16 * micro * generations and rows["prompt_id"].nunique() == rows["prompt"].nunique()
    assert (rows.groupby(["step", "prompt_id"]).size() % 8 == 0).all()
    checked = 0
    for row in logs:
        own = rows[(rows["step"] <= row["step"]) & (rows["step"] > row["step"] - settings.get("logging_steps", 1))]
        if own.empty:
            assert "reflection/share" not in row
            continue
        for metric, value in expected(own).items():
            if not math.isnan(value):
                assert row[metric] == pytest.approx(value, rel=1e-4, abs=1e-6), metric
                checked += 1
        assert row["tokens_per_second/generation"] > 0
    assert checked > 10
    for row in logs:
        assert row["tokens_per_second/overall"] > 0
        assert row["importance_ratio/max"] >= row["importance_ratio/mean"] - 1e-6
    ratios = [row["importance_ratio/max"] for row in logs]
    if name in ("reused", "every_other"):  # the second step on the same rollouts is off the policy
        assert max(ratios) > 1.0001
    else:
        assert ratios == [1.0] * len(ratios)


@pytest.mark.slow
def test_with_the_extras_off_nothing_is_added(tmp_path: Path) -> None:
    import step_metrics_run

    one = step_metrics_run.trainer(tmp_path / "off", step_metrics=False, log_rollouts=False, max_steps=2)
    one.train()
    two = step_metrics_run.trainer(tmp_path / "on", max_steps=2)
    two.train()
    assert not (tmp_path / "off" / "rollouts").exists()
    for off, on in zip(one.state.log_history[:-1], two.state.log_history[:-1], strict=True):
        assert {name: on[name] for name in off if "time" not in name} == {
            name: value for name, value in off.items() if "time" not in name
        }
        assert {"reflection/share", "importance_ratio/mean", "groups/no_signal"} <= set(on) - set(off)
