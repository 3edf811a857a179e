"""Sums of the tiny world: two to five numbers, `+ - *` and brackets, everything from 0 to 99 on the way.

An expression is solved by writing down what is left of it, one operation at a time: `2+3*4-1`, `2+12-1`, `14-1`, `13`.
Each time it is the leftmost operation that brackets and products leave ready.
"""

from __future__ import annotations

import hashlib
import random
import re

from r1hf.data.sums import OPERATIONS, Operation, Tree, value

MOST = 99
_STRENGTH = {"+": 1, "-": 1, "*": 2}
_HELD_OUT = 0.37  # of all expressions
_TRICKY = 0.6  # of those drawn give another value from left to right, for certain
_ORDERS = ("*+-", "*-+", "+*-", "+-*", "-*+")  # products are often out of range, so they come first twice
_SIGN = re.compile("[-+*]")
_SINGLE = re.compile(r"\d+|[-+*()]")


def text(tree: Tree, gap: str = " ") -> str:
    """`2 + 3 * (4 - 1)`, with no more brackets than the order of operations asks for."""
    return _text(tree, gap, 0)


def _text(tree: Tree, gap: str, least: int) -> str:
    if isinstance(tree, int):
        return str(tree)
    strength = _STRENGTH[tree.sign]
    right = _text(tree.right, gap, strength + (tree.sign == "-"))
    inside = f"{_text(tree.left, gap, strength)}{gap}{tree.sign}{gap}{right}"
    return f"({inside})" if strength < least else inside


def size(tree: Tree) -> int:
    """How many numbers stand in it."""
    return 1 if isinstance(tree, int) else size(tree.left) + size(tree.right)


def within(tree: Tree) -> bool:
    """Whether each value on the way is from 0 to `MOST`."""
    if isinstance(tree, int):
        return 0 <= tree <= MOST
    return within(tree.left) and within(tree.right) and 0 <= value(tree) <= MOST


def _step(tree: Operation) -> Tree:
    """The tree after its leftmost operation whose two sides are numbers."""
    if isinstance(tree.left, Operation):
        return Operation(tree.sign, _step(tree.left), tree.right)
    if isinstance(tree.right, Operation):
        return Operation(tree.sign, tree.left, _step(tree.right))
    return value(tree)


def remains(tree: Tree, gap: str = "") -> list[str]:
    """What is left after each operation, the last is the value: ["2+12-1", "14-1", "13"]."""
    found = []
    while isinstance(tree, Operation):
        tree = _step(tree)
        found.append(text(tree, gap))
    return found


def wrong_remains(tree: Operation, rng: random.Random) -> list[str]:
    """The same by somebody who works from left to right and ignores brackets; never reaches the right value.

    Where the order does not matter, or a value on the way would be below 0 or above 99, the last step is a slip.
    """
    left = _from_the_left(text(tree))
    if left is not None and left[-1] != str(value(tree)):
        return [line.replace(" ", "") for line in left]
    right = remains(tree)
    off = rng.choice([n for n in (1, -1, 2, 10, -10) if 0 <= value(tree) + n <= MOST])
    return [*right[:-1], str(value(tree) + off)]


def _from_the_left(written: str) -> list[str] | None:
    left, *rest = (int(part) if part.isdigit() else part for part in _SINGLE.findall(written) if part not in "()")
    found = []
    while rest:
        sign, number, *rest = rest
        left = OPERATIONS[str(sign)](int(left), int(number))
        if not 0 <= left <= MOST:
            return None
        found.append(" ".join(map(str, (left, *rest))))
    return found


def _up_to(most: int, rng: random.Random) -> int:
    return 1 + int(rng.random() * most)  # three times as fast as randint


def _leaf(numbers: int, rng: random.Random) -> int:
    """A number of an expression of so many: the longer one has smaller ones, as people write them."""
    kind, small = rng.random(), 0.6 if numbers <= 2 else 0.8
    if kind < small:
        return _up_to(9, rng)
    return _up_to(21, rng) - 1 if kind < small + 0.14 else _up_to(MOST, rng)


def _grow(numbers: int, whole: int, rng: random.Random) -> tuple[Tree, int]:
    """A tree and its value, a part of an expression of `whole` numbers, everything in range.

    A sign that leads out of the range gives way to another.
    """
    if numbers == 1:
        leaf = _leaf(whole, rng)
        return leaf, leaf
    while True:
        first = _up_to(numbers - 1, rng)
        (left, low), (right, high) = _grow(first, whole, rng), _grow(numbers - first, whole, rng)
        for sign in _ORDERS[int(rng.random() * len(_ORDERS))]:
            if isinstance(right, Operation) and sign != "-" and _STRENGTH[right.sign] == _STRENGTH[sign]:
                continue  # 1 + (2 + 3) is written 1 + 2 + 3, which is worked from the left
            result = OPERATIONS[sign](low, high)
            if 0 <= result <= MOST:
                return Operation(sign, left, right), result


def draw(numbers: int, rng: random.Random) -> Operation:
    """A random expression of so many numbers, held out or not."""
    tree = _grow(numbers, numbers, rng)[0]
    if not isinstance(tree, Operation):
        raise ValueError(f"{numbers} number is no sum; give 2 or more")
    return tree


def order_matters(tree: Tree) -> bool:
    """Whether working from left to right without brackets gives another value, all on the way from 0 to 99."""
    left = _from_the_left(text(tree))
    return left is not None and left[-1] != str(value(tree))


def held_out(written: str) -> bool:
    """Whether an expression, as `text` writes it, is kept for evaluation: by the text alone, whatever the seed.

    A sum of two numbers is a step of many longer ones, so it is never held out as an expression.
    """
    if len(_SIGN.findall(written)) < 2:
        return False
    digest = hashlib.sha256(f"r1hf tiny world / {written}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < _HELD_OUT * 2**64


def for_training(tree: Operation) -> bool:
    """Neither the expression nor what is left of it on the right or the wrong way is held out."""
    written = text(tree)
    if held_out(written):
        return False
    wrong = _from_the_left(written) or []
    return not any(map(held_out, wrong)) and not any(map(held_out, remains(tree, " ")))


def drawn(numbers: int, rng: random.Random, kept: bool = False) -> Operation:
    """A random expression that is held out (`kept`), or one for training; most have an order to get wrong."""
    tricky = numbers > 2 and rng.random() < _TRICKY
    while True:
        tree = draw(numbers, rng)
        if tricky and not order_matters(tree):
            continue
        if held_out(text(tree)) if kept and numbers > 2 else for_training(tree):
            return tree
