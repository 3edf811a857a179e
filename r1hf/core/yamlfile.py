"""YAML files read with line numbers, and with the mistakes in them named.

`extends: FILE`, or a list of files, at the top of a file takes their top-level keys, relative to it; a later file wins
over an earlier one, and the file itself over all. A mapping wins as a whole.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from r1hf.core.files import read_text, reason_of

_MOST = 20_000  # values in a file
_DEEPEST = 50  # values in each other


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """The values in a node with every alias written out; infinitely many are `_MOST` + 1."""
    if id(node) not in known:
        known[id(node)] = _MOST + 1  # until it is known: what holds itself comes back here
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        held = parts if isinstance(node, yaml.CollectionNode) else ()
        known[id(node)] = min(1 + sum(_size(part, known) for part in held), _MOST + 1)
    return known[id(node)]


class Word(str):
    """yes, no, on or off without quotes: Norwegian where text is meant, and a truth value where one is."""


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but as in YAML 1.2 `2e-4` is a number, and what only looks like a value is text:
    yes and no (`Word`), dates, 012, 1:30. Keys are text.
    """

    _nodes = _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nodes += 1
        if self._nodes > _MOST:
            raise yaml.YAMLError(f"it has more than {_MOST:,} values, which no configuration needs")
        if self._depth >= _DEEPEST:
            raise yaml.YAMLError("it is nested too deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def get_single_node(self) -> Any:
        """Raises YAMLError also where aliases make far more of it than is written, or lead back into themselves."""
        node = super().get_single_node()
        if node is not None and _size(node, {}) > _MOST:
            raise yaml.YAMLError(f"its aliases make more than {_MOST:,} values of it")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


_TRUTH = "tag:yaml.org,2002:bool"
_KEYS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
BOOLEANS = {word: value for words, value in (("yes on", True), ("no off", False)) for word in words.split()}
BOOLEANS |= {change(word): value for word, value in BOOLEANS.items() for change in (str.title, str.upper)}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag.rpartition(":")[2] not in ("int", "float", "timestamp")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+)$"
        r"|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
    ),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$"),
    list("-+0123456789"),
)


def _truth(loader: _Loader, node: yaml.ScalarNode) -> Any:
    return Word(node.value) if node.value in BOOLEANS else loader.construct_yaml_bool(node)


_Loader.add_constructor(_TRUTH, _truth)


def settled(value: Any, text: bool) -> Any:
    """A value with each `Word` in it, and in what it holds, as text or as the truth value of YAML 1.1."""
    if isinstance(value, Word):
        return str(value) if text else BOOLEANS[value]
    if isinstance(value, dict):
        return {key: settled(item, text) for key, item in value.items()}
    return [settled(item, text) for item in value] if isinstance(value, list) else value


# PyYAML lets through a ValueError for a date like 2026-13-45, and Python's own error for what is nested too deep.
_ERRORS = (yaml.YAMLError, ValueError, RecursionError)


@dataclass
class YamlFile:
    """What one file and those that it extends say: values, where each key stands, and what is wrong with it.

    places: `file:line` of every key, that of a mapping inside by its keys with dots between: `stages.r1.inputs`.
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def where(self, key: str) -> str:
        """`file:line` of a key, in the file in which its value stands."""
        return self.places.get(key, str(self.path))

    def directory(self, key: str) -> Path:
        """Where paths in a key's value begin: the directory of the file in which it stands."""
        return Path(self.where(key).rpartition(":")[0] if key in self.places else self.path).parent


EXTENDS = "extends"
LARGEST = 1 << 18  # bytes of a configuration


def read_yamls(paths: Sequence[Path]) -> YamlFile:
    """Several files as one: a later one wins over those before it."""
    merged = YamlFile(paths[-1])
    for file in map(read_yaml, paths):
        merged.values |= file.values
        merged.places |= file.places
        merged.problems += [text for text in file.problems if text not in merged.problems]
    return merged


def read_yaml(path: str | Path, _within: tuple[Path, ...] = ()) -> YamlFile:
    """Reads a YAML mapping with what it extends. Nothing is raised: what is wrong is in `problems`."""
    file = _read_alone(Path(path))
    bases = file.values.pop(EXTENDS, [])
    bases = [bases] if isinstance(bases, str) else bases
    where = file.where(EXTENDS)
    if not isinstance(bases, list) or not all(isinstance(base, str) and base for base in bases):
        file.problems.append(f"{where}: {EXTENDS}: {bases!r} is neither a file nor a list of files")
        return file
    chain = (*_within, Path(os.path.realpath(file.path)))
    inherited = YamlFile(file.path)
    for base in bases:
        place = beside(file.path.parent, base)
        if Path(os.path.realpath(place)) in chain:
            file.problems.append(f"{where}: {EXTENDS}: {base} extends this file in turn")
            continue
        if not place.is_file():
            file.problems.append(f"{where}: {EXTENDS}: there is no file {place}")
            continue
        read = read_yaml(place, chain)
        inherited.problems += read.problems
        inherited.values |= read.values
        inherited.places |= read.places
    problems = list(dict.fromkeys(file.problems + inherited.problems))
    return YamlFile(file.path, inherited.values | file.values, inherited.places | file.places, problems)


def beside(directory: Path, name: str) -> Path:
    """A file that a YAML in `directory` names, without `a/../` where that says the same."""
    path = directory / name
    short = Path(os.path.normpath(path))
    return short if os.path.realpath(short) == os.path.realpath(path) else path


def _read_alone(path: Path) -> YamlFile:
    file = YamlFile(path)
    try:
        text = read_text(file.path, LARGEST)
    except (OSError, UnicodeDecodeError) as error:
        file.problems.append(f"{path}: cannot be read: {reason_of(error)}")
        return file
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return file
        if not isinstance(node, yaml.MappingNode):
            kind = "list" if isinstance(node, yaml.SequenceNode) else "single value"
            file.problems.append(f"{path}: expected `key: value` lines, found a {kind}")
            return file
        file.problems += _duplicates(file.path, node)
        file.problems += [
            f"{path}: the key {key.value} is not text; write it in quotes"
            for key, _ in node.value
            if isinstance(key, yaml.ScalarNode) and key.tag not in _KEYS
        ]
        file.places = _places(path, node)
        values = loader.construct_document(node)
    except _ERRORS as error:
        file.problems.append(_syntax_problem(file.path, error))
        return file
    file.values = values
    return file


def _places(path: Path, node: yaml.MappingNode, above: str = "") -> dict[str, str]:
    """`file:line` of each key; what `<<` takes from another mapping stands there."""
    taken: dict[str, str] = {}
    own: dict[str, str] = {}
    for key, value in node.value:
        if key.value == "<<":
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(source, yaml.MappingNode):
                    taken = {**_places(path, source, above), **taken}
            continue
        own[f"{above}{key.value}"] = f"{path}:{key.start_mark.line + 1}"
        if isinstance(value, yaml.MappingNode):
            own |= _places(path, value, f"{above}{key.value}.")
    return taken | own


def parse_scalar(text: str) -> Any:
    """One command-line value, read as YAML would read it (`2e-4`, `[a, b]`, `true`); else the text itself."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except _ERRORS:
        return text


def nearest(name: str, known: Iterable[str], else_say: str | None = None) -> str:
    """A hint for a name that nothing has: the closest known one, else `else_say`, else all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else else_say or f"there are: {', '.join(known) or 'none'}"


def _duplicates(path: Path, node: yaml.Node) -> list[str]:
    problems: list[str] = []
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = str(key.value)
            if name in seen and name != "<<":
                problems.append(f"{path}:{line}: the key '{name}' is already set on line {seen[name]}; keep one")
            seen.setdefault(name, line)
            problems += _duplicates(path, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            problems += _duplicates(path, item)
    return problems


def _syntax_problem(path: Path, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
    detail = getattr(error, "problem", None) or str(error)
    return f"{where}: not valid YAML: {detail}"
