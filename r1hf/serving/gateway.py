"""The HTTP server that clients see: one address for all models, each request passed on to the engine that serves it.

Answers stream through unbuffered; a client that goes away cancels its request in the engine.
"""

from __future__ import annotations

import contextlib
import hmac
import json
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from r1hf.serving.engine import Engine
from r1hf.serving.errors import error_body
from r1hf.serving.fleet import Fleet, Unavailable

FORWARDED = ("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize")
LARGEST_BODY = 16 * 2**20
MOST_SAMPLES = 64
_FLEET = web.AppKey("fleet", Fleet)
_DEFAULT = web.AppKey("default", str)


def make_app(fleet: Fleet, default: str, api_key: str | None = None) -> web.Application:
    """The gateway. default: the model of a request that names none. api_key: asked for as a bearer token."""
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[_guarding(api_key)])
    app[_FLEET], app[_DEFAULT] = fleet, default
    app.router.add_get("/health", _health)
    app.router.add_get("/v1/models", _list_models)
    app.router.add_get("/v1/models/{name:.+}", _show_model)
    for path in FORWARDED:
        app.router.add_post(path, _forward)
    for path in ("/v1/tokenize", "/v1/detokenize"):
        app.router.add_post(path, _forward)
    return app


def _guarding(api_key: str | None) -> Any:
    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin and urlsplit(origin).netloc != request.host:
            return failure("requests from other sites' pages are refused", 403)  # a web page must not use the server
        if api_key and request.path != "/health":
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode(), api_key.encode()):
                return failure("the API key is missing or wrong (Authorization: Bearer …)", 401)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return failure(f"{request.method} {request.path}: {error.reason}", error.status)

    return guard


def failure(message: str, status: int, retry_after: int | None = None, param: str | None = None) -> web.Response:
    """An error in OpenAI's form."""
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else None
    return web.json_response(error_body(message, status, param), status=status, headers=headers)


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
    return web.json_response(fleet.describe(name)) if name in fleet.models else _unknown(name, fleet)


def _unknown(name: Any, fleet: Fleet) -> web.Response:
    return failure(f"The model `{name}` does not exist; served are: {', '.join(fleet.models)}", 404, param="model")


async def _forward(request: web.Request) -> web.StreamResponse:
    fleet = request.app[_FLEET]
    try:
        body = await request.json()
    except ValueError as error:
        return failure(f"the request is not JSON: {error}", 400)
    if not isinstance(body, dict):
        return failure("the request is not a JSON object", 400)
    name = body.get("model") or request.app[_DEFAULT]
    if not isinstance(name, str) or name not in fleet.models:
        return _unknown(name, fleet)
    if isinstance(body.get("n"), int) and body["n"] > MOST_SAMPLES:
        return failure(f"n: at most {MOST_SAMPLES} samples a request", 400, param="n")
    try:
        engine = fleet.acquire(name)
    except Unavailable as error:
        return failure(str(error), 503, error.retry_after)
    try:
        return await _pass_on(request, _prepared(body, name, fleet, engine), name, engine)
    finally:
        fleet.release(name, engine)


def _prepared(body: dict[str, Any], name: str, fleet: Fleet, engine: Engine) -> bytes:
    """The engine's request: the model named, no template of the client's, the adapter's own where engines share."""
    body["model"] = name
    body.pop("chat_template", None)
    model = fleet.models[name]
    if engine.spec.kind == "vllm" and model.base is not None and "messages" in body:
        body["chat_template"] = model.prompt.source
    return json.dumps(body).encode()


async def _pass_on(request: web.Request, body: bytes, name: str, engine: Engine) -> web.StreamResponse:
    path = request.path.removeprefix("/v1") if request.path.endswith("tokenize") else request.path
    response: web.StreamResponse | None = None
    session = engine.session
    if session is None:
        return failure(f"{name} is restarting: try again shortly", 503, engine.retry_after)
    try:
        headers = {"Content-Type": "application/json"}
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
