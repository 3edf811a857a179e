"""A run's evaluations as one page: what is held against what is read from the manifests."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hub_run import finish, make_run, model_stage
from small_run import head, recipe, write

from r1hf.commands.main import main
from r1hf.data.rows import load_rows
from r1hf.evaluation.compare import compare, load_results
from r1hf.evaluation.story import Origin, claims

MODELS = ("base", "r1_zero", "reasoning_rl", "sft2", "r1", "base/student_llama_base", "student_llama", "twin")


@pytest.fixture(scope="module")
def run(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Very small models with real manifests, and a real evaluation of them."""
    directory = tmp_path_factory.mktemp("story") / "run"
    made = make_run(directory, tiny_base)
    prompts, student = made / "base/data/train.jsonl", made / "base/student_llama_base"
    model_stage(made / "reasoning_rl", made / "base", "reasoning_rl", 1.05, model=made / "r1_zero", prompts=prompts)
    model_stage(made / "twin", student, "r1_zero", 1.06, model=student, prompts=prompts)
    writer = {"model": str(made / "reasoning_rl"), "prompts": str(prompts)}
    finish(made / "rejection_sampling", "rejection_sampling", writer, {"kept": 1})
    shutil.rmtree(made / "evaluate")
    general = load_rows(str(made / "base/data/general_held_out.jsonl"))
    both = [row for task in ("helpful", "harmless") for row in [one for one in general if one["task"] == task][:4]]
    given: dict[str, Any] = {
        **{"models": [str(made / name) for name in MODELS], "output_dir": made / "evaluate", "num_threads": 1},
        **{"prompts": head(made / "base/data/held_out.jsonl", directory / "asked.jsonl", 12), "k": 2},
        **{"general_prompts": write(directory / "general.jsonl", both)},
        **{"general_k": 1, "max_new_tokens": 24, "contamination": True},
    }
    recipe("evaluate").main(
        [f"--{key}={json.dumps(value, default=str)}".replace('"', "'") for key, value in given.items()]
    )
    return made


def told(place: Path, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["compare", str(place)]) == 0
    return capsys.readouterr().out


def test_one_command_tells_a_run_with_intervals(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = told(run, capsys)
    results = json.loads((run / "evaluate/results.json").read_text())["models"]
    for name, scores in results.items():
        (line,) = re.findall(rf"^\| {name}(?: \([^)]*\))? \|.*$", page, re.M)
        low, high = (100 * bound for bound in scores["intervals"]["pass_at_1"])
        assert f"| {100 * scores['pass_at_1']:.1f} ({low:.1f} to {high:.1f}) |" in line
    assert "temperature 0.6" in page and "Contamination, prompts: " in page and "pass@2" in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {tables[0].count("|"), 7}


def test_the_comparisons_are_those_of_the_story(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = told(run, capsys)
    found = dict.fromkeys(re.findall(r"^\| (\S+) − (\S+) \|", page, re.M))
    assert list(found) == [
        *[("r1_zero", "base"), ("reasoning_rl", "r1_zero"), ("sft2", "reasoning_rl"), ("r1", "sft2")],
        *[("student_llama", "student_llama_base"), ("student_llama", "twin"), ("twin", "student_llama_base")],
    ]
    for number in ("pass@1", "helpful", "harmless"):
        assert re.search(rf"^\| r1 − sft2 \| RL in all scenarios, against its start \| {number} \|", page, re.M)
    one = compare(*load_results([f"{run}/evaluate:sft2", ":r1"])).found
    assert f"| {100 * one.difference:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f}) | 12 |" in page


def test_a_run_that_was_moved_or_is_not_finished(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = told(run, capsys)
    hidden = run.with_name("hidden")
    run.rename(hidden)
    try:
        (hidden / "evaluate_aime.partial").mkdir()
        assert told(hidden, capsys).startswith(page.rstrip("\n"))
        assert "evaluate_aime is half finished" in told(hidden, capsys)
        assert main(["compare", str(hidden), "--json"]) == 1
        assert "told as Markdown alone" in capsys.readouterr().err
    finally:
        (hidden / "evaluate_aime.partial").rmdir()
        hidden.rename(run)
    assert main(["compare", str(tmp_path)]) == 1
    assert "holds no finished evaluation" in capsys.readouterr().err


def test_only_what_was_evaluated_is_held_against_something() -> None:
    known = {
        "zero": Origin("r1_zero", "base", None),
        "dev3": Origin("sft", "base", "dev2"),
        "dev1": Origin("sft", "base", None),
        "student": Origin("distill", "small", None),
        "twin": Origin("r1_zero", "small", None),
        "other": Origin("r1_zero", "another", None),
    }
    every = [*known, "base", "dev2", "small"]
    pairs = [(one.first, one.second) for one in claims(known, every)]
    assert pairs == [("base", "zero"), ("dev2", "dev3"), ("small", "student"), ("twin", "student"), ("small", "twin")]
    assert [(one.first, one.second) for one in claims({}, every)] == []
    fewer = ["zero", "dev3", "student"]
    assert list(claims({name: known[name] for name in fewer}, fewer)) == []
