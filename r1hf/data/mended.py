"""Files that a format's own reader refuses as a whole for some rows: read again, without these rows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.core.errors import DataError
from r1hf.core.files import encoding_of
from r1hf.data.lines import ending, json_rows, numbered_jsonl, open_bytes

if TYPE_CHECKING:
    from datasets import Dataset

_BRACKETS = 500  # in a line: with more of them it may be nested too deep
_ROWS = re.compile(rb"\s*(?:\[\s*)?\{")  # an object, or a list of them
_HALF = re.compile("[\ud800-\udfff]")


def arrow_reads(path: Path) -> bool:
    """Whether Arrow can be given a `.json` or `.jsonl` file: it takes bytes that are no UTF-8, and ends the process
    where values are nested too deep.
    """
    try:
        with open_bytes(path) as stream:
            if ending(path) == ".jsonl":
                return all(_is_shallow(line, (b"{}", b"")) for line in stream)
            text = stream.read()
            return _ROWS.match(text) is not None and _is_shallow(text, (b"{}", b"[]"))
    except (ValueError, RecursionError):
        return False


def _is_shallow(line: bytes, ends: Collection[bytes]) -> bool:
    """Whether a value begins and ends in the line, and is not nested deep.

    Raises ValueError and RecursionError where it is no UTF-8 or no JSON.
    """
    line.decode("utf-8")
    if line.count(b"[") + line.count(b"{") > _BRACKETS:
        json.loads(line)
    stripped = line.strip()
    return stripped[:1] + stripped[-1:] in ends


def json_table(path: Path, bad: list[str]) -> tuple[Dataset, list[int]]:
    """A table of the rows of a `.json` or `.jsonl` file that can be read, and the number of each; others to `bad`."""
    import datasets

    found = list(numbered_jsonl(path, bad)) if ending(path) == ".jsonl" else json_rows(path, bad)
    rows = [row for _, row in found]
    names = dict.fromkeys(name for row in rows for name in row)
    rows = [{name: _fitting(row.get(name)) for name in names} for row in rows]
    return datasets.Dataset.from_list(rows, on_mixed_types="use_json"), [number for number, _ in found]


def _fitting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _fitting(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_fitting(item) for item in value]
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def csv_table(path: Path, bad: list[str]) -> tuple[Dataset, list[int]]:
    """A table of the rows of a CSV file that have no more fields than its first line, in UTF-8; the rest to `bad`.

    Raises DataError where rows cannot be told apart.
    """
    import datasets
    import pandas

    with open_bytes(path) as stream:
        data = stream.read()
    text = data.decode(encoding_of(data), "surrogateescape").removeprefix("\ufeff")
    kept, places = io.StringIO(newline=""), []
    writer = csv.writer(kept)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        writer.writerow(header := next(reader))
        for record in reader:
            if fault := _fault(record, header):
                bad.append(f"{path}:{reader.line_num}: {fault}")
            elif record:
                writer.writerow(record)
                places.append(reader.line_num)
    except (csv.Error, UnicodeEncodeError, StopIteration) as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error})") from None
    kept.seek(0)
    return datasets.Dataset.from_pandas(pandas.read_csv(kept), preserve_index=False), places


def _fault(record: list[str], header: list[str]) -> str | None:
    if len(record) > len(header):
        return f"{len(record)} fields, and the first line names {len(header)}"
    return "not UTF-8 text; save the file as UTF-8" if any(map(_HALF.search, record)) else None
