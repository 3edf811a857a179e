"""The graph of stages as a pipeline's YAML describes it.

run_dir: runs/tiny
seed: 42                       # goes to every stage
launcher: {accelerate: ../../accelerate/fsdp2.yaml}     # or python (default), or fork; a stage may have its own
stages:
  base: {recipe: base, config: base.yaml, seconds: 200, memory_mb: 900}   # both rough, for a first run
  r1_zero: {recipe: r1_zero, config: r1_zero.yaml, inputs: {model: base}}
  student: {recipe: distill, config: student.yaml, inputs: {model: base/student_qwen}}
  evaluate: {recipe: evaluate, config: evaluate.yaml, inputs: {models: [base, r1_zero]}}
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from r1hf.core.yamlfile import nearest, read_yaml

_Kinds = dict[str, tuple[type, ...]]
_GRAPH_KEYS: _Kinds = {
    **{"run_dir": (str,), "seed": (int,), "launcher": (str, dict), "stages": (dict,)},
    "more_stages": (dict,),  # beside those of a file that this one extends
}
_STAGE_KEYS: _Kinds = {
    "recipe": (str,),
    "config": (str,),
    "inputs": (dict,),
    "seconds": (int, float),
    "memory_mb": (int, float),
    "launcher": (str, dict),
}
_NAME = re.compile(r"^[A-Za-z0-9][\w-]*$")

PYTHON, FORK = "python", "fork"  # a new process each, or a fork of one that has imported the libraries (no GPU)
Reference = str | list[str]  # `stage` or `stage/path/inside`, or several


@dataclass(frozen=True)
class StageSpec:
    """One stage of the graph. `launcher`: PYTHON, FORK, or the configuration file of `accelerate launch`."""

    name: str
    recipe: Path
    config: Path
    inputs: dict[str, Reference] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    seconds: float | None = None
    memory_mb: float | None = None
    launcher: str | Path = PYTHON

    @property
    def references(self) -> list[str]:
        """Every upstream reference, lists flattened."""
        return [one for value in self.inputs.values() for one in (value if isinstance(value, list) else [value])]

    @property
    def parents(self) -> list[str]:
        """The stages that this one reads, in the order of its inputs."""
        return list(dict.fromkeys(reference.split("/")[0] for reference in self.references))


@dataclass(frozen=True)
class Graph:
    """All stages, in an order in which each comes after those that it reads."""

    run_dir: Path
    seed: int | None
    stages: dict[str, StageSpec]

    def output_dir(self, name: str) -> Path:
        """Where a stage's finished output lies."""
        return self.run_dir / name

    def own_arguments(self, name: str) -> list[str]:
        """The part of a recipe's command line that does not depend on its inputs."""
        words = ["--config", str(self.stages[name].config), "--output_dir", str(self.output_dir(name))]
        return words if self.seed is None else [*words, "--seed", str(self.seed)]

    def input_arguments(self, name: str) -> dict[str, list[str]]:
        """The part that names the inputs: field -> `--field value`, references turned into paths."""
        words = {}
        for key, value in self.stages[name].inputs.items():
            paths = [str(self.run_dir / one) for one in (value if isinstance(value, list) else [value])]
            words[key] = [f"--{key}", json.dumps(paths, ensure_ascii=False) if isinstance(value, list) else paths[0]]
        return words

    def command(self, name: str) -> list[str]:
        """The command that runs one stage as its own process."""
        spec = self.stages[name]
        start = [sys.executable]
        if isinstance(spec.launcher, Path):
            start += ["-m", "accelerate.commands.launch", "--config_file", str(spec.launcher)]
        return [*start, str(spec.recipe), *self.arguments(name)]

    def arguments(self, name: str) -> list[str]:
        """What a stage's recipe is given on its command line."""
        inputs = [word for words in self.input_arguments(name).values() for word in words]
        return [*self.own_arguments(name), *inputs, *self.stages[name].overrides]

    @property
    def links(self) -> dict[str, list[str]]:
        """stage -> the stages that it reads."""
        return {name: spec.parents for name, spec in self.stages.items()}


def load_graph(
    path: str | Path,
    recipes: Path,
    run_dir: str | None = None,
    seed: int | None = None,
    sets: Sequence[str] = (),
) -> tuple[Graph, list[str]]:
    """The graph in a YAML file, and every problem in its structure; `sets` are `stage.key=value` overrides.

    The graph holds the stages that could be read. It is for running only if there is no problem.
    """
    file = read_yaml(path)
    problems = [*file.problems, *_key_problems(file.values, _GRAPH_KEYS, file.where)]
    values: dict[str, Any] = {
        key: value for key, value in file.values.items() if isinstance(value, _GRAPH_KEYS.get(key, ()))
    }
    stages = values.get("stages", {}) | values.get("more_stages", {})
    if run_dir is None and "run_dir" not in file.values and file.values:
        problems.append(f"{path}: run_dir is missing; set it there or with --run_dir")
    if not stages and not problems:
        problems.append(f"{path}: no stages")
    launcher = _launcher(values.get("launcher"), file.path.parent, str(path), problems)
    overrides = _overrides(sets, stages, problems)
    specs = {}
    for name, entry in stages.items():
        spec = _stage(str(name), entry, file.path.parent, recipes, launcher, problems)
        if spec is not None:
            specs[spec.name] = replace(spec, overrides=overrides.get(spec.name, ()))
    problems += _reference_problems(specs, stages)
    order, cycle = topological({name: spec.parents for name, spec in specs.items()})
    if cycle:
        problems.append(f"{path}: the stages {' → '.join(cycle)} wait for each other")
    where = Path(run_dir or values.get("run_dir", "."))
    return Graph(where, seed if seed is not None else values.get("seed"), {n: specs[n] for n in order}), problems


def topological(parents: Mapping[str, Iterable[str]]) -> tuple[list[str], list[str]]:
    """(order, cycle): each name after its parents, else as written; the names of one cycle if there is one.

    Parents that are no key of the mapping are ignored.
    """
    waiting = {name: [one for one in ones if one in parents] for name, ones in parents.items()}
    order: list[str] = []
    while waiting:
        ready = next((name for name, ones in waiting.items() if all(one in order for one in ones)), None)
        if ready is None:
            path = [next(iter(waiting))]
            while path[-1] not in path[:-1]:
                path.append(next(one for one in waiting[path[-1]] if one in waiting))
            return order, path[path.index(path[-1]) :]
        order.append(ready)
        del waiting[ready]
    return order, []


def _key_problems(values: Mapping[Any, Any], known: _Kinds, where: Callable[[str], str]) -> list[str]:
    problems = []
    for key, value in values.items():
        if key not in known:
            problems.append(f"{where(key)}: unknown key '{key}'; {nearest(str(key), known)}")
        elif not isinstance(value, known[key]) or isinstance(value, bool):
            names = {str: "text", int: "a whole number", float: "a number", dict: "a mapping"}
            problems.append(f"{where(key)}: {key}: {value!r} is not {' or '.join(names[kind] for kind in known[key])}")
    return problems


def _stage(
    name: str, entry: Any, base: Path, recipes: Path, launcher: str | Path, problems: list[str]
) -> StageSpec | None:
    before = len(problems)
    if not _NAME.match(name):
        problems.append(f"stage '{name}': a stage's name is letters, digits, _ and -")
    if not isinstance(entry, dict):
        problems.append(f"{name}: {entry!r} is not a mapping with recipe, config and inputs")
        return None
    problems += _key_problems(entry, _STAGE_KEYS, lambda key: name)
    paths = {}
    for key, root, ending in (("recipe", recipes, ".py"), ("config", base, "")):
        text = entry.get(key)
        if text is None:
            problems.append(f"{name}: {key} is missing")
        elif isinstance(text, str):
            paths[key] = root / f"{text.removesuffix('.py')}{ending}" if ending else root / text
            if not paths[key].is_file():
                problems.append(f"{name}: the {key} {paths[key]} does not exist")
    inputs = entry.get("inputs", {})
    for key, value in inputs.items() if isinstance(inputs, dict) else ():
        items = value if isinstance(value, list) else [value]
        if not isinstance(key, str) or not items or not all(isinstance(item, str) for item in items):
            problems.append(f"{name}: inputs: {key}: {value!r} is not a stage or a list of stages")
    if "launcher" in entry:
        launcher = _launcher(entry["launcher"], base, name, problems)
    if len(problems) > before:
        return None
    return StageSpec(
        name, paths["recipe"], paths["config"], inputs, (), entry.get("seconds"), entry.get("memory_mb"), launcher
    )


def _launcher(value: Any, base: Path, where: str, problems: list[str]) -> str | Path:
    if value in (None, PYTHON, FORK):
        return value or PYTHON
    if isinstance(value, dict) and list(value) == ["accelerate"] and isinstance(value["accelerate"], str):
        path = base / value["accelerate"]
        if not path.is_file():
            problems.append(f"{where}: launcher: {path} does not exist")
        return path
    problems.append(f"{where}: launcher: {value!r} is none of python, fork and {{accelerate: FILE}}")
    return PYTHON


def _reference_problems(specs: Mapping[str, StageSpec], known: Mapping[str, Any]) -> list[str]:
    problems = []
    for name, spec in specs.items():
        for reference in spec.references:
            parent, *inside = reference.split("/")
            if parent not in known:
                hint = nearest(parent, (str(one) for one in known))
                problems.append(
                    f"{name}: inputs: no stage '{parent}'; {hint} (other directories and Hub ids go in {spec.config})"
                )
            elif ".." in inside:
                problems.append(f"{name}: inputs: {reference} leaves the output of '{parent}'")
    return problems


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _overrides(sets: Iterable[str], stages: Mapping[Any, Any], problems: list[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text in sets:
        match = re.match(r"^([\w-]+)\.(\w+)=(.*)$", text, re.DOTALL)
        if match is None:
            problems.append(f"--set {text}: write --set stage.key=value")
        elif match[1] not in stages:
            problems.append(f"--set {text}: no stage '{match[1]}'; {nearest(match[1], map(str, stages))}")
        elif match[2] in {"config", "output_dir", *_mapping(_mapping(stages[match[1]]).get("inputs"))}:
            problems.append(f"--set {text}: the graph itself gives '{match[2]}'; change it there")
        else:
            found[match[1]] = (*found.get(match[1], ()), f"--{match[2]}={match[3]}")
    return found
