"""Rows one at a time, and as a table on disk: a million rows never lie in memory as Python objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.core.errors import DataError
from r1hf.core.files import is_file
from r1hf.core.source import MAX_BAD, Source, Spec, paths_of, specs
from r1hf.data import sources
from r1hf.data.bad import settle
from r1hf.data.lines import is_jsonl, numbered_jsonl
from r1hf.data.rows import Row, check_row, drawn

if TYPE_CHECKING:
    from datasets import Dataset

BATCH = 1024


def stream_rows(
    source: Source,
    columns: Iterable[str],
    seed: int = 42,
    counts: dict[str, Any] | None = None,
    notes: list[str] | None = None,
    max_bad: float = MAX_BAD,
) -> Iterator[Row]:
    """`load_rows` for columns without an `answer`, one row at a time; what it says of a source comes after its rows.

    The rows of a mixture come source by source; `load_rows` shuffles them with the seed, and so must the caller.
    Raises DataError as `load_rows` does, at the end of a source.
    """
    counts, notes = {} if counts is None else counts, [] if notes is None else notes
    columns = tuple(columns)
    if is_jsonl(source):
        bad: list[str] = []
        lines = ((f"{source}, row {number}", row) for number, row in numbered_jsonl(Path(str(source)), bad))
        told = counts[str(source)] = {"dropped": {}}
        yield from _sound(str(source), lines, columns, bad, told, max_bad, notes)
        return
    found, problems = specs(source)
    if problems:
        raise DataError("; ".join(problems))
    selected = [sources.select(spec, seed) for spec in found]
    sizes = sources.shares(found, [len(one.kept) for one in selected])
    for spec, one, size in zip(found, selected, sizes, strict=True):
        kept = drawn(one.kept, size if len(found) > 1 else None, seed)
        label = spec.label if spec.label not in counts else f"{spec.label} ({len(counts) + 1})"
        counts[label] = dict(one.counts)
        rows = (
            (f"{spec.label}, row {one.place(number)}", row)
            for start in range(0, len(kept), BATCH)
            for number, row in _taken(spec, kept[start : start + BATCH], one)
        )
        yield from _sound(label, rows, columns, list(one.table.bad), counts[label], max_bad, notes)


def _taken(spec: Spec, numbers: list[int], one: sources.Selection) -> Iterator[tuple[int, Row]]:
    return zip(numbers, sources.take(spec, numbers, one.table.rows), strict=True)


def _sound(
    label: str,
    rows: Iterable[tuple[str, Row]],
    columns: tuple[str, ...],
    bad: list[str],
    told: dict[str, Any],
    max_bad: float,
    notes: list[str],
) -> Iterator[Row]:
    kept = 0
    for place, row in rows:
        try:
            check_row(place, row, columns)
        except DataError as error:
            bad.append(str(error))
            continue
        kept += 1
        yield row
    total = kept + len(bad)
    if not total:
        raise DataError(f"{label} holds no rows")
    told.setdefault("rows", total)
    told["dropped"] |= settle(label, bad, total, max_bad, notes)
    told["used"] = kept


def check_stream(problems: list[str], key: str, source: Source | None, columns: Iterable[str], max_bad: float) -> None:
    """`check_rows` for a preflight that needs no row afterwards."""
    if source is None:
        return
    wrong = specs(source)[1]
    problems += [f"{key}: {text}" for text in wrong]
    if wrong or not all(is_file(Path(path)) for path in paths_of(source)):
        return
    try:
        for _ in stream_rows(source, columns, max_bad=max_bad):
            pass
    except DataError as error:
        problems.append(f"{key}: {error}")


def batches(rows: Iterable[Row], size: int = BATCH) -> Iterator[list[Row]]:
    """Lists of `size` rows."""
    left = iter(rows)
    while batch := list(islice(left, size)):
        yield batch


def write_table(path: Path, tables: Iterable[Dataset]) -> int:
    """Writes tables with the same columns to one Arrow file, one after the other; returns the number of rows.

    `datasets.Dataset.from_file` maps it into memory: processes that open it share its pages. No table: no file.
    """
    import pyarrow as pa

    path.parent.mkdir(parents=True, exist_ok=True)
    writer, count = None, 0
    beside = path.with_name(f"{path.name}.partial")
    try:
        for table in tables:
            data = table.data.table
            writer = writer or pa.ipc.new_stream(str(beside), data.schema)
            writer.write_table(data)
            count += len(table)
    finally:
        if writer is not None:
            writer.close()
    if writer is not None:
        beside.replace(path)
    return count
