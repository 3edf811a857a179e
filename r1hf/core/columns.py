"""Columns within columns: `messages.0.content`, `messages.-1.content`, `meta.level`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from r1hf.core.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

_PLACE = re.compile(r"-?\d+")


def column(label: str, dataset: Dataset, name: str) -> Any:
    """A column of the table, or what lies within one; null where a row's list is too short or a key is not there.

    Text on the way is read as JSON. Raises DataError, with `label`, where the column holds no such part.
    """
    if name in dataset.column_names:
        return dataset.data.column(name)
    root, *path = name.split(".")
    array = dataset.data.column(root)
    if "json" in str(array.type):  # Arrow's extension type, in which `datasets` keeps what is of several types
        return _within(label, name, [row[root] for row in dataset.select_columns([root]).to_list()], path)
    for depth, part in enumerate(path):
        kind = array.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _within(label, name, array.to_pylist(), path[depth:])
        array = _part(array, part)
        if array is None:
            hint = "; a list's place comes first, as in messages.0.content" if "list" in str(kind) else ""
            raise DataError(f"{label}: '{name}': nothing named '{part}' is in {_short(kind)}{hint}")
    return array


def values_of(array: Any) -> list[Any]:
    """A column's values as Python has them."""
    values: list[Any] = array.to_pylist()
    if isinstance(array.type, pa.BaseExtensionType) and "json" in str(array.type):
        return [None if text is None else json.loads(text) for text in values]
    return values


def _part(array: Any, part: str) -> Any:
    """What every value of a column has under a name or at a place; None where its type has no such thing."""
    kind = array.type
    if pa.types.is_null(kind):
        return array
    if pa.types.is_struct(kind) and kind.get_field_index(part) >= 0:
        return pc.struct_field(array, part)
    if pa.types.is_map(kind):
        return pc.map_lookup(array, pa.scalar(part, type=kind.key_type), "first")
    if pa.types.is_fixed_size_list(kind):
        array = array.cast(pa.list_(kind.value_type))
        kind = array.type
    if (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _PLACE.fullmatch(part):
        return pa.chunked_array([_element(chunk, int(part)) for chunk in array.chunks], type=kind.value_type)
    return None


def _element(chunk: Any, place: int) -> Any:
    """The items at a place of each list, from the end where it is negative; null where there is none."""
    import numpy as np

    offsets = np.asarray(chunk.offsets)
    starts, ends = offsets[:-1], offsets[1:]
    found = (starts if place >= 0 else ends) + place
    lacking = (found < starts) | (found >= ends) | np.asarray(chunk.is_null())
    return chunk.values.take(pa.array(np.where(lacking, 0, found), mask=lacking))


def _within(label: str, name: str, values: list[Any], path: list[str]) -> Any:
    """What lies at a path in each value."""
    import datasets

    found, known = [], False
    for number, value in enumerate(values, 1):
        for part in path:
            if isinstance(value, str):
                value = _loaded(f"{label}, row {number}: '{name}'", value)
            if isinstance(value, dict):
                known, value = known or part in value, value.get(part)
            elif isinstance(value, list) and _PLACE.fullmatch(part):
                known = True
                value = value[int(part)] if -len(value) <= int(part) < len(value) else None
            else:
                value = None
        found.append(value)
    if not known and any(values):
        raise DataError(
            f"{label}: '{name}': no row holds such a part; the first is {next(filter(None, values))!r:.60}"
        )
    return datasets.Dataset.from_dict({"part": found}, on_mixed_types="use_json").data.column("part")


def _loaded(where: str, text: str) -> Any:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise DataError(f"{where}: {text!r:.60} is text, and no JSON to look into") from None


def one_type(values: list[Any]) -> list[Any]:
    """The values as they are where Arrow finds one type for them; else all as text, what is no text as JSON.

    Raises UnicodeEncodeError for text that no UTF-8 can hold.
    """
    try:
        pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return [value if value is None or isinstance(value, str) else _as_json(value) for value in values]
    return values


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _short(kind: Any) -> str:
    text = re.sub(r"\s+", " ", str(kind))
    return text if len(text) <= 80 else f"{text[:79]}…"
