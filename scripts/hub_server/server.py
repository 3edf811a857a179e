"""The HTTP side: routes of the Hub's API that huggingface_hub, transformers and datasets use."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from . import hub_collections, routes  # noqa: F401  (they fill ROUTES)
from .faults import Cut, Faults
from .routing import ROUTES, Request
from .store import Refused, Store

PIECE = 1 << 16
HIDDEN = re.compile(r"hf_\w+")


class HubServer:
    """The server, as a context manager. `requests` lists (method, path) of everything that was asked.

    `url` and `lfs_url` are one server under two host names: clients follow a redirect to the same host by
    themselves and would lose X-Repo-Commit.
    """

    def __init__(self, root: Path, port: int = 0):
        self.store = Store(Path(root))
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", port), type("BoundHandler", (Handler,), {"hub": self}))
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url, self.lfs_url = f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def environment(self, home: Path, token: str | None = None) -> dict[str, str]:
        """The environment of a person whose Hub this is; the libraries read it when they are imported."""
        env = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        env |= {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "OMP_NUM_THREADS": "1"}
        return env | ({"HF_TOKEN": token} if token else {})

    def asked(self, method: str, pattern: str = "") -> list[str]:
        """Paths of the requests so far with this method that hold `pattern`."""
        return [path for verb, path in self.requests if verb == method and re.search(pattern, path)]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True  # a delayed acknowledgement would cost 40 ms a request

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (Cut, ConnectionError, TimeoutError):
            self.close_connection = True

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        path, faults = unquote(parts.path), self.hub.faults
        with self.hub.store.lock:
            self.hub.requests.append((self.command, HIDDEN.sub("***", self.path)))
        self._round = faults.round
        faults.event(self._round)
        raw_path = parts.path  # a quoted slash in a revision must not end it
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        request = Request(self.hub.store, self.hub, self._token(), query, self.headers, self._body)
        try:
            wanted = faults.take(self.command, path)
            if wanted is not None:
                self._drain()
                self._answer(wanted.status, {"error": wanted.message}, wanted.headers, message=wanted.message)
                return
            status, content, headers = self._route(raw_path, request)
        except Refused as refused:
            self._drain()
            headers = {"X-Error-Code": refused.code} if refused.code else {}
            headers |= getattr(refused, "headers", {})
            self._answer(refused.status, {"error": refused.message, **refused.extra}, headers, message=refused.message)
            return
        self._drain()
        self._answer(status, content, headers)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

    def _route(self, path: str, request: Request) -> tuple[int, Any, dict[str, str]]:
        for method, pattern, function in ROUTES:
            found = pattern.fullmatch(path)
            if found and self.command in (method, "HEAD" if method == "GET" else method):
                answer = function(request, **{key: unquote(value or "") for key, value in found.groupdict().items()})
                return answer if isinstance(answer, tuple) else (200, answer, {})
        raise Refused(404, f"no route {self.command} {path}")

    def _token(self) -> str | None:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" and token else None

    _read = False
    _round = 0

    def _body(self) -> Iterator[bytes]:
        self._read = True
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().strip() or b"0", 16):
                yield self._exactly(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self._exactly(min(PIECE, left))
            left -= len(piece)
            yield piece

    def _exactly(self, size: int) -> bytes:
        piece = self.rfile.read(size)
        if len(piece) < size:
            raise Cut  # the client is gone
        self.hub.faults.event(self._round)
        return piece

    def _drain(self) -> None:
        if not self._read:
            for _ in self._body():
                pass
        self._read = False

    def _answer(self, status: int, content: Any, headers: dict[str, str], message: str = "") -> None:
        """Sends JSON, text, bytes, or a file (as a (Path, start, end) triple)."""
        self.hub.faults.event(self._round)
        body: bytes | None = None
        if not isinstance(content, tuple):
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
        length = len(body) if body is not None else content[2] - content[1]
        self.send_response(status)
        if message:
            self.send_header("X-Error-Message", message)
        headers = {"Content-Type": "application/json", "Content-Length": str(length), **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        for piece in [body] if body is not None else _pieces(*content):
            self.wfile.write(piece)
            self.hub.faults.event(self._round)


def _pieces(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end:
            piece = file.read(min(PIECE, end - start))
            start += len(piece)
            yield piece
