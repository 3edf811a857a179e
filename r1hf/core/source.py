"""What a recipe's data field may hold: a path or Hub id, a mapping that selects rows of one, or a list, the mixture.

prompts:
  - {path: org/maths, split: train, columns: {question: problem, answer: solution},
     values: {language: en, task: reasoning}, where: {level: [4, 5]}, limit: 20000, weight: 0.7}
  - {path: data/own.jsonl, weight: 0.3}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from r1hf.core.yamlfile import nearest

Source = str | dict[str, Any] | list[str | dict[str, Any]]
Number = int | float
MAX_BAD = 0.01  # share of a source's rows that may be unusable
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(@[\w./-]+)?$")
_PACKAGE = re.compile(r"^package:([A-Za-z0-9][\w.-]*)$")
_GYM = re.compile(r"^gym:([a-z0-9_]+)$")
GYM_ROWS = 1000  # where a source of reasoning-gym has no limit


def is_hub_id(text: str) -> bool:
    """True for `org/name` or `org/name@revision` that names nothing on this machine."""
    return bool(_HUB_ID.match(text)) and text[0] != "." and not Path(text.split("/")[0]).exists()


def package_name(text: str) -> str | None:
    """The name in `package:NAME`, an installed Python package that brings a model; None for any other text."""
    found = _PACKAGE.match(text)
    return found[1] if found else None


def gym_name(text: str) -> str | None:
    """The name in `gym:NAME`, a data set of reasoning-gym, whose rows are made; None for any other text."""
    found = _GYM.match(text)
    return found[1] if found else None


@dataclass(kw_only=True)
class Spec:
    """One source and the rows that are taken of it.

    columns: own name -> the source's name. values: columns with one value for every row. where: column -> the value
    or values to keep; min and max: column -> bound, inclusive; all three name columns as the source does. part: which
    share of the rows, by the hash of their question: [0.9, 1] is the same tenth however many rows come. limit: most
    rows, drawn with the seed. weight: share in a mixture, relative to the others'. settings: of a `gym:` data
    set, whose limit is how many rows are made.
    """

    path: Annotated[str, Field(min_length=1)]
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    where: dict[str, Any] = field(default_factory=dict)
    min: dict[str, Number] = field(default_factory=dict)
    max: dict[str, Number] = field(default_factory=dict)
    part: Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)] | None = None
    limit: Annotated[int, Field(gt=0)] | None = None
    weight: Annotated[float, Field(gt=0)] | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """The path, with the revision where it is on the Hub."""
        return f"{self.path}@{self.revision}" if self.revision else self.path

    @property
    def label(self) -> str:
        """How messages and counts name the source."""
        parts = [self.config, None if self.split == "train" else self.split]
        return " ".join([self.place, *(part for part in parts if part)])


_KEYS = [item.name for item in fields(Spec)]
_ADAPTER = TypeAdapter(Spec)


def specs(value: Source) -> tuple[list[Spec], list[str]]:
    """The sources of a field, and what is wrong with their spelling."""
    found, problems = [], []
    items = value if isinstance(value, list | tuple) else [value]
    for number, item in enumerate(items, 1):
        where = f"source {number}: " if len(items) > 1 else ""
        spec, wrong = _spec({"path": item} if isinstance(item, str) else dict(item))
        problems += [where + text for text in wrong]
        if spec is not None:
            found.append(spec)
    unweighted = [spec.label for spec in found if spec.weight is None]
    if unweighted and len(unweighted) < len(found):
        problems.append(f"weight: {', '.join(unweighted)} has none, and others do; give all or none a weight")
    if not items:
        problems.append("names no source")
    return found, problems


def _spec(content: dict[str, Any]) -> tuple[Spec | None, list[str]]:
    problems = [f"unknown key '{key}'; {nearest(str(key), _KEYS)}" for key in content if key not in _KEYS]
    if "path" not in content:
        problems.append("path is missing: a file, a directory, a Hub id (org/name) or gym:NAME")
    if "@" in str(content.get("path")) and content.get("revision"):
        problems.append(f"revision: {content['path']} names one already")
    if problems:
        return None, problems
    try:
        spec = _ADAPTER.validate_python(content)
        if spec.part is not None and spec.part[0] >= spec.part[1]:
            return None, [f"part: {spec.part} holds no rows; write [from, to], such as [0, 0.95]"]
        if spec.settings and gym_name(spec.path) is None:
            return None, [f"settings: only a data set of reasoning-gym takes them (gym:NAME), not {spec.path}"]
        return spec, []
    except ValidationError as error:
        wrong = {".".join(str(part) for part in one["loc"][:2]): one for one in error.errors()}
        quotes = {
            place: "; write it in quotes" if one["type"] == "string_type" else "" for place, one in wrong.items()
        }
        return None, [f"{place}: {one['input']!r}: {one['msg']}{quotes[place]}" for place, one in wrong.items()]


def paths_of(value: Any) -> list[str]:
    """The paths and Hub ids that an input field names; a mapping without one gives none."""
    items = value if isinstance(value, list | tuple) else [value]
    return [path for item in items if (path := _path(item))]


def with_paths(value: Any, change: Callable[[str], str]) -> Any:
    """The field's value with every path or Hub id (and its revision) replaced by what `change` gives for it."""
    if isinstance(value, list | tuple):
        return [with_paths(item, change) for item in value]
    if not isinstance(value, Mapping):
        return change(value) if isinstance(value, str) else value
    path = _path(value)
    rest = {key: item for key, item in value.items() if key not in ("path", "revision")}
    return {"path": change(path), **rest} if path else dict(value)


def selection(value: Any) -> Any:
    """What a field says besides its paths: a part of the request, as another selection gives other rows. Or None."""
    if isinstance(value, list | tuple):
        parts = [selection(item) for item in value]
        return parts if any(parts) else None
    if not isinstance(value, Mapping):
        return None
    return {key: item for key, item in value.items() if key not in ("path", "revision")} or None


def _path(item: Any) -> str | None:
    if not isinstance(item, Mapping):
        return item if isinstance(item, str) else None
    path, revision = item.get("path"), item.get("revision")
    if not isinstance(path, str) or not path:
        return None
    return f"{path}@{revision}" if revision else path
