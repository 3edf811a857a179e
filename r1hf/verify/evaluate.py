"""Are two expression trees equal? Exact for rationals; else by value, to 200 bits and more, at fixed points.

Equal trees agree at every point where both are real. Trees that differ at one such point are unequal. Agreement in all
trusted bits (100 and more) at POINTS points is taken for equality (Schwartz-Zippel); the precision grows with the
numbers in the trees and with every sum that cancels: 1/2^{99} and 1/2^{98}, pi and pi + 10^{-100} stay apart.
"""

from __future__ import annotations

import os
import threading
import zlib
from functools import lru_cache
from typing import Any, NamedTuple

from r1hf.verify.tree import Node, bits, make

POINTS = 4  # agreements wanted
MAX_TRIES = 16  # points tried, for trees that are real in places only
BASE_BITS = 240
AGREEMENT_BITS = 100  # least agreement
_SLACK = 40  # bits that rounding may take
MAX_PRECISION = 20_000
MAX_VARIANTS = 8  # readings of the signs of one tree
MAX_SYMBOLS = 12
_MAX_EXPONENT_BITS = 60
_MAX_MAGNITUDE = 1 << 20  # of an argument of exp or a trigonometric function, in bits
_FAR = -(1 << 60)


class Undecided(ValueError):
    """The trees are beyond what is evaluated here."""


class _NotReal(ValueError):
    """No real value at this point."""


_lock = threading.RLock()
_context: Any = None


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)


def same_value(first: Node, second: Node) -> bool:
    """Whether two trees (without ±) have the same value. Raises Undecided where that is not cheaply found out."""
    if first == second:
        return True
    if first[0] == "num" and second[0] == "num":
        return False
    if is_infinite(first) or is_infinite(second):
        return infinity_sign(first) == infinity_sign(second) != 0
    names, agreed = symbols(first) | symbols(second), 0
    if len(names) > MAX_SYMBOLS:
        raise Undecided("too many variables")
    for point in range(MAX_TRIES if names else 1):
        verdict = _agree(first, second, point, bool(names))
        if verdict is False:
            return False
        agreed += verdict is True
        if agreed == (POINTS if names else 1):
            return True
    raise Undecided("no common real values")


def ratio_sign(first: Node, second: Node) -> int | None:
    """The sign of the constant c with first = c * second, 0 if there is none; None if there are no common values."""
    ratio = make("/", first, second) if second != ("num", 0) else None
    if ratio is None or first == ("num", 0):
        return None
    found = []
    for point in range(MAX_TRIES):
        value = _value_at(ratio, point, BASE_BITS * 2, True)
        if value is not None:
            found.append(value.value)
        if len(found) == POINTS:
            break
    if len(found) < POINTS or found[0] == 0:
        return None
    with _lock:
        context = _at_precision(BASE_BITS * 2)
        if any(_magnitude(value - found[0]) > _magnitude(found[0]) - AGREEMENT_BITS for value in found[1:]):
            return 0
        return 1 if context.re(found[0]) > 0 else -1


def real_value(node: Node) -> Any:
    """A closed tree's real value to 200 bits, ±inf included. Raises Undecided for others."""
    if is_infinite(node):
        with _lock:
            return _at_precision(BASE_BITS).inf * infinity_sign(node)
    value = None if symbols(node) else _value_at(node, 0, BASE_BITS, False)
    if value is None or hasattr(value.value, "_mpc_"):
        raise Undecided("no real number")
    return value.value


def is_infinite(node: Node) -> bool:
    """Whether the tree holds infinity."""
    return infinity_sign(node) != 0 or any(isinstance(part, tuple) and is_infinite(part) for part in node[1:])


def infinity_sign(node: Node) -> int:
    """1 for infinity, -1 for minus infinity, 0 for other trees."""
    if node == ("const", "inf"):
        return 1
    return -1 if node == ("neg", ("const", "inf")) else 0


@lru_cache(maxsize=4096)
def symbols(node: Node) -> frozenset[str]:
    """The variables of a tree."""
    if node[0] == "sym":
        return frozenset((node[1],))
    return frozenset().union(*(symbols(part) for part in node[1:] if isinstance(part, tuple)))


@lru_cache(maxsize=4096)
def largest_bits(node: Node) -> int:
    """Size in bits of the largest number in a tree."""
    if node[0] == "num":
        return bits(node[1])
    return max((largest_bits(part) for part in node[1:] if isinstance(part, tuple)), default=0)


def replace(node: Node, name: str, value: Node) -> Node:
    """The tree with `value` for the variable `name`."""
    if node == ("sym", name):
        return value
    if name not in symbols(node):
        return node
    return make(node[0], *(replace(part, name, value) if isinstance(part, tuple) else part for part in node[1:]))


def variants(node: Node) -> list[Node]:
    """The readings of ±: `1 ± 2` is two trees, every ± free of the others unless there is a ∓. Raises Undecided."""
    found = _variants(node, _has_mixed_signs(node))
    if len(found) > MAX_VARIANTS:
        raise Undecided("too many signs")
    return found


def _variants(node: Node, tied: bool) -> list[Node]:
    if not _has_sign(node):
        return [node]
    if tied:
        return [_with_sign(node, 1), _with_sign(node, -1)]
    if node[0] == "pm":
        pairs = [(a, b) for a in _variants(node[1], tied) for b in _variants(node[2], tied)]
        return [make(op, a, b) for a, b in pairs[:MAX_VARIANTS] for op in "+-"]
    readings: list[tuple[Any, ...]] = [()]
    for part in node[1:]:
        own = _variants(part, tied) if isinstance(part, tuple) else [part]
        readings = [(*reading, value) for reading in readings for value in own][: MAX_VARIANTS + 1]
    return [make(node[0], *reading) for reading in readings]


def _with_sign(node: Node, sign: int) -> Node:
    if not _has_sign(node):
        return node
    parts = [_with_sign(part, sign) if isinstance(part, tuple) else part for part in node[1:]]
    if node[0] == "pm":
        return make("+" if node[3] * sign > 0 else "-", parts[0], parts[1])
    return make(node[0], *parts)


def _has_sign(node: Node) -> bool:
    return node[0] == "pm" or any(isinstance(part, tuple) and _has_sign(part) for part in node[1:])


def _has_mixed_signs(node: Node) -> bool:
    if node[0] == "pm" and node[3] < 0:
        return True
    return any(isinstance(part, tuple) and _has_mixed_signs(part) for part in node[1:])


def _agree(first: Node, second: Node, point: int, real: bool) -> bool | None:
    """Whether the values agree at a point; None where one of them has none."""
    precision = BASE_BITS + max(largest_bits(first), largest_bits(second))
    for _ in range(3):
        if precision > MAX_PRECISION:
            raise Undecided("too many digits")
        a, b = _value_at(first, point, precision, real), _value_at(second, point, precision, real)
        if a is None or b is None:
            return None
        with _lock:
            _at_precision(precision)
            difference = _magnitude(a.value - b.value)
            size = max(_magnitude(a.value), _magnitude(b.value))
        lost, absorbed = max(a.lost, b.lost), max(a.absorbed, b.absorbed)
        trusted = precision - lost - _SLACK
        if absorbed < precision // 2 and trusted >= max(AGREEMENT_BITS, precision // 2):
            return difference <= size - trusted
        precision = max(4 * precision, 4 * absorbed)
    # Everything cancels, however many digits there are: a value that keeps falling with them is an exact zero.
    return difference < -(precision // 16)


class _Value(NamedTuple):
    value: Any
    lost: int  # bits lost to cancellation
    absorbed: int  # how much smaller than the other the smaller part of a sum is, in bits


@lru_cache(maxsize=8192)
def _value_at(node: Node, point: int, precision: int, real: bool) -> _Value | None:
    """The tree's value at a point; None where it has no value, or no real one though it should."""
    with _lock:
        evaluation = _Evaluation(_at_precision(precision), point, real and not _has_imaginary(node))
        try:
            return _Value(evaluation.value(node), evaluation.lost, evaluation.absorbed)
        except (_NotReal, ZeroDivisionError):
            return None
        except (ArithmeticError, ValueError, TypeError, RecursionError) as error:
            raise Undecided(str(error)) from None


def _at_precision(precision: int) -> Any:
    global _context
    if _context is None:
        # mpmath takes a tenth of a second to import, and most answers are numbers.
        from mpmath.ctx_mp import MPContext  # type: ignore[import-untyped]

        _context = MPContext()
    _context.prec = precision
    return _context


def _has_imaginary(node: Node) -> bool:
    return node == ("const", "i") or any(isinstance(part, tuple) and _has_imaginary(part) for part in node[1:])


def _magnitude(value: Any) -> int:
    """About log2 of the absolute value."""
    if hasattr(value, "_mpc_"):
        return max(_magnitude(value.real), _magnitude(value.imag))
    _, mantissa, exponent, size = value._mpf_
    if not mantissa:
        if exponent:
            raise ZeroDivisionError("infinity or nan")
        return _FAR
    return exponent + size


class _Evaluation:
    """One tree at one point with one precision."""

    def __init__(self, context: Any, point: int, real: bool):
        self.context, self.point, self.real = context, point, real
        self.lost = self.absorbed = 0

    def value(self, node: Node) -> Any:
        op = node[0]
        if op == "num":
            number = node[1]
            return self.context.mpf(number.numerator) / number.denominator
        if op == "sym":
            return self.sample(node[1])
        if op == "const":
            context = self.context
            return {"pi": +context.pi, "e": +context.e, "i": context.mpc(0, 1)}[node[1]]
        if op == "fn":
            return self.function(node[1], self.value(node[2]))
        if op == "root":
            return self.root(node[1], self.value(node[2]))
        if op == "!":
            return self.factorial(self.value(node[1]), open=bool(symbols(node)))
        if op == "neg":
            return -self.value(node[1])
        a, b = self.value(node[1]), self.value(node[2])
        if op == "+" or op == "-":
            return self.add(a, b if op == "+" else -b)
        if op == "*":
            return a * b
        if op == "/":
            return a / b
        if op == "^":
            return self.power(a, b)
        if op == "binom" and symbols(node):
            return self.checked(self.context.binomial(a, b))
        raise Undecided(op)

    def sample(self, name: str) -> Any:
        """The variable's value: all positive at points 0 and 1, all negative at 2, of either sign after."""
        seed = zlib.crc32(f"{name}/{self.point}".encode("utf-8", "replace"))
        top = seed % 9973 + 1200
        negative = self.point == 2 or (self.point > 2 and seed & 1)
        return self.context.mpf(-top if negative else top) / 4001

    def add(self, a: Any, b: Any) -> Any:
        total, sizes = a + b, (_magnitude(a), _magnitude(b))
        self.lose(max(sizes), total)
        if min(sizes) != _FAR:
            self.absorbed = max(self.absorbed, max(sizes) - min(sizes))
        return total

    def lose(self, size: int, result: Any) -> None:
        self.lost = max(self.lost, size - max(_magnitude(result), size - 4 * self.context.prec))

    def checked(self, value: Any) -> Any:
        if hasattr(value, "_mpc_"):
            if self.real:
                raise _NotReal
        return value

    def power(self, base: Any, exponent: Any) -> Any:
        if _magnitude(exponent) > _MAX_EXPONENT_BITS:
            raise Undecided("exponent")
        if not hasattr(exponent, "_mpc_") and exponent == self.context.floor(exponent):
            return base ** int(exponent)
        if abs(_magnitude(base)) > _MAX_MAGNITUDE:
            raise Undecided("power")
        return self.checked(base**exponent)

    def root(self, degree: int, value: Any) -> Any:
        if degree == 2:
            return self.checked(self.context.sqrt(value))
        if not hasattr(value, "_mpc_") and value < 0 and degree % 2:
            return -((-value) ** (self.context.one / degree))
        return self.checked(value ** (self.context.one / degree))

    def factorial(self, value: Any, *, open: bool) -> Any:
        if hasattr(value, "_mpc_") or (value < 0 and not open) or _magnitude(value) > (12 if open else 40):
            raise Undecided("factorial")
        return self.context.gamma(value + 1)

    def function(self, name: str, value: Any) -> Any:
        context = self.context
        if name == "abs":
            return abs(value)
        if _magnitude(value) > _MAX_MAGNITUDE if name in ("ln", "log") else _magnitude(value) > 60:
            raise Undecided(name)
        if name == "exp":
            return context.exp(value)
        if name == "log":
            # The base is not known, so the logarithm is one to a base that nobody meant.
            result = context.ln(value) * context.mpf(10007) / 7919
        elif name in ("cot", "sec", "csc"):
            result = 1 / getattr(context, {"cot": "tan", "sec": "cos", "csc": "sin"}[name])(value)
        else:
            result = getattr(context, name.replace("arc", "a"))(value)
        if name in ("sin", "cos", "tan", "cot", "ln", "log", "sec", "csc"):
            self.lose(max(_magnitude(value), 0), result)
        return self.checked(result)
