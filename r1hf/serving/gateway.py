"""The HTTP server that clients see: one address for all models, each request passed on to the engine that serves it.

Answers stream through unbuffered; a client that goes away cancels its request in the engine. Whatever costs work is
bounded first: connections, bodies, and the places that one client may take from the others.
"""

from __future__ import annotations

import contextlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from r1hf.serving import door
from r1hf.serving.connections import Connections
from r1hf.serving.engine import Engine
from r1hf.serving.errors import Refused, error_body
from r1hf.serving.fair import Fair, Full, Patient
from r1hf.serving.fleet import Fleet, Unavailable
from r1hf.serving.http import CLIENT, Inflow, errors, failure, read_body
from r1hf.serving.request import check_request, most_bytes, samples

FORWARDED = ("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize")
PERSON = "X-R1HF-Person"  # for whom the chat asks
_READ_AT_ONCE, _READ_WAITING = 2, 512  # requests whose JSON is looked at


@dataclass
class Gate:
    """Who may ask, and what is kept of those that do.

    chat_key: of the chat that this server started; it is believed for whom it asks. hosts: names of this server.
    """

    api_key: str | None = None
    chat_key: str | None = None
    hosts: Sequence[str] = ()
    connections: Connections | None = None

    def __post_init__(self) -> None:
        self.inflow, self.reading, self.patient = Inflow(), Fair(_READ_AT_ONCE, _READ_WAITING), Patient()

    def check(self, request: web.Request) -> None:
        """Raises Refused for another site's page, and for a key that is wrong."""
        local = (request.transport.get_extra_info("sockname") or [""])[0] if request.transport else ""
        given = request.headers.getall("Host", [])
        if len(given) != 1 or not door.is_own_host(given[0], local, self.hosts):
            said = ", ".join(given)[:80]
            raise Refused(f"this server is not called {said!r}: use its address, or start it with --allow-host", 403)
        origin = request.headers.get("Origin")
        if origin is not None and not door.is_own_origin(origin, given[0]):
            raise Refused("requests from other sites' pages are refused", 403)  # a web page must not use the server
        if self.api_key and request.path != "/health" and not self._has_key(request, self.api_key, self.chat_key):
            raise Refused("the API key is missing or wrong (Authorization: Bearer …)", 401)

    @staticmethod
    def _has_key(request: web.Request, *keys: str | None) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        # Both may have bytes beyond UTF-8, as the environment and a header can.
        said = given.encode("utf-8", "surrogateescape")
        return any([hmac.compare_digest(said, key.encode("utf-8", "surrogateescape")) for key in keys if key])

    def client(self, request: web.Request) -> str:
        """Whom a request counts for."""
        if self.chat_key and self._has_key(request, self.chat_key):
            return f"chat {request.headers.get(PERSON, '')[:100]}"
        return door.client_name(request.remote or "")


_FLEET = web.AppKey("fleet", Fleet)
_DEFAULT = web.AppKey("default", str)
_GATE = web.AppKey("gate", Gate)


def make_app(fleet: Fleet, default: str, gate: Gate | None = None) -> web.Application:
    """The gateway. default: the model of a request that names none."""
    app = web.Application(middlewares=[_watched, errors, _guard])
    app[_FLEET], app[_DEFAULT], app[_GATE] = fleet, default, gate or Gate()
    app.router.add_get("/health", _health)
    app.router.add_get("/v1/models", _list_models)
    app.router.add_get("/v1/models/{name:.+}", _show_model)
    for path in FORWARDED:
        app.router.add_post(path, _forward)
    for path in ("/v1/tokenize", "/v1/detokenize"):
        app.router.add_post(path, _forward)
    return app


@web.middleware
async def _watched(request: web.Request, handler: Any) -> web.StreamResponse:
    connections = request.app[_GATE].connections
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if connections is None:
        return await handler(request)
    try:
        if not connections.begin(peer):
            return failure("this client keeps too many connections busy: try again shortly", 503, 1)
        if not request.can_read_body:
            connections.answering(peer)
        return await handler(request)
    finally:
        connections.end(peer)


@web.middleware
async def _guard(request: web.Request, handler: Any) -> web.StreamResponse:
    gate = request.app[_GATE]
    try:
        gate.check(request)
        return await handler(request)
    except Refused:
        await gate.patient.refuse(door.client_name(request.remote or ""))
        raise


async def _health(request: web.Request) -> web.Response:
    fleet = request.app[_FLEET]
    state = fleet.state()
    body = {
        "status": state,
        "models": {name: fleet.engine_of(name).state for name in fleet.models},
        "engines": {name: engine.status() for name, engine in fleet.engines.items()},
    }
    if state in ("ready", "stopped"):
        return web.json_response(body)
    waiting = min((engine.retry_after for engine in fleet.engines.values() if engine.state == "loading"), default=60)
    return web.json_response(body, status=503, headers={"Retry-After": str(waiting)})


async def _list_models(request: web.Request) -> web.Response:
    fleet = request.app[_FLEET]
    return web.json_response({"object": "list", "data": [fleet.describe(name) for name in fleet.models]})


async def _show_model(request: web.Request) -> web.Response:
    name, fleet = request.match_info["name"], request.app[_FLEET]
    if name not in fleet.models:
        raise _unknown(name, fleet)
    return web.json_response(fleet.describe(name))


def _unknown(name: Any, fleet: Fleet) -> Refused:
    shown = str(name)[:200]
    return Refused(f"The model `{shown}` does not exist; served are: {', '.join(fleet.models)}", 404, "model")


async def _forward(request: web.Request) -> web.StreamResponse:
    fleet, gate = request.app[_FLEET], request.app[_GATE]
    client = gate.client(request)
    raw = await read_body(request, most_bytes(max(fleet.plan.contexts.values(), default=0)), gate.inflow, client)
    if gate.connections and request.transport:
        gate.connections.answering(request.transport.get_extra_info("peername"))
    try:
        async with gate.reading.hold(client):
            body = _read(raw, request)
    except Full:
        return failure("too many requests are waiting: try again shortly", 503, 1)
    name, count = body["model"], samples(body)
    try:
        engine = fleet.acquire(name, client, count)
    except Unavailable as error:
        return failure(str(error), 503, error.retry_after)
    try:
        return await _pass_on(request, _prepared(body, name, fleet, engine), name, engine, client)
    finally:
        fleet.release(name, engine, client, count)


def _read(raw: bytes, request: web.Request) -> dict[str, Any]:
    """The request, its model named, all its limits checked. Raises Refused."""
    fleet = request.app[_FLEET]
    body = door.read_json(raw)
    if not isinstance(body, dict):
        raise Refused("the request is not a JSON object")
    name = body.get("model") or request.app[_DEFAULT]
    if not isinstance(name, str) or name not in fleet.models:
        raise _unknown(name, fleet)
    check_request(body, name, fleet.plan.contexts[name])
    return {**body, "model": name}


def _prepared(body: dict[str, Any], name: str, fleet: Fleet, engine: Engine) -> bytes:
    """The engine's request: no template of the client's, the adapter's own where engines share."""
    body.pop("chat_template", None)
    model = fleet.models[name]
    if engine.spec.kind == "vllm" and model.base is not None and "messages" in body:
        body["chat_template"] = model.prompt.source
    return json.dumps(body).encode()


async def _pass_on(request: web.Request, body: bytes, name: str, engine: Engine, client: str) -> web.StreamResponse:
    path = request.path.removeprefix("/v1") if request.path.endswith("tokenize") else request.path
    response: web.StreamResponse | None = None
    session = engine.session
    if session is None:
        return failure(f"{name} is restarting: try again shortly", 503, engine.retry_after)
    try:
        headers = {"Content-Type": "application/json", CLIENT: client}
        async with session.post(f"http://engine{path}", data=body, headers=headers) as answer:
            kind = answer.headers.get("Content-Type", "application/json")
            if not kind.startswith("text/event-stream"):
                retry = {"Retry-After": "1"} if answer.status == 503 else {}
                content = await answer.read()
                return web.Response(body=content, status=answer.status, headers={"Content-Type": kind, **retry})
            response = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-cache"})
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response
    except ConnectionResetError:
        if response is None:
            engine.suspect()
            return failure(f"{name} is restarting: try again shortly", 503, engine.retry_after)
        return response  # the client has gone
    except aiohttp.ClientError as error:
        engine.suspect()
        message = f"{name} stopped while it answered; it is being restarted"
        if response is None:
            return failure(f"{message} ({type(error).__name__})", 503, engine.retry_after)
        with contextlib.suppress(ConnectionResetError):
            await response.write(f"data: {json.dumps(error_body(message, 503))}\n\n".encode())
            await response.write_eof()
        return response
