"""The TCP connections of a server, watched: none of them half open for long, and never so many that nobody gets in.

Wraps the protocol of any asyncio server (aiohttp's, uvicorn's). The server says when a request begins and ends; what
a connection does in between, the wrapper sees. Standard library only: the chat uses it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import resource
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, cast

# Nothing has come yet, or a part of the headers; a part of the body; a request is answered; between two requests.
State = Literal["headers", "body", "busy", "idle"]
GRACE = 1.0  # seconds that an honest request takes to arrive
KEPT_FILES = 192  # descriptors for everything that is no connection of a client
MOST = 4096
ACCEPTED = 32  # connections that asyncio takes at once, before any of them is counted: its `backlog`
WAITING = 1024  # connections that the system holds until they are taken
LOOK = 1.0  # seconds between two looks at the clocks


@dataclass(frozen=True)
class Patience:
    """Seconds that a connection may take: for a request's headers, for its body, between requests, and for reading
    what is sent to it."""

    headers: float = 10.0
    body: float = 30.0
    idle: float = 75.0
    reading: float = 30.0


def most_connections(share: int = 1) -> int:
    """How many connections this process has descriptors for, when each takes `share` of them.

    Raises the soft limit as far as the system lets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST * share + KEPT_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    room = MOST if soft == resource.RLIM_INFINITY else (soft - KEPT_FILES) // share
    return max(16, min(MOST, room))


class Connections:
    """All connections of one server.

    most: with more, some of those that are answered nothing are closed, of the client that has the most: half open
    ones first, then idle ones, the oldest before the others. Where all are busy, the new one is closed.
    """

    def __init__(self, most: int, patience: Patience = Patience()):
        self.most, self.patience = most, patience
        self._by_peer: dict[Any, Watched] = {}
        self._busy: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._by_peer)

    def watch(self, protocol: asyncio.Protocol) -> asyncio.Protocol:
        """`protocol`, to be given to the event loop in its place."""
        return Watched(protocol, self)

    def begin(self, peer: Any) -> bool:
        """A request's headers are read. False if its client keeps half of all connections busy already."""
        watched = self._by_peer.get(_key(peer))
        if watched is None:
            return True
        self.put(watched, "body")
        return self._busy[watched.client] < max(1, self.most // 2)

    def answering(self, peer: Any) -> None:
        """The request's body is read too."""
        self._move(peer, "busy")

    def end(self, peer: Any) -> None:
        self._move(peer, "idle")

    def _move(self, peer: Any, state: State) -> None:
        if watched := self._by_peer.get(_key(peer)):
            self.put(watched, state)

    def put(self, watched: Watched, state: State | None) -> None:
        """Notes the state of a connection; None when it is gone."""
        if watched.state is not None:
            self._busy[watched.client] -= watched.state == "busy"
            if not self._busy[watched.client]:
                del self._busy[watched.client]
        watched.state = state
        if state is None:
            if self._by_peer.get(watched.peer) is watched:
                del self._by_peer[watched.peer]
            return
        self._by_peer[watched.peer] = watched
        self._busy[watched.client] += state == "busy"
        watched.since = asyncio.get_running_loop().time()

    def opened(self, watched: Watched) -> None:
        self.put(watched, "headers")
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._look)
        if len(self) > self.most:
            self._evict(watched)

    def _evict(self, newcomer: Watched) -> None:
        """Several at once, because the choice takes a look at all of them."""
        now = asyncio.get_running_loop().time()
        held = Counter(watched.client for watched in self._by_peer.values())
        idle = [item for item in self._by_peer.values() if item is not newcomer and item.rests]

        def least_missed(item: Watched) -> tuple[int, int, float]:
            waits = item.state != "idle" and now - item.since > GRACE
            return -held[item.client], 0 if waits else 1 if item.state == "idle" else 2, item.since

        for item in heapq.nsmallest(max(1, self.most // 20), idle, key=least_missed) or [newcomer]:
            item.abort()

    def _look(self) -> None:
        """Closes whatever took too long."""
        now = asyncio.get_running_loop().time()
        limits = vars(self.patience)
        for watched in list(self._by_peer.values()):
            late = watched.rests and now - watched.since > limits[str(watched.state)]
            stuck = watched.behind_since is not None and now - watched.behind_since > self.patience.reading
            if late or stuck:
                watched.abort()
        again = asyncio.get_running_loop().call_later(LOOK, self._look) if self._by_peer else None
        self._timer = again


class Watched(asyncio.Protocol):
    """One connection: passes everything on to the server's own protocol."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections):
        self._inner, self._connections = inner, connections
        self._transport: asyncio.Transport | None = None
        self.peer: Any = None
        self.client = ""
        self.state: State | None = None
        self.since = 0.0  # when it came into its state
        self.behind_since: float | None = None  # when the client fell behind with reading

    @property
    def rests(self) -> bool:
        """Nothing is done for it, and no answer is on its way."""
        return self.state not in ("busy", None) and self.behind_since is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.peer = _key(transport.get_extra_info("peername")) or id(self)
        self.client = self.peer[0] if isinstance(self.peer, tuple) else ""
        self._inner.connection_made(transport)
        self._connections.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.state == "idle":
            self._connections.put(self, "headers")
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.put(self, None)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self.behind_since = asyncio.get_running_loop().time()
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self.behind_since = None
        self._inner.resume_writing()

    def abort(self) -> None:
        """Closes the connection at once; it counts as gone from now on."""
        self._connections.put(self, None)
        if self._transport is not None:
            self._transport.abort()


def _key(peer: Any) -> Any:
    """(host, port) of a peer's address, which aiohttp and uvicorn both know."""
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) and len(peer) >= 2 else None
