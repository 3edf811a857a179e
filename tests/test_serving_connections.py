"""Watched connections under every event loop that uvicorn may choose: vLLM brings uvloop and httptools."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import httpx
import pytest

from r1hf.serving.connections import Connections, Patience

uvicorn = pytest.importorskip("uvicorn")
auto = pytest.importorskip("uvicorn.protocols.http.auto")


async def greet(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_it_answers_and_closes_a_half_open_connection(loop: str) -> None:
    pytest.importorskip(loop)
    connections = Connections(100, Patience(headers=1.0))
    config = uvicorn.Config(
        greet, http=lambda **given: connections.watch(auto.AutoHTTPProtocol(**given)), ws="none", loop=loop,
        lifespan="off", log_level="warning",
    )  # fmt: skip
    server, listener = uvicorn.Server(config), socket.socket()
    listener.bind(("127.0.0.1", 0))
    place = listener.getsockname()
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        assert httpx.get(f"http://127.0.0.1:{place[1]}/").text == "hello"
        with socket.create_connection(place, timeout=300) as half_open:
            half_open.sendall(b"GET / HTTP/1.1\r\n")
            try:
                assert half_open.recv(1) == b"", "it is closed without an answer"
            except ConnectionResetError:
                pass
    finally:
        server.should_exit = True
        thread.join(300)
