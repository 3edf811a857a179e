"""How far reviewers agree, and what holds where they do not."""

from __future__ import annotations

import itertools
import random

import pytest
from tables import each

from r1hf.data.agreement import kappa, outcome
from r1hf.data.decisions import Decision

KEY = "0" * 16


def test_kappa_is_what_counting_every_pair_of_answers_gives() -> None:
    def brute(pairs: list[tuple[str, str]]) -> float:
        observed = sum(a == b for a, b in pairs) / len(pairs)
        chance = sum(a == b for (a, _), (_, b) in itertools.product(pairs, pairs)) / len(pairs) ** 2
        return (observed - chance) / (1 - chance)

    draw = random.Random(0)
    for size in range(2, 60):
        pairs = [(draw.choice("aer"), draw.choice("aer")) for _ in range(size)] + [("a", "r"), ("r", "e")]
        assert kappa(pairs) == pytest.approx(brute(pairs))
    table = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert kappa(table) == pytest.approx(0.4)  # the textbook's example
    assert kappa([("a", "a"), ("r", "r")]) == 1.0 and kappa([("a", "r"), ("r", "a")]) == -1.0
    assert kappa([]) is None and kappa([("a", "a")] * 3) is None


@each(
    "said, holds",
    [
        ([("accept", None)], "accept"),
        ([("accept", None), ("accept", None)], "accept"),
        ([("accept", None), ("reject", None)], None),
        ([("accept", None), ("edit", "x")], None),
        ([("edit", "x"), ("edit", "x")], "edit"),
        ([("edit", "x"), ("edit", "y")], None),
        ([("edit", "x"), ("edit", "y"), ("edit", "y")], "edit"),
        ([("accept", None), ("reject", None), ("reject", None)], "reject"),
        ([("accept", None), ("reject", None), ("edit", "x")], None),
    ],
)
def test_what_most_reviewers_say_holds(said: list[tuple[str, str | None]], holds: str | None) -> None:
    held = outcome([Decision(KEY, *one) for one in said])
    assert (held and held.kind) == holds
    if holds == "edit":
        assert held and held.text == said[-1][1]
