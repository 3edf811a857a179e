"""From a YAML file, of a stage or of a pipeline, to what there is to try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from r1hf.core.errors import ConfigError
from r1hf.core.launch import launch_of, processes_of
from r1hf.pipeline.graph import load_graph
from r1hf.preflight.recipes import find_recipe, recipe_directory
from r1hf.preflight.rehearsal.makers import beside, of_graph
from r1hf.preflight.rehearsal.rehearse import Job
from r1hf.preflight.stages import is_pipeline


def jobs(config: Path, recipe: str | None = None, sets: Sequence[str] = (), run_dir: str | None = None) -> list[Job]:
    """The stage that `config` describes, or all of its pipeline in their order. sets: KEY=VALUE, or stage.KEY=VALUE.

    Raises ConfigError where there is nothing to read.
    """
    if not is_pipeline(config):
        path = find_recipe(config, recipe)
        return [job_of(path, ["--config", str(config), *(f"--{one}" for one in sets)], config)]
    graph, problems = load_graph(config, recipe_directory(config), run_dir, sets=sets)
    if problems:
        raise ConfigError(problems)
    family = of_graph(graph)
    found = []
    for name, spec in graph.stages.items():
        job = Job(name, spec.recipe, graph.arguments(name), spec.config, family=family)
        if isinstance(spec.launcher, Path):
            job.processes, job.untried = processes_of(spec.launcher), [f"launch with {spec.launcher}"]
        found.append(job)
    return found


def job_of(recipe: Path, argv: list[str], config: Path | None, processes: int = 1) -> Job:
    """One stage; its launch is the one that opens `config`, unless `processes` are there already."""
    name = recipe.stem if config is None else config.stem
    job = Job(name, recipe, argv, config, processes)
    if config is not None and config.is_file():
        job.family = beside(config)
        file, named = launch_of(config)
        if processes == 1:
            job.processes = named
            job.untried = [f"launch with {file}"] if file is not None else []
    return job
