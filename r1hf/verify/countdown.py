"""Countdown: does an arithmetic expression make the target out of the numbers? Parsed and exact, never `eval`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

MAX_LENGTH = 2000  # characters; a longer expression is wrong
MAX_DEPTH = 64  # brackets within brackets

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("×✕✖⨯⋅·∙∗＊xX", "*"),
        **dict.fromkeys("÷／∕⁄", "/"),
        **dict.fromkeys("−–—－﹣", "-"),
        **{"＋": "+", "＝": "=", "（": "(", "）": ")", "［": "[", "］": "]", "｛": "{", "｝": "}", "．": "."},
    }
)
_LATEX = (
    (re.compile(r"\\(?:times|cdot|ast)(?![A-Za-z])"), "*"),
    (re.compile(r"\\div(?![A-Za-z])"), "/"),
    (re.compile(r"\\(?:boxed|text|mathrm)\s*(?=\{)"), ""),
    (re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])|\\[,;:! ()\[\]]|\$"), " "),
)
_TOKEN = re.compile(r"\s*(?:(?P<number>\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?)|(?P<sign>[-+*/()\[\]{}]|\\[dt]?frac))")
_WRITTEN = re.compile(r"[+-]?\d{1,50}(?:\.\d{1,50})?(?:/\d{1,50})?")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class _Wrong(Exception):
    """Not an expression over the given numbers."""


def verify_countdown(
    expression: str | None, numbers: Sequence[Any], target: Any, *, use_all: bool = True
) -> bool | None:
    """True if `expression` equals `target` and uses each of `numbers` exactly once (`use_all=False`: at most once).

    Allowed are + - * / (also × ÷ − \\times \\div \\frac), signs, brackets and the given numbers, in any script's
    digits; division is exact. One "= target" may follow or precede. Powers, //, factorials, juxtaposed numbers, other
    numbers, names, division by zero, a wrong value after "=" and two expressions are wrong. None where `numbers` or
    `target` are missing or no numbers.

    The number of operands is that of `numbers`, so no expression is costly.
    """
    pool, goal = [_number(value) for value in numbers or ()], _number(target)
    if not pool or goal is None or None in pool:
        return None
    text = _plain(expression or "")
    sides = text.split("=")
    if not text or len(text) > MAX_LENGTH or len(sides) > 2:
        return False
    if len(sides) == 2:
        # The side that is the target is the result, and the other the expression.
        if _number(sides[1].strip()) == goal:
            text = sides[0]
        elif _number(sides[0].strip()) == goal:
            text = sides[1]
        else:
            return False
    try:
        reader = _Reader(text, [value for value in pool if value is not None])
        return reader.whole() == goal and not (use_all and reader.pool)
    except (_Wrong, ZeroDivisionError):
        return False


def expression_value(text: str) -> Fraction | None:
    """The exact value of an expression as `verify_countdown` reads one, over any numbers; None where it is none."""
    text = _plain(text)
    if not text or len(text) > MAX_LENGTH:
        return None
    try:
        reader = _Reader(text, [])
        reader.pool = [token for token in reader.tokens if isinstance(token, Fraction)]
        return reader.whole()
    except (_Wrong, ZeroDivisionError):
        return None


def _number(value: Any) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Fraction | Decimal):
        value = value.item() if hasattr(value, "item") else None  # NumPy's scalars
    if isinstance(value, str) and not _WRITTEN.fullmatch(value := value.strip()):
        return None  # also 1e999999999, which is short to write and long to make
    try:
        return Fraction(value) if value is not None else None
    except (ValueError, OverflowError, ZeroDivisionError, TypeError):
        return None


def _plain(text: str) -> str:
    """ASCII digits and signs. Superscripts and the like stay what they are, so that 2³ is no 23."""
    if len(text) > MAX_LENGTH:
        return text
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    text = "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text.translate(_SIGNS))
    text = text.strip()
    for mark in ("**", "`"):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark):
            text = text[len(mark) : -len(mark)]
    return text.strip().rstrip(".。")


class _Reader:
    """Recursive descent; takes each number it meets out of the pool."""

    def __init__(self, text: str, pool: list[Fraction]):
        self.tokens = _tokens(text)
        self.place = self.depth = 0
        self.pool = pool

    def whole(self) -> Fraction:
        value = self.sum()
        if self.place < len(self.tokens):
            raise _Wrong
        return value

    def sum(self) -> Fraction:
        value = self.product()
        while sign := self.take("+", "-"):
            term = self.product()
            value = value + term if sign == "+" else value - term
        return value

    def product(self) -> Fraction:
        value = self.factor()
        while sign := self.take("*", "/"):
            factor = self.factor()
            value = value * factor if sign == "*" else value / factor
        return value

    def factor(self) -> Fraction:
        negative = False
        while sign := self.take("+", "-"):
            negative ^= sign == "-"
        value = self.atom()
        return -value if negative else value

    def atom(self) -> Fraction:
        if self.take("\\frac"):
            top = self.bracket(self.take("{"))
            return top / self.bracket(self.take("{"))
        if opened := self.take("(", "[", "{"):
            return self.bracket(opened)
        token = self.tokens[self.place] if self.place < len(self.tokens) else None
        if not isinstance(token, Fraction) or token not in self.pool:
            raise _Wrong
        self.place += 1
        self.pool.remove(token)
        return token

    def bracket(self, opened: str | None) -> Fraction:
        self.depth += 1
        if opened is None or self.depth > MAX_DEPTH:
            raise _Wrong
        value = self.sum()
        if not self.take(_CLOSING[opened]):
            raise _Wrong
        self.depth -= 1
        return value

    def take(self, *signs: str) -> str | None:
        token = self.tokens[self.place] if self.place < len(self.tokens) else None
        if not isinstance(token, str) or token not in signs:
            return None
        self.place += 1
        return token


def _tokens(text: str) -> list[str | Fraction]:
    found: list[str | Fraction] = []
    place, text = 0, text.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _Wrong
        place = match.end()
        if number := match["number"]:
            found.append(Fraction(number.replace(",", "")))
        else:
            found.append("\\frac" if match["sign"].endswith("frac") else match["sign"])
    return found
