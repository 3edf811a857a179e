"""The engine for machines without vLLM: an OpenAI-compatible server over Transformers, on a Unix socket.

Several models, streaming, `n`, `seed`, `stop`, a thinking budget, cancellation when the client goes away. For small
models and single users: requests take turns, they are not batched together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError, model_validator

from r1hf.serving.errors import error_body
from r1hf.serving.generation import Event, Generator, LoadedModel, Request, Sampling

MOST_SAMPLES = 64
_UNSUPPORTED = ("logprobs", "top_logprobs", "prompt_logprobs", "tools", "functions", "response_format", "logit_bias",
                "structured_outputs", "echo", "suffix", "best_of", "use_beam_search")  # fmt: skip


class Refused(Exception):
    """A request that cannot be answered, with its HTTP status."""

    def __init__(self, message: str, status: int = 400, param: str | None = None):
        super().__init__(message)
        self.status, self.param = status, param


class Message(BaseModel):
    role: str
    content: str | list[dict[str, Any]] | None = None

    def plain(self) -> dict[str, str]:
        """With the content as one string."""
        content = self.content
        if isinstance(content, list):
            if any(part.get("type") != "text" for part in content):
                raise Refused("messages: only parts of type 'text' can be read", param="messages")
            content = "".join(str(part.get("text", "")) for part in content)
        return {"role": self.role, "content": content or ""}


class StreamOptions(BaseModel):
    include_usage: bool = False


class Body(BaseModel):
    """What chat, completion and tokenization requests have in common; fields as vLLM and OpenAI name them."""

    model: str | None = None
    messages: list[Message] | None = None
    prompt: str | list[int] | list[str] | None = None
    add_generation_prompt: bool = True
    add_special_tokens: bool | None = None
    return_token_strs: bool = False
    tokens: list[int] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: int | None = Field(None, ge=1, le=MOST_SAMPLES)
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0)
    presence_penalty: float | None = Field(None, ge=0, le=0)
    frequency_penalty: float | None = Field(None, ge=0, le=0)
    seed: int | None = None
    stop: str | list[str] | None = None
    ignore_eos: bool = False
    thinking_token_budget: int | None = Field(None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, values: Any) -> Any:
        asked = [name for name in _UNSUPPORTED if isinstance(values, dict) and values.get(name)]
        if asked:
            raise ValueError(f"{', '.join(asked)}: the transformers engine cannot do this; use --engine vllm")
        return values


class Server:
    """The routes, over models that are in memory."""

    def __init__(self, models: dict[str, LoadedModel], generator: Generator):
        self.models, self.generator = models, generator

    def app(self) -> web.Application:
        app = web.Application(client_max_size=16 * 2**20, middlewares=[_errors])
        app.router.add_get("/health", self.health)
        app.router.add_get("/v1/models", self.list_models)
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_post("/v1/completions", self.complete)
        app.router.add_post("/tokenize", self.tokenize)
        app.router.add_post("/detokenize", self.detokenize)
        return app

    async def health(self, request: web.Request) -> web.Response:
        return web.json_response({"active": self.generator.active}, status=200 if self.generator.is_alive() else 503)

    async def list_models(self, request: web.Request) -> web.Response:
        rows = [
            {"id": name, "object": "model", "owned_by": "r1hf", "max_model_len": model.context}
            for name, model in self.models.items()
        ]
        return web.json_response({"object": "list", "data": rows})

    async def tokenize(self, request: web.Request) -> web.Response:
        body = await _read(request)
        model = self._model(body)
        tokens = self._prompt(body, model)
        answer = {"count": len(tokens), "max_model_len": model.context, "tokens": tokens, "token_strs": None}
        if body.return_token_strs:
            answer["token_strs"] = model.tokenizer.convert_ids_to_tokens(tokens)
        return web.json_response(answer)

    async def detokenize(self, request: web.Request) -> web.Response:
        body = await _read(request)
        return web.json_response({"prompt": self._model(body).tokenizer.decode(body.tokens or [])})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Chat and text completions, as one JSON object or as server-sent events."""
        body = await _read(request)
        model = self._model(body)
        prompt = self._prompt(body, model)
        chat = request.path.endswith("/chat/completions")
        queue: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def emit(event: Event) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, event)

        work = Request(
            model,
            prompt,
            sampling_of(body, model, len(prompt)),
            emit=emit,
        )
        answer = Answer(model.name, chat, len(prompt), work.sampling.n)
        self.generator.submit(work)
        try:
            if body.stream:
                usage = bool(body.stream_options and body.stream_options.include_usage)
                return await _stream(request, answer, _events(queue, work.sampling.n), usage)
            async for event in _events(queue, work.sampling.n):
                answer.take(event)
            return web.json_response(answer.whole())
        finally:
            work.cancelled = True  # the client may have gone; aiohttp then cancels this handler

    def _model(self, body: Body) -> LoadedModel:
        name = body.model or next(iter(self.models))
        if name not in self.models:
            raise Refused(f"The model `{name}` does not exist.", 404, "model")
        return self.models[name]

    def _prompt(self, body: Body, model: LoadedModel) -> list[int]:
        if body.messages is not None:
            if not body.messages:
                raise Refused("messages: give at least one", param="messages")
            try:
                return model.tokenizer.apply_chat_template(
                    [message.plain() for message in body.messages],
                    add_generation_prompt=body.add_generation_prompt,
                    return_dict=False,
                )
            except (ValueError, TypeError, KeyError) as error:
                raise Refused(f"the chat template cannot be rendered: {error}", param="messages") from error
        prompt = body.prompt[0] if isinstance(body.prompt, list) and len(body.prompt) == 1 else body.prompt
        if isinstance(prompt, int):
            prompt = [prompt]
        if isinstance(prompt, str):
            return model.tokenizer.encode(prompt, add_special_tokens=body.add_special_tokens is not False)
        if prompt and all(isinstance(token, int) for token in prompt):
            if not all(0 <= int(token) < model.model.config.vocab_size for token in prompt):
                raise Refused("prompt: a token is outside the vocabulary", param="prompt")
            return [int(token) for token in prompt]
        raise Refused("prompt: give one text, or one list of tokens", param="prompt")


def sampling_of(body: Body, model: LoadedModel, prompt: int) -> Sampling:
    """The request's sampling settings over the model's own. Raises Refused where the context is too short."""
    room = model.context - prompt
    asked = body.max_completion_tokens or body.max_tokens
    if room < 1 or (asked or 1) > room:
        raise Refused(
            f"This model's maximum context length is {model.context} tokens. The prompt has {prompt}, and "
            f"{asked or 1} more were asked for. Shorten the prompt or ask for fewer (max_tokens).",
            param="max_tokens" if prompt < model.context else "messages",
        )
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    given = {name: value for name in names if (value := getattr(body, name)) is not None}
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Sampling(
        max_tokens=asked or room,
        n=body.n or 1,
        seed=None if body.seed is None else body.seed % 2**63,
        stop=tuple(text for text in stop if text),
        ignore_eos=body.ignore_eos,
        thinking_token_budget=body.thinking_token_budget,
        **{**model.defaults, **given},
    )


class Answer:
    """Builds OpenAI's answers, whole or in chunks."""

    def __init__(self, model: str, chat: bool, prompt: int, n: int):
        self.chat, self.prompt = chat, prompt
        self.texts: list[list[str]] = [[] for _ in range(n)]
        self.tokens, self.finish = [0] * n, [""] * n
        kind = "chat.completion" if chat else "text_completion"
        identity = f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex[:24]}"
        self.head = {"id": identity, "object": kind, "created": int(time.time()), "model": model}
        self.chunk_head = {**self.head, "object": "chat.completion.chunk"} if chat else self.head

    def take(self, event: Event) -> None:
        if event.finish == "error":
            raise Refused(event.text, 500)
        self.texts[event.index].append(event.text)
        self.tokens[event.index] = event.tokens
        self.finish[event.index] = event.finish or ""

    def usage(self) -> dict[str, int]:
        made = sum(self.tokens)
        return {"prompt_tokens": self.prompt, "completion_tokens": made, "total_tokens": self.prompt + made}

    def whole(self) -> dict[str, Any]:
        choices = []
        for index, parts in enumerate(self.texts):
            text = "".join(parts)
            content = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
            choices.append({"index": index, **content, "logprobs": None, "finish_reason": self.finish[index]})
        return {**self.head, "choices": choices, "usage": self.usage()}

    def first_chunk(self, index: int) -> dict[str, Any]:
        choice = {"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return {**self.chunk_head, "choices": [choice]}

    def chunk(self, event: Event) -> dict[str, Any]:
        content: dict[str, Any] = {"delta": {"content": event.text}} if self.chat else {"text": event.text}
        return {
            **self.chunk_head,
            "choices": [{"index": event.index, **content, "logprobs": None, "finish_reason": event.finish}],
        }


async def _events(queue: asyncio.Queue[Event], n: int) -> AsyncIterator[Event]:
    left = n
    while left:
        event = await queue.get()
        yield event
        left -= event.finish is not None


async def _stream(
    request: web.Request, answer: Answer, events: AsyncIterator[Event], usage: bool
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)

    async def send(value: dict[str, Any]) -> None:
        await response.write(f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode())

    if answer.chat:
        for index in range(len(answer.texts)):
            await send(answer.first_chunk(index))
    try:
        async for event in events:
            answer.take(event)
            await send(answer.chunk(event))
    except Refused as error:
        await send(error_body(str(error), error.status))
    if usage:
        await send({**answer.chunk_head, "choices": [], "usage": answer.usage()})
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


async def _read(request: web.Request) -> Body:
    try:
        return Body.model_validate(await request.json())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refused(f"{where}: {first['msg']}" if where else first["msg"], param=where or None) from error
    except ValueError as error:
        raise Refused(f"the request is not JSON: {error}") from error


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as error:
        return web.json_response(error_body(str(error), error.status, error.param), status=error.status)
    except web.HTTPException as error:
        return web.json_response(error_body(error.reason, error.status), status=error.status)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="JSON file: device and models")
    parser.add_argument("--socket", required=True, help="Unix socket to listen on")
    options = parser.parse_args()
    spec = json.loads(options.spec.read_text(encoding="utf-8"))
    started = time.monotonic()
    sys.setswitchinterval(0.001)  # the generating thread must not keep the event loop waiting
    models = {row["name"]: LoadedModel(row, spec["device"]) for row in spec["models"]}
    print(f"{len(models)} models loaded in {time.monotonic() - started:.1f} s", flush=True)
    generator = Generator()
    generator.start()
    os.umask(0o077)
    app = Server(models, generator).app()
    web.run_app(app, path=options.socket, print=None, handler_cancellation=True, access_log=None)


if __name__ == "__main__":
    main()
