"""A bounded number of places, shared fairly: those that wait are let in one client after the other.

However many requests one client sends, another waits for one of them, not for all. Standard library only: the chat
uses it too.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

REMEMBERED = 10_000  # clients that were refused
Who = tuple[str, ...]  # a client, and perhaps what it calls itself: ("address 1.2.3.4", "page abc")


class Full(Exception):
    """All places are taken, and the queue for them too."""


class Fair:
    """At most `size` hold a place; `queue` more wait. A client that waits most often is turned away first.

    A place that is free goes to the client with the fewest; within a client, to its part with the fewest. One client
    never has all of them, so that another need not wait until one of its own ends.
    """

    def __init__(self, size: int, queue: int):
        self.size, self.queue = size, queue
        self.each = max(1, size * 3 // 4)
        self.total = self.waiting = 0
        self._held: Counter[Who] = Counter()  # of each client, and of each part of one
        self._lines: dict[Who, deque[asyncio.Future[None]]] = {}
        self._last: dict[Who, int] = {}  # when each that holds a place or waits was let in last
        self._turn = 0

    @asynccontextmanager
    async def hold(self, *who: str) -> AsyncIterator[None]:
        """A place for `who`. Raises Full at once where there is none and too many wait, or later, for a greater need.

        Cancelling gives the place, or the place in the queue, back.
        """
        await self._enter(who)
        try:
            yield
        finally:
            self._count(who, -1)
            self._let_in()

    async def _enter(self, who: Who) -> None:
        if self.total < self.size and not self.waiting and self._held[who[:1]] < self.each:
            self._count(who, 1)
            return
        if self.waiting >= self.queue:
            self._turn_away(who)
        place = asyncio.get_running_loop().create_future()
        self._lines.setdefault(who, deque()).append(place)
        self.waiting += 1
        self._let_in()
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(who, place)
            elif place.exception() is None:  # let in and cancelled at once
                self._count(who, -1)
                self._let_in()
            raise

    def _count(self, who: Who, step: int) -> None:
        self.total += step
        self._turn += 1
        for part in {who[:1], who}:
            self._held[part] += step
            if step > 0:
                self._last[part] = self._turn
            if not self._held[part]:
                del self._held[part]
        if not self._lines:
            self._last = {part: turn for part, turn in self._last.items() if part in self._held}

    def _let_in(self) -> None:
        while self.total < self.size:
            able = [who for who in self._lines if self._held[who[:1]] < self.each]
            if not able:
                return
            who = min(able, key=lambda key: [(self._held[part], self._last.get(part, 0)) for part in (key[:1], key)])
            place = self._lines[who][0]
            self._forget(who, place)
            self._count(who, 1)
            place.set_result(None)

    def _forget(self, who: Who, place: asyncio.Future[None]) -> None:
        line = self._lines.get(who)
        if line is not None and place in line:
            line.remove(place)
            self.waiting -= 1
            if not line:
                del self._lines[who]

    def _turn_away(self, newcomer: Who) -> None:
        """Makes room in the queue at the cost of whoever waits most. Raises Full if that is the newcomer."""
        waiting: Counter[Who] = Counter({part: 1 for part in {newcomer[:1], newcomer}})
        for who, line in self._lines.items():
            for part in {who[:1], who}:
                waiting[part] += len(line)

        def needs(who: Who) -> tuple[int, int]:
            return waiting[who[:1]], waiting[who]

        greediest = max(self._lines, key=needs, default=newcomer)
        if needs(greediest) <= needs(newcomer):  # of equals, who came first stays
            raise Full
        place = self._lines[greediest][-1]
        self._forget(greediest, place)
        place.set_exception(Full())


class Patient:
    """Makes a client wait that is refused again and again, so that it has less time to be refused in.

    free: refusals a minute that cost nothing. seconds: that each further one takes.
    """

    def __init__(self, free: int = 100, seconds: float = 0.25):
        self.free, self.seconds = free, seconds
        self._seen: dict[str, tuple[float, float]] = {}

    async def refuse(self, client: str) -> None:
        now = asyncio.get_running_loop().time()
        count, then = self._seen.pop(client, (0.0, now))
        count = max(0.0, count - (now - then) * self.free / 60) + 1
        self._seen[client] = count, now
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        if count > self.free:
            await asyncio.sleep(self.seconds)
