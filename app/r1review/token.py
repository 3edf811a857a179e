"""Nobody else on this machine writes training data: the page asks for the token that its address was printed with."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

_OWN = "/gradio_api/startup-events"  # what Gradio asks itself when it starts


class Token:
    """An ASGI middleware. The first visit brings the token in the address; after that a cookie holds it."""

    def __init__(self, app: Any, token: str, port: int):
        self.app, self.token = app, token
        self.cookie = f"r1hf-review-{port}"  # a browser sends the cookies of a host to all its ports

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] == _OWN or self._known(scope):
            await self.app(scope, receive, send)
        elif self._right(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]):
            cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send, 303, "", {"location": "/", "set-cookie": cookie})
        else:
            await _answer(send, 401, "Open the page by the address with ?token=… that r1hf review printed.", {})

    def _known(self, scope: Any) -> bool:
        sent = next((value for name, value in scope["headers"] if name == b"cookie"), b"").decode("latin-1")
        try:
            found = SimpleCookie(sent).get(self.cookie)
        except CookieError:
            return False
        return found is not None and self._right(found.value)

    def _right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), self.token.encode())


async def _answer(send: Any, status: int, text: str, more: dict[str, str]) -> None:
    headers = {"content-type": "text/plain; charset=utf-8", "cache-control": "no-store", **more}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": text.encode()})
