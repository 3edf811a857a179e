"""A request, and the routes that answer one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .store import Refused, Repo, Store

ROUTES: list[tuple[str, re.Pattern[str], Callable[..., Any]]] = []


@dataclass
class Request:
    """One request; `body` yields its pieces once."""

    store: Store
    hub: Any
    token: str | None
    query: dict[str, str]
    headers: Any
    body: Callable[[], Iterator[bytes]]

    def read(self) -> bytes:
        return b"".join(self.body())

    def json(self) -> Any:
        return json.loads(self.read() or b"{}")

    def repo(self, kind: str, name: str, write: bool = False) -> Repo:
        if self.token is not None and self.token not in self.store.users:
            raise Refused(401, "Invalid username or password.")
        kind = kind.rstrip("/").removesuffix("s") or "model"
        return self.store.repo(kind, name.removesuffix(".git"), self.token, write)


def route(method: str, pattern: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        ROUTES.append((method, re.compile(pattern), function))
        return function

    return add


def url_of(request: Request, kind: str, name: str) -> str:
    prefix = "" if kind == "model" else f"{kind}s/"
    return f"{request.hub.url}/{prefix}{name}"
