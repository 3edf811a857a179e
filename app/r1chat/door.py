"""Between the network and Gradio: who may ask for what, how much, and what the browser may do with the answer.

An ASGI middleware. It knows the few addresses that the page uses; Gradio's others (uploads, files, proxies, an API)
do not exist here.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

from r1chat.limits import RateLimiter
from r1chat.settings import Settings
from r1hf.serving.connections import Connections
from r1hf.serving.door import check_head, client_name, is_own_host, is_own_origin, read_body, read_json
from r1hf.serving.errors import Refused
from r1hf.serving.fair import Fair, Full, Patient

MAX_BODY = 512 * 1024  # bytes: an event has all chats of the browser in it (history.MAX_BYTES)
MAX_FORM = 4096
LOGINS = 10  # tries a minute
SESSIONS = 300  # new pages a minute
PAGES = 600  # requests a minute that a client may always make; the page's files do not count
PACE = 10  # times the rate of questions at which a client's requests are worked for; others wait
AT_ONCE, WAITING = 8, 1024  # requests that are worked for, streams apart
SHORT = 0.25  # seconds after which a request that waits for something else gives its place to the next
_API = "/gradio_api"
_READ = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json|/pwa_icon(/[0-9]+)?|/logout"
    r"|/(assets|static|svelte)/[A-Za-z0-9_@./-]+"
    rf"|{_API}/(info|startup-events|app_id|user/?|login_check/?|theme\.css)"
)
FILES = ("/assets/", "/static/", "/svelte/")
_STREAMS = re.compile(rf"{_API}/(queue/data|heartbeat/[A-Za-z0-9_-]{{1,64}})")
_EVENTS = re.compile(rf"{_API}/(queue/join|run/predict|cancel|reset)/?")
_SESSION = re.compile(r"[A-Za-z0-9_ -]{1,64}")
FORWARDED = (b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-prefix", b"forwarded")
_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.S | re.I)

# A model's text must not make the browser ask anybody for anything, nor be framed into something else.
POLICY = {
    "default-src": "'self'",
    # Gradio makes functions of the events' texts (eval); inline scripts are those that the page was sent with.
    "script-src": "'self' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "media-src": "'self' blob:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "worker-src": "'self' blob:",
    "frame-src": "'none'",
    "frame-ancestors": "'self'",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
}


class Door:
    """The middleware. `connections` is told when a request begins and ends; `head` is what Gradio adds to the page."""

    def __init__(self, app: Any, settings: Settings, connections: Connections, head: str = ""):
        self.app, self.settings, self.connections = app, settings, connections
        self.scripts = hashes(head.encode())
        self.gate = Fair(AT_ONCE, WAITING)
        self.patient = Patient()
        self.pace = RateLimiter(max(PAGES, PACE * settings.rate) if settings.rate else 0)
        self.logins = RateLimiter(LOGINS)
        self.sessions = RateLimiter(SESSIONS if settings.rate else 0)
        self.known: dict[tuple[str, str], None] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        peer, answered = scope.get("client"), Answered(send, self.scripts, self.settings.space)
        where = f"{scope['method']} {scope['path'][:80]!r}"
        try:
            if not self.connections.begin(peer):
                raise Refused("this client keeps too many connections busy", 503)
            await self._serve(scope, receive, answered, peer)
        except Refused as error:
            await self.patient.refuse(self._client(Headers(scope["headers"]), peer))
            await answered.refuse(error)
        except Full:
            await answered.refuse(Refused("too many requests are waiting: try again shortly", 503))
        except Exception as error:
            print(f"{where}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            await answered.refuse(Refused("the page failed at this request; its log has the reason", 500))
        finally:
            self.connections.end(peer)

    async def _serve(self, scope: Any, receive: Any, send: Answered, peer: Any) -> None:
        headers = Headers(scope["headers"])
        client = self._client(headers, peer)
        self._check(scope, headers)
        scope = {**scope, "client": (client, peer[1] if peer else 0)}
        if not self.settings.proxies:  # Gradio would build addresses from what anybody can send
            scope["headers"] = [item for item in scope["headers"] if item[0] not in FORWARDED]
        path, method = scope["path"], scope["method"]
        if method in ("GET", "HEAD") and _STREAMS.fullmatch(path):
            self.connections.answering(peer)
            await self.app(scope, receive, send)
        elif method in ("GET", "HEAD") and _READ.fullmatch(path) and ".." not in path:
            self.connections.answering(peer)
            await self._in_turn(client, scope, receive, send)
        elif method == "POST" and (_EVENTS.fullmatch(path) or path in ("/login", "/login/")):
            body = await self._body(receive, headers, client, path)
            self.connections.answering(peer)
            await self._in_turn(client, scope, _given(body, receive), send)
        else:
            raise Refused(f"{method} {path[:80]} is nothing that this page has", 404)

    async def _in_turn(self, client: str, scope: Any, receive: Any, send: Any) -> None:
        """Clients take turns, so that many requests of one do not hold up another's, and none has many."""
        while not scope["path"].startswith(FILES) and (seconds := self.pace.take(client)):
            await asyncio.sleep(min(seconds, 1.0))
        async with self.gate.hold(client):
            work = asyncio.ensure_future(self.app(scope, receive, send))
            try:
                await asyncio.wait({work}, timeout=SHORT)
            except asyncio.CancelledError:
                work.cancel()
                raise
        await work

    def _client(self, headers: Headers, peer: Any) -> str:
        """Who asks: the address, or what the proxies in front of the page say of it."""
        hops = [part.strip() for part in ",".join(headers.all("x-forwarded-for")).split(",")]
        count = self.settings.proxies
        if 0 < count <= len(hops) and hops[-count]:
            return client_name(hops[-count][:64])
        return client_name(peer[0] if peer else "")

    def _check(self, scope: Any, headers: Headers) -> None:
        """Refuses what a page of another site sends, also one that calls itself by this one's address."""
        hosts = (self.settings.proxies and headers.all("x-forwarded-host")) or headers.all("host")
        local = (scope.get("server") or ("",))[0]
        if len(hosts) != 1 or not is_own_host(hosts[0], local, self.settings.hosts):
            said = ", ".join(hosts)[:80]
            raise Refused(
                f"this page is not called {said!r}: use its address, or add the name to R1HF_ALLOW_HOSTS", 403
            )
        for origin in headers.all("origin"):
            if not is_own_origin(origin, hosts[0]):
                raise Refused("requests from other sites' pages are refused", 403)
        if scope["method"] == "POST" and headers.first("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refused("requests from other sites' pages are refused", 403)

    async def _body(self, receive: Any, headers: Headers, client: str, path: str) -> bytes:
        is_login = path.startswith("/login")
        if is_login and self.logins.take(client):
            raise Refused("too many tries: wait a minute", 429)
        limit = MAX_FORM if is_login else MAX_BODY
        check_head(headers.first("content-length"), headers.first("content-encoding"), limit)
        body = await read_body(_pieces(receive), limit)
        if not is_login:
            self._check_event(body, client)
        return body

    def _check_event(self, body: bytes, client: str) -> None:
        event = read_json(body)
        if not isinstance(event, dict):
            raise Refused("the event is not a JSON object")
        session, data = event.get("session_hash"), event.get("data")
        if not isinstance(session, str) or not _SESSION.fullmatch(session):
            raise Refused("session_hash: a short text is expected")
        if not isinstance(data, list | None) or not isinstance(event.get("fn_index"), int | None):
            raise Refused("the event is not one of this page")
        if (client, session) not in self.known:
            if self.sessions.take(client):
                raise Refused("too many pages are opened from this address: wait a minute", 429)
            while len(self.known) >= 20_000:
                del self.known[next(iter(self.known))]
        self.known[client, session] = self.known.pop((client, session), None)


class Headers:
    """A request's headers by name, in lower case."""

    def __init__(self, raw: list[tuple[bytes, bytes]]):
        self._raw = raw

    def all(self, name: str) -> list[str]:
        return [value.decode("latin-1") for key, value in self._raw if key == name.encode()]

    def first(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)


async def _pieces(receive: Any) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused("the client has gone")
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


def _given(body: bytes, receive: Any) -> Any:
    """A `receive` that has the body, which was read, and then what the connection says."""
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Any:
        return parts.pop() if parts else await receive()

    return give


class Answered:
    """Passes an answer on, with the headers that keep a browser from harm; streams go through untouched."""

    def __init__(self, send: Any, scripts: Mapping[str, None], space: bool):
        self._send, self._scripts, self._space = send, scripts, space
        self._held: dict[str, Any] | None = None
        self._page = b""
        self.started = False

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            kind = Headers(message["headers"]).first("content-type") or ""
            if kind.startswith("text/html"):
                self._held = message  # until the scripts in it are known
                return
            message = self._with(message, {})
        elif self._held is not None and message["type"] == "http.response.body":
            self._page += message.get("body", b"")
            if message.get("more_body"):
                return
            held, self._held = self._held, None
            await self._send(self._with(held, hashes(self._page)))
            message = {**message, "body": self._page}
        await self._send(message)

    def _with(self, message: Any, scripts: Mapping[str, None]) -> Any:
        added = {
            b"content-security-policy": policy({**self._scripts, **scripts}, self._space).encode(),
            b"referrer-policy": b"no-referrer",
            b"x-content-type-options": b"nosniff",
        }
        return {**message, "headers": [*message["headers"], *added.items()]}

    async def refuse(self, error: Refused) -> None:
        """A sentence, and the end of the connection: what else is sent on it is not read."""
        if self.started:
            return
        text = str(error).encode("utf-8", "replace")
        head = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(text)), "connection": "close"}
        headers = [(name.encode(), value.encode()) for name, value in head.items()]
        await self({"type": "http.response.start", "status": error.status, "headers": headers})
        await self({"type": "http.response.body", "body": text})


def hashes(page: bytes) -> dict[str, None]:
    """Of each script that stands in a page, as a policy names it."""
    found = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _SCRIPT.findall(page)]
    return dict.fromkeys(f"'sha256-{digest}'" for digest in found)


def policy(scripts: Mapping[str, None], space: bool) -> str:
    parts = {**POLICY, "script-src": " ".join([POLICY["script-src"], *scripts])}
    if space:
        parts["frame-ancestors"] = "'self' https://huggingface.co"
    return "; ".join(f"{name} {value}" for name, value in parts.items())
