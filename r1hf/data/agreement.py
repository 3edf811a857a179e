"""Several reviewers of the same rows: what holds, how far they agree, and who decided what share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

from r1hf.data.decisions import KINDS, Decided, Decision


def outcome(said: Sequence[Decision]) -> Decision | None:
    """What holds of the decisions about one row: what most of its reviewers said; None where no answer has most."""
    first, *rest = Counter((one.kind, one.text) for one in said).most_common(2)
    if rest and rest[0][1] == first[1]:
        return None
    return Decision(said[0].key, *first[0])


def about(key: str, by_reviewer: Mapping[str, Decided]) -> list[Decision]:
    return [decided[key] for decided in by_reviewer.values() if key in decided]


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa (1960) of two people's answers about the same things: agreement beyond what chance gives.

    None where chance alone would agree always, since both gave one and the same answer to all, and for no pairs.
    """
    firsts, seconds = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    alike = sum(a == b for a, b in pairs) * len(pairs)
    by_chance = sum(count * seconds[answer] for answer, count in firsts.items())
    most = len(pairs) ** 2
    return None if by_chance == most else (alike - by_chance) / (most - by_chance)


def agreements(by_reviewer: Mapping[str, Decided], keys: Collection[str]) -> list[dict[str, Any]]:
    """For each two reviewers with rows in common: how many, how many alike, and kappa over accept, edit, reject."""
    found = []
    for one, other in combinations(sorted(by_reviewer), 2):
        first, second = by_reviewer[one], by_reviewer[other]
        both = [key for key in keys if key in first and key in second]
        pairs = [(first[key].kind, second[key].kind) for key in both]
        if pairs:
            alike = sum(a == b for a, b in pairs)
            found.append({"reviewers": [one, other], "rows": len(pairs), "alike": alike, "kappa": kappa(pairs)})
    return found


def shares(by_reviewer: Mapping[str, Decided], keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """What each reviewer decided of the rows `keys`: counts, and the share of the rows."""
    found = {}
    for name, decided in sorted(by_reviewer.items()):
        kinds = Counter(decided[key].kind for key in keys if key in decided)
        share = round(kinds.total() / len(keys), 4) if keys else 0.0
        found[name] = {"decided": kinds.total(), "share": share, **{kind: kinds[kind] for kind in KINDS}}
    return found
