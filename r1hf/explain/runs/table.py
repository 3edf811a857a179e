"""The one table that every run is read into: rollouts, and the figures logged at each step under TRL's names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST = 20_000  # rollouts that are kept of a run
_BLOCK = 64  # neighbouring rows that are kept or left out together, so that groups stay whole

Step = dict[str, float | None]
_FORM = re.compile(r"format|tag|xml|think|struct|pattern|layout|schema", re.I)
_OUTCOME = re.compile(
    r"accura|correct|answer|solution|outcome|verif|exact|match|math|pass|result|solved|success|(?:^|_)acc(?:$|_)", re.I
)


@dataclass
class Rollout:
    """One completion. rewards: by name, None where a reward did not judge. reward: what was paid in all.

    right: what r1hf's verifier says of it, None without a gold answer. reason: what a reward said of it in words.
    place: file and row.
    """

    step: int
    prompt: str
    completion: str
    reward: float | None = None
    rewards: dict[str, float | None] = field(default_factory=dict)
    advantage: float | None = None
    gold: str | None = None
    group: str | None = None
    tokens: float | None = None
    truncated: bool | None = None
    right: bool | None = None
    reason: str | None = None
    place: str = ""


@dataclass
class RunTable:
    """A run. steps: by step, in TRL's names. taken: (what, from where) for columns and files; notes: what is amiss.

    context: positions that the model knows. special: tokens that decoding drops. outcomes, forms: rewards that say
    whether an answer is right, or well formed. whole: no rows of its files were left out.
    """

    where: Path
    kinds: list[str] = field(default_factory=list)
    rollouts: list[Rollout] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    rewards: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    forms: list[str] = field(default_factory=list)
    context: int | None = None
    special: tuple[str, ...] = ()
    taken: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    whole: bool = True
    non_finite: list[tuple[int, str]] = field(default_factory=list)  # (step, name) of what was logged as NaN

    def name_rewards(self) -> None:
        """Finds the rewards by what was logged, and which of them judge the answer and which the form."""
        logged = [key.split("/")[1] for row in self.steps for key in row if _is_mean(key)]
        self.rewards = list(dict.fromkeys([*logged, *(name for one in self.rollouts for name in one.rewards)]))
        self.forms = [name for name in self.rewards if _FORM.search(name)]
        if not self.outcomes:
            others = [name for name in self.rewards if name not in self.forms]
            self.outcomes = [name for name in others if _OUTCOME.search(name)] or (others if len(others) == 1 else [])


def _is_mean(key: str) -> bool:
    return key.startswith("rewards/") and key.count("/") == 2 and key.endswith("/mean")


class Sample:
    """Takes rows one by one and keeps at most `most`, in blocks that are spread evenly over all of them."""

    def __init__(self, most: int = MOST):
        self.most, self.count, self._stride, self._kept = most, 0, 1, 0
        self._blocks: dict[int, list[Any]] = {}

    @property
    def wants(self) -> bool:
        """Whether the next row would be kept: what is not need not be parsed."""
        return (self.count // _BLOCK) % self._stride == 0

    def add(self, row: Any) -> None:
        """The next row; None counts it and keeps nothing."""
        block, wanted = self.count // _BLOCK, self.wants
        self.count += 1
        if not wanted or row is None:
            return
        self._blocks.setdefault(block, []).append(row)
        self._kept += 1
        while self._kept > self.most and len(self._blocks) > 1:
            self._stride *= 2
            self._blocks = {place: rows for place, rows in self._blocks.items() if place % self._stride == 0}
            self._kept = sum(map(len, self._blocks.values()))

    @property
    def rows(self) -> list[Any]:
        return [row for rows in self._blocks.values() for row in rows]

    @property
    def whole(self) -> bool:
        return self._stride == 1

    def note(self, where: str) -> str | None:
        """A sentence where rows were left out."""
        if self.whole:
            return None
        return f"{where}: {self.count:,} rows, of which {self._kept:,} were read, spread evenly over the whole"
