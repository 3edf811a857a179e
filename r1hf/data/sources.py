"""Reads the rows that a `Spec` selects: through `datasets`, memory-mapped; only kept rows become Python objects."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.data.spec import Spec
from r1hf.errors import DataError
from r1hf.yamlfile import nearest

if TYPE_CHECKING:
    from datasets import Dataset

Row = dict[str, Any]
FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


def read(spec: Spec) -> Dataset:
    """The whole split as a memory-mapped table. Raises DataError that says what exists instead."""
    import datasets

    if "HF_DATASETS_DISABLE_PROGRESS_BARS" not in os.environ:
        datasets.disable_progress_bars()
    path = Path(spec.path)
    try:
        if path.is_file():
            if path.suffix not in FORMATS:
                raise DataError(f"{path} has an ending that is not read; use {', '.join(FORMATS)}")
            return datasets.load_dataset(FORMATS[path.suffix], data_files={"train": str(path)}, split=spec.split)
        if path.is_dir() and (path / "dataset_dict.json").exists():
            splits = datasets.load_from_disk(spec.path)
            if spec.split not in splits:
                raise DataError(f"{path} has no split '{spec.split}'; {nearest(spec.split, splits)}")
            return splits[spec.split]
        if path.is_dir() and (path / "dataset_info.json").exists():
            return datasets.load_from_disk(spec.path)
        name, _, revision = spec.place.partition("@")
        return datasets.load_dataset(name, spec.config, split=spec.split, revision=revision or None)
    except DataError:
        raise
    except Exception as error:  # the readers of each format and the Hub's client raise what they like
        if path.suffix == ".jsonl" and path.is_file():
            explain_jsonl(path)
        raise DataError(f"{spec.label} cannot be read: {_cause(error, path)}") from error


def _cause(error: BaseException, path: Path) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    if path.exists():
        if isinstance(error, UnicodeDecodeError):
            return f"it is not UTF-8 text (byte {error.start})"
        return text
    if isinstance(error, ConnectionError) or "offline" in text.lower() or "connect" in text.lower():
        return f"the Hub cannot be reached and there is no copy here ({text}); download it, or give a file"
    return text


def explain_jsonl(path: Path) -> None:
    """Raises DataError naming the line that Arrow could not take; slow, and only called when something is wrong."""
    kinds: dict[str, tuple[str, int]] = {}
    for number, row in numbered_jsonl(path):
        for key, value in row.items():
            kind = {int: "number", float: "number"}.get(type(value), type(value).__name__)
            first = kinds.setdefault(key, (kind, number)) if value is not None else (kind, number)
            if first[0] != kind:
                raise DataError(
                    f"{path}:{number}: column '{key}' is {value!r:.60} ({kind}), but {first[0]} on line {first[1]}; "
                    "give a column one type"
                )


def numbered_jsonl(path: Path) -> Any:
    """(line number, row) of each line. Raises DataError that names the line which is no JSON object in UTF-8."""
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise DataError(f"{path}:{number}: not UTF-8 text (byte {error.start} of the line)") from None
            except json.JSONDecodeError as error:
                shown = line.decode("utf-8")[:60]
                raise DataError(f"{path}:{number}: not JSON ({error.msg}): {shown!r}") from None
            if not isinstance(row, dict):
                shown = line.decode("utf-8")[:60]
                raise DataError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}: {shown!r}")
            yield number, row


def select(spec: Spec, seed: int) -> tuple[list[int], Dataset, dict[str, Any]]:
    """(row numbers from 0, the source with mapped columns, counts) of the rows that the filters and the limit keep.

    Raises DataError for a column that is not there and where nothing is left, with the count of each filter.
    """
    dataset = read(spec)
    if not len(dataset):
        raise DataError(f"{spec.label} holds no rows")
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
    counts: dict[str, Any] = {"rows": len(dataset), "dropped": dropped}
    if not kept:
        raise DataError(f"{spec.label}: none of {len(dataset)} rows is left after the filters: {_shown(dropped)}")
    if spec.limit is not None and spec.limit < len(kept):
        kept = sorted(random.Random(seed).sample(kept, spec.limit))
        counts["limit"] = spec.limit
    return kept, _mapped(spec, dataset), counts


def _filtered(spec: Spec, dataset: Dataset) -> tuple[list[int], dict[str, int]]:
    import numpy as np
    import pyarrow.compute as pc

    rows = np.arange(len(dataset))
    dropped = {}
    tests: list[tuple[str, str, Any]] = [("where", name, value) for name, value in spec.where.items()]
    tests += [(key, name, bound) for key in ("min", "max") for name, bound in getattr(spec, key).items()]
    for key, name, value in tests:
        mask = pc.fill_null(_test(spec, key, name, value, _column(spec, dataset, name)), False)
        left = rows[np.asarray(mask)[rows]]
        dropped[f"{key} {name}"] = len(rows) - len(left)
        rows = left
    return rows.tolist(), dropped


def _test(spec: Spec, key: str, name: str, value: Any, column: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if key == "where":
            wanted = value if isinstance(value, list) else [value]
            return pc.is_in(column, value_set=pa.array(wanted, type=column.type))
        return (pc.greater_equal if key == "min" else pc.less_equal)(column, value)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        raise DataError(f"{spec.label}: {key}: {value!r} cannot be compared with '{name}' ({column.type})") from None


def _column(spec: Spec, dataset: Dataset, name: str) -> Any:
    """A column, or what lies within one: `messages.1.content` is null where a row has no second message.

    Raises DataError where the column holds no such part.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if name in dataset.column_names:
        return dataset.data.column(name)
    root, *path = name.split(".")
    array = dataset.data.column(root)
    for part in path:
        kind = array.type
        if pa.types.is_struct(kind) and kind.get_field_index(part) >= 0:
            array = pc.struct_field(array, part)
        elif (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and part.isdecimal():
            one = pc.list_slice(array, int(part), int(part) + 1, return_fixed_size_list=True)
            array = pc.list_element(one, 0)
        else:
            raise DataError(f"{spec.label}: '{name}': nothing named '{part}' is in {kind}")
    return array


def _mapped(spec: Spec, dataset: Dataset) -> Dataset:
    """Columns under their own names; the source's columns of those names, if others, give way.

    A column that parts were taken of is left out: it would be read twice.
    """
    inner = {name: source for name, source in spec.columns.items() if source not in dataset.column_names}
    if inner:
        taken = {name: _column(spec, dataset, source) for name, source in inner.items()}
        roots = {source.split(".")[0] for source in inner.values()} | (set(inner) & set(dataset.column_names))
        dataset = dataset.remove_columns(sorted(roots - (set(spec.columns.values()) - set(inner))))
        for name, array in taken.items():
            dataset = dataset.add_column(name, array)
        spec = replace(spec, columns={name: one for name, one in spec.columns.items() if name not in inner})
    renamed = {source: name for name, source in spec.columns.items() if name != source}
    hidden = [name for name in dataset.column_names if name in spec.columns and name not in renamed]
    hidden = [name for name in hidden if spec.columns[name] != name]
    hidden += [name for name in spec.values if name in dataset.column_names and name not in renamed]
    return dataset.remove_columns(list(dict.fromkeys(hidden))).rename_columns(renamed)


def take(spec: Spec, numbers: Sequence[int], dataset: Dataset) -> list[Row]:
    """The rows of those numbers, with the constant values."""
    whole = len(numbers) == len(dataset) and numbers[0] == 0 and numbers[-1] == len(dataset) - 1
    try:
        rows = (dataset if whole else dataset.select(numbers)).to_list()
    except UnicodeDecodeError:  # Arrow decodes text only where it is taken out
        if spec.path.endswith(".jsonl"):
            explain_jsonl(Path(spec.path))
        raise DataError(f"{spec.label} is not UTF-8 text") from None
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
