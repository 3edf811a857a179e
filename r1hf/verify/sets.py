"""Sets of real numbers: intervals, their unions, and what inequalities say, in one canonical form."""

from __future__ import annotations

from typing import Any, NamedTuple

from r1hf.verify.evaluate import Undecided, infinity_sign, real_value, same_value
from r1hf.verify.tree import Node

MAX_PIECES = 40
INFINITY: Node = ("const", "inf")
MINUS_INFINITY: Node = ("neg", INFINITY)


class Piece(NamedTuple):
    """One interval, its ends as trees; an infinite end is open."""

    low: Node
    low_closed: bool
    high: Node
    high_closed: bool


class Reals(NamedTuple):
    """A union of intervals: disjoint, not adjacent, in order."""

    pieces: tuple[Piece, ...]


class _Located(NamedTuple):
    low: Any
    high: Any
    piece: Piece


def interval(low: Node, low_closed: bool, high: Node, high_closed: bool) -> Reals:
    """One interval; empty where its ends are in the wrong order."""
    return union([Piece(low, low_closed, high, high_closed)])


WHOLE = Reals((Piece(MINUS_INFINITY, False, INFINITY, False),))


def union(pieces: list[Piece]) -> Reals:
    """The canonical union. Raises Undecided for ends that are no real constants and for too many pieces."""
    if len(pieces) > MAX_PIECES:
        raise Undecided("too many intervals")
    located = []
    for piece in pieces:
        low, high = real_value(piece.low), real_value(piece.high)
        single = same_value(piece.low, piece.high) and not infinity_sign(piece.low)
        if single and piece.low_closed and piece.high_closed or not single and low < high:
            low_closed = piece.low_closed and not infinity_sign(piece.low)
            high_closed = piece.high_closed and not infinity_sign(piece.high)
            located.append(_Located(low, high, Piece(piece.low, low_closed, piece.high, high_closed)))
    located.sort(key=lambda item: (item.low, not item.piece.low_closed))
    merged: list[_Located] = []
    for item in located:
        if merged and _touches(merged[-1], item):
            merged[-1] = _joined(merged[-1], item)
        else:
            merged.append(item)
    return Reals(tuple(item.piece for item in merged))


def intersection(sets: list[Reals]) -> Reals:
    """What is in all of them. Raises Undecided as `union` does."""
    common = sets[0]
    for other in sets[1:]:
        if len(common.pieces) + len(other.pieces) > MAX_PIECES:
            raise Undecided("too many intervals")
        pairs = [_common(a, b) for a in common.pieces for b in other.pieces]
        common = union([piece for piece in pairs if _is_piece(piece)])
    return common


def _common(a: Piece, b: Piece) -> Piece:
    first, second = (a, b) if real_value(a.low) >= real_value(b.low) else (b, a)
    low_closed = first.low_closed and (second.low_closed or not same_value(a.low, b.low))
    last, other = (a, b) if real_value(a.high) <= real_value(b.high) else (b, a)
    high_closed = last.high_closed and (other.high_closed or not same_value(a.high, b.high))
    return Piece(first.low, low_closed, last.high, high_closed)


def _is_piece(piece: Piece) -> bool:
    return bool(real_value(piece.low) <= real_value(piece.high))


def complement(points: list[Node]) -> Reals:
    """The reals without these points."""
    if len(points) > MAX_PIECES:
        raise Undecided("too many points")
    ordered = sorted(points, key=real_value)
    ends = [MINUS_INFINITY, *ordered, INFINITY]
    if any(map(infinity_sign, ordered)):
        raise Undecided("an infinite point")
    return Reals(
        tuple(Piece(a, False, b, False) for a, b in zip(ends, ends[1:], strict=False) if not same_value(a, b))
    )


def same_reals(first: Reals, second: Reals) -> bool:
    """Whether two unions are the same set."""
    return len(first.pieces) == len(second.pieces) and all(
        a.low_closed == b.low_closed
        and a.high_closed == b.high_closed
        and same_value(a.low, b.low)
        and same_value(a.high, b.high)
        for a, b in zip(first.pieces, second.pieces, strict=True)
    )


def _touches(left: _Located, right: _Located) -> bool:
    if same_value(left.piece.high, right.piece.low):
        return left.piece.high_closed or right.piece.low_closed
    return bool(right.low < left.high)


def _joined(left: _Located, right: _Located) -> _Located:
    a, b = left.piece, right.piece
    if same_value(a.high, b.high):
        return _Located(left.low, left.high, a._replace(high_closed=a.high_closed or b.high_closed))
    last = left if left.high > right.high else right
    end = last.piece
    return _Located(left.low, last.high, Piece(a.low, a.low_closed, end.high, end.high_closed))
