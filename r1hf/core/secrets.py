"""Access tokens, private keys and passwords in whatever is published, logged or printed.

`secret_rules.toml` has their shapes. Each begins with a literal, so a byte is looked at only where one of the literals
may begin: numpy finds these places, and one pattern is tried at each. Besides the shapes, the values of this process's
own secret variables are found wherever they stand.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any

MASK = "***"
_RULES = Path(__file__).with_name("secret_rules.toml")
_PIECE = 1 << 19  # bytes that are scanned at once: they stay in the processor's cache
_LONGEST = 4096  # bytes of a secret, so much of a piece is seen again with the next
_SHORT = 2048  # bytes below which numpy is not worth its start
_VARIABLE = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_?KEY|_PAT|_PWD|CREDENTIALS?)$", re.I)
# What people write where a secret would stand.
_PLACEHOLDER = re.compile(
    rb"(?:[xX*.0_-]|%[sd])*$|\Z|.*(?:xxxx|XXXX|\*\*\*|\.\.\.|your|YOUR|Your|example\b|placeholder|PLACEHOLDER|changeme)",
    re.DOTALL,
)
_WORDS = re.compile(
    rb"(?:pass(?:w(?:or)?d)?|pwd|pw|secret|token|user(?:name)?|admin|test|key|[$%]\w*|[(\[<].*|x+|\*+)\d{0,3}",
    re.I | re.DOTALL,
)


@dataclass(frozen=True)
class Found:
    """A secret in bytes: `name` of its rule, and where it begins and ends. hidden: what must not be shown of it."""

    name: str
    start: int
    end: int
    hidden: int


@cache
def _rules() -> tuple[dict[bytes, list[tuple[str, str, re.Pattern[bytes]]]], list[bytes]]:
    """{first three bytes: section, name and pattern of rules that may begin with them}, and all literal starts."""
    table: dict[bytes, list[tuple[str, str, re.Pattern[bytes]]]] = {}
    everything = []
    for section, group in tomllib.loads(_RULES.read_text(encoding="utf-8")).items():
        for name, (*starts, rest) in group.items():
            for start in (text.encode() for text in starts):
                edge = rb"(?<![A-Za-z0-9])" if start[:1].isalnum() and rest[:3] != "(?<" else b""
                pattern = re.compile(edge + re.escape(start) + rb"(?P<secret>" + rest.encode() + rb")")
                table.setdefault(start[:3], []).append((section, name, pattern))
                everything.append(start)
    return table, everything


def find(data: bytes) -> Iterator[Found]:
    """Every secret in `data`, from left to right; of two that overlap the first."""
    table, _ = _rules()
    end = 0
    for place in _places(data):
        if place < end:
            continue
        for section, name, pattern in table.get(data[place : place + 3], ()):
            match = pattern.match(data, place)
            if match and not _is_placeholder(name, match["secret"]):
                end = match.end()
                yield Found(name, place, end, match.start("secret") if section == "context" else place)
                break


def _is_placeholder(name: str, secret: bytes) -> bool:
    """Whether this stands where a secret would: `xxxx`, `your_token`, `user:password@`, words joined by `_`."""
    if name in ("private-key", "putty"):
        return False
    if name == "url-password":
        user, _, secret = secret.partition(b":")
        return secret == user or bool(_WORDS.fullmatch(secret) or _PLACEHOLDER.match(secret))
    mixed = re.search(rb"\d", secret) or secret.lower() != secret != secret.upper()
    return bool(_PLACEHOLDER.match(secret)) or (not mixed and re.search(rb"[_.-]", secret) is not None)


def _places(data: bytes) -> Iterable[int]:
    """Where one of the starts may begin."""
    table, _ = _rules()
    if len(data) < _SHORT:
        return (place for place in range(len(data) - 2) if data[place : place + 3] in table)
    return _many_places(data)


@cache
def _tables() -> Any:
    """For numpy: which first two bytes, first three, and first four (of three alone: any fourth) begin a start."""
    import numpy

    pairs, triples = numpy.zeros(1 << 16, bool), numpy.zeros(1 << 24, bool)
    short = numpy.zeros(1 << 24, bool)
    fours = set()
    for start in _rules()[1]:
        pairs[int.from_bytes(start[:2], "little")] = True
        triples[int.from_bytes(start[:3], "little")] = True
        if len(start) == 3:
            short[int.from_bytes(start, "little")] = True
        else:
            fours.add(int.from_bytes(start[:4], "little"))
    return pairs, triples, short, numpy.array(sorted(fours), dtype=numpy.uint32)


def _many_places(data: bytes) -> list[int]:
    import numpy

    pairs, triples, short, fours = _tables()
    padded = data + b"\0\0\0\0"
    found = []
    for offset in (0, 1):  # the pairs that begin at even places, then at odd ones
        view = numpy.frombuffer(padded, dtype="<u2", offset=offset, count=(len(data) + 1) // 2)
        found.append(numpy.flatnonzero(pairs[view]) * 2 + offset)
    places = numpy.concatenate(found)
    whole = numpy.frombuffer(padded, dtype=numpy.uint8)
    places = places[places <= len(data) - 3]
    keys = whole[places].astype(numpy.uint32)
    keys |= whole[places + 1].astype(numpy.uint32) << 8
    keys |= whole[places + 2].astype(numpy.uint32) << 16
    places, keys = places[triples[keys]], keys[triples[keys]]
    last = keys | whole[places + 3].astype(numpy.uint32) << 24
    places = places[short[keys] | numpy.isin(last, fours)]
    places.sort()
    return list(map(int, places))


def scan(stream: IO[bytes], known: Iterable[str] = ()) -> Iterator[tuple[str, int]]:
    """(name of the rule, line) of each secret in a file of any size, text or not; UTF-16 text is read too.

    known: secrets in so many words, beside the shapes.
    """
    words = [text.encode() for text in known]
    tail, line = b"", 1
    while piece := stream.read(_PIECE):
        data = tail + piece
        for name, place in _in_piece(data, words):
            yield name, line + data.count(b"\n", 0, place)
        tail = data[-_LONGEST:]
        line += data.count(b"\n", 0, len(data) - len(tail))


def _in_piece(data: bytes, words: Iterable[bytes]) -> Iterator[tuple[str, int]]:
    yield from ((found.name, found.start) for found in find(data))
    for step in (0, 1) if b"\0" in data else ():  # UTF-16 has a zero byte beside each letter
        yield from ((found.name, 2 * found.start) for found in find(data[step::2]))
    for word in words:
        if (place := data.find(word)) >= 0:
            yield "a secret of this machine", place


@cache
def _looks_secret(value: str) -> bool:
    varied = any(letter.isdigit() for letter in value) or (value.lower() != value and value.upper() != value)
    return len(value) >= 8 and varied and value[0] not in "/~." and not value.isspace()


def known() -> list[str]:
    """The values of this process's secret variables, the longest first."""
    values = {value for name, value in os.environ.items() if _VARIABLE.search(name) and _looks_secret(value)}
    return sorted(values, key=len, reverse=True)


def mask(text: str) -> str:
    """The text with every secret in it as `***`."""
    for value in known():
        text = text.replace(value, MASK)
    data = text.encode("utf-8", "surrogatepass")
    pieces, end = [], 0
    for found in find(data):
        pieces += [data[end : found.hidden], MASK.encode()]
        end = found.end
    return b"".join([*pieces, data[end:]]).decode("utf-8", "surrogatepass") if end else text


def mask_tracebacks() -> None:
    """Has what ends this process printed without secrets: a library's message may hold a token or an address."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        print(mask(text), end="", file=sys.stderr)

    sys.excepthook = show
