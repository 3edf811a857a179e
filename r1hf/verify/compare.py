"""Whether two answers are the same answer."""

from __future__ import annotations

import re
from collections.abc import Sequence as Items
from fractions import Fraction

from r1hf.verify.evaluate import infinity_sign, ratio_sign, replace, same_value, symbols
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
_QUOTIENT = re.compile(r"^\\frac|[/:]")


class Unfinished(ValueError):
    """Equal, but one side restates the question: "2 + 12" for 14, "2x = 10" for x = 5. `second`: which side."""

    def __init__(self, second: bool):
        super().__init__("unfinished")
        self.second = second


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
    if (isinstance(first, Assignment) or isinstance(second, Assignment)) and (quotients := _quotients(first, second)):
        return same_value(*quotients)
    if alone := _only_solution(first, second):
        return equal(*alone)
    first = first.value if isinstance(first, Assignment) else first
    second = second.value if isinstance(second, Assignment) else second
    if isinstance(first, Value) and isinstance(second, Value):
        return _equal_values(first, second)
    if isinstance(first, Clock) or isinstance(second, Clock):
        return _equal_clocks(first, second)
    if isinstance(first, Code) or isinstance(second, Code):
        return _equal_codes(first, second)
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
            return _is_congruence(first, second)
        bare = [answer.value if isinstance(answer, Given) else answer for answer in (first, second)]
        return equal(*bare)
    if first.domain != second.domain:
        return False
    return equal(first.value, second.value) or equal(first.renamed or first.value, second.renamed or second.value)


def _is_congruence(first: Answer, second: Answer) -> bool:
    """x = 5k + 3 with a whole k is x = 3 (mod 5)."""
    given, congruence = (first, second) if isinstance(first, Given) else (second, first)
    assert isinstance(given, Given)
    value = given.value.value if isinstance(given.value, Assignment) else given.value
    if not isinstance(value, Value) or given.domain != "integers" or len(names := symbols(value.node)) != 1:
        return False
    start, step = (replace(value.node, min(names), ("num", Fraction(at))) for at in (0, 1))
    found = Congruence(start, make("-", step, start))
    linear = make("+", start, make("*", found.modulus, ("sym", min(names))))
    return isinstance(congruence, Congruence) and same_value(linear, value.node) and equal(found, congruence)


def _only_solution(first: Answer, second: Answer) -> tuple[Answer, Answer] | None:
    """x = 5 and the set {5} of its one solution; (1, 2) and {(1, 2)}."""
    for one, other in ((first, second), (second, first)):
        if isinstance(other, Collection) and other.braced and len(other.items) == 1:
            if isinstance(one, Assignment) and isinstance(one.value, Value) or isinstance(one, Sequence):
                return one, other.items[0]
    return None


def _quotients(first: Answer, second: Answer) -> tuple[Node, Node] | None:
    """3:2 and the value of a quotient that is named: a/b = 3/2."""
    ratio, other = (first, second) if isinstance(first, Ratio) else (second, first)
    if isinstance(other, Assignment) and isinstance(other.value, Ratio) and isinstance(ratio, Value):
        ratio, other = other.value, Assignment(other.name, ratio)
    if not isinstance(ratio, Ratio) or len(ratio.parts) != 2 or not isinstance(other, Assignment):
        return None
    if not isinstance(other.value, Value) or not _QUOTIENT.search(other.name):
        return None
    top, bottom = (part.node for part in ratio.parts)
    return (make("/", top, bottom), other.value.node) if bottom != ("num", 0) else None


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
    if isinstance(first, Sequence) or isinstance(second, Sequence):
        first, second = _as_tuple(as_point(first)), _as_tuple(as_point(second))
    elif isinstance(first, Matrix) or isinstance(second, Matrix):
        if isinstance(first, Value) or isinstance(second, Value):
            first, second = as_point(first), as_point(second)
    if isinstance(first, Sequence) and isinstance(second, Sequence):
        return first.brackets == second.brackets and _all_equal(first.items, second.items)
    if isinstance(first, Collection) and isinstance(second, Collection):
        return _equal_collections(first, second)
    if isinstance(first, Matrix) or isinstance(second, Matrix):
        a_rows, b_rows = _rows(first), _rows(second)
        return bool(a_rows and b_rows) and len(a_rows) == len(b_rows) and all(map(_all_equal, a_rows, b_rows))
    if isinstance(first, Inequality) and isinstance(second, Inequality):
        return first.strict == second.strict and ratio_sign(first.node, second.node) == 1
    if isinstance(first, Chain) and isinstance(second, Chain):
        return first.strict == second.strict and all(map(same_value, first.nodes, second.nodes))
    if isinstance(first, Ratio) or isinstance(second, Ratio):
        return _equal_ratios(first, second)
    if isinstance(first, Congruence) and isinstance(second, Congruence):
        return _equal_congruences(first, second)
    return isinstance(first, Based) and first == second


def _as_tuple(answer: Answer) -> Answer:
    """{1, 3} without backslashes is (1, 3) too."""
    if isinstance(answer, Collection) and answer.grouped and len(answer.items) > 1:
        return Sequence("()", answer.items)
    return answer


def _equal_clocks(first: Answer, second: Answer) -> bool:
    """3:00 PM is 15:00; a half of the day counts only where both name one, or an hour is past 12."""
    clocks = [_as_clock(first), _as_clock(second)]
    a, b = clocks
    if a is None or b is None:
        return False
    if (a.minute, a.second) != (b.minute, b.second):
        return False
    if a.half == b.half or (a.half is None and a.hour <= 12) or (b.half is None and b.hour <= 12):
        return a.hour % 24 == b.hour % 24 if a.half == b.half else a.hour % 12 == b.hour % 12
    return _hour(a) == _hour(b)


def _as_clock(answer: Answer) -> Clock | None:
    if isinstance(answer, Ratio) and len(answer.parts) == 2 and all(part.node[0] == "num" for part in answer.parts):
        hour, minute = (part.node[1] for part in answer.parts)
        return Clock(int(hour), int(minute), 0, answer.parts[-1].unit)
    return answer if isinstance(answer, Clock) else None


def _hour(clock: Clock) -> int:
    return clock.hour % 12 + 12 * (clock.half == "pm") if clock.half else clock.hour % 24


def _equal_codes(first: Answer, second: Answer) -> bool:
    """Digits as they stand; "5 to 7" is the range 5-7. A gold that is a difference after all is unfinished."""
    if isinstance(first, Code) and isinstance(second, Code):
        return first == second
    code, other = (first, second) if isinstance(first, Code) else (second, first)
    assert isinstance(code, Code)
    if isinstance(other, Ratio) and other.worded:
        return [("num", Fraction(part)) for part in code.parts] == [part.node for part in other.parts]
    if isinstance(other, Value) and code.parts[0] == "quotient":
        return code.parts[2] == "0" and other.node == ("num", Fraction(code.parts[1]))
    if isinstance(other, Value) and len(code.parts) == 2 and code.parts[0][0].isdigit():
        if other.node == ("num", Fraction(code.parts[0]) - Fraction(code.parts[1])):
            raise Unfinished(second=code is second)
    return False


def _equal_values(first: Value, second: Value) -> bool:
    if not same_unit(first.unit, second.unit):
        return False
    if not same_value(first.node, second.node) and not _same_but_constants(first.node, second.node):
        return False
    if {first.form, second.form} == {"number", "arithmetic"}:
        raise Unfinished(second=second.form == "arithmetic")
    return True


def _same_but_constants(first: Node, second: Node) -> bool:
    """Whether two trees differ only in the spelling of the constant of integration: e^x + c, e^x + C."""
    names = symbols(first) ^ symbols(second)
    small = [name for name in names if name[0] == "c" and name.capitalize() in names]
    if not small or len(names) != 2 * len(small) or len(symbols(first) | symbols(second)) <= len(names):
        return False
    for name in small:
        first, second = (replace(node, name, ("sym", name.capitalize())) for node in (first, second))
    return same_value(first, second)


def _equal_assignments(first: Assignment, second: Assignment) -> bool:
    if same_name(first.name, second.name):
        return equal(first.value, second.value)
    a, b = first.value, second.value
    if not isinstance(a, Value) or not isinstance(b, Value) or not symbols(a.node) or not symbols(b.node):
        return _equal_named_tuples(first, second)
    return _proportional(_difference(first), _difference(second))


def _equal_named_tuples(first: Assignment, second: Assignment) -> bool:
    """(x, y) = (1, 2) is (y, x) = (2, 1)."""
    a, b = first.value, second.value
    names = [item.name.strip("()").split(",") for item in (first, second)]
    if first.name[0] != "(" or sorted(names[0]) != sorted(names[1]) or not isinstance(a, Sequence):
        return False
    if not isinstance(b, Sequence) or not len(a.items) == len(b.items) == len(names[0]):
        return False
    given = dict(zip(names[1], b.items, strict=True))
    return len(given) == len(names[0]) and all(
        equal(item, given[name]) for name, item in zip(names[0], a.items, strict=True)
    )


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


def _equal_ratios(first: Answer, second: Answer) -> bool:
    parts = [_ratio_parts(first), _ratio_parts(second)]
    if not all(parts) or len(parts[0]) != len(parts[1]):
        return False
    if not all(same_unit(a.unit, b.unit) for a, b in zip(*parts, strict=True)):
        return False
    a, b = ([part.node for part in side] for side in parts)
    if ("num", 0) in (a[0], b[0]):
        return a == b
    return all(
        same_value(make("/", left, a[0]), make("/", right, b[0])) for left, right in zip(a[1:], b[1:], strict=True)
    )


def _ratio_parts(answer: Answer) -> tuple[Value, ...]:
    return answer.parts if isinstance(answer, Ratio) else ()


def _equal_congruences(first: Congruence, second: Congruence) -> bool:
    if not same_value(first.modulus, second.modulus):
        return False
    shift = make("/", make("-", first.residue, second.residue), first.modulus)
    return shift[0] == "num" and shift[1].denominator == 1 or same_value(first.residue, second.residue)
