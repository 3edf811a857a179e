"""What kind of answer a text is: a value, an equation, a tuple, a set, an interval, a matrix, a number in a base …"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple, NoReturn

from r1hf.verify.evaluate import same_value, symbols, variants
from r1hf.verify.latex import Token, parse_expression, split_at, tokenise
from r1hf.verify.numeric import THOUSANDS_MARK, expand_repeating, parse_number, strip_text_commands
from r1hf.verify.sets import INFINITY, MINUS_INFINITY, WHOLE, Piece, Reals, complement, interval, union
from r1hf.verify.tree import Node, Unreadable, make
from r1hf.verify.units import unit_name

MAX_LENGTH = 600  # characters


class Value(NamedTuple):
    """An expression. `form`: a number as it stands, one with a sum or product spelled out, or neither (2^{10})."""

    node: Node
    form: Literal["number", "arithmetic", "other"] = "number"
    unit: str | None = None


class Assignment(NamedTuple):
    """`name = value`; the name is a variable, or a function of one ("f(x)")."""

    name: str
    value: Value


class Equation(NamedTuple):
    """left = right, neither of them a lone name."""

    left: Node
    right: Node


class Inequality(NamedTuple):
    """node < 0, or <= 0 if not strict, of several variables or not solved."""

    node: Node
    strict: bool


class Sequence(NamedTuple):
    """A tuple, point, vector, list or interval: ordered, in brackets."""

    brackets: str
    items: tuple[Answer, ...]


class Collection(NamedTuple):
    """Values in any order: a set in braces, or a bare list ("3, 5, 7", "1 or 2", "1 ± 2")."""

    items: tuple[Answer, ...]
    braced: bool


class Matrix(NamedTuple):
    """Rows of cells."""

    rows: tuple[tuple[Answer, ...], ...]


class Based(NamedTuple):
    """Digits in a base ("52_8")."""

    digits: str
    base: str


class Congruence(NamedTuple):
    """A residue and its modulus ("x = 3 (mod 5)")."""

    residue: Node
    modulus: Node


class Ratio(NamedTuple):
    """Parts of a ratio or a time ("2:3", "12:00")."""

    parts: tuple[Value, ...]
    clock: bool


Answer = (
    Value | Assignment | Equation | Inequality | Sequence | Collection | Matrix | Based | Congruence | Ratio | Reals
)

_SEPARATORS = frozenset((",", ";", "and", "or"))
_OF_NUMBERS = frozenset(("-", "+", "/", "\\frac", "{", "}"))
_RELATIONS = frozenset(("=", "!=", "<", "<=", ">", ">=", "\\in"))
_PAIRS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}"}
_MATRIX = re.compile(r"\\begin\s*\{(?:[pbB]?matrix|array\}\s*\{[^{}]*)\}")
_MATRIX_END = re.compile(r"\\end\s*\{(?:[pbB]?matrix|array)\}")
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")
_UNIT = re.compile(
    r"\s*(?:\\(?:text|mbox|mathrm|textrm|rm)\s*\{([^{}]*)\}|(?<=[\d}) ])([A-Za-z][A-Za-z. ]*))"
    r"(\s*\^\s*\{?\s*[23]\s*\}?)?$"
)
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|°)$")
_ANGLE_FUNCTION = re.compile(r"sin|cos|tan|cot|sec|csc")
_FRENCH = re.compile(r"([\][])([^][(){}]*[,;][^][(){}]*)([\][])")
_CLOSED_END, _OPEN_END = {"]": "(", "[": "["}, {"[": ")", "]": "]"}
_CONGRUENCE = re.compile(
    r"(?:[A-Za-z]\s*(?:\\equiv|=|≡)\s*)?([^=]{1,80}?)\s*\(?\s*\\?(?:[pb]?mod|text\{mod\}) *\{?([^{}()]{1,40})\}?\s*\)?"
)
_CLOCK = re.compile(r"\d{1,2}:\d\d")
_REAL_NUMBERS = [("cmd", "\\mathbb"), ("op", "{"), ("let", "R"), ("op", "}")]
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


@lru_cache(maxsize=4096)
def read(text: str) -> Answer:
    """The answer in normalised text. Raises Unreadable (Undefined for a division by zero) and Undecided."""
    if len(text) > MAX_LENGTH:
        raise Unreadable("too long")
    if "=" not in text and (number := parse_number(text)):
        value = number.value / 100 if number.percent else number.value
        return Value(("num", value), unit=number.unit)
    text = expand_repeating(THOUSANDS_MARK.sub("", text))
    if not any(opener in text for opener in "([{"):
        text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    text, unit = _split_unit(text)
    text = _MATRIX_END.sub(")", _MATRIX.sub(r"\\matrix(", text))
    text = _FRENCH.sub(lambda match: f"{_CLOSED_END[match[1]]}{match[2]}{_OPEN_END[match[3]]}", text)
    if congruence := _CONGRUENCE.fullmatch(text):
        return Congruence(*(parse_expression(tokenise(part)).node for part in congruence.groups()))
    if _CLOCK.fullmatch(text):
        return Ratio(tuple(Value(("num", int(part))) for part in text.split(":")), clock=True)
    answer = _read(tokenise(strip_text_commands(text)))
    return _with_unit(answer, unit) if unit else answer


def _split_unit(text: str) -> tuple[str, str | None]:
    found = _DEGREES.search(text)
    if found and not _ANGLE_FUNCTION.search(text):
        return text[: found.start()], "degree"
    found = _UNIT.search(text)
    if found and text[: found.start()].strip():
        unit = unit_name((found[1] or found[2]) + (found[3] or "").replace(" ", ""), marked=found[1] is not None)
        if unit is not None:
            return text[: found.start()], unit
    return text, None


def _with_unit(answer: Answer, unit: str) -> Answer:
    if isinstance(answer, Value):
        return answer._replace(unit=unit)
    if isinstance(answer, Assignment):
        return answer._replace(value=answer.value._replace(unit=unit))
    return answer


def _read(tokens: list[Token]) -> Answer:
    parts = split_at(tokens, _SEPARATORS)
    if len(parts) == 1:
        return _read_relation(tokens)
    joined_by_and = any(sign == "and" for _, sign in tokens)
    items: list[Answer] = []
    for part in parts:
        if not part and joined_by_and and items:
            continue  # "1, 2, and 3"
        answer = _read_relation(part)
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


def _read_relation(tokens: list[Token]) -> Answer:
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
        return complement([_closed(parts[1])]) if _name(parts[0]) else _unreadable("a relation")
    return _read_inequality(parts, signs)


def _read_equation(parts: list[list[Token]]) -> Answer:
    name = _name(parts[0])
    if name and len(parts) == 2:
        answer = _read_term(parts[1])
        return Assignment(name, answer) if isinstance(answer, Value) else answer
    if parts[0][:1] == [("op", "(")] and len(parts) == 2 and parts[1][:1] == [("op", "(")]:
        left, right = _read_term(parts[0]), _read_term(parts[1])  # (x, y) = (1, 2)
        if isinstance(left, Sequence) and all(isinstance(i, Value) and i.node[0] == "sym" for i in left.items):
            return right
    if len(parts) == 2 and (name := _name(parts[1])):
        value = _read_term(parts[0])
        return Assignment(name, value) if isinstance(value, Value) else value
    sides = [parse_expression(part) for part in (parts[1:] if name else parts)]
    if len(sides) == 2 and not name and (symbols(sides[0].node) or symbols(sides[1].node)):
        return Equation(sides[0].node, sides[1].node)
    # A chain such as 7 * 2 = 14 claims its last side, if it is true.
    if any(not same_value(side.node, sides[-1].node) for side in sides[:-1]):
        raise Unreadable("an equation that does not hold")
    value = _value(parts[-1])
    return Assignment(name, value) if name and isinstance(value, Value) else value


def _read_inequality(parts: list[list[Token]], signs: list[str]) -> Answer:
    if len(parts) == 3 and (_name(parts[1]) and signs[0][0] == signs[1][0]) and signs[0][0] in "<>":
        if signs[0][0] == ">":
            parts, signs = parts[::-1], [_FLIPPED[sign] for sign in signs[::-1]]
        return interval(_closed(parts[0]), signs[0] == "<=", _closed(parts[2]), signs[1] == "<=")
    if len(parts) != 2 or signs[0] not in _FLIPPED:
        raise Unreadable("a relation")
    sign, (left, right) = signs[0], parts
    if not _name(left) and _name(right):
        sign, left, right = _FLIPPED[sign], right, left
    node = parse_expression(right).node
    if _name(left) and not symbols(node):
        if sign[0] == "<":
            return interval(MINUS_INFINITY, False, node, sign == "<=")
        return interval(node, sign == ">=", INFINITY, False)
    difference = make("-", parse_expression(left).node, node)
    return Inequality(difference if sign[0] == "<" else make("neg", difference), strict=len(sign) == 1)


def _name(tokens: list[Token]) -> str | None:
    """The name that `tokens` are: x, \\theta, a_1, f(x), f^{-1}(x)."""
    text = "".join(sign for _, sign in tokens)
    if re.fullmatch(r"(?:[A-Za-z]|\\[A-Za-z]+)'*(?:_(?:\w|\{\w+\}))?(?:\^\{-1\})?(?:\([a-z]\))?", text):
        return None if text in ("e", "i", "\\pi", "\\infty", "\\emptyset") else re.sub(r"[{}]", "", text)
    return None


def _closed(tokens: list[Token]) -> Node:
    node = parse_expression(tokens).node
    return node if not symbols(node) else _unreadable("a bound with a variable")


def _unreadable(what: str) -> NoReturn:
    raise Unreadable(what)


def _read_term(tokens: list[Token]) -> Answer:
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
        return Ratio(tuple(Value(parse_expression(part).node) for part in ratio), clock=False)
    return _value(tokens)


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
        return _read_braces(inner)
    parts = split_at(inner, frozenset((",", ";")))
    if len(parts) > 1 or opener == "[" or closer == "]":
        return Sequence(opener + closer, tuple(_read_relation(part) for part in parts))
    if inner[:1] == [("cmd", "\\matrix")] or len(split_at(inner, _RELATIONS)) > 1:
        return _read(inner)
    return _value(tokens)


def _read_braces(inner: list[Token]) -> Answer:
    if not inner:
        return Collection((), braced=True)
    builder = split_at(inner, frozenset(("|", ":")))
    if len(builder) == 2:
        # {x | x > 3}, {x in R : x > 3}
        subject = split_at(builder[0], frozenset(("\\in",)))
        if _name(subject[0]) and (len(subject) == 1 or subject[1] == _REAL_NUMBERS):
            return _read(builder[1])
    answer = _read(inner)
    if isinstance(answer, Collection) and not answer.braced:
        return answer._replace(braced=True)
    return Collection((answer,), braced=True)


def _read_matrix(inner: list[Token]) -> Matrix:
    rows = split_at(inner, frozenset(("\\\\",)))
    if not rows[-1]:
        rows.pop()
    cells = tuple(tuple(_read_relation(cell) for cell in split_at(row, frozenset(("&",)))) for row in rows)
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
