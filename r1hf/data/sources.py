"""Reads the rows that a `Spec` selects: through `datasets`, memory-mapped; only kept rows become Python objects."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.core.columns import column, one_type, values_of
from r1hf.core.errors import DataError
from r1hf.core.files import encoding_of
from r1hf.core.source import Spec, gym_name
from r1hf.core.yamlfile import BOOLEANS, nearest
from r1hf.data import bad
from r1hf.data.golds import lacks_gold
from r1hf.data.gym_source import gym_table
from r1hf.data.lines import COMPRESSED, ending, open_bytes
from r1hf.data.mended import arrow_reads, csv_table, json_table

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]
_HEADER, _FIELDS = 1 << 20, 10_000  # bytes and columns of a CSV file's first line
FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


@dataclass
class Table:
    """The rows of a source. bad: what is wrong with those that could not be read, each with its place. places: the
    line or number of each row in its file, where it is not the row's number from 1.
    """

    rows: Dataset
    bad: list[str] = field(default_factory=list)
    places: list[int] | None = None


def read(spec: Spec) -> Table:
    """The whole split as a memory-mapped table. Raises DataError that says what exists instead."""
    import datasets

    if "HF_DATASETS_DISABLE_PROGRESS_BARS" not in os.environ:
        datasets.disable_progress_bars()
    path = Path(spec.path)
    try:
        if gym_name(spec.path) is not None:
            return Table(gym_table(spec))
        if path.is_file():
            return _read_file(spec, path)
        if path.is_dir() and (path / "dataset_dict.json").exists():
            splits = datasets.load_from_disk(spec.path)
            if spec.split not in splits:
                raise DataError(f"{path} has no split '{spec.split}'; {nearest(spec.split, splits)}")
            return Table(splits[spec.split])
        if path.is_dir() and (path / "dataset_info.json").exists():
            return Table(datasets.load_from_disk(spec.path))
        name, _, revision = spec.place.partition("@")
        return Table(datasets.load_dataset(name, spec.config, split=spec.split, revision=revision or None))
    except DataError:
        raise
    except Exception as error:  # the readers of each format and the Hub's client raise what they like
        raise DataError(f"{spec.label} cannot be read: {_cause(error, path)}") from error


def _read_file(spec: Spec, path: Path) -> Table:
    import datasets

    kind = FORMATS.get(ending(path))
    if kind is None:
        known = f"{', '.join(FORMATS)}, or one of these packed as {', '.join(COMPRESSED)}"
        raise DataError(f"{path} has an ending that is not read; use {known}")
    options: dict[str, Any] = {"data_files": {"train": str(path)}, "split": spec.split}
    if kind == "parquet":
        return Table(datasets.load_dataset(kind, **options))
    with open_bytes(path) as stream:
        start = stream.readline(_HEADER)
    if kind == "csv":
        options["encoding"] = encoding_of(start)
        if (fields := start.count(b",")) > _FIELDS:
            raise DataError(f"{path}: its first line names {fields:,} columns; is it CSV?")
    try:
        if kind == "json" and not arrow_reads(path):
            raise DataError(f"{path} cannot be read by Arrow")
        dataset = datasets.load_dataset(kind, **options)
        guessed = "timestamp" in str(dataset.features)  # JSON has no dates: it was text, such as an answer 2023-01-05
        if kind == "csv" or not (guessed or _lost_digits(spec, dataset)):
            return Table(dataset)
    except Exception:
        if spec.split != "train":  # a part, or a name that is not there
            raise
    faults: list[str] = []
    rows, places = (csv_table if kind == "csv" else json_table)(path, faults)
    return Table(rows, faults, places)


def _lost_digits(spec: Spec, dataset: Dataset) -> bool:
    """Whether the answers are numbers beyond what Arrow's reader keeps whole."""
    import pyarrow as pa
    import pyarrow.compute as pc

    name = spec.columns.get("answer", "answer")
    if name not in dataset.column_names or not pa.types.is_floating(dataset.data.column(name).type):
        return False
    return (pc.max(pc.abs(dataset.data.column(name))).as_py() or 0) >= 2**53


def _cause(error: BaseException, path: Path) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    if isinstance(error, PermissionError) or os.path.exists(path):
        if isinstance(error, UnicodeDecodeError):
            return f"it is not UTF-8 text (byte {error.start})"
        return text
    if isinstance(error, ConnectionError) or "offline" in text.lower() or "connect" in text.lower():
        return f"the Hub cannot be reached and there is no copy here ({text}); download it, or give a file"
    return text


@dataclass
class Selection:
    """Rows of one source. kept: their numbers, from 0. table: all of it, with mapped columns. counts: what each
    filter dropped. lost: (number, answer) of the rows that nothing could judge.
    """

    kept: list[int]
    table: Table
    counts: dict[str, Any]
    lost: list[tuple[int, Any]]

    def place(self, number: int) -> int:
        """The row's number in its file, from 1."""
        return number + 1 if self.table.places is None else self.table.places[number]


def select(spec: Spec, seed: int, judged: bool = False) -> Selection:
    """The rows that the filters and the limit keep; `judged` leaves out those that lack the gold answer they need.

    Raises DataError for a column that is not there and where nothing is left, with the count of each filter.
    """
    table = read(spec)
    dataset = table.rows
    if not len(dataset):
        why = f" that can be read: {bad.named(table.bad)}" if table.bad else ""
        raise DataError(f"{spec.label} holds no rows{why}")
    for key in ("columns", "where", "min", "max"):
        named = getattr(spec, key)
        for name in named.values() if key == "columns" else named:
            if name not in dataset.column_names and name.split(".")[0] not in dataset.column_names:
                raise DataError(
                    f"{spec.label}: {key}: no column '{name}'; {nearest(name, dataset.column_names)} "
                    f"(columns: {', '.join(dataset.column_names)})"
                )
    if dataset._indices is not None:  # a saved selection: its table holds other rows too
        dataset = dataset.flatten_indices()
    kept, dropped = _filtered(spec, dataset)
    counts: dict[str, Any] = {"rows": len(dataset) + len(table.bad), "dropped": dropped}
    if not kept:
        raise DataError(f"{spec.label}: none of {len(dataset)} rows is left after the filters: {_shown(dropped)}")
    lost = _lacking(spec, dataset, kept) if judged else []
    if lost:
        gone = {number for number, _ in lost}
        kept = [number for number in kept if number not in gone]
    if spec.limit is not None and spec.limit < len(kept):
        kept = sorted(random.Random(seed).sample(kept, spec.limit))
        counts["limit"] = spec.limit
    return Selection(kept, replace(table, rows=_mapped(spec, dataset)), counts, lost)


def _lacking(spec: Spec, dataset: Dataset, kept: Sequence[int]) -> list[tuple[int, Any]]:
    """(number, answer) of the rows that need a gold answer and have none."""

    def values(name: str) -> Iterable[Any]:
        source = spec.columns.get(name, name)
        if name in spec.values or (source not in dataset.column_names and source.split(".")[0] == source):
            return repeat(spec.values.get(name))
        return values_of(column(spec.label, dataset, source).take(kept))

    if "answer" not in {*spec.values, *spec.columns, *dataset.column_names}:
        return []  # the check of columns names it
    rows = zip(kept, values("answer"), values("task"), values("choices"), strict=False)
    return [(number, answer) for number, answer, task, choices in rows if lacks_gold(answer, task, choices)]


def _filtered(spec: Spec, dataset: Dataset) -> tuple[list[int], dict[str, int]]:
    import numpy as np
    import pyarrow.compute as pc

    rows = np.arange(len(dataset))
    dropped = {}
    tests: list[tuple[str, str, Any]] = [("where", name, value) for name, value in spec.where.items()]
    tests += [(key, name, bound) for key in ("min", "max") for name, bound in getattr(spec, key).items()]
    for key, name, value in tests:
        mask = pc.fill_null(_test(spec, key, name, value, column(spec.label, dataset, name)), False)
        left = rows[np.asarray(mask)[rows]]
        dropped[f"{key} {name}"] = len(rows) - len(left)
        rows = left
    if spec.part is not None:
        left = rows[_within(spec, dataset, rows)]
        dropped["part"] = len(rows) - len(left)
        rows = left
    return rows.tolist(), dropped


def _within(spec: Spec, dataset: Dataset, rows: Any) -> list[bool]:
    """Which rows lie in the spec's part. Rows of one question are in one part, as are all rows that a file will have.

    Of a source without questions the whole row is what it is known by.
    """
    low, high = spec.part or (0.0, 1.0)
    source = spec.columns.get("question", "question")
    if source in dataset.column_names or source.split(".")[0] in dataset.column_names:
        known: Iterable[Any] = values_of(column(spec.label, dataset, source).take(rows))
    else:
        known = (json.dumps(dataset[place], sort_keys=True, default=str) for place in rows.tolist())
    return [low <= share_of(str(one)) < high for one in known]


def share_of(text: str) -> float:
    """From 0 up to 1, even over all texts; case and spaces do not count."""
    plain = " ".join(text.casefold().split())
    return int.from_bytes(hashlib.sha256(plain.encode(errors="replace")).digest()[:7], "big") / 2**56


def _test(spec: Spec, key: str, name: str, value: Any, array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if "json" in str(array.type):
        array = pa.array(one_type(values_of(array)))
    try:
        if key == "where":
            wanted = value if isinstance(value, list) else [value]
            if pa.types.is_boolean(array.type):
                wanted = [BOOLEANS.get(one, one) if isinstance(one, str) else one for one in wanted]
            return pc.is_in(array, value_set=pa.array(wanted, type=array.type))
        return (pc.greater_equal if key == "min" else pc.less_equal)(array, value)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        quotes = "; write it in quotes" if pa.types.is_string(array.type) and key == "where" else ""
        raise DataError(
            f"{spec.label}: {key}: {value!r} cannot be compared with '{name}' ({array.type}){quotes}"
        ) from None


def _mapped(spec: Spec, dataset: Dataset) -> Dataset:
    """Columns under their own names; the source's columns of those names, if others, give way.

    A column that parts were taken of is left out: it would be read twice.
    """
    import datasets
    import pyarrow as pa

    moved = {source if source in dataset.column_names else source.split(".")[0] for source in spec.columns.values()}
    gone = moved | set(spec.columns) | set(spec.values)
    arrays = {name: dataset.data.column(name) for name in dataset.column_names if name not in gone}
    features = {name: dataset.features[name] for name in arrays}
    for name, source in spec.columns.items():
        if source in dataset.column_names:
            arrays[name], features[name] = dataset.data.column(source), dataset.features[source]
        else:
            arrays[name] = column(spec.label, dataset, source)
            features[name] = datasets.features.features.generate_from_arrow_type(arrays[name].type)
    if not arrays or not (spec.columns or spec.values):  # all are constants, or there is nothing to change
        return dataset
    table = datasets.table.InMemoryTable(pa.table(arrays))
    return datasets.Dataset(table, info=datasets.DatasetInfo(features=datasets.Features(features)))


def take(spec: Spec, numbers: Sequence[int], dataset: Dataset) -> list[Row]:
    """The rows of those numbers, with the constant values."""
    whole = len(numbers) == len(dataset) and numbers[0] == 0 and numbers[-1] == len(dataset) - 1
    try:
        rows = (dataset if whole else dataset.select(numbers)).to_list()
    except UnicodeDecodeError:  # Arrow decodes text only where it is taken out
        raise DataError(f"{spec.label} is not UTF-8 text; save it as UTF-8") from None
    if spec.values:
        for row in rows:
            row.update(spec.values)
    return rows


def shares(specs: Sequence[Spec], available: Sequence[int]) -> list[int]:
    """Rows of each source in a mixture: all without weights; with them, as many as repeat no row."""
    weights = [spec.weight for spec in specs]
    if None in weights:
        return list(available)
    total = min(count / weight for count, weight in zip(available, weights, strict=True) if weight)
    return [max(1, min(count, round(total * (weight or 0)))) for count, weight in zip(available, weights, strict=True)]


def _shown(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} dropped {count}" for name, count in counts.items()) or "no filter"
