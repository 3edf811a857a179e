"""Answers that hold no further answers: values, ratios, numbers in a base; and answers as points, reals or vectors."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NoReturn

from r1hf.verify.evaluate import replace, same_value, symbols, variants
from r1hf.verify.kinds import Answer, Assignment, Based, Code, Collection, Given, Matrix, Ratio, Sequence, Value
from r1hf.verify.latex import parse_expression
from r1hf.verify.names import is_root
from r1hf.verify.sets import Piece, Reals, interval, union
from r1hf.verify.tokens import Token
from r1hf.verify.tree import Node, Unreadable, make

_OF_NUMBERS = frozenset(("-", "+", "/", "\\frac", "{", "}"))
PAIRS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}
_AXES = ("\\ihat", "\\jhat", "\\khat")


def value(tokens: list[Token]) -> Answer:
    expression = parse_expression(tokens)
    found = variants(expression.node)
    if len(found) > 1:
        return Collection(tuple(Value(node, "other") for node in found), braced=False)
    if expression.arithmetic:
        return Value(found[0], "arithmetic")
    return Value(found[0], "number" if all(kind == "num" or sign in _OF_NUMBERS for kind, sign in tokens) else "other")


def read_ratio(parts: list[list[Token]]) -> Ratio:
    values = []
    for part in parts:
        bare, unit = without_unit(part)
        values.append(Value(parse_expression(bare).node, unit=unit))
    return Ratio(tuple(values))


def read_based(tokens: list[Token]) -> Based | None:
    text = "".join(sign for _, sign in tokens)
    match = re.fullmatch(
        r"(?:\(([0-9A-F]+)\)|([0-9A-F]*[0-9][0-9A-F]*|[A-F]+(?=_\{?16)))_(?:\{(\d{1,2})\}|(\d{1,2}))", text
    )
    return Based((match[1] or match[2]).lstrip("0") or "0", match[3] or match[4]) if match else None


def read_angle(tokens: list[Token]) -> Code | None:
    r"""\angle ABC, which is \angle CBA, and no product of A, B and C."""
    if tokens[:1] != [("cmd", "\\angle")] or not all(sign.isalpha() for _, sign in tokens[1:]) or len(tokens) > 4:
        return None
    letters = "".join(sign for _, sign in tokens[1:])
    return Code(("angle", min(letters, letters[::-1]))) if letters else None


def without_unit(tokens: list[Token]) -> tuple[list[Token], str | None]:
    return (tokens[:-1], tokens[-1][1]) if len(tokens) > 1 and tokens[-1][0] == "unit" else (tokens, None)


def with_unit(answer: Answer, unit: str) -> Answer:
    """The answer, in this unit wherever it names none."""
    if isinstance(answer, Value):
        return answer if answer.unit else answer._replace(unit=unit)
    if isinstance(answer, Assignment | Given):
        return answer._replace(value=with_unit(answer.value, unit))
    if isinstance(answer, Ratio):
        return answer._replace(parts=tuple(part if part.unit else part._replace(unit=unit) for part in answer.parts))
    if isinstance(answer, Sequence | Collection):
        return answer._replace(items=tuple(with_unit(item, unit) for item in answer.items))
    if isinstance(answer, Matrix):
        return Matrix(tuple(tuple(with_unit(cell, unit) for cell in row) for row in answer.rows))
    return answer


def with_union_signs(tokens: list[Token]) -> list[Token]:
    """A U between two brackets is a union."""
    return [
        ("cmd", "\\cup")
        if token == ("let", "U")
        and 0 < at < len(tokens) - 1
        and tokens[at - 1][1] in ")]"
        and tokens[at + 1][1] in "(["
        else token
        for at, token in enumerate(tokens)
    ]


def is_whole(tokens: list[Token]) -> bool:
    """Whether the first bracket closes with the last token."""
    if len(tokens) < 2 or tokens[0][1] not in PAIRS or tokens[-1][1] not in PAIRS.values():
        return False
    depth = 0
    for at, (_, sign) in enumerate(tokens):
        depth += (sign in PAIRS) - (sign in PAIRS.values())
        if not depth:
            return at == len(tokens) - 1
    return False


def as_point(answer: Answer) -> Answer:
    """ "x = 1, y = 2" as (1, 2), single letters in the order of the alphabet; 3i + 4j as (3, 4)."""
    if isinstance(answer, Value):
        return _as_vector(answer)
    if isinstance(answer, Matrix) and len(answer.rows) > 1 and all(len(row) == 1 for row in answer.rows):
        return Sequence("()", tuple(row[0] for row in answer.rows))
    if not isinstance(answer, Collection) or answer.braced:
        return answer
    named = [item for item in answer.items if isinstance(item, Assignment)]
    names = [item.name for item in named]
    if len(named) != len(answer.items) or len(set(names)) != len(names) or all(map(is_root, names)):
        return answer
    if all(len(name) == 1 for name in names) or len({name[1:] for name in names}) == 1:
        named.sort(key=lambda item: item.name)
    return Sequence("()", tuple(item.value for item in named))


def _as_vector(answer: Value) -> Answer:
    """A sum of multiples of unit vectors as its components."""
    names = symbols(answer.node)
    if not names or not names <= set(_AXES):
        return answer
    parts = []
    for axis in _AXES[: 3 if _AXES[2] in names else 2]:
        node = answer.node
        for name in _AXES:
            node = replace(node, name, ("num", Fraction(name == axis)))
        parts.append(node)
    total = make("+", ("num", Fraction(0)), ("num", Fraction(0)))
    for part, axis in zip(parts, _AXES, strict=False):
        total = make("+", total, make("*", part, ("sym", axis)))
    if not same_value(total, answer.node):
        return answer
    return Sequence("()", tuple(Value(part, "other", answer.unit) for part in parts))


def closed(tokens: list[Token]) -> Node:
    node = parse_expression(tokens).node
    return node if not symbols(node) else unreadable("a bound with a variable")


def unreadable(what: str) -> NoReturn:
    raise Unreadable(what)


def as_reals(answer: Answer) -> Reals:
    reals = reals_of(answer)
    return reals if reals is not None else unreadable("no set of reals")


def reals_of(answer: Answer) -> Reals | None:
    """The answer as a set of reals, if it can be read as one: a pair in brackets is an interval."""
    if isinstance(answer, Reals):
        return answer
    if isinstance(answer, Sequence) and len(answer.items) == 2:
        low, high = answer.items
        if isinstance(low, Value) and isinstance(high, Value) and not symbols(low.node) | symbols(high.node):
            return interval(low.node, answer.brackets[0] == "[", high.node, answer.brackets[1] == "]")
    if isinstance(answer, Collection) and answer.items and all(isinstance(item, Value) for item in answer.items):
        nodes = [item.node for item in answer.items if isinstance(item, Value)]
        if not any(symbols(node) for node in nodes):
            return union([Piece(node, True, node, True) for node in nodes])
    return None
