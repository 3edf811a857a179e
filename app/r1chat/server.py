"""The page's HTTP server: uvicorn with its connections watched and the door in front of Gradio."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from r1chat.door import Door
from r1chat.lean_gradio import http_server
from r1chat.settings import Settings
from r1hf.serving.connections import ACCEPTED, WAITING, Connections, Patience, most_connections

# A question takes a second connection, to the model's server. An idle one is closed by uvicorn, after 5 seconds.
CONNECTIONS_SHARE = 2


class Server(http_server.Server):
    """On a socket that is bound already."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket):
        super().__init__(config)
        self.listener = listener

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        super().run([self.listener])

    def run_in_thread(self) -> None:
        super().run_in_thread()
        self.listener.listen(WAITING)


def starter(settings: Settings, head: str) -> Any:
    """What Gradio is to start its server with, in place of its own `start_server`. head: HTML that it adds."""

    def start(app: Any, server_name: str | None = None, server_port: int | None = None, **_: Any) -> Any:
        listener = _bind(settings.host, server_port or 0)
        connections = Connections(most_connections(CONNECTIONS_SHARE), Patience())

        def protocol(**given: Any) -> asyncio.Protocol:
            return connections.watch(AutoHTTPProtocol(**given))  # type: ignore[arg-type]

        config = uvicorn.Config(
            Door(app, settings, connections, head),
            http=protocol,  # type: ignore[arg-type]
            ws="none",
            log_level="warning",
            proxy_headers=False,  # anybody on this machine could say who they are; the door reads them if told to
            server_header=False,
            backlog=ACCEPTED,
        )
        server = Server(config, listener)
        server.running_app = app
        server.run_in_thread()
        port = listener.getsockname()[1]
        name = "localhost" if settings.host == "0.0.0.0" else settings.host
        return settings.host, port, f"http://{f'[{name}]' if ':' in name else name}:{port}/", server

    return start


def _bind(host: str, port: int) -> socket.socket:
    host = host.strip("[]")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SystemExit(
            f"the chat cannot listen on {host}:{port}: {error.strerror or error}; stop what does, or set "
            "R1HF_CHAT_PORT (0 for any free one)"
        ) from error
    return listener
