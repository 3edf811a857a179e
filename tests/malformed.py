"""Files as they must not be: cut, flipped, of other types at random places, nested deep, or no plain file at all.

`forms(valid, kind, seed)` gives (name, maker); a maker puts the file at a path. The same seed gives the same forms.
"""

from __future__ import annotations

import copy
import json
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

Maker = Callable[[Path], None]
DEEP = 100_000
LONG = 10**6

# What stands in a place of another type.
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 7, 10**18, 10**30, -(10**400), 0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "\ud800", "\x00", "7", "../../etc/passwd", "{{ 1 / 0 }}", [], [None], [[]], ["x"] * 3, {}, {"": None}),
    *({"x": {"y": 1}}, "y" * 5000, "\u202e<b>"),
)
CPU_SECONDS = 4.0  # a form that takes longer hangs
WAITING_SECONDS = 60.0  # for what waits without working: a pipe that nobody writes to


class Hangs(BaseException):
    """Past every `except Exception`."""


@contextmanager
def watched() -> Iterator[None]:
    """Raises `Hangs` after two seconds of work, or a minute of waiting."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hangs(f"no end after {CPU_SECONDS} s of work or {WAITING_SECONDS} s of waiting")

    before = [(number, signal.signal(number, ring)) for number in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)


def forms(valid: bytes, kind: str, seed: int, count: int = 60) -> list[tuple[str, Maker]]:
    """`count` malformed files. kind: json, jsonl, yaml, text or binary says what `valid` is."""
    rng = random.Random(f"{kind} {seed}")
    found: list[tuple[str, Maker]] = [*_no_files(), *((name, _writes(data)) for name, data in _encodings(valid))]
    if kind in _STRUCTURED:
        found += [(name, _writes(data)) for name, data in _structured(valid, kind, rng)]
    number = 0
    while len(found) < count:
        number += 1
        found.append((f"cut {number}", _writes(valid[: rng.randrange(len(valid))])))
        found.append((f"flipped {number}", _writes(_flipped(valid, rng))))
        if kind in _STRUCTURED:
            found.append((f"another type {number}", _writes(_other_type(valid, kind, rng))))
    return found[:count]


def _writes(data: bytes) -> Maker:
    return lambda path: None if path.write_bytes(data) else None


def _no_files() -> list[tuple[str, Maker]]:
    def closed(path: Path) -> None:
        path.write_bytes(b"{}")
        path.chmod(0)

    def bound(path: Path) -> None:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's name is at most 107 bytes long
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(path.name)
        finally:
            os.chdir(here)

    return [
        ("a directory", lambda path: path.mkdir()),
        ("a pipe", lambda path: os.mkfifo(path)),
        ("a socket", bound),
        ("a link to itself", lambda path: path.symlink_to(path.name)),
        ("a link to nothing", lambda path: path.symlink_to("nothing-there")),
        ("/dev/zero", lambda path: path.symlink_to("/dev/zero")),
        ("/dev/null", lambda path: path.symlink_to("/dev/null")),
        ("nobody may read it", closed),
    ]


def _encodings(valid: bytes) -> Iterator[tuple[str, bytes]]:
    yield "empty", b""
    yield "blank", b" \n\t\n"
    yield "a byte-order mark", b"\xef\xbb\xbf" + valid
    yield "two byte-order marks", b"\xef\xbb\xbf" * 2 + valid
    text = valid.decode("utf-8", "replace")
    yield "UTF-16", text.encode("utf-16")
    yield "UTF-16 without its mark", text.encode("utf-16-le")
    yield "half a character", valid[: len(valid) // 2] + b"\xed\xa0\x80" + valid[len(valid) // 2 :]
    yield "NUL bytes", valid[: len(valid) // 3] + b"\0" * 40 + valid[len(valid) // 3 :]
    yield "NUL alone", b"\0" * 4096
    yield "twice", valid + valid
    yield "nested lists", b"[" * DEEP
    yield "nested objects", b'{"a":' * DEEP
    yield "nested and closed", b"[" * DEEP + b"]" * DEEP
    yield "a long line", b"x" * LONG
    yield "a long line after the rest", valid + b"\n" + b"y " * (LONG // 2)
    yield "a long list", b"[" + b"1," * (LONG // 2) + b"1]"
    yield "a number of many digits", b"9" * 5000
    yield "text alone", b'"x"'
    yield "a list alone", b"[1, 2]"
    yield "null", b"null"


_STRUCTURED = ("json", "jsonl", "yaml")


def _dumped(value: Any, kind: str) -> bytes:
    if kind == "yaml":
        try:
            return yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")
        except ValueError:  # a number of too many digits to write
            return repr(type(value)).encode()
    rows = value if kind == "jsonl" else [value]
    return b"".join(json.dumps(row, default=str).encode() + b"\n" for row in rows)


def _loaded(valid: bytes, kind: str) -> Any:
    if kind == "yaml":
        return yaml.safe_load(valid)
    return [json.loads(line) for line in valid.splitlines() if line.strip()] if kind == "jsonl" else json.loads(valid)


def _structured(valid: bytes, kind: str, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    if kind != "yaml":
        text = valid.decode()
        first = text.index("{") + 1
        key = text[first:].partition(":")[0].strip()
        yield "a key twice", (text[:first] + f"{key}: 1, " + text[first:]).encode()
        yield "NaN at the end", text.replace("}", ', "z": NaN, "w": -Infinity}', 1).encode()
        yield "a nest within", (text[:first] + f"{key}: " + "[" * DEEP + "]" * DEEP + ", " + text[first:]).encode()
        yield "a huge number within", (text[:first] + f"{key}: 1e999, " + text[first:]).encode()
        yield "many digits within", (text[:first] + f"{key}: {'9' * 6000}, " + text[first:]).encode()
        yield "a long text within", (text[:first] + f'{key}: "{"z" * LONG}", ' + text[first:]).encode()
    else:
        yield "a tab", valid.replace(b"\n", b"\n\t", 1)
        yield "a tag", b"x: !!python/object/apply:os.system [true]\n" + valid
        yield "anchors", b"a: &a [x, x]\n" + b"".join(b"b%d: &b%d [*a, *a]\n" % (n, n) for n in range(9)) + valid
        yield (
            "laughs",
            b"l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n"
            + b"".join(b"l%d: &l%d [%s]\n" % (n, n, b", ".join([b"*l%d" % (n - 1)] * 10)) for n in range(1, 10)),
        )
        yield "itself within", b"a: &a\n  b: *a\n" + valid
        yield "a base that it extends", b"extends: [x.yaml, 7]\n" + valid
    for number in range(14):
        yield f"another type {-number}", _other_type(valid, kind, rng)
    for number in range(3):
        yield f"a key less {number}", _without(valid, kind, rng)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every place in nested values."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        for key in list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ():
            yield item, key
            waiting.append(item[key])


def _other_type(valid: bytes, kind: str, rng: random.Random) -> bytes:
    value = copy.deepcopy(_loaded(valid, kind))
    container, key = rng.choice(list(_places(value)))
    container[key] = rng.choice(STRANGE)
    return _dumped(value, kind)


def _without(valid: bytes, kind: str, rng: random.Random) -> bytes:
    value = copy.deepcopy(_loaded(valid, kind))
    container, key = rng.choice(list(_places(value)))
    del container[key]
    return _dumped(value, kind)


def _flipped(valid: bytes, rng: random.Random) -> bytes:
    data = bytearray(valid)
    for _ in range(rng.choice((1, 3, 30))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)
