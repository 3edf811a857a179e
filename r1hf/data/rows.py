"""Rows in and out. A source is a file, a directory, a Hub id, a mapping that selects rows, or a list of these.

`r1hf/data/spec.py` has the mapping. A plain .jsonl path keeps each row's own keys; the rest goes through `datasets`.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.data import sources
from r1hf.data.spec import Source, Spec, paths_of, specs
from r1hf.errors import DataError
from r1hf.language.codes import names_none

if TYPE_CHECKING:
    from r1hf.stage import Stage

Row = dict[str, Any]
_TEXTS = ("question", "completion", "chosen", "rejected", "response", "task")


def load_rows(
    source: Source, columns: Iterable[str] = (), seed: int = 42, counts: dict[str, Any] | None = None
) -> list[Row]:
    """All rows of `source`; those of a mixture in an order drawn with `seed`. `counts` gets what each source gave.

    A number as `answer` becomes text. Raises DataError where the source cannot be read, is empty, malformed, or a row
    lacks one of `columns` or has a value of another type there, with the source and the number of the row.
    """
    columns = tuple(columns)
    if isinstance(source, str) and Path(source).suffix == ".jsonl" and Path(source).is_file():
        numbers, rows = _columns(sources.numbered_jsonl(Path(source)))
        if not rows:
            raise DataError(f"{source} holds no rows")
        _check(source, numbers, rows, columns)
        return rows
    found, problems = specs(source)
    if problems:
        raise DataError("; ".join(problems))
    if len(found) == 1:
        return _one(found[0], columns, seed, None, counts)
    return _mixture(found, columns, seed, counts)


def stage_rows(stage: Stage, key: str, columns: Iterable[str] = ()) -> list[Row]:
    """`load_rows` of a field of the stage's configuration; what was selected is shown and goes to the manifest."""
    source = getattr(stage.config, key)
    counts: dict[str, Any] = {}
    rows = load_rows(source, columns, stage.config.seed, counts)
    if not isinstance(source, str):
        stage.note("data", key, counts)
        for name, count in counts.items():
            lost = "".join(f", {number} dropped by {test}" for test, number in count["dropped"].items())
            stage.say(f"{key}: {count['used']} of {count['rows']} rows of {name}{lost}")
    return rows


def _columns(numbered: Iterable[tuple[int, Row]]) -> tuple[list[int], list[Row]]:
    numbers, rows = [], []
    for number, row in numbered:
        numbers.append(number)
        rows.append(row)
    return numbers, rows


def _one(spec: Spec, columns: Sequence[str], seed: int, most: int | None, counts: dict[str, Any] | None) -> list[Row]:
    return _take(spec, *sources.select(spec, seed), columns, seed, most, counts)


def _take(
    spec: Spec,
    kept: list[int],
    dataset: Any,
    count: dict[str, Any],
    columns: Sequence[str],
    seed: int,
    most: int | None,
    counts: dict[str, Any] | None,
) -> list[Row]:
    if most is not None and most < len(kept):
        kept = sorted(random.Random(seed + 1).sample(kept, most))
    rows = sources.take(spec, kept, dataset)
    _check(spec.label, [number + 1 for number in kept] if rows else [], rows, columns)
    if counts is not None:
        label = spec.label if spec.label not in counts else f"{spec.label} ({len(counts) + 1})"
        counts[label] = {**count, "used": len(rows)}
    return rows


def _mixture(found: list[Spec], columns: Sequence[str], seed: int, counts: dict[str, Any] | None) -> list[Row]:
    selected = [sources.select(spec, seed) for spec in found]
    sizes = sources.shares(found, [len(kept) for kept, _, _ in selected])
    rows: list[Row] = []
    for spec, parts, size in zip(found, selected, sizes, strict=True):
        rows += _take(spec, *parts, columns, seed, size, counts)
    names = dict.fromkeys(name for row in rows for name in row)
    random.Random(seed).shuffle(rows)
    return [{name: row.get(name) for name in names} for row in rows]


def _check(source: str, numbers: Sequence[int], rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Every row has `columns`, with values that training and the rewards can use."""
    texts = [name for name in columns if name in _TEXTS]
    answers, languages = "answer" in columns, "language" in columns
    for number, row in zip(numbers, rows, strict=True):
        missing = [name for name in columns if name not in row]
        if missing:
            raise DataError(f"{source}, row {number}: no column {', '.join(missing)}; it has {', '.join(row)}")
        for name in texts:
            if not isinstance(row[name], str):
                raise DataError(f"{source}, row {number}: {name} is {row[name]!r:.60}, not text")
        if languages:  # one type for the whole column: a table would refuse to be made of two
            row["language"] = None if names_none(row["language"]) else str(row["language"])
        if answers:
            row["answer"] = _answer(row, f"{source}, row {number}")


def _answer(row: Row, where: str) -> Any:
    value = row["answer"]
    if isinstance(value, str):
        return value
    if value is None and row.get("task", "reasoning") != "reasoning":
        return None  # general prompts are judged without one
    if value is None:
        raise DataError(f"{where}: answer is missing, and its task is reasoning: nothing could be rewarded")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where}: answer is {value!r:.60}, neither text nor a number")
    return str(value)


def fingerprint(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of the rows in their order: the same for equal rows in every process and on every machine."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes one JSON object a line; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def check_rows(
    problems: list[str], key: str, source: Source | None, columns: Iterable[str] = (), seed: int = 42
) -> list[Row]:
    """`load_rows` for a preflight: what is wrong goes to `problems`, and the result is then empty.

    A source that is no file here is left to the stage itself: a preflight stays cheap and offline.
    """
    if source is None:
        return []
    wrong = specs(source)[1]
    if wrong:
        problems += [f"{key}: {text}" for text in wrong]
        return []
    if not all(Path(path).is_file() for path in paths_of(source)):
        return []
    try:
        return load_rows(source, columns, seed)
    except DataError as error:
        problems.append(f"{key}: {error}")
        return []


def check_tasks(problems: list[str], key: str, rows: Iterable[Row], known: set[str]) -> None:
    """Adds a problem where a row's `task` is none of `known`."""
    strange = sorted({str(row["task"]) for row in rows} - known)
    if strange:
        problems.append(f"{key}: task {', '.join(strange)} is not known here; use {' or '.join(sorted(known))}")
