"""The engine for machines without vLLM: an OpenAI-compatible server over Transformers, on a Unix socket.

Several models, streaming, `n`, `seed`, `stop`, a thinking budget, cancellation when the client goes away. For small
models and single users: requests take turns, they are not batched together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from pydantic import BaseModel, Field, ValidationError, model_validator

from r1hf.serving import door
from r1hf.serving.engine import UNLOADABLE
from r1hf.serving.errors import Refused, error_body
from r1hf.serving.generation import Event, Generator, LoadedModel, Request, Sampling
from r1hf.serving.http import CLIENT, Inflow, errors, make_runner, read_body
from r1hf.serving.reading import Reader, whole_number_list
from r1hf.serving.request import MOST_SAMPLES, check_request, most_bytes

_UNSUPPORTED = ("logprobs", "top_logprobs", "prompt_logprobs", "tools", "functions", "response_format", "logit_bias",
                "structured_outputs", "echo", "suffix", "best_of", "use_beam_search")  # fmt: skip


class Message(BaseModel):
    role: str
    content: str | list[dict[str, Any]] | None = None

    def plain(self) -> dict[str, str]:
        """With the content as one string."""
        content = self.content
        if isinstance(content, list):
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
        self.reader, self.inflow = Reader(models), Inflow()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[errors])
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
        body, model, client = await self._read(request)
        tokens = await self._prompt(body, model, client)
        answer = {"count": len(tokens), "max_model_len": model.context, "tokens": tokens, "token_strs": None}
        if body.return_token_strs:
            answer["token_strs"] = await self.reader.run(client, lambda: model.tokenizer.convert_ids_to_tokens(tokens))
        return web.json_response(answer)

    async def detokenize(self, request: web.Request) -> web.Response:
        body, model, client = await self._read(request)
        tokens = whole_number_list(body.tokens, model, "tokens")
        return web.json_response({"prompt": await self.reader.run(client, lambda: model.tokenizer.decode(tokens))})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Chat and text completions, as one JSON object or as server-sent events."""
        body, model, client = await self._read(request)
        prompt = await self._prompt(body, model, client)
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
            client=client,
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

    async def _read(self, request: web.Request) -> tuple[Body, LoadedModel, str]:
        """The request, its model, and for whom it is; all that bounds its work is checked. Raises Refused."""
        client = request.headers.get(CLIENT, "")
        longest = max(model.context for model in self.models.values())
        given = door.read_json(await read_body(request, most_bytes(longest), self.inflow, client))
        if not isinstance(given, dict):
            raise Refused("the request is not a JSON object")
        name = given.get("model") or next(iter(self.models))
        if not isinstance(name, str) or name not in self.models:
            raise Refused(f"The model `{str(name)[:200]}` does not exist.", 404, "model")
        check_request(given, name, self.models[name].context)
        return _body(given), self.models[name], client

    async def _prompt(self, body: Body, model: LoadedModel, client: str) -> list[int]:
        if body.messages is not None:
            messages = [message.plain() for message in body.messages]
            text = await self.reader.render(model, messages, body.add_generation_prompt, client)
            return await self.reader.encode(model, text, False, client)
        prompt = body.prompt[0] if isinstance(body.prompt, list) and len(body.prompt) == 1 else body.prompt
        if isinstance(prompt, int):
            prompt = [prompt]
        if isinstance(prompt, str):
            return await self.reader.encode(model, prompt, body.add_special_tokens is not False, client)
        if not prompt:
            raise Refused("prompt: give one text, or one list of tokens", param="prompt")
        return whole_number_list(prompt, model, "prompt")


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


def _body(given: dict[str, Any]) -> Body:
    try:
        return Body.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Refused(f"{where}: {first['msg']}" if where else first["msg"], param=where or None) from error


async def serve(server: Server, socket: str) -> None:
    """Until SIGTERM or SIGINT."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    runner = make_runner(server.app())
    await runner.setup()
    await web.UnixSite(runner, socket).start()
    await asked.wait()
    await runner.cleanup()
    server.reader.close()


def _load(row: dict[str, Any], device: str) -> LoadedModel:
    """The model, or the end of this process with the reason as its last line: a damaged one fails at each start."""
    try:
        return LoadedModel(row, device)
    except (MemoryError, torch.OutOfMemoryError, KeyboardInterrupt):
        raise  # another time there may be room
    except BaseException as error:  # the tokenizers' panics are no Exception
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        print(f"{row['name']} cannot be loaded from {row['directory']}: {reason}", file=sys.stderr, flush=True)
        sys.exit(UNLOADABLE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", type=Path, required=True, help="JSON file: device and models")
    parser.add_argument("--socket", required=True, help="Unix socket to listen on")
    options = parser.parse_args()
    spec = json.loads(options.spec.read_text(encoding="utf-8"))
    started = time.monotonic()
    sys.setswitchinterval(0.001)  # the generating thread must not keep the event loop waiting
    models = {row["name"]: _load(row, spec["device"]) for row in spec["models"]}
    print(f"{len(models)} models loaded in {time.monotonic() - started:.1f} s", flush=True)
    generator = Generator()
    generator.start()
    os.umask(0o077)
    asyncio.run(serve(Server(models, generator), options.socket))


if __name__ == "__main__":
    main()
