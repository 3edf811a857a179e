"""People at the chat beside one client that means harm: how long the first token takes, and whether anything is lost.

  python benchmarks/hostile_client.py [MODEL_OR_RUN] --minutes 5 --people 32

Starts `r1hf serve --chat` (a small random model where none is given), lets the people ask for the given time, then for
as long again beside the hostile client, and prints both. The people and the hostile client come from addresses of
their own (127.0.1.x, 127.0.0.66); with --same-address all of them come from one, and only their pages differ.

The hostile client is a process of low priority that does at once, over and over: prompts of 15 MiB and as long as they
are taken, 200,000 stop strings, bombs with and without a key, endless answers of 64 samples, 1,100 half-open
connections, typing events of new pages, questions of new pages, histories of 3 MB, uploads, deep JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/app"), str(ROOT / "app")]

from chat_person import Person  # noqa: E402
from serving_world import Served, make_model, wait_for  # noqa: E402

HOSTILE = "127.0.0.66"
HALF_OPEN = 1100
KINDS = "models,half-open,page,endless,typing,asking"
PAUSE = 1.0  # seconds between an answer and the person's next question


@contextlib.contextmanager
def served(source: str | None, rate: int, tokens: int) -> Iterator[tuple[str, str, str]]:
    """(address of the gateway, of the chat, name of the model)."""
    with tempfile.TemporaryDirectory() as place:
        model = Path(source) if source else make_model(Path(place) / "r1", context=2048)
        server = Served(
            model, "--chat", "--engine", "transformers", log_dir=Path(place) / "logs",
            R1HF_CHAT_PORT="0", R1HF_RATE=str(rate), R1HF_MAX_TOKENS=str(tokens),
        )  # fmt: skip
        try:
            wait_for(lambda: "Ready: " in server.said and "The chat is at" in server.said)
            chat = re.search(r"The chat is at (\S+?)/ ", server.said)
            assert chat
            name = server.call("/v1/models")[1]["data"][-1]["id"]
            yield server.url, chat[1], name
        finally:
            server.end()


# --- the people ---------------------------------------------------------------------------------------------------


def _client(address: str) -> httpx.AsyncClient:
    # An idle connection is closed after 5 s; a browser then asks again, which this client does not.
    limits = httpx.Limits(max_connections=None, keepalive_expiry=2)
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(local_address=address, limits=limits), timeout=120)


async def live(person: Person, index: int, end: float, found: dict[str, Any]) -> None:
    numbers = itertools.count(index)
    while time.monotonic() < end:
        try:
            question = f"What is {next(numbers)} + 2?"
            seconds, asked, reply = await asyncio.wait_for(person.ask_timed(question), 120)
        except (TimeoutError, httpx.HTTPError) as error:
            found["lost"] += 1
            found["why"][f"{type(error).__name__}: {error}"[:120]] += 1
            continue
        found["answers"] += 1
        if reply is None or asked != question:
            found["lost"] += 1
        elif reply["problem"]:
            found["refused"] += 1
            found["why"][str(reply["problem"].get("kind"))] += 1
        elif seconds is not None:
            found["first"].append(seconds)
        await asyncio.sleep(PAUSE)


async def crowd(chat: str, model: str, options: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"answers": 0, "lost": 0, "refused": 0, "first": [], "why": Counter()}
    end = time.monotonic() + 60 * options.minutes
    async with contextlib.AsyncExitStack() as stack:
        people = []
        for index in range(options.people):
            address = "127.0.0.1" if options.same_address else f"127.0.1.{index + 1}"
            client = await stack.enter_async_context(_client(address))
            people.append(Person(client, chat, (await client.get(f"{chat}/config")).json(), model))
        await asyncio.gather(*(live(person, index, end, found) for index, person in enumerate(people)))
    return found


# --- the hostile client -------------------------------------------------------------------------------------------


class Attack:
    """Everything at once, for as long as the process lives."""

    def __init__(self, gateway: str, chat: str, model: str, address: str, kinds: str):
        self.gateway, self.chat, self.model, self.address = gateway, chat, model, address
        self.kinds = kinds.split(",")
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        connector = aiohttp.TCPConnector(local_addr=(self.address, 0), limit=0)
        async with aiohttp.ClientSession(connector=connector) as self.session, _client(self.address) as self.client:
            self.config = (await self.client.get(f"{self.chat}/config")).json()
            kinds: dict[str, list[Callable[[], Awaitable[None]]]] = {
                "models": [self.ask_models],
                "half-open": [lambda: self.half_open(self.gateway), lambda: self.half_open(self.chat)],
                "page": [self.ask_page],
                "endless": [self.endless] * 64,
                "typing": [lambda: self.pages(self._type)] * 8,
                "asking": [lambda: self.pages(self._ask)] * 8,
            }
            await asyncio.gather(*(work() for kind in self.kinds for work in kinds[kind]))

    async def post(self, url: str, data: Any, **headers: str) -> None:
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self.session.post(url, data=data, headers=headers) as answer:
                self.counts[f"{answer.status}"] += 1
                async for _ in answer.content.iter_any():
                    pass

    async def ask_models(self) -> None:
        """What is too much, and what is just not too much, in turn."""
        longest = "x y " * 9000

        def chat(**more: Any) -> bytes:
            body = {"model": self.model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
            return json.dumps({**body, **more}).encode()

        bomb = zlib.compress(b" " * (100 * 2**20))
        bodies: list[tuple[bytes, dict[str, str]]] = [
            (chat(messages=[{"role": "user", "content": "x" * (15 * 2**20)}]), {}),
            (chat(messages=[{"role": "user", "content": longest}]), {}),
            (chat(stop=["a"] * 200_000), {}),
            (bomb, {"Content-Encoding": "deflate"}),
            (bomb, {"Content-Encoding": "deflate", "Authorization": "Bearer wrong"}),
            (b"[" * 100_000, {}),
            (chat(n=64, max_tokens=100), {}),
        ]
        for body, headers in itertools.cycle(bodies):
            await self.post(f"{self.gateway}/v1/chat/completions", body, **headers)

    async def endless(self) -> None:
        body = {"model": self.model, "prompt": "x y " * 400, "n": 64, "max_tokens": 400, "ignore_eos": True}
        while True:
            await self.post(f"{self.gateway}/v1/completions", json.dumps({**body, "stream": True}).encode())
            await asyncio.sleep(0.05)

    async def half_open(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        head = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
        while True:
            held = []
            for index in range(HALF_OPEN):
                connection = socket.socket()
                connection.setblocking(False)
                connection.bind((self.address, 0))
                with contextlib.suppress(OSError):
                    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
                    if index % 2:
                        connection.send(head)
                held.append(connection)
            await asyncio.sleep(5)
            for connection in held:
                connection.close()

    async def ask_page(self) -> None:
        """Whatever of the page is heavy, or should be."""
        turns = [{"question": "q" * 10_000, "reply": {"answer": "a" * 10_000, "phase": "done"}}] * 150
        store = {"version": 1, "open": "1", "chats": [{"id": "1", "title": "t", "turns": turns}]}
        small = {**store, "chats": [{"id": "1", "title": "t", "turns": turns[:20]}]}
        controls = {"language": "en", "model": self.model, "use_system": True, "system": "s" * 8000}
        index = Person(self.client, self.chat, self.config, self.model).ask_index
        for kept in itertools.cycle([store, small]):
            event = {"data": ["hi", kept, controls], "fn_index": index, "session_hash": uuid.uuid4().hex[:10]}
            await self.post(f"{self.chat}/gradio_api/queue/join", json.dumps(event), **JSON)
            await self.post(f"{self.chat}/gradio_api/upload", b"x" * (30 * 2**20))
            await self.post(f"{self.chat}/gradio_api/run/predict", b'{"data":' + b"[" * 100_000, **JSON)
            with contextlib.suppress(aiohttp.ClientError):
                async with self.session.get(f"{self.chat}/") as answer:
                    await answer.read()

    async def pages(self, work: Callable[[Person], Awaitable[None]]) -> None:
        """New pages, each with one event."""
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await work(Person(self.client, self.chat, self.config, self.model))

    async def _type(self, person: Person) -> None:
        await person.type()

    async def _ask(self, person: Person) -> None:
        await person.join(person.ask_index, person.question("hi"))


JSON = {"Content-Type": "application/json"}


@contextlib.contextmanager
def hostile(gateway: str, chat: str, model: str, address: str = HOSTILE, kinds: str = KINDS) -> Iterator[None]:
    """The attack as a process; it must live until the end."""
    process = subprocess.Popen([sys.executable, __file__, "--attack", gateway, chat, model, address, kinds])
    try:
        yield
        assert process.poll() is None, "the hostile client ended"
    finally:
        process.kill()
        process.wait()


# --- the table ----------------------------------------------------------------------------------------------------


def show(what: str, found: dict[str, Any], people: int) -> float:
    first = sorted(found["first"]) or [float("nan")]
    median, late = statistics.median(first), first[int(len(first) * 0.95)]
    print(
        f"{what:<28}{found['answers']:>8} answers of {people} people, first token: median {median * 1000:.0f} ms, "
        f"95% {late * 1000:.0f} ms; {found['refused']} refused, {found['lost']} lost"
    )
    for why, count in found["why"].most_common(5):
        print(f"    {count} × {why}")
    return median


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", help="a model or run directory")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each of the two parts")
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--rate", type=int, default=60, help="R1HF_RATE of the chat; 0 for no limit")
    parser.add_argument("--tokens", type=int, default=128, help="of an answer in the chat, at most")
    parser.add_argument("--same-address", action="store_true", help="everybody comes from one address")
    parser.add_argument("--kinds", default=KINDS, help=f"of what the hostile client does: {KINDS}")
    parser.add_argument("--attack", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        os.nice(19)
        asyncio.run(Attack(*options.attack).run())
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    with served(options.source, options.rate, options.tokens) as (gateway, chat, model):
        alone = show("alone", asyncio.run(crowd(chat, model, options)), options.people)
        address = "127.0.0.1" if options.same_address else HOSTILE
        with hostile(gateway, chat, model, address, options.kinds):
            time.sleep(5)
            found = asyncio.run(crowd(chat, model, options))
    beside = show("beside the hostile client", found, options.people)
    print(f"first token: {beside / alone:.2f} times as long (wanted: at most 2), none refused, none lost")


if __name__ == "__main__":
    main()
