"""Whether two answers are the same answer."""

from __future__ import annotations

from collections.abc import Sequence as Items

from r1hf.verify.compare_simple import (
    Unfinished as Unfinished,
)
from r1hf.verify.compare_simple import (
    equal_clocks,
    equal_codes,
    equal_congruences,
    equal_ratios,
    is_congruence,
    quotients,
    same_but_constants,
)
from r1hf.verify.evaluate import infinity_sign, ratio_sign, same_value, symbols
from r1hf.verify.kinds import (
    Answer,
    Assignment,
    Based,
    Chain,
    Clock,
    Code,
    Collection,
    Congruence,
    Equation,
    Given,
    Inequality,
    Matrix,
    Measured,
    Ratio,
    Rounded,
    Sequence,
    Value,
)
from r1hf.verify.names import same_name
from r1hf.verify.sets import Reals, same_reals, union
from r1hf.verify.tree import Node, make
from r1hf.verify.units import same_unit
from r1hf.verify.values import as_point, reals_of

MAX_ITEMS = 64


def equal(first: Answer, second: Answer) -> bool:
    """Same kind and same value. Raises Unfinished, and Undecided where values cannot be compared."""
    if isinstance(first, Measured) or isinstance(second, Measured):
        (a, unit), (b, other) = (x if isinstance(x, Measured) else (x, None) for x in (first, second))
        return same_unit(unit, other) and equal(a, b)
    if isinstance(first, Given) or isinstance(second, Given):
        return _equal_given(first, second)
    if isinstance(first, Rounded) or isinstance(second, Rounded):
        return _equal_claims(first, second)
    if isinstance(first, Assignment) and isinstance(second, Assignment):
        return _equal_assignments(first, second)
    if isinstance(first, Equation) or isinstance(second, Equation):
        return _equal_equations(first, second)
    if (isinstance(first, Assignment) or isinstance(second, Assignment)) and (sides := quotients(first, second)):
        return same_value(*sides)
    if alone := _only_solution(first, second):
        return equal(*alone)
    first = first.value if isinstance(first, Assignment) else first
    second = second.value if isinstance(second, Assignment) else second
    if isinstance(first, Value) and isinstance(second, Value):
        return _equal_values(first, second)
    if isinstance(first, Clock) or isinstance(second, Clock):
        return equal_clocks(first, second)
    if isinstance(first, Code) or isinstance(second, Code):
        return equal_codes(first, second)
    if isinstance(first, Reals) or isinstance(second, Reals):
        a_reals, b_reals = _intervals(first), _intervals(second)
        return a_reals is not None and b_reals is not None and same_reals(a_reals, b_reals)
    return _equal_structures(first, second)


def _equal_claims(first: Answer, second: Answer) -> bool:
    """Whether a claim of one is a claim of the other."""
    unfinished = None
    for a in first if isinstance(first, Rounded) else (first,):
        for b in second if isinstance(second, Rounded) else (second,):
            try:
                if equal(a, b):
                    return True
            except Unfinished as error:
                unfinished = error
    if unfinished:
        raise unfinished
    return False


def _equal_given(first: Answer, second: Answer) -> bool:
    """Where the parameter comes from counts only if both say so; then its letter does not."""
    if not isinstance(first, Given) or not isinstance(second, Given):
        if isinstance(first, Congruence) or isinstance(second, Congruence):
            return is_congruence(first, second)
        bare = [answer.value if isinstance(answer, Given) else answer for answer in (first, second)]
        return equal(*bare)
    if first.domain != second.domain:
        return False
    return equal(first.value, second.value) or equal(first.renamed or first.value, second.renamed or second.value)


def _only_solution(first: Answer, second: Answer) -> tuple[Answer, Answer] | None:
    """x = 5 and the set {5} of its one solution; (1, 2) and {(1, 2)}."""
    for one, other in ((first, second), (second, first)):
        if isinstance(other, Collection) and other.braced and len(other.items) == 1:
            if isinstance(one, Assignment) and isinstance(one.value, Value) or isinstance(one, Sequence):
                return one, other.items[0]
    return None


def _intervals(answer: Answer) -> Reals | None:
    """As `reals_of`; a list of intervals that no points can be, since one has no end, is their union."""
    if isinstance(answer, Collection) and answer.items and all(isinstance(item, Sequence) for item in answer.items):
        found = [reals_of(item) for item in answer.items]
        pieces = [piece for reals in found if reals for piece in reals.pieces]
        endless = any(infinity_sign(piece.low) or infinity_sign(piece.high) for piece in pieces)
        return union(pieces) if all(found) and endless and not answer.braced else None
    return reals_of(answer)


def _equal_structures(first: Answer, second: Answer) -> bool:
    """Answers that are made of answers."""
    rows = _rows(first), _rows(second)
    if all(rows):
        return len(rows[0]) == len(rows[1]) and all(map(_all_equal, *rows))
    if isinstance(first, Sequence) or isinstance(second, Sequence):
        first, second = _as_tuple(as_point(first)), _as_tuple(as_point(second))
    elif isinstance(first, Matrix) or isinstance(second, Matrix):
        if isinstance(first, Value) or isinstance(second, Value):
            first, second = as_point(first), as_point(second)
    if isinstance(first, Sequence) and isinstance(second, Sequence):
        return first.brackets == second.brackets and _all_equal(first.items, second.items)
    if isinstance(first, Collection) and isinstance(second, Collection):
        return _equal_collections(first, second)
    if isinstance(first, Inequality) and isinstance(second, Inequality):
        return first.strict == second.strict and ratio_sign(first.node, second.node) == 1
    if isinstance(first, Chain) and isinstance(second, Chain):
        return first.strict == second.strict and all(map(same_value, first.nodes, second.nodes))
    if isinstance(first, Ratio) or isinstance(second, Ratio):
        return equal_ratios(first, second)
    if isinstance(first, Congruence) and isinstance(second, Congruence):
        return equal_congruences(first, second)
    return isinstance(first, Based) and first == second


def _as_tuple(answer: Answer) -> Answer:
    """{1, 3} without backslashes is (1, 3) too."""
    if isinstance(answer, Collection) and answer.grouped and len(answer.items) > 1:
        return Sequence("()", answer.items)
    return answer


def _equal_values(first: Value, second: Value) -> bool:
    if not same_unit(first.unit, second.unit):
        return False
    if not same_value(first.node, second.node) and not same_but_constants(first.node, second.node):
        return False
    if {first.form, second.form} == {"number", "arithmetic"}:
        raise Unfinished(second=second.form == "arithmetic")
    return True


def _equal_assignments(first: Assignment, second: Assignment) -> bool:
    if same_name(first.name, second.name):
        return equal(first.value, second.value)
    a, b = first.value, second.value
    if not isinstance(a, Value) or not isinstance(b, Value) or not symbols(a.node) or not symbols(b.node):
        return False
    return _proportional(_difference(first), _difference(second))


def _equal_equations(first: Answer, second: Answer) -> bool:
    pair = [_as_solution(first, second), _as_solution(second, first)]
    if not all(isinstance(item, Equation) or _assigns_value(item) for item in pair):
        return False
    first, second = pair
    same = _proportional(_difference(first), _difference(second))
    solved = [
        isinstance(a := item, Assignment) and isinstance(a.value, Value) and not symbols(a.value.node) for item in pair
    ]
    if same and any(solved):
        raise Unfinished(second=solved[0])
    return same


def _assigns_value(answer: Answer) -> bool:
    return isinstance(answer, Assignment) and isinstance(answer.value, Value)


def _as_solution(answer: Answer, other: Answer) -> Answer:
    """A bare 5 beside an equation in x alone is x = 5."""
    if isinstance(answer, Value) and isinstance(other, Equation) and not symbols(answer.node):
        names = symbols(other.left) | symbols(other.right)
        if len(names) == 1:
            return Assignment(next(iter(names)), answer)
    return answer


def _difference(answer: Answer) -> Node:
    if isinstance(answer, Assignment):
        assert isinstance(answer.value, Value)
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
    if first.braced or second.braced or all(isinstance(item, Sequence) for item in (*a, *b)):
        a, b = _distinct(a), _distinct(b)
    if len(a) != len(b):
        return False
    if _has_names(a) != _has_names(b):
        # "x = 1, y = 2" is 1, 2 in this order.
        return _all_equal(a, b)
    for item in a:
        at = next((at for at, other in enumerate(b) if equal(item, other)), None)
        if at is None:
            return False
        b.pop(at)
    return True


def _has_names(items: list[Answer]) -> bool:
    return len({item.name for item in items if isinstance(item, Assignment)}) > 1


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
