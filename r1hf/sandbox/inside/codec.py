"""Plain values as bytes, for arguments and results: the one thing that crosses the wall beside text.

None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict. A subclass goes as the data of its
base (an `IntEnum` as its number), numpy's arrays and numbers as lists and numbers, so a result arrives without
behaviour of its own: no `__eq__`, no code.
`json` would lose tuples, bytes and keys that are no text, and costs 5 ms to import.
"""

from __future__ import annotations

MAX_DEPTH = 100

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
    raise CodecError(f"a value of type {type(value).__name__}, which is no plain data")


def _text(mark: bytes, data: bytes, out: list[bytes]) -> None:
    out.append(mark + b"%x;" % len(data))
    out.append(data)


def decode(data: bytes) -> object:
    """The value in `data`. Raises CodecError for anything that `encode` does not write; never runs code."""
    try:
        value, end = _decode(data, 0, 0)
    except CodecError:
        raise
    except (ValueError, IndexError, TypeError, OverflowError, UnicodeError) as error:
        raise CodecError("broken bytes") from error
    if end != len(data):
        raise CodecError("bytes after the value")
    return value


def _decode(data: bytes, at: int, depth: int) -> tuple[object, int]:
    if depth > MAX_DEPTH:
        raise CodecError("nested too deep")
    mark, at = data[at : at + 1], at + 1
    if mark in (b"n", b"T", b"U"):
        return {b"n": None, b"T": True, b"U": False}[mark], at
    end = data.index(b";", at)
    head, at = data[at:end], end + 1
    if mark == b"i":
        return int(head, 16), at
    if mark == b"f":
        return float.fromhex(head.decode("ascii")), at
    if mark == b"c":
        real, imaginary = head.decode("ascii").split(" ")
        return complex(float.fromhex(real), float.fromhex(imaginary)), at
    count = int(head, 16)
    if not 0 <= count <= len(data) - at:  # every item takes at least one byte
        raise CodecError("broken length")
    if mark in (b"s", b"y"):
        raw = data[at : at + count]
        return (raw.decode("utf-8", "surrogatepass") if mark == b"s" else raw), at + count
    items = []
    for _ in range(count * 2 if mark == b"d" else count):
        item, at = _decode(data, at, depth + 1)
        items.append(item)
    if mark in b"dSF":
        _check_hashes(items[::2] if mark == b"d" else items)
    if mark == b"d":
        return dict(zip(items[::2], items[1::2], strict=True)), at
    return {b"l": list, b"t": tuple, b"S": set, b"F": frozenset}[mark](items), at


def _check_hashes(keys: list[Any]) -> None:
    """Forged keys of one hash would keep the parent busy for minutes: a table of them takes quadratic time."""
    if len(keys) > 1000 and 2 * len({hash(key) for key in keys}) < len(keys):
        raise CodecError("keys that share one hash")
