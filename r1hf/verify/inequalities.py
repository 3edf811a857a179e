"""Inequalities: as sets of reals where one name is bounded by constants, else as differences or chains."""

from __future__ import annotations

from r1hf.verify.evaluate import symbols
from r1hf.verify.kinds import Answer, Chain, Inequality
from r1hf.verify.latex import parse_expression
from r1hf.verify.names import variable
from r1hf.verify.sets import INFINITY, MINUS_INFINITY, interval
from r1hf.verify.tokens import Token
from r1hf.verify.tree import Unreadable, make
from r1hf.verify.values import closed

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def read_inequality(parts: list[list[Token]], signs: list[str]) -> Answer:
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
        return interval(closed(parts[0]), signs[0] == "<=", closed(parts[2]), signs[1] == "<=")
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
