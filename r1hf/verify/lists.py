"""What a list of answers means: one value in several spellings, inequalities that hold together, roots of one name."""

from __future__ import annotations

from r1hf.verify.evaluate import same_value, symbols
from r1hf.verify.kinds import Answer, Assignment, Collection, Value
from r1hf.verify.names import is_root, variable
from r1hf.verify.sets import Reals, complement, intersection, union
from r1hf.verify.tokens import Token, split_at
from r1hf.verify.tree import Node, Unreadable
from r1hf.verify.values import unreadable

RELATIONS = frozenset(("=", "!=", "<", "<=", ">", ">=", "\\in", "\\notin"))


def joined_reals(items: list[Answer], parts: list[list[Token]], both: bool, either: bool) -> Answer | None:
    """Inequalities with "or" between them as a union, with "and" or a comma as an intersection.

    A comma between inequalities that exclude each other is an "or".
    """
    first = items[0]
    if isinstance(first, Reals) and len(items) > 1 and all(isinstance(item, Value) for item in items[1:]):
        if any(sign == "!=" for _, sign in parts[0]):  # "x != 1, -1"
            return intersection([first, complement([item.node for item in items[1:] if isinstance(item, Value)])])
    if not all(isinstance(item, Reals) for item in items):
        return None
    reals = [item for item in items if isinstance(item, Reals)]
    if either and both:
        return unreadable("and beside or")
    if not either and len({_subject(part) for part in parts if part}) == 1:
        common = intersection(reals)
        if common.pieces or both:
            return common
    elif both:
        return None
    return union([piece for item in reals for piece in item.pieces])


def _subject(tokens: list[Token]) -> str:
    """The name that an inequality is about."""
    sides = [variable(part) for part in split_at(tokens, RELATIONS)]
    return next((name for name in sides if name), "")


def one_value(items: list[Answer], parts: list[list[Token]]) -> Answer | None:
    """The value, where all are the same, spelled in several ways: "7/2 or 3.5"."""
    if any(part in parts[:at] for at, part in enumerate(parts)):
        return None
    values = [item.value if isinstance(item, Assignment) else item for item in items]
    nodes = [item.node for item in values if isinstance(item, Value) and item.form != "arithmetic" and not item.unit]
    if len(nodes) < len(items) or not all(same_value(nodes[0], node) for node in nodes[1:]):
        return None
    return items[0]


def under_one_name(items: list[Answer]) -> tuple[Answer, ...]:
    """ "x = 1, 2", "x = 1 or x = 2" and "x_1 = 1, x_2 = 2" are the list 1, 2; "x = 1, y = 2" keeps its names."""
    names = {item.name for item in items if isinstance(item, Assignment)}
    if len(names) != 1 and not (all(map(is_root, names)) and len({name.partition("_")[0] for name in names}) == 1):
        return tuple(items)
    return tuple(item.value if isinstance(item, Assignment) else item for item in items)


def numbers_of(answer: Answer) -> list[Node]:
    """The numbers that a set or a value is."""
    items = answer.items if isinstance(answer, Collection) else (answer,)
    nodes = [item.node for item in (getattr(item, "value", item) for item in items) if isinstance(item, Value)]
    if not nodes or len(nodes) < len(items) or any(map(symbols, nodes)):
        raise Unreadable("no numbers")
    return nodes


def is_decimal(node: Node) -> bool:
    """Whether a number has an end, so that nobody would round it to another."""
    return node[0] == "num" and 10**12 % node[1].denominator == 0
