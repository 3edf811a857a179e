"""What kind of answer tokens are: a value, an equation, a tuple, a set, an interval, a matrix, a list of such …"""

from __future__ import annotations

import re

from r1hf.verify.evaluate import real_value, same_value, symbols
from r1hf.verify.inequalities import read_inequality
from r1hf.verify.kinds import (
    Answer,
    Assignment,
    Based,
    Code,
    Collection,
    Equation,
    Given,
    Matrix,
    Ratio,
    Rounded,
    Sequence,
    Value,
)
from r1hf.verify.latex import parse_expression
from r1hf.verify.lists import RELATIONS, is_decimal, joined_reals, numbers_of, one_value, under_one_name
from r1hf.verify.names import quantity, sum_name, tuple_name, variable
from r1hf.verify.sets import WHOLE, Reals, complement, intersection, union
from r1hf.verify.tokens import Token, split_at
from r1hf.verify.tree import Node, Unreadable, make
from r1hf.verify.values import (
    as_point,
    as_reals,
    is_whole,
    read_angle,
    read_based,
    read_ratio,
    unreadable,
    value,
    with_union_signs,
    with_unit,
    without_unit,
)

_SEPARATORS = frozenset((",", ";", "and", "or", "\\land", "\\lor"))
_ORDER = frozenset(("<", "<=", ">", ">="))
_REALS = [("cmd", "\\reals")]
_DOMAINS = frozenset(("\\reals", "\\integers", "\\naturals", "\\rationals", "\\complexes"))
_DOMAIN_MARKS = {"": "", "^*": "+", "^+": "+", "_+": "+", "^{*}": "+", "^{+}": "+", "_{+}": "+", "^-": "-", "_0": "0"}
_POINT_NAMES = frozenset("ADEFGHIJKLMOPQRSTVWXYZ")  # not N(0, 1), B(10, 0.3), U(0, 1), C(5, 2)
_SHOWN = re.compile(r"[+-]?\d*\.?(\d*)")
_NAMED = (Value, Ratio, Sequence, Matrix, Based, Reals)


def read_answer(tokens: list[Token]) -> Answer:
    r"""An answer with the set that its parameter is from: "k\pi, k \in \mathbb{Z}". Raises as `read_list` does."""
    at = max((at for at, token in enumerate(tokens) if token[1] == "\\in"), default=0)
    if at < 2 or tokens[at - 1][0] != "let" or at + 1 >= len(tokens) or tokens[at + 1][1] not in _DOMAINS:
        return read_list(tokens)
    name, rest = tokens[at - 1][1], tokens[at + 2 :]
    opener = tokens[at - 2][1]
    bracketed = opener == "(" and rest[-1:] == [("op", ")")]
    mark = _DOMAIN_MARKS.get("".join(sign for _, sign in (rest[:-1] if bracketed else rest)))
    head = tokens[: at - 2]
    if mark is None or not (bracketed or opener == ",") or not head:
        return read_list(tokens)
    head = head[:-1] if head[-1][1] == "," else head
    if tokens[at + 1] == _REALS[0] and any(sign in _ORDER or sign == "!=" for _, sign in head):
        return read_list(tokens)  # x > 1, x in R
    alike = [("let", "k") if token == ("let", name) else token for token in head]
    renamed = read_list(alike) if name != "k" and ("let", "k") not in head else None
    return Given(read_list(head), tokens[at + 1][1][1:] + mark, renamed)


def read_list(tokens: list[Token]) -> Answer:
    """One answer, or several with commas, "and" or "or" between them. Raises Unreadable and Undecided."""
    signs = {sign for _, sign in tokens}
    logic = signs & {"\\land", "\\lor"}
    if ";" in signs and "," in signs and len(groups := split_at(tokens, frozenset(";"))) > 1:
        return Collection(tuple(as_point(read_list(group)) for group in groups), braced=False)
    if "or" in signs and "," in signs and (points := _read_points(tokens)):
        return points
    parts = split_at(tokens, _SEPARATORS)
    if len(parts) == 1:
        return read_relation(tokens)
    joined_by_and = "and" in signs
    items: list[Answer] = []
    for part in parts:
        if not part and joined_by_and and items:
            continue  # "1, 2, and 3"
        answer = read_relation(part)
        items += answer.items if isinstance(answer, Collection) and not answer.braced else [answer]
    if joined := joined_reals(items, parts, bool(signs & {"and", "\\land"}), bool(signs & {"or", "\\lor"})):
        return joined
    if logic and any(isinstance(item, Value) and symbols(item.node) for item in items):
        raise Unreadable("a formula of logic")
    if "or" in signs and (one := one_value(items, parts)):
        return one
    return Collection(under_one_name(items), braced=False)


def _read_points(tokens: list[Token]) -> Answer | None:
    """ "x = 1, y = 2 or x = 3, y = 4" is a list of two points."""
    groups = split_at(tokens, frozenset(("or",)))
    if len(groups) < 2 or not all(len(split_at(group, frozenset(","))) > 1 for group in groups):
        return None
    points = [as_point(read_list(group)) for group in groups]
    return Collection(tuple(points), braced=False) if all(isinstance(item, Sequence) for item in points) else None


def read_relation(tokens: list[Token]) -> Answer:
    """One answer: a term, or a relation between terms."""
    about = split_at(tokens, frozenset(("\\approx",)))
    if len(about) == 2:
        return _read_rounded(*about)
    parts = split_at(tokens, RELATIONS)
    if len(parts) == 1:
        return _read_term(tokens)
    signs, at = [], -1
    for part in parts[:-1]:
        at += len(part) + 1
        signs.append(tokens[at][1])
    if signs == ["\\in"]:
        answer = _read_term(parts[1])
        name = variable(parts[0])
        if name and isinstance(answer, Collection) and answer.braced and len(answer.items) == 1:
            return _assign(name, answer.items[0])
        return as_reals(answer) if isinstance(answer, Sequence) else answer
    if set(signs) == {"="}:
        return _read_equation(parts)
    if signs in (["!="], ["\\notin"]) and variable(parts[0]):
        return complement(numbers_of(_read_term(parts[1])))
    return read_inequality(parts, signs)


def _read_rounded(left: list[Token], right: list[Token]) -> Answer:
    """ "x ≈ 11" is 11; "x = 1/3 ≈ 0.333" is 1/3, and also 0.333, which is what it rounds to.

    "1/3 ≈ 0.34" is 1/3 alone. Raises Unreadable for a number that needs no rounding and gets another: "14 ≈ 15".
    """
    percent = right[-1:] in ([("op", "\\%")], [("op", "%")])
    shown = _read_term(right[:-1] if percent else right)
    if percent and isinstance(shown, Value):
        shown = shown._replace(node=make("/", shown.node, ("num", 100)))
    name = variable(left) or quantity(left)
    if not left or name:
        return Assignment(name, shown) if name and isinstance(shown, Value) else shown
    exact = read_relation(left)
    bare = exact.value if isinstance(exact, Assignment) else exact
    digits = _SHOWN.fullmatch("".join(sign for kind, sign in right if kind != "unit" and sign not in ("%", "\\%")))
    if isinstance(bare, Value) and isinstance(shown, Value) and digits and shown.node[0] == "num":
        error = abs(real_value(make("-", bare.node, shown.node))) * 10 ** (len(digits[1]) + 2 * percent)
        if error >= 1 and bare.form == "number" and is_decimal(bare.node):
            raise Unreadable("an approximation that does not hold")
        if 2 * error <= 1:
            return Rounded(exact, shown)
    return exact


def _read_equation(parts: list[list[Token]]) -> Answer:
    name = variable(parts[0]) or quantity(parts[0]) or tuple_name(parts[0])
    if not name and not any(kind in ("let", "cmd") and sign != "\\frac" for kind, sign in parts[-1]):
        name = sum_name(parts[0])
    if name and len(parts) == 2:
        return _assign(name, _read_term(parts[1]))
    if len(parts) == 2 and (name := variable(parts[1])):
        answer = _read_term(parts[0])
        return Assignment(name, answer) if isinstance(answer, Value) else answer
    return _read_chain(parts, name)


def _assign(name: str, answer: Answer) -> Answer:
    """The answer under its name, which lists ("x = 1 ± 2") do not keep: each item may stand for it."""
    names = name.strip("()").split(",")
    if name[0] == "(" and isinstance(answer, Sequence) and len(names) == len(answer.items):
        if all(len(item) == 1 for item in names):  # (y, x) = (2, 1) is (x, y) = (1, 2)
            order = sorted(range(len(names)), key=names.__getitem__)
            names = [names[at] for at in order]
            answer = answer._replace(items=tuple(answer.items[at] for at in order))
        return Assignment(f"({','.join(names)})", answer)
    named = isinstance(answer, _NAMED) or isinstance(answer, Collection) and answer.braced
    return Assignment(name, answer) if named else answer


def _read_chain(parts: list[list[Token]], name: str | None) -> Answer:
    """Sides that are not solved: an equation, or a chain such as 7 * 2 = 14, which claims its last side if it is true.

    Sides with variables in them cannot be checked ("S = ab/2 = 6"). What goes before a side that cannot be read is
    left out, if an equation remains. An identity ("x^2 - 1 = (x - 1)(x + 1)") is its side.
    """
    last, unit = without_unit(parts[-1])
    sides: list[Node] = []
    numbers = []
    for at, part in enumerate(parts[1:-1] if name else parts[:-1], start=1 if name else 0):
        try:
            sides.append(parse_expression(without_unit(part)[0]).node)
        except Unreadable:
            rest = parts[at + 1 :]
            if len(rest) > 1:
                return _read_equation(rest)
            raise
        numbers.append([kind for kind, _ in part] == ["num"])
    end = parse_expression(last).node
    if not name and len(sides) == 1 and (symbols(sides[0]) or symbols(end)):
        alike = symbols(sides[0]) == symbols(end) and same_value(sides[0], end)
        return Value(end, "other") if alike else Equation(sides[0], end)
    if any(not same_value(side, end) for side in sides if symbols(end) or not symbols(side)):
        raise Unreadable("an equation that does not hold")
    answer = value(last)
    if isinstance(answer, Value):
        answer = answer._replace(unit=unit)
        if any(numbers) and answer.form == "arithmetic" and not name:
            return Rounded(answer, answer._replace(form="number"))  # 72 = 2^3 * 3^2 claims both
    return Assignment(name, answer) if name and isinstance(answer, Value) else answer


def _read_term(tokens: list[Token]) -> Answer:
    tokens, unit = without_unit(tokens)
    return with_unit(_read_bare(tokens), unit) if unit else _read_bare(tokens)


def _read_bare(tokens: list[Token]) -> Answer:
    if not tokens:
        raise Unreadable("nothing")
    if tokens == _REALS:
        return WHOLE
    if tokens == [("cmd", "\\emptyset")]:
        return Collection((), braced=True)
    if sets := _read_sets(tokens):
        return sets
    if tokens[0][1] in ("\\matrix", "\\system", "\\cases") and is_whole(tokens[1:]):
        read = {"\\matrix": _read_matrix, "\\system": _read_system, "\\cases": _read_cases}[tokens[0][1]]
        return read(tokens[2:-1])
    if is_whole(tokens):
        return _read_brackets(tokens)
    if (
        tokens[0][0] == "let"
        and tokens[0][1] in _POINT_NAMES
        and tokens[1:2] == [("op", "(")]
        and is_whole(tokens[1:])
    ):
        point = _read_brackets(tokens[1:])
        if isinstance(point, Sequence):
            return Assignment(tokens[0][1], point)  # P(1, 2)
    if based := read_based(tokens) or read_angle(tokens):
        return based
    ratio = split_at(tokens, frozenset((":",)))
    if len(ratio) > 1:
        return read_ratio(ratio)
    return _transposed(tokens) or value(tokens)


def _read_sets(tokens: list[Token]) -> Answer | None:
    """Unions, intersections, and the reals without some points."""
    pieces = split_at(with_union_signs(tokens), frozenset(("\\cup",)))
    if len(pieces) > 1:
        return union([piece for part in pieces for piece in as_reals(_read_term(part)).pieces])
    both = split_at(tokens, frozenset(("\\cap",)))
    if len(both) > 1:
        return intersection([as_reals(_read_term(part)) for part in both])
    removed = split_at(tokens, frozenset(("\\setminus",)))
    if len(removed) == 2 and removed[0] == _REALS:
        points = _read_term(removed[1])
        return complement(numbers_of(points)) if isinstance(points, Collection) else unreadable("a difference of sets")
    return None


def _transposed(tokens: list[Token]) -> Answer | None:
    r"""(1, 2, 3)^T as a column."""
    for sign in (("let", "T"), ("cmd", "\\top")):
        bare = tokens[-1:] == [sign]
        mark = [("op", "^"), sign] if bare else [("op", "^"), ("op", "{"), sign, ("op", "}")]
        if tokens[-len(mark) :] == mark and is_whole(tokens[: -len(mark)]):
            row = _read_brackets(tokens[: -len(mark)])
            if isinstance(row, Sequence):
                return Matrix(tuple((item,) for item in row.items))
    return None


def _read_brackets(tokens: list[Token]) -> Answer:
    opener, closer, inner = tokens[0][1], tokens[-1][1], tokens[1:-1]
    if opener in ("{", "\\{"):
        answer = _read_braces(inner)
        return answer._replace(grouped=opener == "{") if isinstance(answer, Collection) else answer
    if inner[:1] == [("cmd", "\\matrix")] and is_whole(inner[1:]):
        return _read_matrix(inner[2:-1])
    parts = split_at(inner, frozenset((",", ";")))
    if len(parts) > 1 or opener == "[" or closer == "]":
        return Sequence(opener + closer, tuple(read_relation(part) for part in parts))
    if len(split_at(inner, RELATIONS)) > 1:
        return read_list(inner)
    return value(tokens)


def _read_braces(inner: list[Token]) -> Answer:
    if not inner:
        return Collection((), braced=True)
    builder = split_at(inner, frozenset(("|", ":")))
    if len(builder) == 2:
        # {x | x > 3}, {x in R : x > 3}
        subject = split_at(builder[0], frozenset(("\\in",)))
        if variable(subject[0]) and (len(subject) == 1 or subject[1] == _REALS):
            return read_answer(builder[1])
    answer = read_list(inner)
    if isinstance(answer, Collection) and not answer.braced:
        return answer._replace(braced=True)
    return Collection((answer,), braced=True)


def _read_matrix(inner: list[Token]) -> Matrix:
    rows = split_at(inner, frozenset(("\\\\",)))
    if not rows[-1]:
        rows.pop()
    cells = tuple(tuple(_read_cell(cell) for cell in split_at(row, frozenset(("&",)))) for row in rows)
    if not cells or len({len(row) for row in cells}) != 1:
        raise Unreadable("a matrix with uneven rows")
    return Matrix(cells)


def _read_cell(tokens: list[Token]) -> Answer:
    return read_relation(tokens[1:-1] if tokens[:1] == [("op", "{")] and is_whole(tokens) else tokens)


def _read_system(inner: list[Token]) -> Answer:
    """Relations that hold together: a point where each names a variable."""
    rows = [read_relation(row) for row in split_at(inner, frozenset(("\\\\",)))]
    if all(isinstance(row, Reals) for row in rows):
        return intersection([row for row in rows if isinstance(row, Reals)])
    system = Collection(under_one_name(rows), braced=False)
    return as_point(system)


def _read_cases(inner: list[Token]) -> Answer:
    """A function in pieces: (value, condition), in any order."""
    pieces = []
    for row in split_at(inner, frozenset(("\\\\",))):
        head, *condition = split_at(row, frozenset("&"))
        head = head[:-1] if head[-1:] == [("op", ",")] else head
        if len(condition) != 1:
            raise Unreadable("a piece without a condition")
        rest = condition[0] == [("cmd", "\\otherwise")]
        pieces.append(
            Sequence("cases", (read_relation(head), Code(("otherwise",)) if rest else read_list(condition[0])))
        )
    return Collection(tuple(pieces), braced=True)
