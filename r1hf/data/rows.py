"""Rows in and out. A source is a .jsonl file, anything else `datasets` reads, or a Hub id (`org/name[@revision]`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from r1hf.errors import DataError

Row = dict[str, Any]


def load_rows(source: str, columns: Iterable[str] = ()) -> list[Row]:
    """All rows of `source`. Raises DataError where it is empty, malformed or lacks one of `columns`."""
    path = Path(source)
    try:
        rows = _read_jsonl(path) if path.suffix == ".jsonl" else _load_dataset(source)
    except UnicodeDecodeError as error:
        raise DataError(f"{source} is not UTF-8 text (byte {error.start})") from None
    if not rows:
        raise DataError(f"{source} holds no rows")
    for number, row in enumerate(rows, 1):
        missing = [name for name in columns if name not in row]
        if missing:
            raise DataError(f"{source}, row {number}: no column {', '.join(missing)}; it has {', '.join(row)}")
    return rows


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes one JSON object a line; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def check_rows(problems: list[str], key: str, source: str | None, columns: Iterable[str] = ()) -> list[Row]:
    """`load_rows` for a preflight: what is wrong goes to `problems`, and the result is then empty.

    A source that is no file here is left to the stage itself: a preflight stays cheap and offline.
    """
    if source is None or not Path(source).is_file():
        return []
    try:
        return load_rows(source, columns)
    except DataError as error:
        problems.append(f"{key}: {error}")
        return []


def check_tasks(problems: list[str], key: str, rows: Iterable[Row], known: set[str]) -> None:
    """Adds a problem where a row's `task` is none of `known`."""
    strange = sorted({str(row["task"]) for row in rows} - known)
    if strange:
        problems.append(f"{key}: task {', '.join(strange)} is not known here; use {' or '.join(sorted(known))}")


def _read_jsonl(path: Path) -> list[Row]:
    rows = []
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}: not JSON ({error.msg}): {line[:60]!r}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}: {line[:60]!r}")
            rows.append(row)
    return rows


def _load_dataset(source: str) -> list[Row]:
    import datasets
    import pyarrow

    path = Path(source)
    formats = {".json": "json", ".parquet": "parquet", ".csv": "csv"}
    if path.suffix in formats and path.is_file():
        try:
            return datasets.load_dataset(formats[path.suffix], data_files=source, split="train").to_list()
        except (datasets.exceptions.DatasetGenerationError, pyarrow.lib.ArrowException, ValueError) as error:
            raise DataError(f"{source} cannot be read as {formats[path.suffix]}: {error.__cause__ or error}") from None
    if path.is_dir() and (path / "dataset_info.json").exists():
        return datasets.load_from_disk(source).to_list()
    name, _, revision = source.partition("@")
    return datasets.load_dataset(name, split="train", revision=revision or None).to_list()
