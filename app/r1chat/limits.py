"""How often a person may ask, and how many answers may stream at once."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

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


class TooManyWaiting(Exception):
    """Both the places and the queue for them are taken."""


class Places:
    """At most `size` at once, `queue` more wait, any further are turned away."""

    def __init__(self, size: int, queue: int):
        self._semaphore = asyncio.Semaphore(size)
        self._queue = queue
        self.waiting = 0

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Raises TooManyWaiting at once where the queue is full."""
        if self._semaphore.locked() and self.waiting >= self._queue:
            raise TooManyWaiting
        self.waiting += 1
        try:
            await self._semaphore.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._semaphore.release()
