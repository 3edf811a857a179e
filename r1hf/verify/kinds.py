"""The kinds of answer that a text can be."""

from __future__ import annotations

from typing import Literal, NamedTuple

from r1hf.verify.sets import Reals
from r1hf.verify.tree import Node


class Value(NamedTuple):
    """An expression. `form`: a number as it stands, one with a sum or product spelled out, or neither (2^{10})."""

    node: Node
    form: Literal["number", "arithmetic", "other"] = "number"
    unit: str | None = None


class Assignment(NamedTuple):
    """`name = value`; the name is a variable, a function of one ("f(x)"), a quantity ("AB", "P(A)", "|z|"), a tuple of
    variables ("(x,y)"), or words in quotes such as "area of triangle"."""

    name: str
    value: Answer


class Given(NamedTuple):
    r"""An answer with a parameter from a set ("k\\pi, k \\in \\mathbb{Z}"); `renamed`: with k for the parameter."""

    value: Answer
    domain: str
    renamed: Answer | None


class Rounded(NamedTuple):
    """An exact answer and its true rounding ("1/3 ≈ 0.333"), or a sum and its result: a claim of either."""

    exact: Answer
    shown: Value


class Equation(NamedTuple):
    """left = right, neither of them a lone name."""

    left: Node
    right: Node


class Inequality(NamedTuple):
    """node < 0, or <= 0 if not strict, of several variables or not solved."""

    node: Node
    strict: bool


class Chain(NamedTuple):
    """Nodes in ascending order ("a < b <= c"), and which of the signs are strict."""

    nodes: tuple[Node, ...]
    strict: tuple[bool, ...]


class Sequence(NamedTuple):
    """A tuple, point, vector, list or interval: ordered, in brackets."""

    brackets: str
    items: tuple[Answer, ...]


class Collection(NamedTuple):
    """Values in any order: a set in braces, or a bare list ("3, 5, 7", "1 or 2", "1 ± 2").

    `grouped`: the braces had no backslash, so that LaTeX shows none; it may be meant as a tuple.
    """

    items: tuple[Answer, ...]
    braced: bool
    grouped: bool = False


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
    """Parts of a ratio ("2:3"); `worded`: it was written "2 to 3", which may be a range too."""

    parts: tuple[Value, ...]
    worded: bool = False


class Clock(NamedTuple):
    """A time of day; `half` is "am", "pm" or None."""

    hour: int
    minute: int
    second: int
    half: str | None


class Code(NamedTuple):
    """Groups of digits that are no sum: a range or score ("5-7"), a date, a phone number. Compared as they stand."""

    parts: tuple[str, ...]


class Measured(NamedTuple):
    """An answer that is no value, with the unit behind it ("x > 5 cm")."""

    answer: Answer
    unit: str


Answer = (
    Value
    | Assignment
    | Given
    | Rounded
    | Equation
    | Inequality
    | Chain
    | Sequence
    | Collection
    | Matrix
    | Based
    | Congruence
    | Ratio
    | Clock
    | Code
    | Measured
    | Reals
)
