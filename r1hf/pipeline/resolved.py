"""What a stage really gets: every value of its recipe's configuration, and where it was given.

stages, _ = load(Path("recipes/configs/tiny/pipeline.yaml"))
for key, origin in resolved(stages[0].parsed).items():
    print(key, origin.value, origin.where)
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import r1hf
from r1hf.core.config import Parsed, jsonable
from r1hf.core.redaction import redact


@dataclass(frozen=True)
class Origin:
    """value: in JSON's types, without secrets. where: `file:line`, or the command line.

    kind: given by a person, worked out of other values by the class in `where`, or the default that stands there.
    """

    value: Any
    where: str
    kind: Literal["given", "worked out", "default"]


def resolved(parsed: Parsed) -> dict[str, Origin]:
    """Every field of every schema, those that were given first. What could not be read is left out."""
    final = parsed.resolved()
    found: dict[str, Origin] = {}
    for config in parsed.configs:
        for item in dataclasses.fields(config) if config is not None else ():
            if item.init and item.name not in found:
                found[item.name] = _origin(parsed, type(config), item, final[item.name])
    order = ("given", "worked out", "default")
    return dict(sorted(found.items(), key=lambda pair: order.index(pair[1].kind)))


def _origin(parsed: Parsed, schema: type, item: dataclasses.Field[Any], value: Any) -> Origin:
    given = parsed.said.values.get(item.name)
    if given is not None:
        return Origin(value, given.where, "given")
    default = item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
    same = value == redact(jsonable({item.name: default}))[item.name]
    return Origin(value, _place(schema, item.name), "default" if same else "worked out")


def _place(schema: type, name: str) -> str:
    """`file:line` of the class that declares a field last."""
    for owner in schema.__mro__:
        if name in owner.__dict__.get("__annotations__", {}):
            file, lines = _declared(owner)
            return f"{file}:{lines[name]}" if name in lines else file
    return schema.__name__


@functools.cache
def _declared(owner: type) -> tuple[str, dict[str, int]]:
    """The file of a class, as a person would look for it, and the line of each of its fields."""
    try:
        source, first = inspect.getsourcelines(owner)
        file = Path(inspect.getsourcefile(owner) or "")
    except (OSError, TypeError):  # made at run time
        return owner.__name__, {}
    lines: dict[str, int] = {}
    for number, line in enumerate(source, start=first):
        if match := re.match(r"    (\w+) *:(?!:)", line):
            lines.setdefault(match[1], number)
    for root in (Path(r1hf.__file__).resolve().parent.parent, Path(sysconfig.get_path("purelib")), Path.cwd()):
        if root != file.parent and file.is_relative_to(root) and "site-packages" not in file.relative_to(root).parts:
            return str(file.relative_to(root)), lines
    return str(file), lines
