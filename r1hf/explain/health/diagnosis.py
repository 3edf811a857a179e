"""A diagnosis: what is wrong, what shows it, what to try, and the rollouts to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from r1hf.explain.runs.table import Rollout

SHOWN = 3  # rollouts


@dataclass(frozen=True)
class Diagnosis:
    """code: a name that stays. said: one sentence. seen: the figures behind it. advice: what to try, the likeliest
    first. rollouts: completions that show it.
    """

    code: str
    said: str
    seen: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    rollouts: tuple[Rollout, ...] = field(default=(), repr=False)


def some(rollouts: Iterable[Rollout], test: Callable[[Rollout], bool] | None = None) -> tuple[Rollout, ...]:
    """The first few rollouts that pass a test, with different texts."""
    found = {one.completion: one for one in islice((one for one in rollouts if test is None or test(one)), 50)}
    return tuple(found.values())[:SHOWN]


def percent(share: float) -> str:
    """A share as per cent; what is not all is never shown as 100%."""
    text = f"{share:.0%}"
    return "over 99%" if text == "100%" and share < 1 else "under 1%" if text == "0%" and share > 0 else text
