"""Checks every stage's configuration before the first stage runs.

The recipes are imported in a process of their own: torch's memory, and on a GPU its context, goes with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from r1hf.core.config import Parsed, parse
from r1hf.core.errors import ConfigError, R1Error, StageError
from r1hf.core.graph import Graph
from r1hf.core.hardware import ASSUMED, as_if_on_gpu
from r1hf.pipeline.recipes import load_recipe
from r1hf.stage.given_inputs import preflight_inputs


@dataclass(frozen=True)
class Checked:
    """What a stage would be asked to do: `request` and `inputs` as in `r1hf.core.config.Parsed`."""

    request: dict[str, Any]
    inputs: dict[str, Any]


def check_stages(graph: Graph, problems: list[str], assume_gpu: bool = False) -> tuple[dict[str, Checked], list[str]]:
    """Parses each stage's configuration with its recipe's own schemas; returns also the modules that recipes import.

    assume_gpu: judge them as on a machine with GPUs, whatever this one has.
    Raises ConfigError with `problems` and those of all stages together.
    """
    environment = {**os.environ, **({ASSUMED: "1"} if assume_gpu else {})}
    jobs = {name: job_of(graph, name) for name in graph.stages}
    done = subprocess.run(
        [sys.executable, "-m", "r1hf.pipeline.check"],
        input=json.dumps(jobs),
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    if done.returncode != 0:
        raise StageError(f"the check of the configurations ended with exit code {done.returncode}; see above")
    found = json.loads(done.stdout)
    results = found["stages"]
    problems = problems + [f"{name}: {text}" for name, result in results.items() for text in result["problems"]]
    if problems:
        raise ConfigError(problems)
    checked = {name: Checked(result["request"], result["inputs"]) for name, result in results.items()}
    return checked, found["modules"]


def job_of(graph: Graph, name: str) -> dict[str, Any]:
    """What `read_stage` needs to know of a stage of a graph."""
    spec = graph.stages[name]
    return stage_job(spec.recipe, graph.arguments(name), spec.launch.processes, spec.inputs)


def stage_job(recipe: Path, words: Sequence[str], processes: int = 1, planned: Iterable[str] = ()) -> dict[str, Any]:
    """words: of the recipe's command line. planned: inputs that need not be there yet."""
    return {"recipe": str(recipe), "words": list(words), "processes": processes, "planned": list(planned)}


def read_stage(job: dict[str, Any]) -> tuple[ModuleType | None, Parsed | None, list[str]]:
    """The recipe's module, its configuration with preflight, and all problems; None where it cannot be had."""
    path = Path(job["recipe"])
    try:
        module = load_recipe(path)
    except Exception as error:
        return None, None, [f"{path} cannot be imported: {type(error).__name__}: {error}"]
    schemas = getattr(module, "CONFIGS", None)
    if not schemas:
        return module, None, [f"{path} has no CONFIGS, the tuple of its configuration dataclasses"]
    with planned_processes(job["processes"]), as_if_on_gpu():
        parsed = parse(schemas, job["words"], planned=job["planned"])
        preflight_inputs(parsed)
        if hasattr(module, "preflight"):
            try:
                module.preflight(parsed)
            except R1Error as error:
                parsed.problems.append(str(error))
    parsed.problems[:] = dict.fromkeys(parsed.problems)
    return module, parsed, parsed.problems


def _check(job: dict[str, Any]) -> dict[str, Any]:
    _, parsed, problems = read_stage(job)
    if parsed is None:
        return {"problems": problems}
    return {"problems": problems, "request": parsed.request, "inputs": parsed.inputs}


@contextlib.contextmanager
def planned_processes(processes: int) -> Iterator[None]:
    """Lets TRL check batch sizes as in the launch to come; here there is one process."""
    arguments = getattr(sys.modules.get("transformers"), "TrainingArguments", None)
    if arguments is None or processes == 1:
        yield
        return
    original = arguments.world_size
    arguments.world_size = property(lambda self: processes)
    os.environ["R1HF_PLANNED_PROCESSES"] = str(processes)  # r1hf/trainers/batches.py; WORLD_SIZE would start a group
    try:
        yield
    finally:
        arguments.world_size = original
        del os.environ["R1HF_PLANNED_PROCESSES"]


def main() -> None:
    """The checking process: jobs as JSON on stdin, results as JSON on stdout."""
    jobs = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        results = {name: _check(job) for name, job in jobs.items()}
    # Importing ours brings the libraries with it.
    modules = [name for name in sys.modules if name.startswith("r1hf.")]
    json.dump({"stages": results, "modules": modules}, sys.stdout)


if __name__ == "__main__":
    main()
