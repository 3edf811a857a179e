"""What counts as the expected output: text and integers exactly, decimals nearly."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import each

from r1hf.core.errors import ConfigError
from r1hf.verify.code_compare import checked_tolerance, same_text, same_value


@each(
    "printed, expected, same",
    [
        ("1\n2", "1\n2\n", True),
        ("1  \r\n2\t\n\n\n", "1\n2", True),
        ("", "", True),
        ("\n \n", "", True),
        (" 1", "1", False),
        ("1\n\n2", "1\n2", False),
        ("1 2", "1  2", False),
        ("a  b", "a b", False),
        ("1", "1\n2\n3", False),
        ("1\n2\n3\n4", "1\n2\n3", False),
        ("12", "1", False),
        ("", "1", False),
        ("1", "", False),
        ("a", "A", False),
        # decimals
        ("0.30000000000000004", "0.3", True),
        ("1.4142135623730951", "1.4142135624", True),
        ("x 0.3000001\ny 2", "x 0.3\ny 2", True),
        ("0.333333", "0.333333333333", True),
        ("1.41", "1.414214", False),
        ("0.33334", "0.33333", False),
        ("1234567890.5", "1234567891.5", True),  # relative, as contests have it
        ("12345.5", "12346.5", False),
        (".5", "0.50", True),
        ("-0.0", "0.0", True),
        ("1", "1.0", True),
        ("1e-07", "0.0000001", True),
        ("1e+16", "10000000000000000.0", True),
        ("1e+16 0.1", "10000000000000000 0.1", False),  # an integer beyond those that a float holds
        ("1.5e3", "1500.0", True),
        ("1/2", "0.5", False),
        ("+.5", "0.5", True),
        ("0.5 0.25", "0.5  0.25", True),
        ("0.5\n0.25", "0.5 0.25", False),
        ("0.5 0.5", "0.5", False),
        ("y 0.3", "x 0.3", False),
        ("0,5", "0.5", False),
        ("nan", "0.5", False),
        ("inf", "0.5", False),
        ("nan", "nan", True),
        ("inf", "inf", True),
        ("-inf", "inf", False),
        ("NaN", "nan", False),
        ("Infinity", "inf", False),
        ("1e+400", "1e+400", True),
        ("1e+400", "1e+500", False),
        ("9" * 400, "0.5", False),
        # integers
        ("1.0", "1", False),
        ("1.0000000001", "1", False),
        ("-0.0", "0", False),
        ("007", "7", False),
        ("0x10", "16", False),
        ("1_000", "1000", False),
        ("٣", "3", False),
        ("10000001", "10000000", False),
        ("10000001.0", "10000000", False),
        ("123456789012", "123456789013", False),
        ("10000000 0.1", "10000001 0.1", False),
        ("10000000.0 0.1", "10000001 0.1", False),
        ("10000001 0.1", "10000000.0 0.1", False),
        ("9007199254740992 0.1", "9007199254740993.0 0.1", False),
        ("3.0 0.1", "3 0.1", True),  # answers that are real numbers, as C++ writes 3.0
        ("2.9999999999 0.1", "3 0.1", True),
        ("2.9 0.1", "3 0.1", False),
        # words that look like numbers
        ("1.1", "1.10", True),  # a version or an amount cannot be told from a decimal
        ("3.1", "3.10", True),
        ("192.168.0.1", "192.168.0.10", False),
        ("1.2.30", "1.2.3", False),
        ("v1.1", "v1.10", False),
        ("12:30.0", "12:30", False),
        ("100000", "1e5", False),
        ("1e5", "100000.0", False),
        ("3.14.", "3.14", False),
        ("[0.30000000000000004]", "[0.3]", False),
    ],
)
def test_row_22_printed_text(printed: str, expected: str, same: bool):
    assert same_text(printed, expected) is same


@each(
    "printed, expected, tolerance, same",
    [
        ("x 0.3000001", "x 0.3", 1e-6, True),
        ("x 0.3000001", "x 0.3", 1e-9, False),
        ("0.31", "0.3", 0.1, True),
        ("0.30", "0.3", 0, True),
        ("0.3000001", "0.3", 0, False),
        ("1.0", "1", 1e-6, True),
        ("1.5", "1", 0.9, False),
        ("2", "1", 0.9, False),
        ("10000001", "10000000", 1e-6, False),
        ("1", "1\n2", 1e-6, False),
        ("1 1", "1", 1e-6, False),
        ("nan", "1", 1e-6, False),
        ("1_0", "10", 1e-6, False),
        ("inf", "1", 1e-6, False),
    ],
)
def test_printed_numbers_with_a_tolerance(printed: str, expected: str, tolerance: float, same: bool):
    assert same_text(printed, expected, tolerance) is same


def test_answers_that_are_real_in_another_test():
    assert same_text("3.0", "3", reals=True)
    assert not same_text("4", "3", reals=True) and not same_text("3.0", "3", reals=False)


@each(
    "value, expected, same",
    [
        (1, 1.0, True),
        (1.0, 1, True),
        ((1, [2]), [1, (2,)], True),
        ({1, 2}, {2, 1}, True),
        (math.nan, math.nan, True),
        (math.inf, math.inf, True),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, True),
        ([[0.3333333]], [[1 / 3]], True),
        (3.9999999999, 4, True),
        (-0.0, 0, True),
        (True, 1, False),
        (1, True, False),
        (1.0, True, False),
        (0, None, False),
        (0, False, False),
        ("1", 1, False),
        ("0.30000000000000004", "0.3", False),
        (b"a", "a", False),
        ([1, 2], [1], False),
        ([1], [1, 2], False),
        ([1, 2], {1, 2}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"1": 1}, {1: 1}, False),
        (math.nan, 1.0, False),
        (math.nan, 1, False),
        (math.inf, 1, False),
        (10**400, 1e300, False),
        (10**400, 1j, False),
        (0.1 + 0.2 + 1j, 0.3 + 1j, True),
        (1.0, 1.1 + 0j, False),
        (0.0, complex(1.3e308, 1.3e308), False),
        (10**400, 10**400 + 1, False),
        (10000001, 10000000, False),
        (10000001.0, 10000000, False),
        (10000001, 10000000.0, False),
        (2**53 + 1, 2**53, False),
        (float(2**53), 2**53 + 1, False),
        (1.1, 1.2, False),
        (-math.inf, math.inf, False),
        ([], None, False),
    ],
)
def test_values(value, expected, same: bool):
    assert same_value(value, expected) is same


@each("given", [-1, 1, math.nan, math.inf, "x", True, [1]])
def test_what_is_no_tolerance(given):
    with pytest.raises(ConfigError, match="tolerance must be a number"):
        checked_tolerance(given)


def test_a_tolerance_may_be_text():
    assert (checked_tolerance("1e-06"), checked_tolerance(0), checked_tolerance(None)) == (1e-6, 0.0, None)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
numbers = st.integers().map(str) | st.floats().map(str) | st.sampled_from(["1.", "-.5", "1e5", "0x1", "1_0", "-0"])
lines = st.lists(numbers | st.text(max_size=3), max_size=4).map(" ".join)


@given(plain, plain)
def test_equality_is_symmetric_and_total(first: object, second: object):
    assert same_value(first, first)
    assert same_value(first, second) is same_value(second, first)


@given(lines, lines, st.sampled_from([0, 1e-6, 0.1]))
def test_same_text_is_symmetric_with_a_tolerance(first: str, second: str, tolerance: float):
    assert same_text(first, first + "\n \n")
    assert same_text(first, second, tolerance) is same_text(second, first, tolerance)


@given(st.integers(), st.integers(-3, 3), st.sampled_from([None, 0, 1e-6, 0.9]), st.sampled_from(["", ".0"]))
def test_no_tolerance_takes_one_integer_for_another(number: int, step: int, tolerance: float | None, end: str):
    other = number + step
    printed = f"0.5 {number}{end}"
    same = step == 0 and (not end or abs(number) < 2**53)
    assert same_text(printed, f"0.5 {other}", tolerance) is same
    assert same_value(number, other, tolerance or 0.0) is (step == 0)


@given(st.floats(-1e6, 1e6), st.integers(8, 15))
def test_a_float_may_be_printed_shorter(number: float, digits: int):
    assert same_text(f"{number}", f"{number:.{digits}f}")
    assert not same_text(f"{number + 3 + abs(number) / 1e5}", f"{number:.{digits}f}")
