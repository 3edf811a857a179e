"""A figure over the steps of a run: where it began, where it ended, and whether that is more than noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """values by step, in order. Everything is None or False where there are no values."""

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.values)

    @property
    def points(self) -> list[tuple[float, float]]:
        """(step, value) in order."""
        return [(float(step), value) for step, value in zip(self.steps, self.values, strict=True)]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if self.values else None

    @property
    def first(self) -> float | None:
        """The mean of the first third."""
        return _mean(self.values[: self._third]) if self.values else None

    @property
    def last(self) -> float | None:
        return _mean(self.values[-self._third :]) if self.values else None

    @property
    def start(self) -> float | None:
        return self.values[0] if self.values else None

    @property
    def least(self) -> float | None:
        return min(self.values, default=None)

    @property
    def most(self) -> float | None:
        return max(self.values, default=None)

    @property
    def gain(self) -> float:
        """Last third less first third; 0 with fewer than two values."""
        return self.last - self.first if len(self.values) > 1 else 0.0  # type: ignore[operator]

    @property
    def noise(self) -> float:
        """The standard error of the gain, from how the values jump between neighbouring steps (a trend hardly counts
        in that).
        """
        jumps = [(after - before) ** 2 / 2 for before, after in zip(self.values, self.values[1:], strict=False)]
        return math.sqrt(_mean(jumps) * 2 / self._third) if jumps else 0.0

    def moves(self, sign: int, least: float, sure: float = 2.0) -> bool:
        """Whether it rose (sign 1) or fell (-1) by `least` and by `sure` standard errors."""
        change = sign * self.gain
        return len(self.values) > 1 and change >= least and change > sure * self.noise

    def words(self, digits: int = 2) -> str:
        """`0.21 → 0.64`."""
        if self.first is None or self.last is None:
            return "unknown"
        return f"{self.first:.{digits}f} → {self.last:.{digits}f}" if len(self.values) > 1 else f"{self.first:.2f}"

    @property
    def _third(self) -> int:
        return max(1, len(self.values) // 3)


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values)
