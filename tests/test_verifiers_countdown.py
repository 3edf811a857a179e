"""Countdown: passes, cheats, and random sums that must come out right."""

from __future__ import annotations

import random
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from tables import each

from r1hf.verify.countdown import verify_countdown

RIGHT = [
    *(
        ("(1+2)*3", [1, 2, 3], 9),
        ("(1 + 2) × 3", [1, 2, 3], 9),
        ("9/(4-1)", [9, 4, 1], 3),
        ("8÷2", [8, 2], 4),
        ("3 x 4", [3, 4], 12),
    ),
    *(("(1+2)*3 = 9", [1, 2, 3], 9), ("9 = (1+2)*3", [1, 2, 3], 9), ("4*6=24.", [4, 6], 24), ("24 = 24", [24], 24)),
    *(
        ("8/(3-8/3)", [8, 3, 8, 3], 24),
        ("\\frac{8}{3-\\frac{8}{3}}", [8, 3, 8, 3], 24),
        ("1/3+1/3+1/3", [1, 3, 1, 3, 1, 3], 1),
    ),
    *(("$8 \\div \\left(3 - \\frac{8}{3}\\right) = 24$", [3, 3, 8, 8], 24), ("\\boxed{4 \\times 6}", [4, 6], 24)),
    *(("-(3-7)", [3, 7], 4), ("-3+7", [3, 7], 4), ("1 - -2", [1, 2], 3), ("+5", [5], 5), ("[1+2]*{3}", [1, 2, 3], 9)),
    *(
        ("８＋（３－１）", [8, 3, 1], 10),
        ("٣+٤", [3, 4], 7),
        ("4.0*6", [4, 6], 24),
        ("1,000+1", [1000, 1], 1001),
        ("`3*4`", [3, 4], 12),
    ),
    *(
        (" 3\n*\t4 ", [3, 4], 12),
        ("3*4", ["3", "4"], "12"),
        ("1/2", [1, 2], 0.5),
        ("1/2", [1, 2], "1/2"),
        ("(" * 40 + "7" + ")" * 40, [7], 7),
    ),
]
BAD = [
    *(
        ("99**98**97", [99, 98, 97], 1),
        ("9**9**9**9", [9] * 4, 1),
        ("2^3", [2, 3], 8),
        ("2³", [2, 3], 8),
        ("5!", [5], 120),
    ),
    *(
        ("7//2", [7, 2], 3),
        ("7%4", [7, 4], 3),
        ("1/0", [1, 0], 1),
        ("3/(2-2)", [3, 2, 2], 1),
        ("1e1+2", [1, 2], 12),
        ("0x3+4", [3, 4], 7),
    ),
    *(
        ("1+1", [1, 2], 2),
        ("1+2+2", [1, 2], 5),
        ("1+2", [1, 2, 3], 3),
        ("23", [2, 3], 23),
        ("2 3", [2, 3], 23),
        ("5+4", [2, 3], 9),
    ),
    *(
        ("9", [1, 2, 3], 9),
        ("", [9], 9),
        (None, [9], 9),
        ("= 9", [9], 9),
        ("9 =", [9], 9),
        ("x", [9], 9),
        ("½+½", [1, 2], 1),
    ),
    *(
        ("(1+2)*3 = 10", [1, 2, 3], 9),
        ("1+2 = 3 = 3", [1, 2], 3),
        ("(1+2)*3, 9", [1, 2, 3], 9),
        ("1+2 or 2+1", [1, 2], 3),
    ),
    *(
        ("(1+2", [1, 2], 3),
        ("1+2)", [1, 2], 3),
        ("[1+2)", [1, 2], 3),
        ("1+", [1], 1),
        ("*1", [1], 1),
        ("3(4)", [3, 4], 12),
        ("()", [1], 1),
    ),
    *(
        ("__import__('os').system('ls')", [1], 1),
        ("True+1", [1], 2),
        ("lambda:1", [1], 1),
        ("1 if 1 else 1", [1], 1),
        ("1;1", [1], 1),
    ),
    *(
        ("(" * 5000 + "1" + ")" * 5000, [1], 1),
        ("9" * 100_000, [9], 9),
        ("1+2 = 1e999999999", [1, 2], 3),
        ("-" * 100_000 + "1", [1], 1),
    ),
    *(
        ("22/7", [22, 7], 3.14),
        ("1/3", [1, 3], 0.3333),
        ("\\frac12", [1, 2], 0.5),
        ("\\frac{1}", [1], 1),
        ("1+2\x00", [1, 2], 3),
    ),
]


@each("expression, numbers, target", RIGHT)
def test_countdown_passes(expression, numbers, target):
    assert verify_countdown(expression, numbers, target) is True


@each("expression, numbers, target", BAD)
def test_row_20_countdown_cheats(expression, numbers, target):
    assert verify_countdown(expression, numbers, target) is False


def test_countdown_with_numbers_left_over():
    assert verify_countdown("1+2", [1, 2, 3], 3, use_all=False) is True
    assert verify_countdown("1+1", [1, 2, 3], 2, use_all=False) is False


@each(
    "numbers, target",
    [([], 3), (None, 3), ([1], None), ([1], float("nan")), (["a"], 1), ([1], "1e9999999"), ([None], 1), ([1], [1])],
)
def test_countdown_without_a_task_is_no_judgement(numbers, target):
    assert verify_countdown("1", numbers, target) is None


@st.composite
def sums(draw):
    """An expression and its numbers, written in one of several ways, with its exact value."""
    numbers = draw(st.lists(st.integers(1, 99), min_size=1, max_size=6))
    chance = random.Random(draw(st.integers(0, 10**9)))
    parts = [(str(number), Fraction(number)) for number in numbers]
    while len(parts) > 1:
        (left, x), (right, y) = parts.pop(chance.randrange(len(parts))), parts.pop(chance.randrange(len(parts)))
        sign = chance.choice("+-*/×÷−" if y else "+-*")
        value = x + y if sign == "+" else x - y if sign in "-−" else x * y if sign in "*×" else x / y
        gap = chance.choice(["", " "])
        parts.append((f"({left}{gap}{sign}{gap}{right})", value))
    return parts[0][0], numbers, parts[0][1]


@given(sums())
def test_every_sum_of_the_numbers_is_right_for_its_value_only(case):
    expression, numbers, value = case
    assert verify_countdown(expression, numbers, value) is True
    assert verify_countdown(f"{expression} = {value}", numbers, value) is True
    assert verify_countdown(expression, numbers, value + 1) is False
    assert verify_countdown(expression, [*numbers, 1], value) is False
    assert verify_countdown(expression, numbers[1:] or [100], value) is False
