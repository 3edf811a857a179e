"""How often a person may ask, and how many pages may listen at once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable

MAX_PEOPLE = 10_000


class RateLimiter:
    """A bucket per person: `rate` units a minute, all of which may come at once. 0 is no limit."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic):
        self.rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, person: str, units: int = 1) -> float:
        """Takes `units` and returns 0.0, or takes nothing and returns the seconds until they are there.

        A request larger than the bucket waits for a full one and leaves a debt.
        """
        if not self.rate:
            return 0.0
        now = self._clock()
        level, seen = self._buckets.pop(person, (float(self.rate), now))
        level = min(float(self.rate), level + (now - seen) * self.rate / 60)
        missing = min(units, self.rate) - level
        if missing <= 0:
            level -= units
        self._buckets[person] = (level, now)
        while len(self._buckets) > MAX_PEOPLE:
            self._buckets.popitem(last=False)
        return 0.0 if missing <= 0 else missing * 60 / self.rate


class Listeners:
    """Pages in which somebody writes: at most `most`; of the person with the most of them, the oldest gives way."""

    def __init__(self, most: int):
        self.most = most
        self._of: dict[str, list[asyncio.Event]] = {}

    async def listen(self, person: str, seconds: float) -> None:
        """Returns after `seconds`, or earlier for others."""
        over = asyncio.Event()
        self._of.setdefault(person, []).append(over)
        if sum(map(len, self._of.values())) > self.most:
            max(self._of.values(), key=len)[0].set()
        try:
            async with asyncio.timeout(seconds):
                await over.wait()
        except TimeoutError:
            pass
        finally:
            self._of[person].remove(over)
            if not self._of[person]:
                del self._of[person]
