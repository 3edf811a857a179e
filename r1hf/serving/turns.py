"""Whose turn it is in the generating thread: clients share the time equally, however much each asks for."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

RUNNING = 64  # requests of one client that take turns; more of its own wait
REMEMBERED = 1000  # clients whose use is known after their last request


@dataclass
class _Line:
    spent: float  # seconds of the thread's time
    running: deque[Any] = field(default_factory=deque)
    waiting: deque[Any] = field(default_factory=deque)

    def fill(self) -> None:
        while self.waiting and len(self.running) < RUNNING:
            self.running.append(self.waiting.popleft())


class Turns:
    """Requests in lines, one for each client (`request.client`). The client that had the least time is next.

    A step of many samples, or of a long prompt, costs its own client more turns, and no other.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._left: dict[str, float] = {}

    def __len__(self) -> int:
        return sum(len(line.running) + len(line.waiting) for line in list(self._lines.values()))

    def add(self, request: Any) -> None:
        if request.client not in self._lines:
            # Whoever comes has no claim on the time before; whoever comes back is no newcomer.
            least = min((line.spent for line in self._lines.values()), default=0.0)
            self._lines[request.client] = _Line(max(least, self._left.pop(request.client, 0.0)))
        line = self._lines[request.client]
        line.waiting.append(request)
        line.fill()

    def next(self) -> Any:
        """The request whose step is next; there must be one."""
        return min(self._lines.values(), key=lambda line: line.spent).running[0]

    def took(self, request: Any, seconds: float, goes_on: bool) -> None:
        """A step of the request that was `next`, and whether there are more."""
        line = self._lines[request.client]
        line.spent += seconds
        line.running.popleft()
        if goes_on:
            line.running.append(request)
        line.fill()
        if not line.running:
            self._left[request.client] = self._lines.pop(request.client).spent
            if not self._lines:
                self._left.clear()  # nobody is compared with anybody
            elif len(self._left) > REMEMBERED:
                del self._left[next(iter(self._left))]
