"""JSON lines as people's tools write them: byte-order marks, UTF-16, Windows line ends, compressed files."""

from __future__ import annotations

import bz2
import gzip
import importlib
import json
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from r1hf.core.errors import DataError
from r1hf.core.files import encoding_of, open_plain

Row = dict[str, Any]
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)


def ending(path: Path) -> str:
    """`.jsonl` of `a.jsonl` and of `a.jsonl.gz`."""
    return (path.with_suffix("") if path.suffix in COMPRESSED else path).suffix


def is_jsonl(source: Any) -> bool:
    """Whether a data field is the plain path of a file of JSON lines."""
    return isinstance(source, str) and ending(Path(source)) == ".jsonl" and Path(source).is_file()


def open_bytes(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked. Raises DataError where nothing here unpacks them."""
    stream = open_plain(path)  # before anything waits for a pipe
    if path.suffix not in COMPRESSED:
        return stream
    stream.close()
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if path.suffix == ".zst":
        try:
            openers[".zst"] = importlib.import_module("zstandard").open
        except ImportError:
            raise DataError(
                f"{path} is packed by zstd; unpack it (zstd -d {path}), or "
                ".uv/bin/uv pip install --python .venv/bin/python zstandard"
            ) from None
    return openers[path.suffix](path, "rb")


def numbered_jsonl(path: Path, bad: list[str] | None = None) -> Iterator[tuple[int, Row]]:
    """(line number, row) of each line. What is wrong with a line that is no JSON object in UTF-8 goes to `bad`, with
    its place; without `bad` it is raised as DataError.

    A file that begins with a byte-order mark is read in the encoding that it stands for.
    """
    try:
        for number, line in _lines(path):
            if not line.strip():
                continue
            try:
                row = _row(f"{path}:{number}", line)
            except DataError as error:
                if bad is None:
                    raise
                bad.append(str(error))
                continue
            yield number, row
    except _BROKEN as error:
        raise DataError(f"{path} cannot be read to its end ({error}); was it copied whole?") from None


def _lines(path: Path) -> Iterator[tuple[int, str | bytes]]:
    """(number, line) of a file; a line as bytes where it is no UTF-8."""
    with open_bytes(path) as stream:
        encoding = encoding_of(stream.read(4))
        stream.seek(0)
        if encoding != "utf-8":  # of several bytes each: lines cannot be told apart before decoding
            try:
                yield from enumerate(stream.read().decode(encoding).removeprefix("\ufeff").split("\n"), 1)
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: not {encoding} text, as its first bytes say (byte {error.start})") from None
            return
        for number, line in enumerate(stream, 1):
            try:
                yield number, line.decode("utf-8").removeprefix("\ufeff")
            except UnicodeDecodeError:
                yield number, line


def _row(where: str, line: str | bytes) -> Row:
    if isinstance(line, bytes):
        try:
            line = line.decode("utf-8")
        except UnicodeDecodeError as error:
            reason = f"not UTF-8 text (byte {error.start} of the line); save the file as UTF-8"
            raise DataError(f"{where}: {reason}") from None
    shown = line.strip()[:60]
    try:
        row = json.loads(line, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        cut = "" if line.endswith("\n") else "; the file ends in this line: was it copied whole?"
        raise DataError(f"{where}: not JSON ({error.msg}): {shown!r}{cut}") from None
    except (ValueError, RecursionError) as error:  # a key twice, a number of thousands of digits, a deep nest
        reason = "a number too long to read; write it as text" if "digits" in str(error) else str(error)
        raise DataError(f"{where}: {reason}: {shown!r}") from None
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(row).__name__}: {shown!r}")
    if "\\ud" in line.lower() and not _whole(row):
        raise DataError(f"{where}: half a character, which no UTF-8 can hold; mend the text: {shown!r}")
    return row


def _whole(row: Row) -> bool:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _once(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice}' stands there twice; keep one")
    return row


def json_rows(path: Path, bad: list[str]) -> list[tuple[int, Row]]:
    """(number, row) of a `.json` file: a list of objects, one object, or lines of them. `bad` as above.

    Raises DataError.
    """
    try:
        with open_bytes(path) as stream:
            data = stream.read()
        content = json.loads(data.decode(encoding_of(data)).removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return list(numbered_jsonl(path, bad))
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None
    except (ValueError, RecursionError, *_BROKEN) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    rows = list(enumerate(content if isinstance(content, list) else [content], 1))
    bad += [
        f"{path}, row {number}: expected a JSON object, found {type(row).__name__}: {row!r:.60}"
        for number, row in rows
        if not isinstance(row, dict)
    ]
    return [(number, row) for number, row in rows if isinstance(row, dict)]
