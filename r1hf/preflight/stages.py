"""A stage's YAML, or a pipeline's with all its stages, read as their launch would read them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from r1hf.core.config import Parsed
from r1hf.core.errors import ConfigError
from r1hf.core.hardware import ASSUMED, has_gpu
from r1hf.core.launch import launch_of
from r1hf.core.yamlfile import read_yaml
from r1hf.pipeline.check import job_of, read_stage
from r1hf.pipeline.graph import load_graph
from r1hf.preflight.recipes import find_recipe, recipe_directory

_NO_GPU = ("support bf16/gpu", "needs an NVIDIA GPU", "none is here")  # Transformers' words, and r1hf's


@dataclass
class Loaded:
    """One stage. parsed: None where the recipe cannot be imported. launch: its accelerate file.

    upstream: input field -> the stages of the pipeline that it reads. problems: what the preflight finds. sets: the
    overrides. without_gpu: the file asks for a GPU, and was read as if one were here.
    """

    name: str
    recipe: Path
    config: Path
    module: ModuleType | None
    parsed: Parsed | None
    launch: Path | None = None
    upstream: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    sets: tuple[str, ...] = ()
    without_gpu: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """The resolved configuration, empty if there is none."""
        return self.parsed.resolved() if self.parsed is not None else {}

    def is_planned(self, key: str) -> bool:
        """True if an earlier stage is still to make this input."""
        return self.parsed is not None and key in self.parsed.planned


def is_pipeline(config: Path) -> bool:
    return isinstance(read_yaml(config).values.get("stages"), dict)


def load(
    config: Path,
    recipe: str | None = None,
    sets: Sequence[str] = (),
    launch: Path | None = None,
    processes: int | None = None,
) -> tuple[list[Loaded], list[str]]:
    """The stages that `config` describes, and problems of the pipeline's own. `sets`: KEY=VALUE, or stage.KEY=VALUE.
    processes: of the launch to come, for the arithmetic of batches (default: as `launch` says).

    Raises ConfigError where there is nothing to read.
    """
    if launch is not None and not launch.is_file():
        raise ConfigError(f"--launch: there is no file {launch}")
    if not is_pipeline(config):
        path = find_recipe(config, recipe)
        if launch is None:
            launch, named = launch_of(config)
            processes = processes or named
        own = ["--config", str(config)]
        job = {"recipe": str(path), "own": own, "inputs": {}, "overrides": [_word(one) for one in sets]}
        stage = Loaded(config.stem, path, config, None, None, launch, sets=tuple(sets))
        return [_read(stage, job | {"processes": processes or _count(launch)})], []
    graph, problems = load_graph(config, recipe_directory(config), sets=sets)
    stages = []
    for name, spec in graph.stages.items():
        upstream = {
            key: [one.split("/")[0] for one in (value if isinstance(value, list) else [value])]
            for key, value in spec.inputs.items()
        }
        file = spec.launcher if isinstance(spec.launcher, Path) else launch
        given = tuple(word.removeprefix("--") for word in spec.overrides)
        stage = Loaded(name, spec.recipe, spec.config, None, None, file, upstream, sets=given)
        stages.append(_read(stage, job_of(graph, name)))
    return stages, problems


def _read(stage: Loaded, job: dict[str, Any]) -> Loaded:
    """Fills in what `read_stage` says."""
    stage.module, stage.parsed, stage.problems = read_stage(job)
    if not has_gpu() and any(words in problem for problem in stage.problems for words in _NO_GPU):
        stage.without_gpu = True
        with assume_gpu():
            stage.module, stage.parsed, stage.problems = read_stage(job)
    return stage


@contextlib.contextmanager
def assume_gpu(wanted: bool = True) -> Iterator[None]:
    """Configurations are read as on the machine to come, which has a GPU."""
    before = os.environ.get(ASSUMED)
    if wanted:
        os.environ[ASSUMED] = "1"
    try:
        yield
    finally:
        if wanted and before is None:
            del os.environ[ASSUMED]


def _count(launch: Path | None) -> int:
    from r1hf.preflight.estimate.workload import read_launch

    return read_launch(launch)[0]


def _word(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write KEY=VALUE")
    return f"--{key}={value}"
