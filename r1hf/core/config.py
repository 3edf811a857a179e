"""Configuration: dataclasses (ours and TRL's) filled from one YAML file and command-line overrides.

Every problem is collected before anything runs, so a person mends a file once:

    parsed = parse((R1ZeroConfig, GRPOConfig))
    config, args = parsed.configs
    ...                                    # own checks append to parsed.problems
    parsed.check()
"""

from __future__ import annotations

import dataclasses
import enum
import math
import os
import re
import sys
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from r1hf.core.convert import convert, type_name
from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.foreign_code import asked_for, faults
from r1hf.core.given import Given, Said, said
from r1hf.core.places import output_problems, paths_in
from r1hf.core.redaction import redact
from r1hf.core.source import MAX_BAD, is_hub_id, paths_of, selection
from r1hf.core.values import contradictions, refuse
from r1hf.core.yamlfile import nearest, settled


@dataclass(kw_only=True)
class StageConfig:
    """What every stage is told. A field that names a directory or a Hub id to read carries
    `metadata={"input": True}`: it is verified before the stage and recorded in its manifest."""

    output_dir: str = field(metadata={"help": "directory that the finished stage is written to"})
    seed: int = field(default=42, metadata={"help": "seed of every random generator"})
    num_threads: int | None = field(
        default=None, metadata={"help": "torch's intra-op threads; sums, and so results, depend on it"}
    )
    matmul_precision: Literal["highest", "high", "medium"] = field(
        default="highest",
        metadata={"help": "of float32 matrices, as torch.set_float32_matmul_precision; results depend on it"},
    )
    max_bad_rows: float = field(
        default=MAX_BAD,
        metadata={"help": "share of a data source's rows that may be unusable; they are left out", "request": False},
    )
    restart: bool = field(
        default=False, metadata={"help": "start anew where an interrupted run left checkpoints", "request": False}
    )


@dataclass
class Parsed:
    """A configuration as far as it could be read. `check()` raises what is wrong with it.

    configs: one object for each schema, in order; None where it could not be built.
    request: what was asked for, without output_dir and the paths of inputs; equal requests need not run again.
    inputs: field -> directory, file or Hub id, a mapping with one as `path`, or a list of these, that the stage reads.
    planned: the input fields whose directories an earlier stage of a pipeline is still to make.
    notes: what a person should know before the run, and what is no reason not to run.
    said: every value as it was given, and where; the stage and its graph, if it is one of a graph.
    """

    configs: tuple[Any, ...]
    problems: list[str]
    request: dict[str, Any]
    inputs: dict[str, Any]
    argv: list[str]
    planned: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    said: Said = field(default_factory=Said)

    def check(self) -> None:
        """Raises ConfigError with every problem found."""
        if self.problems:
            raise ConfigError(self.problems)

    def resolved(self) -> dict[str, Any]:
        """Every field of every schema with its final value, ready for JSON and without secrets."""
        merged: dict[str, Any] = {}
        for config in self.configs:
            for item in dataclasses.fields(config) if config is not None else ():
                if item.init:
                    merged.setdefault(item.name, getattr(config, item.name))
        return redact(jsonable(merged))

    @property
    def input_paths(self) -> list[tuple[str, str]]:
        """(field, path) for each single path; a field that holds a list gives several."""
        return [(name, path) for name, value in self.inputs.items() for path in paths_of(value)]


@dataclass(frozen=True)
class _Field:
    """One key of one schema, with its annotation resolved."""

    schema: type
    item: dataclasses.Field[Any]
    annotation: Any

    @property
    def is_input(self) -> bool:
        return bool(self.item.metadata.get("input"))

    @property
    def in_request(self) -> bool:
        """Whether its value says what is made, and not only how."""
        return bool(self.item.metadata.get("request", True))

    @property
    def required(self) -> bool:
        return self.item.default is dataclasses.MISSING and self.item.default_factory is dataclasses.MISSING

    @property
    def default(self) -> Any:
        if self.item.default_factory is not dataclasses.MISSING:
            return self.item.default_factory()
        return self.item.default


def _itself(value: Any) -> Any:
    return value


def parse(schemas: Sequence[type], argv: list[str] | None = None, planned: Iterable[str] = ()) -> Parsed:
    """Fills the dataclasses `schemas` from `--config file.yaml` and `--key value` overrides (r1hf/core/given.py).

    A key that several schemas declare goes to each of them. Nothing is raised for wrong content: see `Parsed.check`.
    `--help` prints every key and exits.
    """
    argv, planned = list(sys.argv[1:] if argv is None else argv), frozenset(planned)
    if "--help" in argv or "-h" in argv:
        print(describe(schemas))
        raise SystemExit(0)
    told = said(argv)
    if told.lost:
        return Parsed(tuple(None for _ in schemas), told.problems, {}, {}, argv, planned, said=told)
    given, problems = told.values, told.problems
    fields = _fields_of(schemas)
    problems += _strange(told, fields)

    values: dict[type, dict[str, Any]] = {schema: {} for schema in schemas}
    keys = {schema: {name for owner, name in fields if owner is schema} for schema in schemas}
    unread: dict[str, str] = {}
    for (schema, key), entry in fields.items():
        if key in given:
            try:
                value = settled(convert(given[key], entry.annotation), text=entry.is_input)
                value = entry.item.metadata.get("named", _itself)(value)
                refuse(key, value, keys[schema])
                values[schema][key] = value
            except ValueError as error:
                unread.setdefault(key, f"{given[key].where}: {key}: {error}")
    problems += unread.values()
    problems += _contradictions(fields, values, given)

    place = told.files[0] if told.files else "the YAML file"
    configs = tuple(_build(schema, values[schema], fields, unread, place, problems) for schema in schemas)
    if told.hint and any(" is missing (" in text or " is missing; " in text for text in problems):
        problems.append(told.hint)
    inputs = _inputs(fields, values)
    problems += _output_problems(given, inputs, told.files)
    for key, value in inputs.items():
        if key not in planned:
            problems += [f"{key}: {fault}" for path in paths_of(value) for fault in faults(path)]
    hidden = {name for (_, name), entry in fields.items() if entry.is_input or not entry.in_request}
    hidden |= {"output_dir", "resume_from_checkpoint"}
    merged = {key: value for schema in reversed(schemas) for key, value in values[schema].items()}
    request = {key: merged[key] for key in sorted(merged) if key not in hidden}
    request |= {key: chosen for key, value in inputs.items() if (chosen := selection(value))}
    return Parsed(configs, problems, redact(jsonable(request)), inputs, argv, planned, said=told)


def _strange(told: Said, fields: Mapping[tuple[type, str], _Field]) -> list[str]:
    """Keys that no schema has, and inputs of the graph that are none of the recipe's, which are taken out."""
    known = {name for _, name in fields}
    readable = {name for (_, name), entry in fields.items() if entry.is_input}
    problems = [
        f"{told.values.pop(key).where}: inputs: the recipe reads no '{key}'; {nearest(key, sorted(readable))}"
        for key in sorted(told.inputs)
        if key not in readable
    ]
    unknown = [key for key in told.values if key not in known]
    return problems + [f"{told.values[key].where}: {_unknown(key, told.values[key].value, known)}" for key in unknown]


_RENAMED = {
    "weights": "is now rewards, which names all that is judged (weights counted 1 what they left out): "
    "rewards: {accuracy: 1, format: 1, language: 0}",
    "format_mode": "is now an option of the reward: rewards: {format: {weight: 1, mode: think_only}, …}",
    "code": "is now one of rewards, with its options there: rewards: {code: {weight: 1, packages: [numpy]}, …}",
    **dict.fromkeys(
        ("gate", "difficulty_sampling", "difficulty_right", "difficulty_wrong", "difficulty_revisit"),
        "is gone, since no gain could be measured; leave it out",
    ),
    "outcome_rewards": "is gone: a reward says itself that it judges the outcome (docs/rewards.md); leave it out",
}


def _unknown(key: str, value: Any, known: Collection[str]) -> str:
    if key in _RENAMED and "rewards" in known:
        return f"{key}: {_RENAMED[key]}"
    if (foreign := asked_for(key, value)) is not None:
        return f"{key}: {foreign}"
    return f"unknown key '{key}'; {nearest(key, known, else_say='--help lists every key')}"


def _output_problems(given: dict[str, Given], inputs: dict[str, Any], files: list[str]) -> list[str]:
    """What is wrong with the place of the output, compared with all that is read."""
    output_dir = given["output_dir"].value if "output_dir" in given else None
    if not isinstance(output_dir, str):
        return []
    read = [(name, path) for name, value in inputs.items() for path in paths_of(value)]
    read = [(name, path) for name, path in read if os.path.exists(path) or not is_hub_id(path)]
    others = [("its configuration", path) for path in files]
    others += [
        (key, text)
        for key, item in given.items()
        if key not in ("output_dir", "logging_dir", *inputs)
        for text in paths_in(item.value)
    ]
    return output_problems(output_dir, read, others)


def _fields_of(schemas: Sequence[type]) -> dict[tuple[type, str], _Field]:
    fields = {}
    for schema in schemas:
        hints = typing.get_type_hints(schema, include_extras=True)
        for item in dataclasses.fields(schema):
            if item.init:
                fields[schema, item.name] = _Field(schema, item, hints[item.name])
    return fields


def _contradictions(
    fields: Mapping[tuple[type, str], _Field],
    values: Mapping[type, Mapping[str, Any]],
    given: Mapping[str, Given],
) -> list[str]:
    """What does not go together, whether or not the schemas can be built from it."""
    merged: dict[str, Any] = {}
    for (schema, name), entry in fields.items():
        if name in values[schema]:
            merged[name] = values[schema][name]
        elif not entry.required:
            merged.setdefault(name, entry.default)
    typed = {key for key, item in given.items() if item.text is not None}
    found = contradictions(merged, typed)
    return [f"{given[key].where + ': ' if key in given else ''}{key}: {text}" for key, text in found]


def _build(
    schema: type,
    values: dict[str, Any],
    fields: dict[tuple[type, str], _Field],
    unread: Collection[str],
    place: str,
    problems: list[str],
) -> Any:
    """The schema's object from the values that could be read, or None; adds what is wrong to `problems`.

    place: where a missing key is to be set.
    """
    own = {name: entry for (owner, name), entry in fields.items() if owner is schema}
    missing = [name for name, entry in own.items() if entry.required and name not in values]
    for name in missing:
        if name not in unread and not any(text.startswith(f"{name} is missing") for text in problems):
            note = own[name].item.metadata.get("help", "")
            problems.append(f"{name} is missing{f' ({note})' if note else ''}; set it in {place} or with --{name}")
    if missing:
        return None
    without = [name for name in own if name in unread]
    note = f" (seen without {', '.join(without)}, which could not be read)" if without else ""
    try:
        return schema(**values)
    except ConfigError as error:
        found = error.problems
    except (ValueError, TypeError, NotImplementedError, ImportError, OSError, AssertionError, R1Error) as error:
        found = [f"{schema.__name__}: {' '.join(str(error).split())}"]
    # What names a key that is wrong was said of the default in its place.
    problems += [text + note for text in found if not any(re.search(rf"\b{name}\b", text) for name in without)]
    return None


def _inputs(fields: dict[tuple[type, str], _Field], values: dict[type, dict[str, Any]]) -> dict[str, Any]:
    inputs: dict[str, Any] = {}
    for (schema, name), entry in fields.items():
        if entry.is_input:
            value = values[schema].get(name, None if entry.required else entry.default)
            if value and paths_of(value):  # a mapping without a path is the preflight's to name
                inputs[name] = value
    return inputs


def describe(schemas: Sequence[type]) -> str:
    """The text of --help: every key with type, default and meaning, by schema."""
    lines = ["usage: --config FILE.yaml [--key value ...]   (a value on the command line wins over the file)"]
    shown: set[str] = set()
    for (schema, name), entry in _fields_of(schemas).items():
        if f"\n{schema.__name__}:" not in lines:
            lines.append(f"\n{schema.__name__}:")
        if name in shown:
            continue
        shown.add(name)
        default = "required" if entry.required else f"default {jsonable(entry.default)!r}"
        note = " ".join(str(entry.item.metadata.get("help", "")).replace("%%", "%").split())
        lines.append(f"  --{name}: {type_name(entry.annotation)}, {default}{f'. {note}' if note else ''}")
    return "\n".join(lines)


def jsonable(value: Any) -> Any:
    """The value in JSON's own types. NaN and infinities become null; what JSON lacks becomes text."""
    if value is None or isinstance(value, bool | str) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        return jsonable(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [jsonable(item) for item in items]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: jsonable(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if getattr(value, "shape", None) == () and hasattr(value, "item"):  # a scalar of numpy or torch
        return jsonable(value.item())
    return str(value)
