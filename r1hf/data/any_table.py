"""A table as people's programs write it, read whole: CSV of any delimiter and encoding, JSON lines, JSON, Parquet.

Training reads fewer forms (`r1hf.data.sources`); `Given.others` says what of a file is beyond them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.errors import DataError
from r1hf.core.files import encoding_of
from r1hf.data.lines import COMPRESSED, ending, json_rows, numbered_jsonl, open_bytes

Row = dict[str, Any]
TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet")
_FOREIGN = {
    b"PK\x03\x04": "an Excel workbook or another zip file; in Excel: File, Save as, CSV UTF-8",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; in Excel: File, Save as, CSV UTF-8",
    b"%PDF": "a PDF",
    b"<!DO": "a web page",
    b"<htm": "a web page",
}
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_HALF = re.compile("[\ud800-\udfff]")
_PAIR = re.compile(rb"[\x81-\xfe][\x40-\xfe]")
_HIGH = re.compile(rb"[\x80-\xff]")
# In nearly every Chinese question; one of two encodings gives more of them.
_COMMON = frozenset("的是了在多少不有人一個个這这那几幾何和為为什么麼大小中上下出生以可能用時时会會分每共")


@dataclass
class Given:
    """What was read. places: line or number of each row. bad: rows that cannot be read, with their place. others: why
    training could not read the file as it is, each a piece of a sentence.
    """

    path: Path
    rows: list[Row] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    is_csv: bool = False
    has_commas: bool = False  # decimals as much of Europe writes them: the fields are parted by semicolon

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def add(self, numbered: Iterable[tuple[int, Row]]) -> Given:
        for place, row in numbered:
            self.places.append(place)
            self.rows.append(row)
        return self


def read_any(path: Path, encoding: str | None = None, delimiter: str | None = None) -> Given:
    """All rows of a file. encoding, delimiter: in place of the guess. Raises DataError that says what to do."""
    if ending(path) not in TABLES:
        known = f"{', '.join(TABLES)}, also packed as {', '.join(COMPRESSED)}"
        foreign = "; in Excel: File, Save as, CSV UTF-8" if path.suffix.lower() in (".xlsx", ".xls", ".ods") else ""
        raise DataError(f"{path} has an ending that is not read; use {known}{foreign}")
    try:
        with open_bytes(path) as stream:
            data = stream.read()
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if not data.strip(b"\xff\xfe\xef\xbb\xbf \t\r\n\x00"):
        raise DataError(f"{path} is empty: it holds no rows")
    given = Given(path)
    for start, what in _FOREIGN.items():
        if data.startswith(start):
            raise DataError(f"{path} is {what}")
    if ending(path) == ".parquet" or data.startswith(b"PAR1"):
        return _parquet(given)
    text = _text(given, data, encoding)
    opens = text.lstrip()[:1]
    if ending(path) in (".jsonl", ".ndjson", ".json") or (opens == "{" and '"' in text.lstrip()[:3]):
        return _json(given, text)
    return _csv(given, text, delimiter)


def _parquet(given: Given) -> Given:
    import pyarrow.parquet as pq

    try:
        return given.add(enumerate(pq.read_table(given.path).to_pylist(), 1))
    except (OSError, ValueError) as error:
        raise DataError(f"{given.path} cannot be read: {' '.join(str(error).split())[:200]}") from None


def _text(given: Given, data: bytes, encoding: str | None) -> str:
    """The text, bytes at fault escaped, so that their line can be named."""
    marked = encoding_of(data)
    if encoding is None and marked == "utf-8" and not _is_utf8(data):
        encoding = _guess(data)
        given.others.append(f"it is not UTF-8 and was read as {encoding} (--encoding NAME for another)")
    elif encoding is not None and encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
        given.others.append(f"it is {encoding}")
    try:
        errors = "surrogateescape" if encoding is None and marked == "utf-8" else "replace"
        text = data.decode(encoding or marked, errors)
    except LookupError:
        raise DataError(f"--encoding {encoding}: Python knows no such encoding") from None
    return text.removeprefix("\ufeff")


def _is_utf8(data: bytes) -> bool:
    """Whether most of the lines that are more than ASCII are UTF-8; others are then broken lines."""
    lines = [line for line in data.splitlines() if _HIGH.search(line)]
    whole = 0
    for line in lines:
        try:
            line.decode("utf-8")
            whole += 1
        except UnicodeDecodeError:
            pass
    return 2 * whole > len(lines) or not lines


def _guess(data: bytes) -> str:
    """Of text that is not UTF-8: a Chinese encoding where bytes above ASCII come in pairs, else that of Windows."""
    high = len(_HIGH.findall(data))
    paired = sum(1 + (pair[1] > 0x7F) for pair in _PAIR.findall(data))
    alone = len(re.findall(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])", data))
    if paired < 0.95 * high or 2 * alone > high:
        return "cp1252"
    found = {name: data.decode(name, "replace") for name in ("gb18030", "big5")}
    score = {name: sum(sign in _COMMON for sign in text) - text.count("\ufffd") for name, text in found.items()}
    return max(score, key=lambda name: score[name])


def _json(given: Given, text: str) -> Given:
    """Rows of JSON. What is another encoding than the reader's is handed to it as UTF-8."""
    import tempfile

    lines = ending(given.path) != ".json"
    if ending(given.path) not in (".jsonl", ".json"):
        given.others.append("it holds JSON, and its name does not end in .jsonl")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / ("a.jsonl" if lines else "a.json")
        copy.write_bytes(text.encode("utf-8", "surrogateescape"))
        if lines and text.lstrip().startswith("["):
            given.others.append("it is one JSON list, not a row a line")
            lines, copy = False, copy.rename(copy.with_suffix(".json"))
        bad: list[str] = []
        try:
            given.add(numbered_jsonl(copy, bad) if lines else json_rows(copy, bad))
        except DataError as error:
            raise DataError(str(error).replace(str(copy), str(given.path))) from None
    given.bad = [one.replace(str(copy), str(given.path)) for one in bad]
    if len(given.rows) == 1 and len(given.rows[0]) <= 5:  # {"data": [{…}, …]}
        inner = [value for value in given.rows[0].values() if isinstance(value, list) and len(value) > 1]
        if len(inner) == 1 and all(isinstance(item, dict) for item in inner[0]) and "role" not in inner[0][0]:
            given.rows, given.places = list(inner[0]), list(range(1, len(inner[0]) + 1))
            given.others.append("its rows lie within one object")
    return given


def _csv(given: Given, text: str, delimiter: str | None) -> Given:
    given.is_csv = True
    if named := re.match(r"sep=(.)\r?\n", text):  # Excel's own first line
        delimiter, text = delimiter or named[1], text[named.end() :]
        given.others.append("it begins with Excel's line sep=")
    delimiter = (delimiter or _delimiter(text)).replace("\\t", "\t")
    given.has_commas = delimiter == ";"
    if len(delimiter) != 1:
        raise DataError(f"--delimiter {delimiter}: one sign")
    if delimiter != ",":
        given.others.append(f"its fields are parted by {_DELIMITERS.get(delimiter, delimiter)}, not by comma")
    elif ending(given.path) != ".csv":
        given.others.append("its name does not end in .csv")
    csv.field_size_limit(1 << 30)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        while header and not any(name.strip() for name in header):
            given.others.append("its first lines are blank")
            header = next(reader, [])
        if header != (header := [name.strip() for name in header]):
            given.others.append("there are blanks around its columns' names")
        _check_header(given, header)
        for record in reader:
            line = reader.line_num
            if any(cell.strip() for cell in record):
                _take(given, header, record, line)
    except csv.Error as error:
        raise DataError(f"{given.path}:{reader.line_num}: not CSV ({error}): a quote is never closed?") from None
    if not given.rows and not given.bad:
        raise DataError(f"{given.path} holds names of columns ({', '.join(header)}) and no rows")
    return given


def _delimiter(text: str) -> str:
    """The sign that parts the first lines into the most fields of one number; comma where none does."""
    best, most = ",", 1
    for sign in _DELIMITERS:
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=sign)
            counts = [len(record) for record, _ in zip(reader, range(20), strict=False) if any(record)]
        except csv.Error:
            continue
        if counts and counts[0] > most and 2 * counts.count(counts[0]) > len(counts):
            best, most = sign, counts[0]
    return best


def _check_header(given: Given, header: list[str]) -> None:
    while header and not header[-1]:  # Excel's empty columns at the end
        header.pop()
    names = [name for name in header if name]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{given.path}: two columns are called '{twice}'; rename one in the first line")
    if any(not name for name in header):
        given.others.append("a column has no name")


def _take(given: Given, header: list[str], record: list[str], line: int) -> None:
    if any(cell.strip() for cell in record[len(header) :]):
        given.bad.append(f"{given.path}:{line}: {len(record)} fields, and the first line names {len(header)}")
    elif any(_HALF.search(cell) for cell in record):
        given.bad.append(f"{given.path}:{line}: not UTF-8 text; save the file as UTF-8")
    else:
        cells = [*record, *[""] * len(header)]
        given.rows.append({name: cell for name, cell in zip(header, cells, strict=False) if name})
        given.places.append(line)


def loaded(value: Any) -> Any:
    """What a text cell holds: a list or mapping where it is JSON or Python's writing of one, else the text."""
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    import ast

    try:
        found = ast.literal_eval(re.sub(r"array\((\[.*?\]), dtype=\w+\)", r"\1", value.strip(), flags=re.DOTALL))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
    if isinstance(found, list) and len(found) == 1 and re.search(r"['\"]\s+['\"]", value):  # NumPy: ['a' 'b']
        return [text for _, text in re.findall(r"(['\"])(.*?)\1(?=[\s\]])", value, re.DOTALL)]
    return found if isinstance(found, list | dict) else value
