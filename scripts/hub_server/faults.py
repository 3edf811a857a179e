"""Faults on demand: an answer in place of the real one, or a connection cut at the n-th event."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


class Cut(Exception):
    """The connection ends here, without an answer."""


@dataclass
class Answer:
    """Answers `times` requests that fit `method` and `path` with `status` and `message`."""

    method: str
    path: re.Pattern[str]
    status: int
    message: str
    times: int
    headers: dict[str, str] = field(default_factory=dict)


class Faults:
    """Events are: a request read, each piece of a body read, an answer about to be sent, a piece of it sent.

    A cut before the answer leaves the work of the request done and its client without knowing it.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.events = 0
        self.round = 0
        self.cut_at: int | None = None
        self.down = False
        self.on_cut: Callable[[], None] | None = None
        self._lock = threading.Lock()

    def answer(
        self, method: str, path: str, status: int, message: str = "on demand", times: int = 1, **headers: str
    ) -> None:
        """The next `times` requests whose path holds the pattern `path` get `status`."""
        plain = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append(Answer(method, re.compile(path), status, message, times, plain))

    def take(self, method: str, path: str) -> Answer | None:
        """The answer that is due for a request, once."""
        with self._lock:
            for item in self.answers:
                if item.times > 0 and item.method == method and item.path.search(path):
                    item.times -= 1
                    return item
        return None

    def cut(self, at: int, stay_down: bool = False, on_cut: Callable[[], None] | None = None) -> None:
        """Cuts the connection at the `at`-th event of requests from now, once or (`stay_down`) until `heal`."""
        with self._lock:
            self.round += 1
            self.events, self.cut_at, self.on_cut, self._stay = 0, at, on_cut, stay_down

    def heal(self) -> None:
        """No more cuts and no more answers on demand."""
        with self._lock:
            self.cut_at, self.on_cut, self.down = None, None, False
            self.answers.clear()

    def event(self, of_round: int) -> None:
        """Called by the server wherever a connection can end, with `round` as the request found it. Raises Cut.

        A client has its answer before the server's last event: that one must not count for a cut asked for since.
        """
        with self._lock:
            if of_round != self.round:
                return
            self.events += 1
            due = self.cut_at is not None and self.events >= self.cut_at
            if due:
                self.cut_at, self.down = None, self._stay
            callback = self.on_cut if due else None
        if callback:
            callback()
        if due or self.down:
            raise Cut
