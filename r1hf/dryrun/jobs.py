"""From a YAML file, of a stage or of a pipeline, to what there is to try."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from r1hf.core.errors import ConfigError
from r1hf.core.given import Said, said, set_words
from r1hf.core.graph import load_graph
from r1hf.core.launch import Launch
from r1hf.doctor.load import is_pipeline
from r1hf.dryrun.family import beside, of_graph
from r1hf.dryrun.miniature import Known
from r1hf.dryrun.run import Job
from r1hf.pipeline.recipes import find_recipe, recipe_directory


def jobs(config: Path, recipe: str | None = None, sets: Sequence[str] = (), run_dir: str | None = None) -> list[Job]:
    """The stage that `config` describes, or all of its pipeline in their order. sets: KEY=VALUE, or stage.KEY=VALUE.

    Raises ConfigError where there is nothing to read.
    """
    if not is_pipeline(config):
        words = ["--config", str(config), *set_words(sets)]
        return [job_of(find_recipe(config, recipe), words, config)]
    graph, problems = load_graph(config, recipe_directory(config), run_dir, sets=sets)
    if problems:
        raise ConfigError(problems)
    family = of_graph(graph)
    found = []
    for name, spec in graph.stages.items():
        job = Job(name, spec.recipe, graph.arguments(name), spec.config, spec.launch.processes, family)
        job.untried = _launched(spec.launch)
        found.append(job)
    return found


def job_of(recipe: Path, argv: list[str], config: Path | None, processes: int = 1) -> Job:
    """One stage; its launch is the one that its file names, unless `processes` are there already."""
    told = said(argv)
    name = told.stage or (recipe.stem if config is None else config.stem)
    job = Job(name, recipe, argv, config, processes)
    if config is not None and config.is_file():
        job.family = beside(config) if told.graph is None else _graph_of(told)
        if processes == 1:
            job.processes, job.untried = told.launch.processes, _launched(told.launch)
    return job


def _graph_of(told: Said) -> list[Known]:
    assert told.graph is not None
    return of_graph(load_graph(told.graph, recipe_directory(told.graph), told.run_dir)[0])


def _launched(launch: Launch) -> list[str]:
    return [f"launch with {launch.accelerate}"] if launch.accelerate is not None else []
