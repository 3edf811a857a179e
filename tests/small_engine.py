"""A small engine for tests of the gateway's own rules: answers at once, or misbehaves as its model's name says."""

import asyncio
import os
import sys

from aiohttp import web


async def health(request: web.Request) -> web.Response:
    return web.Response(status=503 if request.app["dead"] else 200)


async def complete(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    if body.get("prompt") == "die":
        os._exit(9)
    if body.get("prompt") == "dead":
        request.app["dead"].append(True)
    if body.get("stream"):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'data: {"part": 1}\n\n')
        await asyncio.sleep(3600)
    return web.json_response({"pid": os.getpid(), "body": body})


def main(kind: str, socket: str) -> None:
    if kind == "fails":
        sys.exit("this engine cannot start: boom")
    app = web.Application()
    app["dead"] = []
    app.router.add_get("/health", health)
    for path in ("/v1/completions", "/v1/chat/completions"):
        app.router.add_post(path, complete)
    web.run_app(app, path=socket, print=None, handler_cancellation=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
