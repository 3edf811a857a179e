"""Servers that serve the same model: who is asked next, who has a rest, and when nobody is left to ask.

A server that fails rests, twice as long each time, and comes back; one that says how long (Retry-After) is believed,
up to a minute.
The budget of retries is time: where no server has answered anything for `patience` seconds, the run stops.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from r1hf.core.errors import StageError

FIRST_REST, LONGEST_REST = 0.5, 60.0  # seconds


@dataclass
class Replica:
    """One server. under_way: requests that it works on. failures: in a row. rests_until: on the monotonic clock."""

    url: str
    name: str  # what it calls the model
    context: int | None
    under_way: int = 0
    failures: int = 0
    rests_until: float = 0.0
    said: str = ""


class Replicas:
    """Shared by the threads that ask. Raises StageError from `take` where nobody has answered for too long."""

    def __init__(self, members: Sequence[Replica], patience: float):
        self.members, self.patience = list(members), patience
        self._lock, self._jitter = threading.Lock(), random.Random()
        self._answered = time.monotonic()

    def take(self) -> Replica:
        """The server with the least to do, among those that do not rest; waits for one."""
        while True:
            with self._lock:
                now = time.monotonic()
                if free := [one for one in self.members if one.rests_until <= now]:
                    # One that failed is tried with one request, unless there is no other.
                    sound = [one for one in free if not one.failures or not one.under_way]
                    found = min(sound or free, key=lambda one: one.under_way)
                    found.under_way += 1
                    return found
                if now - self._answered > self.patience:
                    raise StageError(self._gone())
                wait = min(one.rests_until for one in self.members) - now
            time.sleep(min(max(wait, 0.01), 1.0))

    def answered(self, one: Replica) -> None:
        with self._lock:
            one.under_way -= 1
            one.failures, one.rests_until, self._answered = 0, 0.0, time.monotonic()

    def failed(self, one: Replica, why: str, rest: float = 0.0) -> None:
        """Gives a server a rest, of `rest` seconds at least. Raises StageError as `take` does."""
        with self._lock:
            one.under_way -= 1
            one.said = why
            one.failures += 1
            own = min(FIRST_REST * 2 ** min(one.failures - 1, 10), LONGEST_REST) * self._jitter.uniform(0.5, 1.5)
            one.rests_until = time.monotonic() + max(own, min(rest, LONGEST_REST))
            if time.monotonic() - self._answered > self.patience:
                raise StageError(self._gone())

    def _gone(self) -> str:
        last = "; ".join(f"{one.url}: {one.said}" for one in self.members)
        return (
            f"no server has answered for {self.patience:g} seconds ({last}); what was sampled is kept: start one and "
            "repeat the command, or wait longer with server_patience"
        )
