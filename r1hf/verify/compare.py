"""Whether two answers are the same answer."""

from __future__ import annotations

from collections.abc import Sequence as Items

from r1hf.verify.answers import (
    Answer,
    Assignment,
    Based,
    Collection,
    Congruence,
    Equation,
    Inequality,
    Matrix,
    Ratio,
    Sequence,
    Value,
    reals_of,
)
from r1hf.verify.evaluate import ratio_sign, same_value, symbols
from r1hf.verify.sets import Reals, same_reals
from r1hf.verify.tree import Node, make
from r1hf.verify.units import same_unit

MAX_ITEMS = 64


class Unfinished(ValueError):
    """Equal, but one side restates the question: "2 + 12" for 14, "2x = 10" for x = 5. `second`: which side."""

    def __init__(self, second: bool):
        super().__init__("unfinished")
        self.second = second


def equal(first: Answer, second: Answer) -> bool:
    """Same kind and same value. Raises Unfinished, and Undecided where values cannot be compared."""
    if isinstance(first, Assignment) and isinstance(second, Assignment):
        return _equal_assignments(first, second)
    if isinstance(first, Equation) or isinstance(second, Equation):
        return _equal_equations(first, second)
    first = first.value if isinstance(first, Assignment) else first
    second = second.value if isinstance(second, Assignment) else second
    if isinstance(first, Value) and isinstance(second, Value):
        return _equal_values(first, second)
    if isinstance(first, Reals) or isinstance(second, Reals):
        a, b = reals_of(first), reals_of(second)
        return a is not None and b is not None and same_reals(a, b)
    if isinstance(first, Sequence) and isinstance(second, Sequence):
        return first.brackets == second.brackets and _all_equal(first.items, second.items)
    if isinstance(first, Collection) and isinstance(second, Collection):
        return _equal_collections(first, second)
    if isinstance(first, Matrix) or isinstance(second, Matrix):
        a_rows, b_rows = _rows(first), _rows(second)
        return bool(a_rows and b_rows) and len(a_rows) == len(b_rows) and all(map(_all_equal, a_rows, b_rows))
    if isinstance(first, Inequality) and isinstance(second, Inequality):
        return first.strict == second.strict and ratio_sign(first.node, second.node) == 1
    if isinstance(first, Ratio) and isinstance(second, Ratio):
        return _equal_ratios(first, second)
    if isinstance(first, Congruence) and isinstance(second, Congruence):
        return _equal_congruences(first, second)
    return isinstance(first, Based) and first == second


def _equal_values(first: Value, second: Value) -> bool:
    if not same_unit(first.unit, second.unit) or not same_value(first.node, second.node):
        return False
    if {first.form, second.form} == {"number", "arithmetic"}:
        raise Unfinished(second=second.form == "arithmetic")
    return True


def _equal_assignments(first: Assignment, second: Assignment) -> bool:
    functions = [item.name == "y" or item.name.endswith(")") for item in (first, second)]
    if first.name == second.name or all(functions):
        return _equal_values(first.value, second.value)
    if not symbols(first.value.node) or not symbols(second.value.node):
        return False
    return _proportional(_difference(first), _difference(second))


def _equal_equations(first: Answer, second: Answer) -> bool:
    pair = [_as_solution(first, second), _as_solution(second, first)]
    if not all(isinstance(item, Equation | Assignment) for item in pair):
        return False
    first, second = pair
    same = _proportional(_difference(first), _difference(second))
    solved = [isinstance(item, Assignment) and not symbols(item.value.node) for item in pair]
    if same and any(solved):
        raise Unfinished(second=solved[0])
    return same


def _as_solution(answer: Answer, other: Answer) -> Answer:
    """A bare 5 beside an equation in x alone is x = 5."""
    if isinstance(answer, Value) and isinstance(other, Equation) and not symbols(answer.node):
        names = symbols(other.left) | symbols(other.right)
        if len(names) == 1:
            return Assignment(next(iter(names)), answer)
    return answer


def _difference(answer: Answer) -> Node:
    if isinstance(answer, Assignment):
        return make("-", ("sym", answer.name), answer.value.node)
    assert isinstance(answer, Equation)
    return make("-", answer.left, answer.right)


def _proportional(first: Node, second: Node) -> bool:
    return symbols(first) == symbols(second) and ratio_sign(first, second) in (1, -1)


def _all_equal(first: Items[Answer], second: Items[Answer]) -> bool:
    return len(first) == len(second) and all(map(equal, first, second))


def _equal_collections(first: Collection, second: Collection) -> bool:
    a, b = list(first.items), list(second.items)
    if len(a) > MAX_ITEMS or len(b) > MAX_ITEMS:
        return False
    if first.braced or second.braced:
        a, b = _distinct(a), _distinct(b)
    if len(a) != len(b):
        return False
    for item in a:
        at = next((at for at, other in enumerate(b) if equal(item, other)), None)
        if at is None:
            return False
        b.pop(at)
    return True


def _distinct(items: list[Answer]) -> list[Answer]:
    kept: list[Answer] = []
    for item in items:
        if not any(equal(item, other) for other in kept):
            kept.append(item)
    return kept


def _rows(answer: Answer) -> tuple[tuple[Answer, ...], ...]:
    if isinstance(answer, Matrix):
        return answer.rows
    if isinstance(answer, Sequence) and all(
        isinstance(row, Sequence) and row.brackets == "[]" for row in answer.items
    ):
        return tuple(row.items for row in answer.items if isinstance(row, Sequence))
    return ()


def _equal_ratios(first: Ratio, second: Ratio) -> bool:
    a, b = ([part.node for part in ratio.parts] for ratio in (first, second))
    if first.clock or second.clock or len(a) != len(b) or ("num", 0) in (a[0], b[0]):
        return a == b
    return all(
        same_value(make("/", left, a[0]), make("/", right, b[0])) for left, right in zip(a[1:], b[1:], strict=True)
    )


def _equal_congruences(first: Congruence, second: Congruence) -> bool:
    if not same_value(first.modulus, second.modulus):
        return False
    shift = make("/", make("-", first.residue, second.residue), first.modulus)
    return shift[0] == "num" and shift[1].denominator == 1 or same_value(first.residue, second.residue)
