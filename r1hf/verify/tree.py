"""Expression trees, with their rational parts folded into exact numbers.

A tree is a tuple: ("num", Fraction), ("sym", name), ("const", "pi" | "e" | "i" | "inf"), ("neg", a), (op, a, b) with
op in + - * / ^, ("pm", a, b, sign), ("root", degree, a), ("fn", name, a), ("binom", a, b) and ("!", a).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

MAX_FOLDED_BITS = 1 << 16  # a larger rational stays unevaluated

Node = tuple[Any, ...]


class Unreadable(ValueError):
    """The text is no expression that this reader knows."""


class Undefined(Unreadable):
    """The text divides by zero."""


def make(op: str, *parts: Any) -> Node:
    """A node, as a number if it is a rational of at most MAX_FOLDED_BITS. Raises Undefined on division by zero."""
    last = parts[-1]
    if op == "/" and last == ("num", 0):
        raise Undefined("division by zero")
    if all(part[0] == "num" for part in parts if isinstance(part, tuple)):
        value = _fold(op, parts)
        if value is not None:
            return ("num", value)
    return (op, *parts)


def _fold(op: str, parts: tuple[Any, ...]) -> Fraction | None:
    last = parts[-1][1]
    if op == "neg":
        return -last
    if op == "!":
        return Fraction(math.factorial(int(last))) if last.denominator == 1 and 0 <= last <= 5000 else None
    if op == "root":
        return _exact_root(last, parts[0])
    if op == "fn":
        return abs(last) if parts[0] == "abs" else None
    first = parts[0][1]
    if op == "binom":
        whole = first.denominator == last.denominator == 1 and 0 <= first <= 5000 and 0 <= last <= 5000
        return Fraction(math.comb(int(first), int(last))) if whole else None
    if op == "^":
        return _exact_power(first, last)
    if bits(first) + bits(last) > MAX_FOLDED_BITS:
        return None
    return first + last if op == "+" else first - last if op == "-" else first * last if op == "*" else first / last


def bits(value: Fraction) -> int:
    """Size of the larger of numerator and denominator."""
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if base == 0 and exponent <= 0:
        raise Undefined("0 to the power 0, or division by zero")
    if exponent.denominator != 1 or bits(exponent) > 32 or bits(base) * abs(exponent) > MAX_FOLDED_BITS:
        return None
    return base ** int(exponent)


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    if degree != 2 or value < 0:
        return None
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    return Fraction(top, bottom) if top * top == value.numerator and bottom * bottom == value.denominator else None
