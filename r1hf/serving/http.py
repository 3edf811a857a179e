"""What the gateway and the Transformers engine share as aiohttp servers: reading requests, answering errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

from aiohttp import web

from r1hf.serving import door
from r1hf.serving.connections import ACCEPTED, WAITING, Connections
from r1hf.serving.errors import Refused, error_body

CLIENT = "X-R1HF-Client"  # a header of the gateway's requests: for whom an engine works
PENDING = 256 * 2**20  # bytes of bodies that are being read, of all clients; a quarter of it for one
LINGER = 2.0  # seconds in which the rest of a refused request is read, so that its sender sees the answer

_quiet = logging.getLogger("r1hf.serving.requests")  # aiohttp writes a traceback for each request that is no HTTP
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


def failure(message: str, status: int, retry_after: int | None = None, param: str | None = None) -> web.Response:
    """An error in OpenAI's form."""
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
    return web.json_response(error_body(message, status, param), status=status, headers=headers)


@web.middleware
async def errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Every failure as an answer in OpenAI's form, one line of it in the log."""
    try:
        return await handler(request)
    except Refused as error:
        return failure(str(error), error.status, param=error.param)
    except web.HTTPException as error:
        return failure(f"{request.method} {request.path}: {error.reason}", error.status)
    except web.RequestPayloadError:
        return failure("the request's body is not HTTP", 400)
    except (ConnectionError, asyncio.CancelledError):
        raise  # the client has gone
    except Exception as error:
        print(f"{request.method} {request.path}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return failure("the server failed at this request; its log has the reason", 500)


class Inflow:
    """The bodies that are being read: bounded together, so that many slow requests do not fill the memory."""

    def __init__(self, most: int = PENDING):
        self.most, self.total = most, 0
        self._of: Counter[str] = Counter()

    @contextlib.contextmanager
    def count(self, client: str) -> Iterator[Any]:
        """Gives a function that is told of each piece's size; it raises Refused when there is too much."""
        taken = 0

        def grow(size: int) -> None:
            nonlocal taken
            taken += size
            self.total += size
            self._of[client] += size
            if self.total > self.most or self._of[client] > self.most // 4:
                raise Refused("too many requests are being received: try again shortly", 503)

        try:
            yield grow
        finally:
            self.total -= taken
            self._of[client] -= taken
            if not self._of[client]:
                del self._of[client]


async def read_body(request: web.Request, limit: int, inflow: Inflow, client: str) -> bytes:
    """The request's body, at most `limit` bytes, as it was sent. Raises Refused."""
    door.check_head(request.headers.get("Content-Length"), request.headers.get("Content-Encoding"), limit)
    with inflow.count(client) as grow:

        async def pieces() -> AsyncIterator[bytes]:
            async for piece in request.content.iter_any():
                grow(len(piece))
                yield piece

        return await door.read_body(pieces(), limit)


def make_runner(app: web.Application) -> web.AppRunner:
    """Unpacks nothing that a client has compressed: neither what it reads, nor what it reads to throw it away."""
    return web.AppRunner(
        app,
        handler_cancellation=True,
        shutdown_timeout=2.0,
        access_log=None,
        logger=_quiet,
        auto_decompress=False,
        lingering_time=LINGER,
    )


async def listen(runner: web.AppRunner, connections: Connections, listener: socket.socket) -> asyncio.Server:
    """Serves at a bound socket, `connections` watched."""

    def protocol() -> asyncio.Protocol:
        assert runner.server is not None
        return connections.watch(runner.server())

    server = await asyncio.get_running_loop().create_server(protocol, sock=listener, backlog=ACCEPTED)
    listener.listen(WAITING)
    return server
