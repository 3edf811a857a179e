"""The stages that a file describes, one or a whole pipeline's, each read once as its launch would read it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, TypeVar

from r1hf.core.config import Parsed
from r1hf.core.errors import ConfigError
from r1hf.core.given import said, set_words
from r1hf.core.graph import Graph, is_graph, listed, load_graph
from r1hf.core.hardware import ASSUMED, has_gpu
from r1hf.core.launch import processes_of
from r1hf.core.yamlfile import nearest, read_yaml
from r1hf.pipeline.check import job_of, read_stage, stage_job
from r1hf.pipeline.recipes import find_recipe, recipe_directory
from r1hf.stage.given_inputs import preflight_inputs

# Cannot even be read without the package or the device.
_UNREADABLE = ("deepspeed", "tf32")
_NO_GPU = ("support bf16/gpu", "needs an NVIDIA GPU", "none is here")  # Transformers' words, and r1hf's


@dataclass
class Loaded:
    """One stage. parsed: None where the recipe cannot be imported. launch: its accelerate file. processes: that the
    launch starts. job: as `read_stage` was given it.

    upstream: input field -> the stages of the pipeline that it reads. problems: what the preflight finds. missing:
    those of them about inputs that are not here. sets: the overrides. without_gpu: the file asks for a GPU, and was
    read as if one were here. hidden: what was left out in reading, because only the machine of the launch can read it.
    """

    name: str
    recipe: Path
    config: Path
    module: ModuleType | None
    parsed: Parsed | None
    launch: Path | None = None
    processes: int = 1
    job: dict[str, Any] = field(default_factory=dict)
    upstream: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    sets: tuple[str, ...] = ()
    without_gpu: bool = False
    hidden: dict[str, Any] = field(default_factory=dict)

    @property
    def configs(self) -> tuple[Any, ...] | None:
        """The configuration's objects; None where one of them could not be built."""
        found = self.parsed.configs if self.parsed is not None else (None,)
        return None if any(one is None for one in found) else found

    @property
    def values(self) -> dict[str, Any]:
        """The resolved configuration, empty if there is none."""
        return self.parsed.resolved() if self.parsed is not None else {}

    def is_planned(self, key: str) -> bool:
        """True if an earlier stage is still to make this input."""
        return self.parsed is not None and key in self.parsed.planned


def is_pipeline(config: Path) -> bool:
    return is_graph(read_yaml(config))


def load(
    config: Path,
    recipe: str | None = None,
    sets: Sequence[str] = (),
    launch: Path | None = None,
    processes: int | None = None,
    run_dir: str | None = None,
    gpus: int = 1,
) -> tuple[list[Loaded], list[str], Graph | None]:
    """The stages that `config` describes, problems of the pipeline's own, and its graph. `sets`: KEY=VALUE, or
    stage.KEY=VALUE. processes: that a launcher has started already. gpus: processes of a stage whose file
    names no launch.

    Raises ConfigError where there is nothing to read.
    """
    if launch is not None and not launch.is_file():
        raise ConfigError(f"--launch: there is no file {launch}")
    if not is_pipeline(config):
        stage = _alone(config, recipe, sets, launch)
        if processes is not None or (stage.launch is None and stage.processes == 1):
            stage.processes = processes or gpus
        return [_read(stage, stage.job | {"processes": stage.processes})], [], None
    graph, problems = load_graph(config, recipe_directory(config), run_dir, sets=sets)
    stages = []
    for name, spec in graph.stages.items():
        upstream = {key: [one.split("/")[0] for one in listed(value)] for key, value in spec.inputs.items()}
        file = spec.launch.accelerate or launch
        given = tuple(word.removeprefix("--") for word in spec.overrides)
        stage = Loaded(name, spec.recipe, spec.config, None, None, file, upstream=upstream, sets=given)
        stage.processes = spec.launch.processes if spec.launch.accelerate or spec.launch.given else processes_of(file)
        stages.append(_read(stage, job_of(graph, name) | {"processes": stage.processes}))
    return stages, problems, graph


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Named = TypeVar("Named", bound="_Named | Loaded")


def selected(stages: Sequence[Named], names: Sequence[str]) -> list[Named]:
    """The stages of these names, or all. Raises ConfigError for a name that none has."""
    known = [stage.name for stage in stages]
    strange = [f"--stages: no stage '{name}'; {nearest(name, known)}" for name in names if name not in known]
    if strange:
        raise ConfigError(strange)
    return [stage for stage in stages if not names or stage.name in names]


def _alone(config: Path, recipe: str | None, sets: Sequence[str], launch: Path | None) -> Loaded:
    """A stage as its own file and command line describe it, not yet read."""
    words = ["--config", str(config), *set_words(sets)]
    path, told = find_recipe(config, recipe), said(words)
    processes = processes_of(launch) if launch is not None else told.launch.processes
    launch = launch or told.launch.accelerate
    stage = Loaded(config.stem, path, config, None, None, launch, upstream=told.inputs, sets=tuple(sets))
    stage.processes = processes
    stage.job = stage_job(path, words)
    return stage


def _read(stage: Loaded, job: dict[str, Any]) -> Loaded:
    """Fills in what `read_stage` says; where no GPU is here, as on the machine of the launch."""
    stage.job = job
    stage.module, stage.parsed, stage.problems = read_stage(job)
    if not has_gpu() and any(words in problem for problem in stage.problems for words in _NO_GPU):
        stage.without_gpu = True
        with assume_gpu():
            stage.module, stage.parsed, stage.problems = read_stage(job)
            _read_without(stage, _UNREADABLE)
    if stage.parsed is not None:
        bare = replace(stage.parsed, problems=[])
        preflight_inputs(bare)
        stage.missing = [problem for problem in bare.problems if problem in stage.problems]
    return stage


def _read_without(stage: Loaded, keys: Iterable[str]) -> None:
    """Reads a stage that cannot be built anew without `keys`, which are kept in `hidden`."""
    given = stage.parsed.request if stage.parsed is not None else {}
    hidden = {key: given[key] for key in keys if given.get(key) is not None}
    if stage.configs is None and hidden:
        words = [f"--{key}=null" for key in hidden]
        job = stage.job | {"words": [*stage.job["words"], *words]}
        stage.module, stage.parsed, stage.problems = read_stage(job)
        stage.hidden = hidden


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
