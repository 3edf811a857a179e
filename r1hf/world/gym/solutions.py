"""Worked solutions by rule of a few reasoning-gym tasks: what an annotator would write on the way to the answer.

Short, one operation a sentence, and nothing that the question's own numbers do not give; the answer is the task's own.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Entry = Mapping[str, Any]
_SIGNS: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}


def _plain(sign: str, left: int, right: int) -> int:
    return left + right if sign == "+" else left - right if sign == "-" else left * right


def _operation(sign: str, left: int, right: int) -> str:
    """`38 + 47: 30 + 40 = 70, 8 + 7 = 15, 70 + 15 = 85`; small numbers and negative ones in one go."""
    result = _plain(sign, left, right)
    if min(left, right) < 10 and sign != "*" or min(left, right) < 0 or (sign == "*" and max(left, right) < 10):
        return f"{left} {sign} {right} = {result}"
    if sign == "*":
        return _product(left, right)
    if right % 10 == 0:
        return f"{left} {sign} {right} = {result}"
    tens, ones = right // 10 * 10, right % 10
    between = _plain(sign, left, tens)
    return f"{left} {sign} {tens} = {between}, {between} {sign} {ones} = {result}"


def _product(left: int, right: int) -> str:
    """The longer factor by its tens and ones: `23 * 7: 20 * 7 = 140, 3 * 7 = 21, 140 + 21 = 161`."""
    longer, other = max(left, right), min(left, right)
    tens, ones = longer // 10 * 10, longer % 10
    if not ones:
        return f"{left} * {right} = {left * right}"
    parts = f"{tens} * {other} = {tens * other}, {ones} * {other} = {ones * other}"
    return f"{parts}, {tens * other} + {ones * other} = {left * right}"


def _reduce(node: ast.expr, said: list[str]) -> int:
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _reduce(node.operand, said)
        if not isinstance(node.operand, ast.Constant):
            said.append(f"-({value}) = {-value}")
        return -value
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        left, right = _reduce(node.left, said), _reduce(node.right, said)
        sign = _SIGNS[type(node.op)]
        said.append(_operation(sign, left, right))
        return _plain(sign, left, right)
    raise ValueError(f"no sum of whole numbers: {ast.unparse(node)}")


def arithmetic(expression: str) -> str:
    """An expression of whole numbers with + - * and parentheses, one operation after the other."""
    said: list[str] = []
    value = _reduce(ast.parse(expression.strip(), mode="eval").body, said)
    return ". ".join(said or [f"It is {value}"]) + "."


def _expression(entry: Entry) -> str:
    return arithmetic(entry["metadata"]["expression"])


def _gcd(entry: Entry) -> str:
    left, right = sorted(entry["metadata"]["numbers"], reverse=True)
    said = []
    while right:
        said.append(f"{left} = {left // right} * {right} + {left % right}")
        left, right = right, left % right
    return ". ".join(said) + f". The last divisor is {left}."


def _lcm(entry: Entry) -> str:
    larger, smaller = sorted(entry["metadata"]["numbers"], reverse=True)
    said, multiple = [], larger
    while multiple % smaller:
        said.append(f"{multiple} / {smaller} leaves {multiple % smaller}")
        multiple += larger
    return ". ".join([*said, f"{multiple} / {smaller} = {multiple // smaller}"]) + "."


def _added(numbers: Sequence[int]) -> list[str]:
    said, total = [], numbers[0]
    for number in numbers[1:]:
        said.append(f"{total} + {number} = {total + number}")
        total += number
    return said


def _legs(entry: Entry) -> str:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    animals = entry["metadata"]["animals"]
    counts = [number * ANIMALS[name] for name, number in animals.items()]
    said = [f"{name}: {number} * {ANIMALS[name]} = {number * ANIMALS[name]}" for name, number in animals.items()]
    return ". ".join([*said, *_added(counts)]) + "."


def _equation(entry: Entry) -> str:
    """`8*t - 6 = 26`, `12 - 6*b = 0`: the numbers are moved to the right, then the rest is divided."""
    written, name = entry["metadata"]["equation"], entry["metadata"]["variable"]
    left, right = written.split(" = ")
    terms = re.findall(rf"(?:^|([+-]) )(?:(\d+)\*)?({name}|-?\d+)(?= |$)", left)
    value, factor, said = int(right), 0, []
    for sign, times, what in terms:
        if what == name:
            factor += int(times or 1) * (-1 if sign == "-" else 1)
        else:
            back = "+" if sign == "-" else "-"
            said.append(f"{value} {back} {what} = {_plain(back, value, int(what))}")
            value = _plain(back, value, int(what))
    if not factor or value % factor:
        raise ValueError(f"no equation of one unknown: {written}")
    if factor != 1:
        said.append(f"{value} / {factor} = {value // factor}")
    return ". ".join([*said, f"{name} = {value // factor}"]) + "."


def _fraction(entry: Entry) -> str:
    over, under = entry["metadata"]["numerator"], entry["metadata"]["denominator"]
    common = math.gcd(over, under)
    halves = [f"{number} / {common} = {number // common}" for number in (over, under)]
    return ". ".join([f"Both can be divided by {common}", *halves]) + "."


def _filtering(entry: Entry) -> str:
    known = entry["metadata"]
    larger, keeps = known["operation"].endswith("larger"), known["operation"].startswith("keep")
    said = []
    for number in known["original_numbers"]:
        above = float(number) > float(known["filter_value"])
        kept = (above == larger) == keeps
        said.append(f"{number} is {'larger' if above else 'smaller'}, {'keep' if kept else 'drop'}")
    return f"Compare with {known['filter_value']}. " + ". ".join(said) + "."


def _letters(entry: Entry) -> str:
    letter, counts, said = entry["metadata"]["target_letter"], [], []
    for word in entry["metadata"]["span"]:
        counts.append(word.lower().count(letter.lower()))
        said.append(f"{' '.join(word)}: {counts[-1]}")
    return ". ".join([*said, f"{' + '.join(map(str, counts))} = {sum(counts)}"]) + "."


def _backward(entry: Entry) -> str:
    word = entry["metadata"]["word"]
    return f"{' '.join(word)}. Backward: {' '.join(reversed(word))}."


def _bits(entry: Entry) -> str:
    number, said, ones = int(entry["metadata"]["number"]), [], []
    while number:
        said.append(f"{number} = 2 * {number // 2} + {number % 2}")
        ones.append(str(number % 2))
        number //= 2
    return f"{'. '.join(said)}. {' + '.join(ones)} = {ones.count('1')}."


def _angle(entry: Entry) -> str:
    known = [round(angle) for angle in entry["metadata"]["known_angles"]]
    whole = entry["metadata"]["total_interior_sum"]
    said = [*_added(known), f"{whole} - {sum(known)} = {whole - sum(known)}"]
    return f"The angles add up to {whole}. " + ". ".join(said) + "."


def _primes(entry: Entry) -> str:
    said, left = [], math.prod(entry["metadata"]["factors"])
    for factor in entry["metadata"]["factors"][:-1]:
        said.append(f"{left} / {factor} = {left // factor}")
        left //= factor
    return ". ".join([*said, f"{left} is prime"]) + "."


def _story(entry: Entry) -> str:
    """GSM-Symbolic brings its own worked solution."""
    return re.split(r"\s*####", entry["metadata"]["answer_cot"])[0].replace("\n", " ").strip()


SOLUTIONS: dict[str, Callable[[Entry], str]] = {
    "chain_sum": _expression,
    "basic_arithmetic": _expression,
    "products": _expression,
    "gcd": _gcd,
    "lcm": _lcm,
    "leg_counting": _legs,
    "simple_equations": _equation,
    "fraction_simplification": _fraction,
    "number_filtering": _filtering,
    "letter_counting": _letters,
    "spell_backward": _backward,
    "count_bits": _bits,
    "simple_geometry": _angle,
    "prime_factorization": _primes,
    "gsm_symbolic": _story,
}
