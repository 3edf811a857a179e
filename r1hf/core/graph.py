"""The graph of stages as a pipeline's YAML describes it. What a stage reads of another stands here and nowhere else.

run_dir: runs/tiny
seed: 42                       # goes to every stage
launch: {accelerate: ../../accelerate/fsdp2.yaml}     # r1hf/core/launch.py; a stage, or its own file, may have another
stages:
  base: {config: base.yaml, seconds: 200, memory_mb: 900}   # both rough, for a first run
  r1_zero: {config: r1_zero.yaml, inputs: {model: base}}
  student: {config: [sft.yaml, lora.yaml], inputs: {model: base/student}}    # of several files a later one wins
  twin: {config: r1_zero.yaml, set: {max_steps: 60}}  # keys that differ from the file's
  evaluate: {config: evaluate.yaml, inputs: {models: [base, r1_zero]}, launch: python}

A stage's recipe is the one that its file names with `recipe: NAME`, or that stands beside `config`. A graph that
extends another changes its stages key by key under `more_stages`, or adds to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from r1hf.core.launch import Launch, read_launch
from r1hf.core.yamlfile import YamlFile, beside, nearest, read_yaml, read_yamls

_Kinds = dict[str, tuple[type, ...]]
_GRAPH_KEYS: _Kinds = {
    **{"run_dir": (str,), "seed": (int,), "launch": (str, dict), "stages": (dict,)},
    "more_stages": (dict,),
}
_STAGE_KEYS: _Kinds = {
    "recipe": (str,),
    "config": (str, list),
    "inputs": (dict,),
    "set": (dict,),
    "seconds": (int, float),
    "memory_mb": (int, float),
    "launch": (str, dict),
}
_SECTIONS = ("more_stages", "stages")
_NAME = re.compile(r"^[A-Za-z0-9][\w-]*$")

GRAPH_FILE = "pipeline.yaml"  # the graph that a stage's own file lies beside
Reference = str | list[str]  # `stage` or `stage/path/inside`, or several


@dataclass(frozen=True)
class StageSpec:
    """One stage of the graph. configs: its files, a later one wins. settings: what the graph sets beside them."""

    name: str
    recipe: Path
    configs: tuple[Path, ...]
    inputs: dict[str, Reference] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    seconds: float | None = None
    memory_mb: float | None = None
    launch: Launch = Launch()

    @property
    def config(self) -> Path:
        """The file that it is a stage of; what follows it changes a few keys."""
        return self.configs[0]

    @property
    def references(self) -> list[str]:
        """Every upstream reference, lists flattened."""
        return [one for value in self.inputs.values() for one in listed(value)]

    @property
    def parents(self) -> list[str]:
        """The stages that this one reads, in the order of its inputs."""
        return list(dict.fromkeys(reference.split("/")[0] for reference in self.references))


@dataclass(frozen=True)
class Graph:
    """All stages, in an order in which each comes after those that it reads.

    options: what the command line said of the whole graph, as words for the recipes.
    """

    file: Path
    run_dir: Path
    seed: int | None
    stages: dict[str, StageSpec]
    options: tuple[str, ...] = ()

    def output_dir(self, name: str) -> Path:
        """Where a stage's finished output lies."""
        return self.run_dir / name

    def arguments(self, name: str) -> list[str]:
        """What a stage's recipe is given on its command line."""
        return ["--config", str(self.file), "--stage", name, *self.options, *self.stages[name].overrides]

    def command(self, name: str) -> list[str]:
        """The command that runs one stage as its own process."""
        spec = self.stages[name]
        return [*spec.launch.start(), str(spec.recipe), *self.arguments(name)]

    @property
    def links(self) -> dict[str, list[str]]:
        """stage -> the stages that it reads."""
        return {name: spec.parents for name, spec in self.stages.items()}


@dataclass(frozen=True)
class Entry:
    """What a graph's file says of one stage, its mistakes included."""

    name: str
    value: Any
    file: YamlFile

    def get(self, key: str, kind: type[Any]) -> Any:
        """The value of a key, or an empty one where it is missing or of another kind."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return value if isinstance(value, kind) else kind()

    def place(self, *keys: str) -> str:
        """The key in the file's places."""
        named = [".".join((section, self.name, *keys)) for section in _SECTIONS]
        return next((one for one in named if one in self.file.places), named[-1])

    def where(self, *keys: str) -> str:
        return self.file.where(self.place(*keys))

    @property
    def configs(self) -> list[Path]:
        """The stage's files, whether or not they are there."""
        value = self.value.get("config") if isinstance(self.value, dict) else None
        directory = self.file.directory(self.place("config"))
        return [beside(directory, one) for one in listed(value) if isinstance(one, str) and one]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def is_graph(file: YamlFile) -> bool:
    return any(isinstance(file.values.get(section), dict) for section in _SECTIONS)


def entries(file: YamlFile) -> dict[str, Entry]:
    """Every stage of a graph's file; `more_stages` win key by key."""
    found: dict[str, Any] = {}
    for section in reversed(_SECTIONS):
        stages = file.values.get(section)
        for name, value in stages.items() if isinstance(stages, dict) else ():
            before = found.get(str(name))
            found[str(name)] = before | value if isinstance(before, dict) and isinstance(value, dict) else value
    return {name: Entry(name, value, file) for name, value in found.items()}


def input_paths(run_dir: str | Path, value: Any) -> Any:
    """A reference, or several, as the paths of what the stages make."""
    return [str(Path(run_dir) / one) for one in value] if isinstance(value, list) else str(Path(run_dir) / value)


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
    stages = entries(file)
    if run_dir is None and "run_dir" not in file.values and file.values:
        problems.append(f"{path}: run_dir is missing; set it there or with --run_dir")
    if not stages and not problems:
        problems.append(f"{path}: no stages")
    launch = None
    if "launch" in values:
        launch = read_launch(values["launch"], file.directory("launch"), file.where("launch"), problems)
    overrides = _overrides(sets, stages, problems)
    specs = {}
    for name, entry in stages.items():
        spec = _stage(entry, recipes, launch, problems)
        if spec is not None:
            specs[name] = replace(spec, overrides=overrides.get(name, ()))
    problems += _reference_problems(specs, stages)
    order, cycle = topological({name: spec.parents for name, spec in specs.items()})
    if cycle:
        problems.append(f"{path}: the stages {' → '.join(cycle)} wait for each other")
    options = [] if run_dir is None else ["--run_dir", run_dir]
    options += [] if seed is None else ["--seed", str(seed)]
    place = Path(run_dir or values.get("run_dir", "."))
    seed = seed if seed is not None else values.get("seed")
    return Graph(Path(path), place, seed, {n: specs[n] for n in order}, tuple(options)), problems


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
            names = {str: "text", int: "a whole number", float: "a number", dict: "a mapping", list: "a list"}
            problems.append(f"{where(key)}: {key}: {value!r} is not {' or '.join(names[kind] for kind in known[key])}")
    return problems


def entry_problems(entry: Entry) -> list[str]:
    """What is wrong with what a graph's file says of a stage, apart from its recipe and its launch."""
    name, where = entry.name, entry.where
    problems = []
    config = entry.value.get("config") if isinstance(entry.value, dict) else None
    if not _NAME.match(name):
        problems.append(f"stage '{name}': a stage's name is letters, digits, _ and -")
    if not isinstance(entry.value, dict):
        return [*problems, f"{name}: {entry.value!r} is not a mapping with config and inputs"]
    problems += [f"{name}: {text}" for text in _key_problems(entry.value, _STAGE_KEYS, where)]
    if config in (None, [], ""):
        problems.append(f"{name}: config is missing")
    elif len(entry.configs) < len(listed(config)):
        problems.append(f"{where('config')}: {name}: config: {config!r} is neither a file nor a list of files")
    problems += [f"{name}: the config {path} does not exist" for path in entry.configs if not path.is_file()]
    for key, value in entry.get("inputs", dict).items():
        if not listed(value) or not all(isinstance(one, str) and one for one in listed(value)):
            problems.append(f"{where('inputs')}: {name}: inputs: {key}: {value!r} is not a stage or a list of stages")
        elif key in entry.get("set", dict):
            problems.append(f"{where('set')}: {name}: set: {key} is among the inputs too; keep one")
    return problems


def _stage(entry: Entry, recipes: Path, launch: Launch | None, problems: list[str]) -> StageSpec | None:
    found = entry_problems(entry)
    problems += found
    if not isinstance(entry.value, dict):
        return None
    files = [path for path in entry.configs if path.is_file()]
    own = read_yamls(files) if files else entry.file
    recipe = _recipe(entry, own, recipes, problems)
    count = len(problems)
    if "launch" in entry.value:
        directory = entry.file.directory(entry.place("launch"))
        launch = read_launch(entry.value["launch"], directory, f"{entry.where('launch')}: {entry.name}", problems)
    elif "launch" in own.values and files:
        launch = read_launch(own.values["launch"], own.directory("launch"), own.where("launch"), problems)
    if found or recipe is None or len(problems) > count:
        return None
    inputs, settings = entry.get("inputs", dict), entry.get("set", dict)
    rough: dict[str, Any] = {key: entry.value.get(key) for key in ("seconds", "memory_mb")}
    return StageSpec(entry.name, recipe, tuple(files), inputs, settings, launch=launch or Launch(), **rough)


def _recipe(entry: Entry, own: YamlFile, recipes: Path, problems: list[str]) -> Path | None:
    """The script that the graph names for a stage, or else its own file."""
    text, directory = entry.value.get("recipe"), entry.file.directory(entry.place("recipe"))
    if text is None and own is not entry.file:
        text, directory = own.values.get("recipe"), own.directory("recipe")
    if text is None:
        problems.append(f"{entry.name}: recipe is missing: name it in the stage's own file, or beside its config")
        return None
    if not isinstance(text, str):
        problems.append(f"{entry.name}: recipe: {text!r} is not the name of a recipe")
        return None
    path = recipe_path(text, directory, recipes)
    if not path.is_file():
        problems.append(f"{entry.name}: the recipe {path} does not exist")
        return None
    return path


def recipe_path(text: str, directory: Path, recipes: Path) -> Path:
    """`r1_zero` is a file of `recipes`; one's own is FILE.py, relative to the YAML in `directory` that names it."""
    own = beside(directory, text)
    return own if text.endswith(".py") and own.is_file() else recipes / f"{text.removesuffix('.py')}.py"


def _reference_problems(specs: Mapping[str, StageSpec], known: Mapping[str, Any]) -> list[str]:
    problems = []
    for name, spec in specs.items():
        for reference in spec.references:
            parent, *inside = reference.split("/")
            if parent not in known:
                hint = nearest(parent, known)
                problems.append(
                    f"{name}: inputs: no stage '{parent}'; {hint} (other directories and Hub ids go in {spec.config})"
                )
            elif ".." in inside:
                problems.append(f"{name}: inputs: {reference} leaves the output of '{parent}'")
    return problems


def _overrides(sets: Iterable[str], stages: Mapping[str, Entry], problems: list[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for text in sets:
        match = re.match(r"^([\w-]+)\.(\w+)=(.*)$", text, re.DOTALL)
        if match is None:
            problems.append(f"--set {text}: write --set stage.key=value")
        elif match[1] not in stages:
            problems.append(f"--set {text}: no stage '{match[1]}'; {nearest(match[1], stages)}")
        elif match[2] in {"config", "stage", "run_dir", "output_dir", *stages[match[1]].get("inputs", dict)}:
            problems.append(f"--set {text}: the graph itself gives '{match[2]}'; change it there")
        else:
            found[match[1]] = (*found.get(match[1], ()), f"--{match[2]}={match[3]}")
    return found
