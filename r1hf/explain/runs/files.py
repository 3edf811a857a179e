"""Files of rollouts: Parquet, JSON lines, JSON and CSV, broken lines counted and large files sampled."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, DataError
from r1hf.core.files import open_plain, reason_of
from r1hf.data.lines import ending, json_rows, numbered_jsonl, open_bytes
from r1hf.explain.runs.columns import ALIASES, component_names, find, rollout
from r1hf.explain.runs.table import RunTable, Sample

ENDINGS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv")
_HEAD = 100  # rows without a prompt and a completion that may stand before those with them
Numbered = tuple[int, dict[str, Any]]


def add_rollouts(
    run: RunTable, paths: Iterable[Path], chosen: Mapping[str, str], known: Iterable[str] = (), step_of: Any = None
) -> None:
    """Reads rollouts from files of one kind into `run`. known: the names of its rewards, where a log says them.

    step_of: the step of a file whose rows say none. Raises ConfigError, and DataError where no file can be used.
    """
    sample, bad, said, refused = Sample(), list[str](), set[tuple[str, str]](), list[str]()
    for path in paths:
        broken: list[str] = []
        try:
            _read(path, sample, broken, chosen, [*known], step_of(path) if step_of else None, said)
        except DataError as error:
            refused.append(str(error))
        if broken:
            bad.append(f"{len(broken)} broken line{'s' if len(broken) != 1 else ''} left out, the first {broken[0]}")
    if not sample.rows:
        raise DataError((refused or [f"{run.where} holds no row that can be read: {'; '.join(bad) or 'it is empty'}"])[0])
    run.rollouts += [make() for make in sample.rows]
    run.taken += sorted(said, key=lambda pair: list(ALIASES).index(pair[0]) if pair[0] in ALIASES else 99)
    run.notes += [*bad, *refused]
    run.whole = sample.whole and not bad
    if note := sample.note(str(run.where)):
        run.notes.append(note)


def _read(
    path: Path,
    sample: Sample,
    broken: list[str],
    chosen: Mapping[str, str],
    known: list[str],
    step: int | None,
    said: set[tuple[str, str]],
) -> None:
    """Columns are looked for again where a row has new ones: lines of JSON often leave out what is null."""
    names: dict[str, None] = {}
    found: dict[str, str] = {}
    components: list[str] = []
    unfit: ConfigError | DataError | None = None
    unlike: list[str] = []
    for line, row in numbered_rows(path, sample, broken):
        if row is None:
            sample.add(None)
            continue
        if not row.keys() <= names.keys():
            names |= dict.fromkeys(row)
            try:
                found = find([*names], chosen, str(path))
            except (ConfigError, DataError) as error:
                unfit = error
            else:
                components = [name for name in component_names(names, found, known) if name != found.get("reward")]
                said |= {*found.items(), *(("a reward", name) for name in components)}
        if not found and unfit and len(unlike) < _HEAD:
            unlike.append(f"{path}:{line}: no prompt and completion")
            continue
        if not found:
            break
        columns, parts, place = found, components, f"{path.name}:{line}"
        if step is not None and "step" not in found:
            row, columns = {**row, "step": step}, {**found, "step": "step"}
        sample.add(lambda row=row, columns=columns, parts=parts, place=place: rollout(row, columns, parts, place))
    if unfit and not found:
        raise unfit
    broken += unlike


def numbered_rows(path: Path, sample: Sample, broken: list[str]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(line or row, row) of a file; None in place of a row that the sample leaves out. Raises DataError."""
    kind = ending(path)
    if kind == ".parquet":
        yield from _parquet(path, sample)
    elif kind == ".csv":
        yield from _csv(path)
    elif kind == ".json":
        yield from json_rows(path, broken)
    else:
        try:
            yield from numbered_jsonl(path, broken)
        except DataError as error:  # the rest of a file that was cut off in its packing
            broken.append(str(error))


def _parquet(path: Path, sample: Sample) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Rows by number; None for those that the sample leaves out, which are not made into Python objects."""
    import pyarrow
    from pyarrow import parquet

    try:
        with open_plain(path) as stream:
            file = parquet.ParquetFile(pyarrow.PythonFile(stream, mode="r"))
            number = 0
            for batch in file.iter_batches(batch_size=4096):
                for start in range(0, batch.num_rows, 64):
                    part = batch.slice(start, 64)
                    rows = part.to_pylist() if sample.wants else [None] * part.num_rows
                    for row in rows:
                        number += 1
                        yield number, row
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}; move it away to see the others") from error


def _csv(path: Path) -> Iterator[Numbered]:
    try:
        with open_bytes(path) as stream:
            text = stream.read().decode("utf-8-sig", "replace")
        csv.field_size_limit(1 << 26)
        for number, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), 2):
            yield number, {name: value for name, value in row.items() if isinstance(name, str)}
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
