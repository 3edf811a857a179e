"""Is what a program printed, or what a function returned, what was expected?

As contests do it: text exactly, integers exactly, decimals within an absolute or relative tolerance. 1e-6 is testlib's
`rcmp6` and AtCoder's usual bound. LiveCodeBench compares decimals exactly and so fails right programs in the last
digits (LiveCodeBench/LiveCodeBench#129); APPS takes numpy's `allclose`, which at 1e-5 takes integers for their
neighbours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.sandbox.inside import codec

TOLERANCE = 1e-6
_SMALL = 100  # items of a set that is itself a key
_EXACT = 2**53  # from here on a float does not hold every integer
# "1e5" may be a piece of a hash; Python and C print exponents with a sign.
_DECIMAL = re.compile(r"[+-]?(?:[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-][0-9]+)")
_INTEGER = re.compile(r"[+-]?[0-9]+")


def checked_tolerance(tolerance: Any) -> float | None:
    """`tolerance` as a number, or None as it is. Raises ConfigError for anything else."""
    try:
        number = None if tolerance is None or isinstance(tolerance, bool) else float(tolerance)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(tolerance, bool) or (number is not None and not 0 <= number < 1):
        raise ConfigError(f"tolerance must be a number from 0 to below 1, such as 1e-6, not {tolerance!r}")
    return number


def has_decimals(text: str) -> bool:
    """True if a word is written as a decimal: then the answers are real numbers."""
    return ("." in text or "e" in text.lower()) and any(map(_DECIMAL.fullmatch, text.split()))


def same_text(printed: str, expected: str, tolerance: float | None = None, *, reals: bool | None = None) -> bool:
    """Equal but for white space at line ends and empty lines at the end; decimals within the tolerance.

    A word that is a decimal in `expected` ("0.5", "1e-07") is compared as a number, and then spaces between words may
    differ. An integer must be the same text; with `reals` "3.0" and "2.9999999999" may stand for "3", but another
    integer never does. By default `reals` holds where a tolerance is given or `expected` has a decimal.
    """
    found, wanted = printed.rstrip(), expected.rstrip()
    if found == wanted or found.count("\n") != wanted.count("\n") or bool(found) != bool(wanted):
        return found == wanted
    if reals is None:
        reals = tolerance is not None or has_decimals(expected)
    allowed = TOLERANCE if tolerance is None else tolerance
    pairs = zip(found.split("\n"), wanted.split("\n"), strict=True)
    return all(one.rstrip() == other.rstrip() or (reals and _same_line(one, other, allowed)) for one, other in pairs)


def _same_line(found: str, wanted: str, tolerance: float) -> bool:
    words = wanted.split()
    others = found.split(maxsplit=len(words))  # no more pieces than can be right
    return len(others) == len(words) and all(
        first == second or _same_words(first, second, tolerance) for first, second in zip(others, words, strict=True)
    )


def _same_words(found: str, wanted: str, tolerance: float) -> bool:
    decimals = [_DECIMAL.fullmatch(word) is not None for word in (found, wanted)]
    if all(decimals):
        return _near(float(found), float(wanted), tolerance)
    integer = wanted if decimals[0] else found
    return (
        any(decimals)
        and _INTEGER.fullmatch(integer) is not None
        and _near_integer(float(found), float(wanted), tolerance)
    )


def _near(first: float, second: float, tolerance: float) -> bool:
    return (
        math.isfinite(first)
        and math.isfinite(second)
        and math.isclose(first, second, rel_tol=tolerance, abs_tol=tolerance)
    )


def _near_integer(first: float, second: float, tolerance: float) -> bool:
    """One of them is a whole number: only absolutely near, so that 10000001.0 is not 10000000."""
    return abs(first - second) <= min(tolerance, TOLERANCE) and abs(first) < _EXACT


def same_value(value: Any, expected: Any, tolerance: float = TOLERANCE) -> bool:
    """Compare plain data by type and content: True is not 1, "1" is not 1, a tuple is a list, NaN is NaN.

    Two floats may differ by `tolerance`, absolute or relative, a float and an integer by 1e-6 at most, integers by
    nothing. Where `expected` has only text as keys, other keys are read as JSON would write them.
    """
    if isinstance(value, bool) or isinstance(expected, bool) or value is None or expected is None:
        return value is expected
    if isinstance(expected, (int, float)) and isinstance(value, (int, float)):
        return value == expected or _same_numbers(value, expected, tolerance)
    if isinstance(expected, complex) and isinstance(value, (complex, float)):
        parts = ((value.real, expected.real), (value.imag, expected.imag))
        return value == expected or all(_near(*pair, tolerance) for pair in parts)
    if isinstance(expected, Mapping) or isinstance(value, (dict, codec.Table)):
        return isinstance(expected, Mapping) and _same_mapping(value, expected, tolerance)
    if isinstance(expected, (set, frozenset)) or isinstance(value, (set, frozenset, codec.Bag)):
        return isinstance(expected, (set, frozenset)) and _same_set(value, expected)
    if isinstance(expected, (list, tuple)) and isinstance(value, (list, tuple)):
        return len(value) == len(expected) and all(
            same_value(*pair, tolerance) for pair in zip(value, expected, strict=True)
        )
    return type(value) is type(expected) and value == expected


def _same_numbers(value: float, expected: float, tolerance: float) -> bool:
    if isinstance(value, float) and isinstance(expected, float):
        return _near(value, expected, tolerance) or (value != value and expected != expected)
    if isinstance(value, int) and isinstance(expected, int):
        return False
    return max(abs(value), abs(expected)) < _EXACT and _near_integer(value, expected, tolerance)


def _same_mapping(value: Any, expected: Mapping[Any, Any], tolerance: float) -> bool:
    if not isinstance(value, (dict, codec.Table)) or len(value) != len(expected):
        return False
    as_text = all(isinstance(key, str) for key in expected)
    keys = _Keys(expected)
    for key, item in value.items() if isinstance(value, dict) else value:
        own = keys.take(_json_key(key) if as_text else key)
        if own is _NONE or not same_value(item, expected[own], tolerance):
            return False
    return True


def _same_set(value: Any, expected: Collection[Any]) -> bool:
    if not isinstance(value, (set, frozenset, codec.Bag)) or len(value) != len(expected):
        return False
    keys = _Keys(expected)
    return all(keys.take(item) is not _NONE for item in value)


_NONE = object()


class _Keys:
    """Keys of ours that a program has yet to name. Its own are only looked up: a table of them could take hours."""

    def __init__(self, keys: Collection[Any]):
        self.left = {key: key for key in keys}

    def take(self, key: Any) -> Any:
        """Our key that is this one, once; else _NONE."""
        try:
            own = self.left.pop(_hashable(key), _NONE)
        except TypeError:  # no key at all
            return _NONE
        return own if own is not _NONE and same_value(key, own) else _NONE


def _hashable(key: Any) -> Any:
    """`key`, with sets as they are where they are small."""
    if isinstance(key, codec.Bag) and len(key) <= _SMALL:
        return frozenset(map(_hashable, key))
    return tuple(map(_hashable, key)) if isinstance(key, tuple) else key


def _json_key(key: Any) -> Any:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, float) or (isinstance(key, int) and key.bit_length() < 1000):
        return repr(key)
    return key
