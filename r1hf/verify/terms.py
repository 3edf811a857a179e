"""What kind of answer tokens are: a value, an equation, a tuple, a set, an interval, a matrix, a number in a base …"""

from __future__ import annotations

import re
from typing import NoReturn

from r1hf.verify.evaluate import real_value, same_value, symbols, variants
from r1hf.verify.kinds import (
    Answer,
    Assignment,
    Based,
    Chain,
    Collection,
    Equation,
    Inequality,
    Matrix,
    Ratio,
    Rounded,
    Sequence,
    Value,
)
from r1hf.verify.latex import Token, parse_expression, split_at
from r1hf.verify.names import quantity, variable
from r1hf.verify.sets import INFINITY, MINUS_INFINITY, WHOLE, Piece, Reals, complement, interval, union
from r1hf.verify.tree import Node, Unreadable, make

_SEPARATORS = frozenset((",", ";", "and", "or"))
_OF_NUMBERS = frozenset(("-", "+", "/", "\\frac", "{", "}"))
_RELATIONS = frozenset(("=", "!=", "<", "<=", ">", ">=", "\\in"))
_PAIRS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}
_REAL_NUMBERS = [("cmd", "\\mathbb"), ("op", "{"), ("let", "R"), ("op", "}")]
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SHOWN = re.compile(r"[+-]?\d*\.?(\d*)")


def read_list(tokens: list[Token]) -> Answer:
    """One answer, or several with commas, "and" or "or" between them. Raises Unreadable and Undecided."""
    signs = {sign for _, sign in tokens}
    if ";" in signs and "," in signs and len(groups := split_at(tokens, frozenset(";"))) > 1:
        return Collection(tuple(as_point(read_list(group)) for group in groups), braced=False)
    parts = split_at(tokens, _SEPARATORS)
    if len(parts) == 1:
        return read_relation(tokens)
    joined_by_and = any(sign == "and" for _, sign in tokens)
    items: list[Answer] = []
    for part in parts:
        if not part and joined_by_and and items:
            continue  # "1, 2, and 3"
        answer = read_relation(part)
        items += answer.items if isinstance(answer, Collection) and not answer.braced else [answer]
    if all(isinstance(item, Reals) for item in items) and not joined_by_and:
        return union([piece for item in items if isinstance(item, Reals) for piece in item.pieces])
    return Collection(_under_one_name(items), braced=False)


def _under_one_name(items: list[Answer]) -> tuple[Answer, ...]:
    """ "x = 1, 2", "x = 1 or x = 2" and "x_1 = 1, x_2 = 2" are the list 1, 2; "x = 1, y = 2" keeps its names."""
    names = {item.name.partition("_")[0] for item in items if isinstance(item, Assignment)}
    if len(names) != 1:
        return tuple(items)
    return tuple(item.value if isinstance(item, Assignment) else item for item in items)


def as_point(answer: Answer) -> Answer:
    """ "x = 1, y = 2" as (1, 2), single letters in the order of the alphabet; other answers as they are."""
    if not isinstance(answer, Collection) or answer.braced:
        return answer
    named = [item for item in answer.items if isinstance(item, Assignment)]
    names = [item.name for item in named]
    if len(named) != len(answer.items) or len(set(names)) != len(names):
        return answer
    if all(len(name) == 1 for name in names):
        named.sort(key=lambda item: item.name)
    return Sequence("()", tuple(item.value for item in named))


def read_relation(tokens: list[Token]) -> Answer:
    """One answer: a term, or a relation between terms."""
    about = split_at(tokens, frozenset(("\\approx",)))
    if len(about) == 2:
        return _read_rounded(*about)
    parts = split_at(tokens, _RELATIONS)
    if len(parts) == 1:
        return _read_term(tokens)
    signs, at = [], -1
    for part in parts[:-1]:
        at += len(part) + 1
        signs.append(tokens[at][1])
    if signs == ["\\in"]:
        answer = _read_term(parts[1])
        return _as_reals(answer) if isinstance(answer, Sequence) else answer
    if set(signs) == {"="}:
        return _read_equation(parts)
    if signs == ["!="]:
        return complement([_closed(parts[1])]) if variable(parts[0]) else _unreadable("a relation")
    return _read_inequality(parts, signs)


def _read_rounded(left: list[Token], right: list[Token]) -> Answer:
    """ "x ≈ 11" is 11; "x = 1/3 ≈ 0.333" is 1/3, and also 0.333, which is what it rounds to."""
    shown = _read_term(right)
    name = variable(left) or quantity(left)
    if not left or name:
        return Assignment(name, shown) if name and isinstance(shown, Value) else shown
    exact = read_relation(left)
    value = exact.value if isinstance(exact, Assignment) else exact
    digits = _SHOWN.fullmatch("".join(sign for kind, sign in right if kind != "unit"))
    if isinstance(value, Value) and isinstance(shown, Value) and digits and shown.node[0] == "num":
        error = abs(real_value(make("-", value.node, shown.node)))
        if 2 * error * 10 ** len(digits[1]) <= 1:
            return Rounded(exact, shown)
    return exact


def _read_equation(parts: list[list[Token]]) -> Answer:
    name = variable(parts[0]) or quantity(parts[0])
    if name and len(parts) == 2:
        answer = _read_term(parts[1])
        return Assignment(name, answer) if isinstance(answer, Value | Ratio) else answer
    if parts[0][:1] == [("op", "(")] and len(parts) == 2 and parts[1][:1] == [("op", "(")]:
        left, right = _read_term(parts[0]), _read_term(parts[1])  # (x, y) = (1, 2)
        if isinstance(left, Sequence) and all(isinstance(i, Value) and i.node[0] == "sym" for i in left.items):
            return right
    if len(parts) == 2 and (name := variable(parts[1])):
        value = _read_term(parts[0])
        return Assignment(name, value) if isinstance(value, Value) else value
    return _read_chain(parts, name)


def _read_chain(parts: list[list[Token]], name: str | None) -> Answer:
    """Sides that are not solved: an equation, or a chain such as 7 * 2 = 14, which claims its last side if it is true.

    Sides with variables in them cannot be checked ("S = ab/2 = 6"). What goes before a side that cannot be read is
    left out, if an equation remains.
    """
    last, unit = _without_unit(parts[-1])
    sides: list[Node] = []
    for at, part in enumerate(parts[1:-1] if name else parts[:-1], start=1 if name else 0):
        try:
            sides.append(parse_expression(_without_unit(part)[0]).node)
        except Unreadable:
            rest = parts[at + 1 :]
            if len(rest) > 1:
                return _read_equation(rest)
            raise
    end = parse_expression(last).node
    if not name and len(sides) == 1 and (symbols(sides[0]) or symbols(end)):
        return Equation(sides[0], end)
    if any(not same_value(side, end) for side in sides if symbols(end) or not symbols(side)):
        raise Unreadable("an equation that does not hold")
    value = _value(last)
    value = value._replace(unit=unit) if isinstance(value, Value) else value
    return Assignment(name, value) if name and isinstance(value, Value) else value


def _read_inequality(parts: list[list[Token]], signs: list[str]) -> Answer:
    if any(sign not in _FLIPPED for sign in signs):
        raise Unreadable("a relation")
    if len({sign[0] for sign in signs}) > 1:
        raise Unreadable("signs that point both ways")
    if sum(bool(_negated_name(part)) for part in parts) == 1 and len(parts) < 4:
        # -x > -1 is x < 1.
        signs = [_FLIPPED[sign] for sign in signs]
        parts = [_negated_name(part) or [("op", "-"), ("op", "("), *part, ("op", ")")] for part in parts]
    if signs[0][0] == ">":
        parts, signs = parts[::-1], [_FLIPPED[sign] for sign in signs[::-1]]
    if len(parts) == 3 and variable(parts[1]) and not any(symbols(parse_expression(p).node) for p in parts[::2]):
        return interval(_closed(parts[0]), signs[0] == "<=", _closed(parts[2]), signs[1] == "<=")
    if len(parts) == 2 and variable(parts[0]) and not symbols(node := parse_expression(parts[1]).node):
        return interval(MINUS_INFINITY, False, node, signs[0] == "<=")
    if len(parts) == 2 and variable(parts[1]) and not symbols(node := parse_expression(parts[0]).node):
        return interval(node, signs[0] == "<=", INFINITY, False)
    nodes = [parse_expression(part).node for part in parts]
    if len(parts) > 2:
        return Chain(tuple(nodes), tuple(len(sign) == 1 for sign in signs))
    return Inequality(make("-", nodes[0], nodes[1]), strict=len(signs[0]) == 1)


def _negated_name(tokens: list[Token]) -> list[Token] | None:
    return tokens[1:] if tokens[:1] == [("op", "-")] and variable(tokens[1:]) else None


def _closed(tokens: list[Token]) -> Node:
    node = parse_expression(tokens).node
    return node if not symbols(node) else _unreadable("a bound with a variable")


def _unreadable(what: str) -> NoReturn:
    raise Unreadable(what)


def _without_unit(tokens: list[Token]) -> tuple[list[Token], str | None]:
    return (tokens[:-1], tokens[-1][1]) if len(tokens) > 1 and tokens[-1][0] == "unit" else (tokens, None)


def _read_term(tokens: list[Token]) -> Answer:
    tokens, unit = _without_unit(tokens)
    return with_unit(_read_bare(tokens), unit) if unit else _read_bare(tokens)


def with_unit(answer: Answer, unit: str) -> Answer:
    """The answer, in this unit wherever it names none."""
    if isinstance(answer, Value):
        return answer if answer.unit else answer._replace(unit=unit)
    if isinstance(answer, Assignment):
        return Assignment(answer.name, with_unit(answer.value, unit))  # type: ignore[arg-type]
    if isinstance(answer, Ratio):
        return Ratio(tuple(part if part.unit else part._replace(unit=unit) for part in answer.parts))
    if isinstance(answer, Sequence | Collection):
        return answer._replace(items=tuple(with_unit(item, unit) for item in answer.items))
    if isinstance(answer, Matrix):
        return Matrix(tuple(tuple(with_unit(cell, unit) for cell in row) for row in answer.rows))
    return answer


def _read_bare(tokens: list[Token]) -> Answer:
    if not tokens:
        raise Unreadable("nothing")
    if tokens == _REAL_NUMBERS:
        return WHOLE
    if tokens == [("cmd", "\\emptyset")]:
        return Collection((), braced=True)
    pieces = split_at(_with_union_signs(tokens), frozenset(("\\cup",)))
    if len(pieces) > 1:
        return union([piece for part in pieces for piece in _as_reals(_read_term(part)).pieces])
    removed = split_at(tokens, frozenset(("\\setminus",)))
    if len(removed) == 2 and removed[0] == _REAL_NUMBERS:
        points = _read_term(removed[1])
        nodes = [i.node for i in points.items if isinstance(i, Value)] if isinstance(points, Collection) else []
        return complement(nodes) if nodes else _unreadable("a difference of sets")
    if tokens[0] == ("cmd", "\\matrix") and _is_whole(tokens[1:]):
        return _read_matrix(tokens[2:-1])
    if _is_whole(tokens):
        return _read_brackets(tokens)
    if based := _read_based(tokens):
        return based
    ratio = split_at(tokens, frozenset((":",)))
    if len(ratio) > 1:
        return _read_ratio(ratio)
    return _value(tokens)


def _read_ratio(parts: list[list[Token]]) -> Ratio:
    values = []
    for part in parts:
        bare, unit = _without_unit(part)
        values.append(Value(parse_expression(bare).node, unit=unit))
    return Ratio(tuple(values))


def _value(tokens: list[Token]) -> Answer:
    expression = parse_expression(tokens)
    found = variants(expression.node)
    if len(found) > 1:
        return Collection(tuple(Value(node, "other") for node in found), braced=False)
    if expression.arithmetic:
        return Value(found[0], "arithmetic")
    return Value(found[0], "number" if all(kind == "num" or sign in _OF_NUMBERS for kind, sign in tokens) else "other")


def _with_union_signs(tokens: list[Token]) -> list[Token]:
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


def _is_whole(tokens: list[Token]) -> bool:
    """Whether the first bracket closes with the last token."""
    if len(tokens) < 2 or tokens[0][1] not in _PAIRS or tokens[-1][1] not in _PAIRS.values():
        return False
    depth = 0
    for at, (_, sign) in enumerate(tokens):
        depth += (sign in _PAIRS) - (sign in _PAIRS.values())
        if not depth:
            return at == len(tokens) - 1
    return False


def _read_brackets(tokens: list[Token]) -> Answer:
    opener, closer, inner = tokens[0][1], tokens[-1][1], tokens[1:-1]
    if opener in ("{", "\\{"):
        answer = _read_braces(inner)
        return answer._replace(grouped=opener == "{") if isinstance(answer, Collection) else answer
    if inner[:1] == [("cmd", "\\matrix")] and _is_whole(inner[1:]):
        return _read_matrix(inner[2:-1])
    parts = split_at(inner, frozenset((",", ";")))
    if len(parts) > 1 or opener == "[" or closer == "]":
        return Sequence(opener + closer, tuple(read_relation(part) for part in parts))
    if len(split_at(inner, _RELATIONS)) > 1:
        return read_list(inner)
    return _value(tokens)


def _read_braces(inner: list[Token]) -> Answer:
    if not inner:
        return Collection((), braced=True)
    builder = split_at(inner, frozenset(("|", ":")))
    if len(builder) == 2:
        # {x | x > 3}, {x in R : x > 3}
        subject = split_at(builder[0], frozenset(("\\in",)))
        if variable(subject[0]) and (len(subject) == 1 or subject[1] == _REAL_NUMBERS):
            return read_list(builder[1])
    answer = read_list(inner)
    if isinstance(answer, Collection) and not answer.braced:
        return answer._replace(braced=True)
    return Collection((answer,), braced=True)


def _read_matrix(inner: list[Token]) -> Matrix:
    rows = split_at(inner, frozenset(("\\\\",)))
    if not rows[-1]:
        rows.pop()
    cells = tuple(tuple(read_relation(cell) for cell in split_at(row, frozenset(("&",)))) for row in rows)
    if not cells or len({len(row) for row in cells}) != 1:
        raise Unreadable("a matrix with uneven rows")
    return Matrix(cells)


def _read_based(tokens: list[Token]) -> Based | None:
    text = "".join(sign for _, sign in tokens)
    match = re.fullmatch(r"\(?([0-9A-F]*[0-9][0-9A-F]*)\)?_(?:\{(\d{1,2})\}|(\d{1,2}))", text)
    if not match:
        return None
    return Based(match[1].lstrip("0") or "0", match[2] or match[3])


def _as_reals(answer: Answer) -> Reals:
    reals = reals_of(answer)
    if reals is None:
        raise Unreadable("no set of reals")
    return reals


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
