"""Is what a program printed, or what a function returned, what was expected?

As contests do it: text exactly, integers exactly, decimals within an absolute or relative tolerance. 1e-6 is testlib's
`rcmp6` and AtCoder's usual bound. LiveCodeBench compares decimals exactly and so fails right programs in the last
digits (LiveCodeBench/LiveCodeBench#129); APPS takes numpy's `allclose`, which at 1e-5 takes integers for their
neighbours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from r1hf.errors import ConfigError

TOLERANCE = 1e-6
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
    found, wanted = _lines(printed), _lines(expected)
    if found == wanted or len(found) != len(wanted):
        return found == wanted
    if reals is None:
        reals = tolerance is not None or has_decimals(expected)
    allowed = TOLERANCE if tolerance is None else tolerance
    return all(
        one == other or (reals and _same_line(one, other, allowed)) for one, other in zip(found, wanted, strict=True)
    )


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_line(found: str, wanted: str, tolerance: float) -> bool:
    pairs = found.split(), wanted.split()
    return len(pairs[0]) == len(pairs[1]) and all(
        first == second or _same_words(first, second, tolerance) for first, second in zip(*pairs, strict=True)
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
    if isinstance(expected, (list, tuple)) and isinstance(value, (list, tuple)):
        return len(value) == len(expected) and all(
            same_value(*pair, tolerance) for pair in zip(value, expected, strict=True)
        )
    if isinstance(expected, Mapping) and isinstance(value, dict):
        return _same_mapping(value, expected, tolerance)
    if isinstance(expected, (set, frozenset)):
        return isinstance(value, (set, frozenset)) and value == expected
    return type(value) is type(expected) and value == expected


def _same_numbers(value: float, expected: float, tolerance: float) -> bool:
    if isinstance(value, float) and isinstance(expected, float):
        return _near(value, expected, tolerance) or (value != value and expected != expected)
    if isinstance(value, int) and isinstance(expected, int):
        return False
    return max(abs(value), abs(expected)) < _EXACT and _near_integer(value, expected, tolerance)


def _same_mapping(value: dict[Any, Any], expected: Mapping[Any, Any], tolerance: float) -> bool:
    if len(value) != len(expected):
        return False
    if all(isinstance(key, str) for key in expected):
        value = {_json_key(key): item for key, item in value.items()}
    return value.keys() == expected.keys() and all(
        same_value(item, expected[key], tolerance) for key, item in value.items()
    )


def _json_key(key: Any) -> Any:
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, float) or (isinstance(key, int) and key.bit_length() < 1000):
        return repr(key)
    return key
