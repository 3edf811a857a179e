"""The HTTP client of an OpenAI-compatible server (`r1hf serve`, vLLM): models, streamed completions, tokens.

Every failure is a BackendError with one of KINDS, from which the interface makes a sentence.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp

CONNECT_TIMEOUT = 5.0
KINDS = (
    "down",  # nobody answers at the address
    "loading",  # 503: the model is being started
    "busy",  # 503, 429: too many requests
    "too_long",  # 400: more tokens than the context holds
    "timeout",  # silence for too long
    "cut",  # the connection broke in the middle
    "unknown_model",  # 404
    "refused",  # 401, 403: the key is wrong
    "invalid",  # any other 4xx
    "broken",  # any other 5xx, or not the protocol
    "crowded",  # this app has no place left
    "no_budget",  # a thought over its budget that this server cannot go on from
)
_TOO_LONG = re.compile(
    r"context length|context window|too long|too large|max_model_len|maximum.{0,40}token|exceed", re.I
)
_LOADING = re.compile(r"\bloading|\b(?:re)?starting|being (?:loaded|started)|warming up|not ready", re.I)
_HOPELESS = re.compile(r"cannot be served", re.I)
MAX_DETAIL = 300
MODELS = 256  # that a page can list
LINE = 2**20  # most bytes of an event
ANSWER = 16 * 2**20  # and of an answer that is no stream
PERSON = "X-R1HF-Person"  # for whom a question is; a server that started this chat shares its time by it


class BackendError(Exception):
    """`kind` is one of KINDS, `detail` is the server's own message, shortened; `retry_after` in seconds."""

    def __init__(self, kind: str, detail: str = "", retry_after: float | None = None):
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail[:MAX_DETAIL]
        self.retry_after = retry_after


class Piece(NamedTuple):
    """One event of a stream. `tokens` counts the completion so far where the server says it."""

    text: str = ""
    reasoning: str = ""
    tokens: int | None = None
    finish: str | None = None


class Tokens(NamedTuple):
    """A prompt as the server sees it; `pieces` are the vocabulary's own strings, None where it does not tell."""

    ids: list[int]
    pieces: list[str] | None
    max_model_len: int | None


@dataclass(frozen=True)
class Model:
    """A row of /v1/models. What a plain server does not tell is None."""

    id: str
    max_model_len: int | None = None
    stage: str | None = None
    form: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    state: str = "ready"
    thinking_budget: bool = False
    description: str | None = None
    tiny_world: bool = False

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Model:
        own = row.get("r1hf")
        own = own if isinstance(own, Mapping) else {}
        return cls(
            id=_name(row["id"]) or "?",
            max_model_len=_integer(row.get("max_model_len")),
            stage=_name(own.get("stage")),
            form=_name(own.get("form")),
            temperature=_number(own.get("temperature")),
            top_p=_number(own.get("top_p")),
            state=_name(own.get("state")) or "ready",
            thinking_budget=bool(own.get("thinking_budget")),
            description=_name(own.get("description"), MAX_DETAIL),
            tiny_world=own.get("tiny_world") is True,
        )


@dataclass
class Backend:
    """The server at `url` (ending in /v1). `timeout`: seconds of silence after which an answer is given up.

    aiohttp, and not the httpx that comes with Gradio: reading a stream took half of the app's time with that.
    """

    url: str
    key: str = field(default="", repr=False)
    timeout: float = 120.0
    _client: aiohttp.ClientSession | None = field(default=None, init=False, repr=False)

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def _http(self) -> aiohttp.ClientSession:
        # Made on first use, inside the event loop that will use it.
        if self._client is None:
            self._client = aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
                # Shorter than the 5 s after which uvicorn closes an idle connection.
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=self.timeout),
                # No proxy from the environment: a server on this machine must not be asked through one.
                trust_env=urlsplit(self.url).hostname not in ("127.0.0.1", "localhost", "::1"),
                read_bufsize=LINE,
            )
        return self._client

    async def models(self) -> list[Model]:
        soon = aiohttp.ClientTimeout(sock_connect=CONNECT_TIMEOUT, sock_read=CONNECT_TIMEOUT)
        body = await self._json("GET", f"{self.url}/models", timeout=soon)
        rows = body.get("data")
        if not isinstance(rows, list):
            raise BackendError("broken", "/models has no list `data`")
        return [Model.from_row(row) for row in rows[:MODELS] if isinstance(row, Mapping) and row.get("id")]

    async def tokenize(self, model: str, prompt: list[dict[str, str]] | str, person: str = "") -> Tokens:
        """The tokens of messages through the chat template, or of a plain text without special tokens."""
        if isinstance(prompt, str):
            ask: dict[str, Any] = {"prompt": prompt, "add_special_tokens": False}
        else:
            ask = {"messages": prompt, "add_generation_prompt": True, "return_token_strs": True}
        headers = {PERSON: person}
        body = await self._json("POST", f"{self.root}/tokenize", json={"model": model, **ask}, headers=headers)
        ids = body.get("tokens")
        # Of whole numbers: the page shows them, and what else a server sends might be a script.
        if not isinstance(ids, list) or not set(map(type, ids)) <= {int}:
            raise BackendError("broken", "/tokenize has no list `tokens` of whole numbers")
        pieces = body.get("token_strs")
        known = isinstance(pieces, list) and len(pieces) == len(ids) and set(map(type, pieces)) <= {str}
        return Tokens(ids, pieces if known else None, _integer(body.get("max_model_len")))

    async def stream(self, path: str, body: dict[str, Any], person: str = "") -> AsyncIterator[Piece]:
        """Pieces of POST `url`/`path`. Close the generator to close the connection."""
        body = {**body, "stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
        started = finished = False
        try:
            async with contextlib.AsyncExitStack() as stack:
                response = await self._open(stack, f"{self.url}/{path}", body, person)
                started = True
                async for line in response.content:
                    data = line[5:].strip() if line.startswith(b"data:") else b""
                    if data == b"[DONE]":
                        finished = True
                    elif data:
                        piece = _piece(data)
                        finished = finished or piece.finish is not None
                        yield piece
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise BackendError("down") from error
        except TimeoutError as error:
            raise BackendError("timeout") from error
        except aiohttp.ClientError as error:
            if finished:
                return
            raise BackendError("cut" if started else "down") from error
        if not finished:
            raise BackendError("cut")

    async def _open(
        self, stack: contextlib.AsyncExitStack, url: str, body: dict[str, Any], person: str
    ) -> aiohttp.ClientResponse:
        """The response to a POST, its body unread; asked twice if the server just closed a connection kept open."""
        ask = functools.partial(self._http().post, url, json=body, headers={PERSON: person}, allow_redirects=False)
        try:
            response = await stack.enter_async_context(ask())
        except (aiohttp.ClientConnectorError, TimeoutError):
            raise
        except aiohttp.ClientConnectionError:
            response = await stack.enter_async_context(ask())
        stack.callback(response.close)
        if response.status != 200:
            raise await _refusal(response)
        return response

    async def _json(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        try:
            async with self._http().request(method, url, allow_redirects=False, **options) as response:
                if response.status != 200:
                    raise await _refusal(response)
                body = _object(await _bounded(response))
        except aiohttp.ConnectionTimeoutError as error:
            raise BackendError("down") from error
        except TimeoutError as error:
            raise BackendError("timeout") from error
        except aiohttp.ClientError as error:
            raise BackendError("down") from error
        return body

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = await response.content.read(ANSWER + 1)
    while len(body) <= ANSWER and (more := await response.content.read(ANSWER)):
        body += more
    if len(body) > ANSWER:
        raise BackendError("broken", "the answer is too long")
    return body


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BackendError("broken", "the answer is not JSON") from error
    if not isinstance(value, dict):
        raise BackendError("broken", "the answer is not a JSON object")
    return value


def _piece(data: bytes) -> Piece:
    try:
        event = json.loads(data)
        if error := event.get("error"):
            # A gateway says so when the engine behind it goes in the middle of an answer.
            gone = isinstance(error, Mapping) and error.get("code") in (502, 503, 504)
            raise BackendError("cut" if gone else "broken", _message(event))
        choice = (event.get("choices") or [{}])[0]
        delta = choice.get("delta") or {}
        return Piece(
            text=_text(delta.get("content") or choice.get("text")),
            reasoning=_text(delta.get("reasoning") or delta.get("reasoning_content")),
            tokens=_integer((event.get("usage") or {}).get("completion_tokens")),
            finish=_text(choice.get("finish_reason")) or None,
        )
    except (ValueError, AttributeError, TypeError, LookupError, RecursionError) as error:
        shown = data[:80].decode(errors="replace")
        raise BackendError("broken", f"an event that is not understood: {shown}") from error


async def _refusal(response: aiohttp.ClientResponse) -> BackendError:
    text = (await _bounded(response)).decode(errors="replace")
    try:
        detail = _message(json.loads(text))
    except (ValueError, RecursionError):
        detail = text
    status = response.status
    if status == 503 and _HOPELESS.search(detail):
        return BackendError("broken", detail)
    if status in (429, 503):
        loading = status == 503 and _LOADING.search(detail)
        after = _number(response.headers.get("retry-after"))
        return BackendError("loading" if loading else "busy", detail, after)
    if status in (400, 413, 422):
        return BackendError("too_long" if status == 413 or _TOO_LONG.search(detail) else "invalid", detail)
    kind = {401: "refused", 403: "refused", 404: "unknown_model"}.get(status)
    return BackendError(kind or ("invalid" if status < 500 else "broken"), f"{status} {detail}".strip())


def _message(body: Any) -> str:
    """The message of an error body, in OpenAI's form, vLLM's old one or FastAPI's."""
    found = body
    for key in ("error", "message", "detail"):
        if isinstance(found, Mapping) and key in found:
            found = found[key]
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _text(value: Any) -> str:
    """A text of an event; TypeError for anything else but nothing. Halves of characters are shown as such."""
    if value is not None and not isinstance(value, str):
        raise TypeError("a text is expected")
    return (value or "").encode("utf-8", "replace").decode()


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _name(value: Any, most: int = 200) -> str | None:
    return value[:most].encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number is None or math.isfinite(number) else None
