"""Whether two answers that hold no other answers are the same: times, codes, ratios, congruences, constants."""

from __future__ import annotations

import re
from fractions import Fraction

from r1hf.verify.evaluate import replace, same_value, symbols
from r1hf.verify.kinds import Answer, Assignment, Clock, Code, Congruence, Given, Ratio, Value
from r1hf.verify.tree import Node, make
from r1hf.verify.units import same_unit

_QUOTIENT = re.compile(r"^\\frac|[/:]")


class Unfinished(ValueError):
    """Equal, but one side restates the question: "2 + 12" for 14, "2x = 10" for x = 5. `second`: which side."""

    def __init__(self, second: bool):
        super().__init__("unfinished")
        self.second = second


def equal_clocks(first: Answer, second: Answer) -> bool:
    """3:00 PM is 15:00; a half of the day counts only where both name one, or an hour is past 12."""
    a, b = _as_clock(first), _as_clock(second)
    if a is None or b is None:
        return False
    if (isinstance(first, Ratio) or isinstance(second, Ratio)) and a.half is None and b.half is None:
        return a.hour * b.minute == b.hour * a.minute != 0  # 8:14 beside 4:7 is a ratio
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


def equal_codes(first: Answer, second: Answer) -> bool:
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


def equal_ratios(first: Answer, second: Answer) -> bool:
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


def equal_congruences(first: Congruence, second: Congruence) -> bool:
    if not same_value(first.modulus, second.modulus):
        return False
    shift = make("/", make("-", first.residue, second.residue), first.modulus)
    return shift[0] == "num" and shift[1].denominator == 1 or same_value(first.residue, second.residue)


def quotients(first: Answer, second: Answer) -> tuple[Node, Node] | None:
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


def same_but_constants(first: Node, second: Node) -> bool:
    """Whether two trees differ only in the spelling of the constant of integration: e^x + c, e^x + C."""
    names = symbols(first) ^ symbols(second)
    small = [name for name in names if name[0] == "c" and name.capitalize() in names]
    if not small or len(names) != 2 * len(small) or len(symbols(first) | symbols(second)) <= len(names):
        return False
    for name in small:
        first, second = (replace(node, name, ("sym", name.capitalize())) for node in (first, second))
    return same_value(first, second)


def is_congruence(first: Answer, second: Answer) -> bool:
    """x = 5k + 3 with a whole k is x = 3 (mod 5)."""
    given, congruence = (first, second) if isinstance(first, Given) else (second, first)
    assert isinstance(given, Given)
    value = given.value.value if isinstance(given.value, Assignment) else given.value
    if not isinstance(value, Value) or given.domain != "integers" or len(names := symbols(value.node)) != 1:
        return False
    start, step = (replace(value.node, min(names), ("num", Fraction(at))) for at in (0, 1))
    found = Congruence(start, make("-", step, start))
    linear = make("+", start, make("*", found.modulus, ("sym", min(names))))
    return (
        isinstance(congruence, Congruence) and same_value(linear, value.node) and equal_congruences(found, congruence)
    )
