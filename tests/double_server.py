"""The frame of a small HTTP server that speaks JSON and misbehaves when told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class DoubleServer(ThreadingHTTPServer):
    """released: lets go of those whom `hang` holds."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, handler: type[DoubleHandler], port: int = 0):
        super().__init__(("127.0.0.1", port), handler)
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class DoubleHandler(BaseHTTPRequestHandler):
    server: DoubleServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def body(self) -> dict[str, Any]:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")

    def misbehave(self, fault: str) -> None:
        """hang, cut (no answer at all), page (no JSON), or a status with what else is said."""
        if fault in ("hang", "cut"):
            if fault == "hang":
                self.server.released.wait(20)
            self.close_connection = True
            self.connection.close()
        elif fault == "page":
            self.send(200, b"<html>hello</html>")
        else:
            self.send(int(fault.split()[0]), {"error": {"message": fault}})

    def send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def running(server: Any) -> Iterator[Any]:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
