"""Plain values as bytes, for arguments and results: the one thing that crosses the wall beside text.

None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict. A subclass goes as the data of its
base (an `IntEnum` as its number), numpy's arrays and numbers as lists and numbers, so a result arrives without
behaviour of its own: no `__eq__`, no code.
`json` would lose tuples, bytes and keys that are no text, and costs 5 ms to import.
"""

from __future__ import annotations

import time

MAX_DEPTH = 100
MOST = 1_000_000  # values in one, for `plain`
_HASHING_SECONDS = 2.0
_CONSTANTS = {b"n": None, b"T": True, b"U": False}

TYPE_CHECKING = False  # importing `typing` costs 7 ms
if TYPE_CHECKING:
    from typing import Any

_SEQUENCES: tuple[tuple[Any, bytes], ...] = ((list, b"l"), (tuple, b"t"), (set, b"S"), (frozenset, b"F"))


class CodecError(ValueError):
    """A value that is no plain data, or bytes that are no value."""


def encode(value: object) -> bytes:
    """Raises CodecError for other types, more than 100 levels (so for cycles too)."""
    out: list[bytes] = []
    _encode(value, out, 0)
    return b"".join(out)


def _encode(value: object, out: list[bytes], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise CodecError(f"a value nested deeper than {MAX_DEPTH} levels, or one that contains itself")
    kind = type(value)
    if value is None:
        out.append(b"n")
    elif kind is bool:
        out.append(b"T" if value else b"U")
    elif isinstance(value, int):
        out.append(b"i%x;" % int(value) if value >= 0 else b"i-%x;" % -int(value))
    elif isinstance(value, float):
        out.append(b"f" + float.hex(value).encode() + b";")
    elif isinstance(value, complex):
        out.append(b"c" + float.hex(value.real).encode() + b" " + float.hex(value.imag).encode() + b";")
    elif isinstance(value, str):
        _text(b"s", str.encode(value, "utf-8", "surrogatepass"), out)
    elif isinstance(value, (bytes, bytearray)):
        _text(b"y", bytes(value), out)
    elif isinstance(value, dict):
        items = list(dict.items(value))
        out.append(b"d%x;" % len(items))
        for key, item in items:
            _encode(key, out, depth + 1)
            _encode(item, out, depth + 1)
    else:
        _sequence(value, out, depth)


def _sequence(value: Any, out: list[bytes], depth: int) -> None:
    for base, mark in _SEQUENCES:
        if isinstance(value, base):
            items = list(base.__iter__(value))
            out.append(mark + b"%x;" % len(items))
            for item in items:
                _encode(item, out, depth + 1)
            return
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        _encode(value.tolist(), out, depth + 1)
        return
    raise CodecError(f"a value of type {type(value).__name__}, which is not plain data")


def _text(mark: bytes, data: bytes, out: list[bytes]) -> None:
    out.append(mark + b"%x;" % len(data))
    out.append(data)


def decode(data: bytes) -> object:
    """The value in bytes that `encode` wrote. Raises CodecError for anything else; never runs code."""
    return _Reader(data, len(data), dict, set, frozenset).whole()


def foreign(data: memoryview, most: int) -> object:
    """The value in bytes that anybody may have written, in linear time: nothing is hashed.

    A dict comes as a Table, a set as a Bag. Raises CodecError also for more than `most` values.
    """
    return _Reader(bytes(data), most, Table, Bag, Bag).whole()


def plain(data: memoryview) -> object:
    """As `foreign`, with dicts and sets, and up to a million values.

    Raises CodecError also where hashing takes 2 s of CPU time: of keys that were made to meet in one place.
    """
    clock = _Clock()
    return _Reader(bytes(data), MOST, clock.dict, clock.set, lambda items: frozenset(clock.set(items))).whole()


class Table(list):
    """The items of a dict, in pairs; not hashed, so a key may come twice."""


class Bag(list):
    """The items of a set; not hashed, so one may come twice."""


class _Clock:
    """Builds tables as long as there is time."""

    def __init__(self) -> None:
        self.end = time.thread_time() + _HASHING_SECONDS

    def dict(self, pairs: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, item in pairs:
            made[key] = item
            self.look()
        return made

    def set(self, items: Any) -> set[Any]:
        made: set[Any] = set()
        for item in items:
            made.add(item)
            self.look()
        return made

    def look(self) -> None:
        if time.thread_time() > self.end:
            raise CodecError("keys that share their places in a table")


class _Reader:
    """Reads one value, `most` with all that are in it."""

    def __init__(self, data: bytes, most: int, table: Any, bag: Any, frozen: Any):
        self.data, self.at, self.most, self.left = data, 0, most, most
        self.table = table
        self.makers = {b"l": list, b"t": tuple, b"S": bag, b"F": frozen}

    def whole(self) -> object:
        try:
            value = self.value(0)
        except CodecError:
            raise
        except (ValueError, IndexError, TypeError, KeyError, OverflowError) as error:
            raise CodecError("broken bytes") from error
        if self.at != len(self.data):
            raise CodecError("bytes after the value")
        return value

    def value(self, depth: int) -> object:
        mark = self.data[self.at : self.at + 1]
        self.at += 1
        self.take(1)
        if mark in _CONSTANTS:
            return _CONSTANTS[mark]
        end = self.data.index(b";", self.at)
        head, self.at = self.data[self.at : end], end + 1
        if mark == b"i":
            return int(head, 16)
        if mark == b"f":
            return float.fromhex(head.decode("ascii"))
        if mark == b"c":
            real, imaginary = head.decode("ascii").split(" ")
            return complex(float.fromhex(real), float.fromhex(imaginary))
        count = int(head, 16)
        if not 0 <= count <= len(self.data) - self.at:  # every item takes at least one byte
            raise CodecError("broken length")
        return self.text(mark, count) if mark in (b"s", b"y") else self.items(mark, count, depth + 1)

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise CodecError(f"more than {self.most} values")

    def text(self, mark: bytes, count: int) -> str | bytes:
        raw = self.data[self.at : self.at + count]
        self.at += count
        return raw.decode("utf-8", "surrogatepass") if mark == b"s" else raw

    def items(self, mark: bytes, count: int, depth: int) -> object:
        if depth > MAX_DEPTH:
            raise CodecError("nested too deep")
        if mark == b"d":
            return self.table([(self.value(depth), self.value(depth)) for _ in range(count)])
        return self.makers[mark]([self.value(depth) for _ in range(count)])
