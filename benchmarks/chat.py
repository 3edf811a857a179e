"""What the chat costs over the bare server, and whether it holds: one run, one table.

  python benchmarks/chat.py runs/tiny --minutes 5

Starts what `make chat` starts, and measures until a page has answered. Then, with R1 on vLLM (where it is installed):
start of the app alone, time to first token and streaming rate in the browser over the bare server's, 32 people at
once. Against the misbehaving server of the tests: how soon it sees Stop, and restarts under load.
Needs the extras dev, serve and app, and Chromium.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

QUESTION = "What is 2 + 3 * 4?"
ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "app"), str(ROOT / "app"), str(ROOT)]

from chat_page import ChatPage, seen  # noqa: E402
from chat_person import Person  # noqa: E402
from chat_servers import Server, faulty_server, free_port  # noqa: E402
from r1chat.backend import Backend  # noqa: E402

WATCH = """() => {
  document.addEventListener('keydown', e => { if (e.key === 'Enter') window.r1Start = performance.now(); }, true);
  document.addEventListener('click', e => { if (e.target.closest('#r1-stop')) window.r1Clicked = Date.now(); }, true);
}"""
# `first`: from Enter until the first character of a thought or an answer is in the page; the line that says "waiting"
# does not count. `last`: until the text is complete and its measures stand under it.
SEEN = """() => {
  const rows = document.querySelectorAll('.bot-row').length;
  window.r1First = window.r1Last = null;
  const look = new MutationObserver(() => {
    const row = [...document.querySelectorAll('.bot-row')].slice(rows).pop();
    if (!row) return;
    if (window.r1First === null && (row.querySelector('.thought-group') || row.querySelector('.message-content p')))
      window.r1First = performance.now() - window.r1Start;
    if (document.querySelector('.r1-measures')) {
      window.r1Last = performance.now() - window.r1Start;
      look.disconnect();
    }
  });
  look.observe(document.querySelector('#r1-chat'), {subtree: true, childList: true});
}"""
KEY = 20  # milliseconds between two keys


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """`asyncio.run` in a thread of its own: Playwright's synchronous driver holds this one's event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def row(what: str, value: str, wanted: str) -> None:
    print(f"| {what} | {value} | {wanted} |", flush=True)


@contextlib.contextmanager
def served(browser: Any, run: Path, model: str) -> Iterator[str]:
    """The address of `r1hf serve RUN --chat`, once a page has answered and the model's best engine is ready."""
    port, chat_port = free_port(), free_port()
    command = [str(Path(sys.executable).with_name("r1hf")), "serve", str(run), "--chat", "--port", str(port)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "R1HF_CHAT_PORT": str(chat_port)}
    began = time.monotonic()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    server = Server(command, port, "/v1/models", process=process)
    try:
        page = Server(command, chat_port, "/config", process=process)
        page.wait()
        chat = ChatPage(browser.new_context(locale="en-US"), page)
        chat.page.wait_for_selector("#r1-status .r1-good")
        connected = time.monotonic() - began
        if "finish:" not in chat.ask(QUESTION):
            raise SystemExit(f"no answer: {chat.last()}")
        answered = time.monotonic() - began
        row("`make chat` to a page that is connected", f"{connected:.1f} s", "45 s")
        row("`make chat` to the end of the first answer", f"{answered:.1f} s", "45 s")
        chat.page.context.close()
        wanted = "vllm" if importlib.util.find_spec("vllm") else "transformers"
        while engine(server, model) != (wanted, "ready"):
            time.sleep(0.2)
        row(f"`make chat` to {model} on {wanted}", f"{time.monotonic() - began:.1f} s", "")
        yield f"{server.url}/v1"
    finally:
        server.stop(signal.SIGINT)


def engine(server: Server, model: str) -> tuple[str, str]:
    with urllib.request.urlopen(server.url + "/v1/models") as answer:
        return next(
            (row["r1hf"]["engine"], row["r1hf"]["state"]) for row in json.load(answer)["data"] if row["id"] == model
        )


def start_app(backend: str) -> tuple[Server, float]:
    port = free_port()
    env = {
        "PYTHONPATH": str(ROOT),
        "R1HF_BACKEND": backend,
        "R1HF_CHAT_PORT": str(port),
        "R1HF_RATE": "0",
    }
    began = time.monotonic()
    server = Server([sys.executable, str(ROOT / "app/app.py")], port, "/config", env).start()
    return server, time.monotonic() - began


HOT, SEEDS = {"temperature": 2.0, "top_p": 1.0}, range(1, 65)
ADVISED = {"temperature": 0.6, "top_p": 0.95}


async def bare(url: str, body: dict[str, Any]) -> tuple[float, float, int]:
    """(seconds to the first token, seconds from it to the last, tokens)."""
    backend = Backend(url)
    first, last, tokens = 0.0, 0.0, 0
    try:
        await backend.models()  # the app keeps its connection open; so does this
        began = time.monotonic()
        async for piece in backend.stream("chat/completions", body):
            if piece.text or piece.reasoning:
                last = time.monotonic()
                first = first or last
            tokens = piece.tokens or tokens
    finally:
        await backend.close()
    return first - began, last - first, tokens


async def longest(url: str, body: dict[str, Any]) -> int:
    """The seed of the longest answer: at temperature 2 a few never end, which makes a rate that can be measured."""
    found = await asyncio.gather(*[bare(url, {**body, **HOT, "seed": seed}) for seed in SEEDS])
    return SEEDS[max(range(len(found)), key=lambda index: found[index][2])]


def in_browser(chat: ChatPage) -> tuple[float, float]:
    """The same two times as they are seen on the page, of a question that is typed."""
    chat.page.type("#r1-box textarea", QUESTION, delay=KEY)
    chat.page.evaluate(SEEN)
    chat.page.press("#r1-box textarea", "Enter")
    # Looked at seldom: looking takes the time of what is measured.
    chat.page.wait_for_function("window.r1Last !== null", polling=200)
    chat.settled()
    first, last = chat.page.evaluate("[window.r1First, window.r1Last]")
    return first / 1000, (last - first) / 1000


def settings(chat: ChatPage, sampling: dict[str, float], seed: int) -> None:
    chat.sidebar()
    for field, value in (("#r1-temp", sampling["temperature"]), ("#r1-top-p", sampling["top_p"])):
        chat.page.fill(f"{field} input[type=number]", str(value))
        chat.page.press(f"{field} input[type=number]", "Tab")
    chat.page.fill("#r1-seed input, #r1-seed textarea", str(seed))
    chat.page.click("#r1-sidebar .toggle-button")
    chat.page.wait_for_selector("#r1-sidebar:not(.open)")


def compared(
    chat: ChatPage, backend: str, body: dict[str, Any], repeats: int
) -> list[tuple[tuple[float, float, int], tuple[float, float]]]:
    """The bare server and the page in turn, so that both see the same machine."""
    pairs = []
    for turn in range(repeats + 1):
        raw = run(bare(backend, body))
        if chat.page.locator("[data-testid=user]").count():
            chat.button("Clear").click()
            chat.page.wait_for_function("!document.querySelector('[data-testid=user]')")
        chat.page.wait_for_timeout(500)
        pair = raw, in_browser(chat)
        if turn:  # the first one warms up
            pairs.append(pair)
    return pairs


def one_person(browser: Any, backend: str, app: Server, options: argparse.Namespace) -> None:
    context = browser.new_context(locale="en-US")
    chat = ChatPage(context, app)
    chat.page.evaluate(WATCH)
    body: dict[str, Any] = {"model": options.model, "messages": [{"role": "user", "content": QUESTION}]}
    settings(chat, ADVISED, 1)
    pairs = compared(chat, backend, {**body, **ADVISED, "seed": 1}, options.repeats)
    row("time to first token, bare server", f"{statistics.median(raw[0] for raw, _ in pairs) * 1000:.0f} ms", "")
    over = statistics.median(seen[0] - raw[0] for raw, seen in pairs) * 1000
    shown = statistics.median(seen[0] for _, seen in pairs) * 1000
    row("time to first token, in the browser", f"{shown:.0f} ms, {over:+.0f} ms", "at most +60 ms")
    seed = run(longest(backend, body))
    settings(chat, HOT, seed)
    pairs = compared(chat, backend, {**body, **HOT, "seed": seed}, options.repeats)
    tokens = pairs[0][0][2]
    rate = statistics.median(tokens / raw[1] for raw, _ in pairs)
    row(f"streaming rate, bare server, {tokens} tokens", f"{rate:.0f} tokens/s", "")
    share = statistics.median(raw[1] / seen[1] for raw, seen in pairs)
    row("streaming rate, in the browser", f"{rate * share:.0f} tokens/s, {share:.0%}", "at least 95%")
    context.close()


async def crowd(app: Server, options: argparse.Namespace) -> None:
    questions = [f"What is {a} + {b} * {c}?" for a, b, c in itertools.product((2, 5), range(3, 7), range(4, 8))]
    process = psutil.Process(app.process.pid if app.process else 0)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=120, limits=limits) as client:
        config = (await client.get(f"{app.url}/config")).json()
        people = [Person(client, app.url, config, options.model) for _ in range(options.people)]
        replies = {text: (await people[0].ask(text))[1] or {} for text in questions}
        right = {text: (reply.get("thought"), reply.get("answer")) for text, reply in replies.items()}
        warm = process.memory_info().rss
        counts = {"answers": 0, "lost": 0, "mixed": 0, "failed": 0}
        memory, problems = [warm], set[str]()
        end = time.monotonic() + 60 * options.minutes

        async def live(person: Person, own: str) -> None:
            while time.monotonic() < end:
                asked, reply = await asyncio.wait_for(person.ask(own), 120)
                counts["answers"] += 1
                counts["lost"] += reply is None
                if reply is None:
                    continue
                if reply["problem"]:
                    counts["failed"] += 1
                    problems.add(f"{reply['problem']['kind']}: {reply['problem']['detail']}")
                text = (reply["thought"], reply["answer"])
                others = {said for other, said in right.items() if other != own and said != right[own]}
                counts["mixed"] += asked != own or text in others
                memory.append(process.memory_info().rss)

        results = await asyncio.gather(
            *[live(person, questions[index % len(questions)]) for index, person in enumerate(people)],
            return_exceptions=True,
        )
    stuck = sum(isinstance(result, BaseException) for result in results)
    what = f"{options.people} people, {options.minutes:g} min: {counts['answers']} answers"
    shown = ", ".join(f"{counts[name]} {name}" for name in ("lost", "mixed", "failed"))
    row(what, f"{shown}, {stuck} stuck {' '.join(sorted(problems))}".rstrip(), "none")
    half = statistics.median(memory[len(memory) // 4 : len(memory) // 2 + 1])
    late = statistics.median(memory[-max(1, len(memory) // 4) :])
    sizes = (
        f"{warm / 2**20:.0f} MiB before, at most {max(memory) / 2**20:.0f}, {late / half - 1:+.1%} in the second half"
    )
    row("memory of the app", sizes, "under 400 MB, ±10%")


def stops(browser: Any, tries: int) -> None:
    delays = []
    with faulty_server() as backend:
        app, _ = start_app(f"{backend.url}/v1")
        try:
            chat = ChatPage(browser.new_context(locale="en-US"), app)
            chat.page.evaluate(WATCH)
            chat.choose("slow")
            for _ in range(tries):
                chat.page.click("#r1-new") if chat.page.locator("#r1-sidebar.open").count() else chat.sidebar()
                chat.send("Count slowly.")
                chat.page.wait_for_selector(".thought-group")
                chat.page.click("#r1-stop")
                chat.settled()
                left = seen(backend, "slow")[-1]["left"]
                clicked = chat.page.evaluate("window.r1Clicked") / 1000
                delays.append(left - clicked if isinstance(left, float) else float("inf"))
        finally:
            app.stop(signal.SIGTERM)
    soon = sum(delay <= 0.3 for delay in delays)
    shown = f"{soon} of {tries}, median {statistics.median(delays) * 1000:.0f} ms, worst {max(delays) * 1000:.0f} ms"
    row("Stop seen by the server within 0.3 s", shown, f"{tries} of {tries}")


def restarts(browser: Any, times: int, pages: int = 4) -> None:
    recovered = 0
    with faulty_server() as backend:
        app, _ = start_app(f"{backend.url}/v1")
        try:
            chats = [ChatPage(browser.new_context(locale="en-US"), app) for _ in range(pages)]
            for _ in range(times):
                for chat in chats:
                    chat.choose("slow")
                    chat.send("Count slowly.")
                for chat in chats:
                    chat.page.wait_for_selector(".thought-group .loading-spinner")
                backend.stop()
                for chat in chats:
                    chat.settled()
                backend.start()
                for chat in chats:
                    recovered += "finish: stop" in chat.ask(QUESTION, "R1")
        finally:
            app.stop(signal.SIGTERM)
    row(f"server killed {times} times under {pages} chats", f"{recovered} of {times * pages} recovered", "all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run directory")
    parser.add_argument("--model", default="r1")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--people", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--stops", type=int, default=50)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=("one", "crowd", "stops", "restarts"), help="parts; default: all")
    options = parser.parse_args()
    parts = options.only or ("one", "crowd", "stops", "restarts")
    from conftest import CHROMIUM, NO_CHROMIUM
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise SystemExit(NO_CHROMIUM)
    print(f"{psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start\n")
    print("| what | measured | wanted |\n|---|---|---|", flush=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        if {"one", "crowd"} & set(parts):
            with served(browser, options.run, options.model) as backend:
                app, seconds = start_app(backend)
                try:
                    row("start of the app alone", f"{seconds:.1f} s", "3 s")
                    if "one" in parts:
                        one_person(browser, backend, app, options)
                    if "crowd" in parts:
                        run(crowd(app, options))
                finally:
                    app.stop(signal.SIGTERM)
        if "stops" in parts:
            stops(browser, options.stops)
        if "restarts" in parts:
            restarts(browser, options.restarts)
        browser.close()


if __name__ == "__main__":
    main()
