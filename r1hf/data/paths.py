"""Columns within columns: `messages.0.content`, `messages.-1.content`, `meta.level`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from r1hf.errors import DataError

if TYPE_CHECKING:
    from datasets import Dataset

_PLACE = re.compile(r"-?\d+")


def column(label: str, dataset: Dataset, name: str) -> Any:
    """A column of the table, or what lies within one; null where a row's list is too short or a key is not there.

    Text on the way is read as JSON. Raises DataError, with `label`, where the column holds no such part.
    """
    if name in dataset.column_names:
        array = dataset.data.column(name)
        return _written(array.to_pylist()) if _is_json(array.type) else array
    root, *path = name.split(".")
    array = dataset.data.column(root)
    for depth, part in enumerate(path):
        kind = array.type
        if _is_text(kind):
            return _within_text(label, name, array, path[depth:])
        array = _part(array, part)
        if array is None:
            hint = "; a list's place comes first, as in messages.0.content" if "list" in str(kind) else ""
            raise DataError(f"{label}: '{name}': nothing named '{part}' is in {_short(kind)}{hint}")
    return _written(array.to_pylist()) if _is_json(array.type) else array


def _part(array: Any, part: str) -> Any:
    """What every value of a column has under a name or at a place; None where its type has no such thing."""
    import pyarrow as pa
    import pyarrow.compute as pc

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
    import pyarrow as pa

    offsets = np.asarray(chunk.offsets)
    starts, ends = offsets[:-1], offsets[1:]
    found = (starts if place >= 0 else ends) + place
    lacking = (found < starts) | (found >= ends) | np.asarray(chunk.is_null())
    return chunk.values.take(pa.array(np.where(lacking, 0, found), mask=lacking))


def _is_json(kind: Any) -> bool:
    return "json" in str(kind)  # Arrow's extension type, in which `datasets` keeps what is of several types


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return _is_json(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _within_text(label: str, name: str, array: Any, path: list[str]) -> Any:
    """What JSON texts hold at a path."""
    found, known = [], False
    for number, text in enumerate(array.to_pylist(), 1):
        try:
            value = json.loads(text) if isinstance(text, str) and text.strip() else None
        except ValueError:
            raise DataError(
                f"{label}, row {number}: '{name}': {text!r:.60} is text, and no JSON to look into"
            ) from None
        for part in path:
            if isinstance(value, str):  # JSON within JSON
                value = _loaded(value)
            if isinstance(value, dict):
                known, value = known or part in value, value.get(part)
            elif isinstance(value, list) and _PLACE.fullmatch(part):
                known = True
                value = value[int(part)] if -len(value) <= int(part) < len(value) else None
            else:
                value = None
        found.append(value)
    if not known and any(text for text in array.to_pylist()):
        raise DataError(f"{label}: '{name}': nothing named '{path[0]}' is in any row")
    return _plain(found)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _written(texts: list[str | None]) -> Any:
    """A JSON column as one of a single type."""
    return _plain([None if text is None else json.loads(text) for text in texts])


def _plain(values: list[Any]) -> Any:
    import pyarrow as pa

    return pa.chunked_array([pa.array(one_type(values))])


def one_type(values: list[Any]) -> list[Any]:
    """The values as they are where Arrow finds one type for them; else all as text, what is no text as JSON.

    Raises UnicodeEncodeError for text that no UTF-8 can hold.
    """
    import pyarrow as pa

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
