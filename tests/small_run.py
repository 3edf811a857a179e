"""Recipes at toy size, in this process: seconds each, and nothing in them is a stand-in."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from r1hf.commands.recipe import run
from r1hf.core.graph import Graph, is_graph, load_graph
from r1hf.core.yamlfile import read_yaml
from r1hf.data.rows import Row, load_rows, write_rows
from r1hf.text.forms import to_think_answer
from r1hf.world.arithmetic import Problem, training_problems
from r1hf.world.corpus import thinking

if TYPE_CHECKING:
    import pytest  # not in the processes that tests start

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "recipes" / "configs" / "tiny"
GRAPHS = sorted(path for path in CONFIGS.parent.rglob("*.yaml") if is_graph(read_yaml(path)))


@cache
def graph_of(path: Path) -> Graph:
    """A pipeline's graph, which must be sound."""
    graph, problems = load_graph(path, ROOT / "recipes")
    assert not problems
    return graph


GRAPH = graph_of(CONFIGS / "pipeline.yaml").stages

SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
MODELS = {
    "base": {"architecture": "qwen2", "num_key_value_heads": 2, **SHAPE},
    "student_llama_base": {"architecture": "llama", "num_key_value_heads": 1, "share": 0.5, **SHAPE},
}
BASE = {
    **{"documents": 600, "tokenizer_documents": 300},
    **{"max_steps": 4, "per_device_train_batch_size": 8, "logging_steps": 1},
}
GRPO = {
    **{"per_device_train_batch_size": 16, "num_generations": 4, "max_completion_length": 40, "max_steps": 2},
    **{"logging_steps": 1, "warmup_steps": 0},
}
CPU: dict[str, Any] = {
    **{"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none"},
    **{"save_strategy": "no", "disable_tqdm": True, "seed": 7},
}
SFT = {"per_device_train_batch_size": 8, "max_steps": 2, "logging_steps": 1, "warmup_steps": 0}


def recipe(name: str) -> ModuleType:
    return importlib.import_module(f"recipes.{name}")


def arguments(config: str | None, **overrides: Any) -> list[str]:
    """A command line: the tiny configuration, if one is named, with overrides on top; one thread, a quiet machine."""
    given = {"num_threads": 1, **overrides}
    words = ["--config", str(CONFIGS / config)] if config else []
    for key, value in given.items():
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
            words.append(f"--{key}={text.strip(chr(34))}")
    return words


def run_recipe(name: str, config: str | None = None, **overrides: Any) -> Path:
    """Runs `recipes/<name>.py` to its end and returns its output directory."""
    recipe(name).main(arguments(config or f"{name}.yaml", **overrides))
    return Path(overrides["output_dir"])


def make_base(directory: Path, **overrides: Any) -> Path:
    return run_recipe("base", output_dir=directory, **{"models": MODELS, **BASE, **overrides})


def opening(path: Path) -> str:
    """The comment that a file opens with, without its signs."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.lstrip("#").strip() for line in itertools.takewhile(lambda one: one.startswith("#"), lines))


def right_response(problem: Problem) -> str:
    """A correct, well-formed response in the problem's own language."""
    steps = problem.steps()
    return to_think_answer(thinking(steps, [problem.language] * len(steps)), problem.answer)


def answered(count: int) -> list[Row]:
    """Rows of training problems, each with a right completion."""
    return [problem.row() | {"completion": right_response(problem)} for problem in training_problems()[:count]]


def head(source: Path, target: Path, count: int) -> Path:
    """The first `count` rows of a file as a file of its own."""
    write_rows(target, load_rows(str(source))[:count])
    return target


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    write_rows(path, rows)
    return path


def manifest(directory: Path) -> dict[str, Any]:
    return json.loads((directory / "manifest.json").read_text(encoding="utf-8"))


def log(directory: Path) -> list[Row]:
    return load_rows(str(directory / "log.jsonl"))


def without_template(source: Path, target: Path) -> Path:
    """A copy of a model directory whose tokenizer has no chat template."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("chat_template.jinja", "data", "student*", "*.json"))
    for path in source.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if path.name == "tokenizer_config.json":
            content.pop("chat_template", None)
        if path.name != "manifest.json":
            (target / path.name).write_text(json.dumps(content), encoding="utf-8")
    return target


def as_script(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of `python recipes/<name>.py`, but here: a process spends its time on imports."""
    monkeypatch.setattr(sys, "argv", [f"recipes/{name}.py", *words])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    try:
        run(recipe(name).main)
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    return 0


def launched(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, as a person would give it in the repository."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
    return subprocess.run(list(words), capture_output=True, text=True, env=env, timeout=300, cwd=ROOT)
