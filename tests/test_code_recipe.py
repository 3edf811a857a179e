"""The code reward in the recipes: options from YAML and the command line, rows of code beside others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from sandbox_target import first_working
from small_run import CPU, answered, write

from r1hf.commands.check_report import render
from r1hf.preflight.check import Asked, Report, check
from r1hf.preflight.finding import Finding

pytestmark = pytest.mark.skipif(first_working() is None, reason="no sandbox works here")

CODE = {"question": "Print 4.", "answer": None, "language": "en", "task": "code"}
TESTS = json.dumps([{"stdin": "", "stdout": "4"}])
BATCH = {"per_device_train_batch_size": 8, "num_generations": 4}
RULES = {"accuracy": 1.0, "format": 1.0}


def prompts(directory: Path, *tests: str, **changes: Any) -> Path:
    """Sums, and a row of code for each of `tests`, from line 9 on."""
    rows = [{key: row[key] for key in CODE} for row in answered(8)]
    return write(directory / "rows.jsonl", [*rows, *({**CODE, "tests": text, **changes} for text in tests)])


def configured(directory: Path, **values: Any) -> Path:
    config = directory / "reasoning_rl.yaml"
    given = {"output_dir": str(directory / "out"), "model": "Qwen/Qwen2.5-7B", **BATCH, **CPU, **values}
    config.write_text(yaml.safe_dump(given), encoding="utf-8")
    return config


def rehearsed(config: Path, name: str) -> Report:
    return check(Asked(config, ("rehearsal",), recipe=name))


def judged(config: Path) -> list[Finding]:
    return check(Asked(config, ("rewards",), sets=("model=none",), rows=0)).stages[0].findings["rewards"]


@pytest.mark.parametrize("name", ["r1_zero", "reasoning_rl"])
@pytest.mark.parametrize(
    ("rewards", "changes", "said"),
    [
        ({"code": {"weight": 2, "packages": ["numpy"], "limits": {"wall": 3}}}, {}, "passed"),
        ({}, {}, "task 'code' is judged by no reward of this run; code does: rewards: {code: 1, …}"),
        ({"code": {"packagse": []}}, {}, "rewards.code.packagse: unknown key; did you mean 'packages'?"),
        ({"code": 1.0}, {"task": "reasoning"}, "rows of task 'reasoning' have tests, which only task code runs"),
    ],
)
def test_the_key_of_a_recipe(name: str, rewards: Any, changes: Any, said: str, tmp_path: Path) -> None:
    rows = prompts(tmp_path, TESTS, TESTS, **changes)
    config = configured(tmp_path, prompts=str(rows), rewards=RULES | rewards)
    assert said in render(rehearsed(config, name))


def test_rows_that_judge_nothing_are_named_before_training(tmp_path: Path) -> None:
    nothing, unnamed = TESTS.replace("4", " "), json.dumps([{"input": "1", "output": "2", "testtype": "functional"}])
    config = configured(
        tmp_path, prompts=str(prompts(tmp_path, TESTS, nothing, unnamed)), rewards=RULES | {"code": 1.0}
    )
    found = judged(config)
    assert [one.where.rpartition(":")[2] for one in found if one.grade == "error"] == ["10", "11"], found


def test_rows_of_both_kinds_pass(tmp_path: Path) -> None:
    config = configured(tmp_path, prompts=str(prompts(tmp_path, TESTS, TESTS)), rewards=RULES | {"code": 1.0})
    report = check(Asked(config, ("rewards",), sets=("model=none",), rows=0)).stages[0].rewards
    assert report is not None and report.passed and report.rows == {"reasoning": 8, "code": 2}, report
