"""An OpenAI-compatible server that misbehaves on purpose: each of its models has one behaviour.

python faulty_server.py PORT [--without=MODEL]. `GET /seen` tells what happened: requests, and when each was
disconnected.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

THOUGHT = "Multiply first: 3 * 4 = 12. Then 2 + 12 = 14."
HTML = (
    '<script>window.pwned=1</script><img src=x onerror="window.pwned=2"><b>bold?</b> '
    "[click](javascript:window.pwned=3) [odd](java&#115;cript:window.pwned=4) ![spy](http://spy.example/pixel.png) "
    '<iframe src="http://spy.example/"></iframe> <a href="javascript:window.pwned=5">go</a> '
    "<svg onload=window.pwned=6></svg> <style>body{display:none}</style> "
    "<form action='http://spy.example/'><input name=q></form>\n\n"
    "```html\n<script>window.pwned=7</script>\n```\n\n"
    "```mermaid\ngraph TD; A-->B\n```\n\n![ref][spy]\n\n[spy]: http://spy.example/ref.png\n\nthe end 2*3*4 done"
)
MATHS = (
    "Inline \\(a<b\\) and \\(x^2\\), display \\[\\frac{1}{2}\\] and $$\\sqrt{2}$$. It costs $5 and then $7.\n\n"
    "```python\ndef area(r):\n    return 3 * r ** 2\n```\n"
)
# model -> (form for the r1hf object, thought, answer, finish reason, seconds between tokens)
MODELS: dict[str, tuple[str, str | None, str, str, float]] = {
    "r1": ("inline", THOUGHT, "<answer>14</answer>", "stop", 0.01),
    "base": ("inline", None, "The answer is 20.", "stop", 0.01),
    "r1_zero": ("inline", "先算 3 * 4 = 12, then add.", "<answer>14</answer>", "stop", 0.01),
    "sft1": ("cold_start", "Step by step: 3 * 4 = 12.", "14", "stop", 0.01),
    "prefilled": ("prefilled", THOUGHT, "The answer is 14.", "stop", 0.01),
    "unsaid": ("", THOUGHT, "The answer is 14.", "stop", 0.01),
    "split": ("", THOUGHT, "The answer is 14.", "stop", 0.01),
    "slow": ("inline", "tick " * 600, "late", "stop", 0.1),
    "stall": ("inline", "I begin and", "", "stop", 0.01),
    "silent": ("inline", "", "", "stop", 0.01),
    "cut": ("inline", THOUGHT, "The answer is fourt", "stop", 0.01),
    "thinker": ("inline", "and so on " * 30, "", "length", 0.002),
    "budget": ("inline", "word " * 400, "", "stop", 0.005),
    "html": ("inline", HTML, HTML, "stop", 0.001),
    "maths": ("inline", "\\(1<2\\)", MATHS, "stop", 0.001),
    "huge": ("inline", "thinking " * 4000, "word " * 8000, "stop", 0.0),
    "echo": ("inline", "I repeat.", "", "stop", 0.002),
    "random": ("inline", "I guess.", "", "stop", 0.005),
    "busy": ("inline", "", "", "stop", 0.0),
    "busy_once": ("inline", THOUGHT, "14", "stop", 0.01),
    "loading": ("inline", THOUGHT, "14", "stop", 0.01),
    "too_long": ("inline", "", "", "stop", 0.0),
    "broken": ("inline", "", "", "stop", 0.0),
    "garbage": ("inline", "", "", "stop", 0.0),
    "forbidden": ("inline", "", "", "stop", 0.0),
}
CLOSING = {"cold_start": " | special_token | Summary: "}
SEEN: list[dict[str, object]] = []
REFUSED: dict[str, int] = {}


def pieces(text: str) -> list[str]:
    """`text` in pieces that tear words and tags apart."""
    return [text[start : start + 4] for start in range(0, len(text), 4)]


def say(status: int, message: str, **headers: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "error", "code": status}}, status, headers)


async def models(request: Request) -> JSONResponse:
    rows = []
    for name, (form, *_) in MODELS.items():
        row: dict[str, object] = {"id": name, "object": "model", "max_model_len": 1024}
        if form:
            state = "loading" if name == "loading" and REFUSED.get(name, 0) < 2 else "ready"
            row["r1hf"] = {"stage": name, "form": form, "temperature": 0.6, "top_p": 0.95, "state": state}
            own = {
                "tiny_world": name in ("r1", "base"),
                "description": "It <b>repeats</b>." if name == "echo" else None,
            }
            row["r1hf"] |= own
        rows.append(row)
    return JSONResponse({"object": "list", "data": rows})


def refusal(model: str) -> Response | None:
    count = REFUSED[model] = REFUSED.get(model, 0) + 1
    if model == "busy":
        return say(503, "The server is overloaded.")
    if model == "busy_once" and count == 1:
        return say(503, "The server is overloaded.", **{"Retry-After": "1"})
    if model == "loading" and count <= 2:
        return say(503, "The model is loading.", **{"Retry-After": "1"})
    REFUSED[model] = 0  # for the next test that asks it
    if model == "too_long":
        return say(400, "This model's maximum context length is 1024 tokens. You requested 4000 tokens.")
    if model == "broken":
        return say(500, "engine died")
    if model == "forbidden":
        return say(401, "Unauthorized")
    if model not in MODELS:
        return say(404, f"The model `{model}` does not exist.")
    return None


async def completions(request: Request) -> Response:
    body = await request.json()
    model = body["model"]
    SEEN.append(
        {
            "model": model,
            "time": time.time(),
            "body": body,
            "key": request.headers.get("authorization", ""),
            "left": None,
        }
    )
    if answer := refusal(model):
        return answer
    return StreamingResponse(events(model, body, SEEN[-1]), media_type="text/event-stream")


def script(model: str, body: dict[str, object]) -> tuple[list[tuple[str, str]], str, float]:
    """What to send: (field, piece) pairs, the finish reason, the pause."""
    form, thought, answer, finish, pause = MODELS[model]
    messages = body.get("messages")
    asked = str(messages[-1]["content"]) if isinstance(messages, list) else ""
    if "prompt" in body:  # going on after a thought that was closed
        return [("text", piece) for piece in pieces(" <answer>in time</answer>")], "stop", pause
    if model == "echo":
        answer = f"<answer>{asked}</answer>"
    if model == "random":
        answer = f"<answer>{('14', '14.0', '28/2', '20')[int(body.get('seed') or len(SEEN)) % 4]}</answer>"
    if model == "split":
        parts = [("reasoning", piece) for piece in pieces(thought or "")]
        return parts + [("content", piece) for piece in pieces(answer)], finish, pause
    if thought is None:
        text = answer
    elif form == "cold_start":
        text = f"| special_token | {thought}{CLOSING[form]}{answer}"
    elif model in ("prefilled", "unsaid"):
        text = f"{thought}</think>\n\n{answer}"
    else:
        text = f"<think>{thought}" + (f"</think> {answer}" if answer or model == "echo" else "")
    return [("content", piece) for piece in pieces(text)], finish, pause


async def events(model: str, body: dict[str, object], record: dict[str, object]) -> AsyncIterator[str]:
    try:
        if model == "garbage":
            yield "data: {this is not JSON\n\n"
            return
        if model == "silent":
            await asyncio.sleep(3600)
        parts, finish, pause = script(model, body)
        for count, (field, piece) in enumerate(parts, 1):
            choice = {"index": 0, "text": piece} if field == "text" else {"index": 0, "delta": {field: piece}}
            yield event({"choices": [{**choice, "finish_reason": None}], "usage": {"completion_tokens": count}})
            await asyncio.sleep(pause)
        if model == "stall":
            await asyncio.sleep(3600)
        if model == "cut":
            raise ConnectionResetError("on purpose")
        yield event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        yield "data: [DONE]\n\n"
        record["left"] = "done"
    finally:
        record["left"] = record["left"] or time.time()


def event(value: dict[str, object]) -> str:
    return f"data: {json.dumps(value)}\n\n"


async def tokenize(request: Request) -> Response:
    body = await request.json()
    if body["model"] not in MODELS:
        return say(404, "no such model")
    if "prompt" in body:
        text = body["prompt"]
    else:
        opened = "<think>\n" if body["model"] == "prefilled" else ""
        text = (
            "".join(f"{row['role'].title()}: {row['content']}\n" for row in body["messages"]) + f"Assistant:\n{opened}"
        )
    strings = [text[start : start + 3] for start in range(0, len(text), 3)]
    ids = [sum(part.encode()) for part in strings]
    shown = [part.replace(" ", "Ġ").replace("\n", "Ċ") for part in strings]
    return JSONResponse({"count": len(ids), "max_model_len": 1024, "tokens": ids, "token_strs": shown})


async def seen(request: Request) -> JSONResponse:
    return JSONResponse(SEEN)


app = Starlette(
    routes=[
        Route("/v1/models", models),
        Route("/v1/chat/completions", completions, methods=["POST"]),
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/tokenize", tokenize, methods=["POST"]),
        Route("/seen", seen),
    ]
)

if __name__ == "__main__":
    for option in sys.argv[2:]:
        MODELS.pop(option.removeprefix("--without="))
    uvicorn.run(app, port=int(sys.argv[1]), log_level="critical")
