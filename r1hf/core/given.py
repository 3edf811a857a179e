"""What a person gave one stage, key by key: its YAML, the graph that it is a stage of, and the command line.

  --config STAGE.yaml                  its own file; inputs come from the pipeline.yaml beside it that lists it
  --config GRAPH.yaml --stage NAME     one stage of any graph, exactly as the pipeline would run it

A later layer wins: the files that `extends` names, the file itself, the graph's `set:`, the graph's places (inputs,
output_dir, seed), the command line. A place that stands in a stage's file too, and differs there, is a problem.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.graph import GRAPH_FILE, Entry, entries, entry_problems, input_paths, is_graph, listed
from r1hf.core.launch import LAUNCH, Launch, read_launch
from r1hf.core.yamlfile import YamlFile, nearest, parse_scalar, read_yaml, read_yamls

COMMAND_LINE = "command line"
RECIPE = "recipe"
ABOUT = (RECIPE, LAUNCH)  # keys of a stage's YAML that are no settings of its recipe


@dataclass(frozen=True)
class Given:
    """One value as a person gave it. `text` is the command line's own spelling of it."""

    value: Any
    where: str
    text: str | None = None


@dataclass
class Said:
    """values: of the recipe's keys. about: of ABOUT. files: all that were read.

    stage, graph, run_dir: which stage this is of which graph, and below which directory. inputs: key -> the stages
    whose outputs the graph gives there. launch: what `launch:` says. hint: where a missing key may come from.
    lost: the stage that was asked for is not there or cannot be read. pipeline: options of the pipeline to run it in.
    """

    values: dict[str, Given] = field(default_factory=dict)
    about: dict[str, Given] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    stage: str | None = None
    graph: Path | None = None
    run_dir: str | None = None
    inputs: dict[str, list[str]] = field(default_factory=dict)
    launch: Launch = Launch()
    hint: str = ""
    lost: bool = False
    pipeline: str = ""

    def made_by_the_graph(self, key: str) -> bool:
        """Whether an input is another stage's output, and not what the command line names in its place."""
        return key in self.inputs and key in self.values and self.values[key].where != COMMAND_LINE


def read_words(argv: Sequence[str]) -> tuple[dict[str, Given], list[str]]:
    """A command line's `--some-key value` and `--some_key=value`, a bare flag being true, and what is wrong."""
    found: dict[str, Given] = {}
    problems = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not re.match(r"--[^\W\d]", word):
            problems.append(f"{COMMAND_LINE}: {word!r} belongs to no key; write --key value")
            continue
        key, equals, text = word[2:].partition("=")
        if not equals:
            text = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        found[key.replace("-", "_")] = Given(parse_scalar(text), COMMAND_LINE, text)
    return found, problems


def set_words(sets: Iterable[str]) -> list[str]:
    """KEY=VALUE of `--set` as words of a recipe's command line. Raises ConfigError with all that are none."""
    sets = list(sets)
    wrong = [f"--set {text}: write KEY=VALUE" for text in sets if not re.match(r"[A-Za-z_][\w-]*=", text)]
    if wrong:
        raise ConfigError(wrong)
    return [f"--{text}" for text in sets]


def said(argv: Sequence[str]) -> Said:
    """All that a recipe's command line gives it. Nothing is raised: what is wrong is in `problems`."""
    typed, problems = read_words(argv)
    config, stage, run_dir = (typed.pop(key).text if key in typed else None for key in ("config", "stage", "run_dir"))
    result = Said()
    if config is not None:
        _read(Path(config), stage, run_dir, typed, result)
    elif stage is not None:
        problems.append(f"--stage {stage}: of which graph? add --config GRAPH.yaml")
    if run_dir is not None and result.graph is None:
        problems.append(f"--run_dir {run_dir}: only for a stage of a graph; write --output_dir")
    if LAUNCH in result.about:
        value, where = result.about[LAUNCH].value, result.about[LAUNCH].where
        result.launch = read_launch(value, Path(where.rpartition(":")[0]).parent, where, result.problems)
    result.problems += problems
    result.values |= typed
    return result


def _read(path: Path, stage: str | None, run_dir: str | None, typed: dict[str, Given], result: Said) -> None:
    file = read_yaml(path)
    if is_graph(file):
        entry = _chosen(file, stage, result)
    else:
        result.problems += file.problems
        entry = _beside(path, stage, result)
        if entry is None:
            _take(file, result)
    if entry is not None:
        _take_stage(entry, run_dir, typed, result)


def _chosen(graph: YamlFile, stage: str | None, result: Said) -> Entry | None:
    """The stage of a graph that the command line names."""
    result.problems += graph.problems
    result.files.append(str(graph.path))
    found = entries(graph)
    if stage in found:
        return found[stage]
    what = f"no stage '{stage}'" if stage else "this is a graph; say which of its stages with --stage NAME"
    result.problems.append(f"{graph.path}: {what}; {nearest(stage or '', found)}")
    result.lost = True
    return None


def _beside(path: Path, stage: str | None, result: Said) -> Entry | None:
    """The stage of the graph beside `path` that has this file as its only one; of several the one with its name."""
    place = path.parent / GRAPH_FILE
    graph = read_yaml(place) if place.is_file() else None
    found = {} if graph is None else entries(graph)
    fitting = [name for name, entry in found.items() if [one.resolve() for one in entry.configs] == [path.resolve()]]
    if stage is not None:
        if stage in fitting:
            return found[stage]
        result.problems.append(f"--stage {stage}: {path} is not the file of that stage in {place}")
        result.lost = True
    elif path.stem in fitting or len(fitting) == 1:
        return found[path.stem if path.stem in fitting else fitting[0]]
    elif fitting:
        result.hint = (
            f"{path} is the file of {' and '.join(fitting)} in {place}, which gives their inputs: name one with "
            f"--config {place} --stage {fitting[0]}"
        )
    elif graph is not None:
        result.hint = (
            f"{path} is the only file of no stage in {place}: name the graph that gives its inputs with "
            "--config GRAPH.yaml --stage NAME"
        )
    return None


def _take(file: YamlFile, result: Said) -> None:
    """A file's keys, those about the stage apart."""
    for key, value in file.values.items():
        (result.about if key in ABOUT else result.values)[key] = Given(value, file.where(key))
    result.files += [str(file.path), *sorted({place.rpartition(":")[0] for place in file.places.values()})]
    result.problems += [text for text in file.problems if text not in result.problems]


def _take_stage(entry: Entry, run_dir: str | None, typed: dict[str, Given], result: Said) -> None:
    """A stage's files, what its graph sets, and the places that its graph gives."""
    result.stage, result.graph = entry.name, entry.file.path
    wrong = entry_problems(entry)
    result.problems += wrong
    result.lost = bool(wrong)
    if result.lost:
        return
    _take(read_yamls(entry.configs), result)
    if str(entry.file.path) not in result.files:
        result.files.append(str(entry.file.path))
    for key, value in entry.get("set", dict).items():
        result.values[key] = Given(value, entry.where("set", key))
    for key in ABOUT:
        if key in entry.value:
            result.about[key] = Given(entry.value[key], entry.where(key))
        elif key in entry.file.values:
            result.about.setdefault(key, Given(entry.file.values[key], entry.file.where(key)))
    for key, given in _places(entry, run_dir, result).items():
        own = result.values.get(key)
        if own is not None and own.value != given.value and key not in typed:
            result.problems.append(
                f"{own.where}: {key}: {_short(own.value)} here, and {_short(given.value)} by the graph "
                f"({given.where}): delete it here, since the graph gives what lies between stages"
            )
        result.values[key] = given


def _short(value: Any, limit: int = 60) -> str:
    return text if len(text := repr(value)) <= limit else f"{text[: limit - 1]}…"


def _places(entry: Entry, run_dir: str | None, result: Said) -> dict[str, Given]:
    """What the graph gives every stage, and this one's inputs as paths."""
    graph = entry.file
    given = {}
    if isinstance(graph.values.get("seed"), int):
        given["seed"] = Given(graph.values["seed"], graph.where("seed"))
    root = run_dir or graph.values.get("run_dir")
    if not isinstance(root, str):
        result.problems.append(f"{graph.path}: run_dir is missing; set it there or with --run_dir")
        return given
    result.run_dir = root
    result.pipeline = f"--config {graph.path}{f' --run_dir {run_dir}' if run_dir else ''}"
    given["output_dir"] = Given(str(Path(root) / entry.name), COMMAND_LINE if run_dir else graph.where("run_dir"))
    for key, value in entry.get("inputs", dict).items():
        given[key] = Given(input_paths(root, value), entry.where("inputs", key))
        result.inputs[key] = [one.split("/")[0] for one in listed(value)]
    return given


def is_dry(argv: Sequence[str]) -> bool:
    """Whether `--dry_run` is among the words, and not as false."""
    asked = read_words(argv)[0].get("dry_run")
    return asked is not None and str(asked.text).lower() not in ("false", "no", "off", "0")


if __name__ == "__main__":  # for shell scripts: python -m r1hf.core.given KEY WORD ...
    wanted = said(sys.argv[2:]).values.get(sys.argv[1])
    if wanted is None or wanted.value is None:
        sys.exit(1)
    print(wanted.value)
