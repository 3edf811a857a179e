"""The client against a server that misbehaves: what each fault becomes, stopping, waiting, the thinking budget."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Coroutine
from typing import Any

import pytest

pytest.importorskip("httpx", reason="httpx is not installed: make install EXTRAS=dev,app")
pytest.importorskip("math_verify")

from chat_servers import Server, free_port
from r1chat.backend import Backend, BackendError, Model
from r1chat.questions import Asker, Question, Round
from r1chat.reply import Reply

from r1hf.serving.fair import Fair


def seen(server: Server, model: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(server.url + "/seen") as answer:
        return [row for row in json.load(answer) if row["model"] == model]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


def question(model: str, text: str = "What is 2 + 3 * 4?", **values: Any) -> Question:
    row = Model(model, 1024, form="inline")
    return Question(row, [{"role": "user", "content": text}], 0.6, 0.95, **values)


async def ask(url: str, *questions: Question, timeout: float = 2.0, patience: float = 20.0) -> list[Reply]:
    backend = Backend(f"{url}/v1", "sk-1", timeout)
    try:
        started = Round(Asker(backend, Fair(8, 8), patience), list(questions))
        async for _ in started.watch():
            pass
        return started.replies
    finally:
        await backend.close()


@pytest.mark.parametrize(
    ("model", "kind", "text"),
    [
        ("busy", "busy", ""),
        ("too_long", "too_long", ""),
        ("nobody", "unknown_model", ""),
        ("broken", "broken", ""),
        ("garbage", "broken", ""),
        ("forbidden", "refused", ""),
        ("silent", "timeout", ""),
        ("stall", "timeout", "I begin and"),
        ("cut", "cut", "The answer is fourt"),
    ],
)
def test_each_fault_is_named_and_the_text_so_far_is_kept(faulty: Server, model: str, kind: str, text: str) -> None:
    shown = run(ask(faulty.url, question(model)))[0].snapshot()
    assert shown["verdict"] == "failed" and shown["problem"]["kind"] == kind
    assert text in f"{shown['thought']} {shown['answer']}"
    assert "sk-1" not in json.dumps(shown)


def test_a_server_that_is_not_there() -> None:
    shown = run(ask(f"http://127.0.0.1:{free_port()}", question("r1")))[0].snapshot()
    assert shown["problem"]["kind"] == "down"


@pytest.mark.parametrize("model", ["busy_once", "loading"])
def test_a_server_that_says_when_is_asked_again(faulty: Server, model: str) -> None:
    shown = run(ask(faulty.url, question(model)))[0].snapshot()
    assert (shown["verdict"], shown["answer"]) == ("complete", "14")


def test_stopping_ends_the_connection(faulty: Server) -> None:
    async def stop_soon() -> Reply:
        backend = Backend(f"{faulty.url}/v1")
        started = Round(Asker(backend, Fair(8, 8)), [question("slow")])
        async for _ in started.watch():
            if started.replies[0].tokens > 3:
                started.stop()
        await asyncio.sleep(0.5)
        await backend.close()
        return started.replies[0]

    reply = run(stop_soon())
    assert reply.verdict == "stopped" and "tick" in (reply.response.reasoning or "")
    assert isinstance(seen(faulty, "slow")[-1]["left"], float)


def test_many_at_once_are_not_mixed(faulty: Server) -> None:
    replies = run(ask(faulty.url, *[question("echo", f"number {index}") for index in range(20)]))
    assert [reply.snapshot()["answer"] for reply in replies[:14]] == [f"number {index}" for index in range(14)]
    # Six of the eight places are for one person, and eight wait: the others are told so.
    assert {reply.problem["kind"] for reply in replies[14:]} == {"crowded"}


@pytest.mark.parametrize("model", ["budget", "prefilled", "split"])
def test_a_thought_over_its_budget_is_closed_and_answered(faulty: Server, model: str) -> None:
    asked = question(model, budget=5)
    form = {"prefilled": "prefilled", "split": None}.get(model, "inline")
    asked = Question(Model(model, 1024, form=form), asked.messages, 0.6, 0.95, budget=5)
    shown = run(ask(faulty.url, asked))[0].snapshot()
    assert shown["over_budget"] and "in time" in shown["answer"]
    assert 5 <= shown["thinking_tokens"] < 12
    sent = seen(faulty, model)[-1]["body"]
    assert sent["prompt"] and sent["max_tokens"] < 1024


def test_a_server_with_a_budget_of_its_own_is_given_it(faulty: Server) -> None:
    own = Question(Model("r1", 1024, thinking_budget=True), [{"role": "user", "content": "?"}], 0.6, 0.95, budget=5)
    shown = run(ask(faulty.url, own))[0].snapshot()
    assert seen(faulty, "r1")[-1]["body"]["thinking_token_budget"] == 5
    assert shown["answer"] == "14"


def test_the_apps_own_limit_on_length_holds(faulty: Server) -> None:
    shown = run(ask(faulty.url, question("huge", max_tokens=50)))[0].snapshot()
    assert shown["verdict"] == "cut_thinking" and shown["tokens"] == 50


def test_the_key_is_sent_to_the_server_and_a_limit_only_where_it_fits(faulty: Server) -> None:
    run(ask(faulty.url, question("r1", seed=7)))
    row = seen(faulty, "r1")[-1]
    assert row["key"] == "Bearer sk-1"
    assert row["body"]["seed"] == 7 and "max_tokens" not in row["body"]
    assert Question(Model("m", None), [], 0.6, 0.95, max_tokens=100).body()["max_tokens"] == 100


def test_silence_still_gives_pictures_for_the_clock(faulty: Server) -> None:
    async def watch() -> int:
        started = Round(Asker(Backend(f"{faulty.url}/v1", timeout=2), Fair(8, 8)), [question("stall")])
        return len([None async for _ in started.watch() if time.monotonic()])

    assert run(watch()) > 3


def test_models_of_this_and_of_a_plain_server(faulty: Server) -> None:
    rows = {model.id: model for model in run(Backend(f"{faulty.url}/v1").models())}
    assert rows["r1"].form == "inline" and rows["r1"].temperature == 0.6 and rows["r1"].max_model_len == 1024
    assert rows["split"].form is None and rows["split"].state == "ready"


def test_a_server_that_is_no_model_server(faulty: Server) -> None:
    with pytest.raises(BackendError, match="unknown_model"):
        run(Backend(f"{faulty.url}/nothing/v1").models())


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew() -> None:
    opened = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        for turn in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            if opened == 1 and turn == 1:
                break  # closes without an answer, as a server does whose idle time is over
            event = b'data: {"choices": [{"delta": {"content": "14"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(event), event))
        writer.close()

    async def ask_twice() -> list[str]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        backend = Backend(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        try:
            return ["".join([piece.text async for piece in backend.stream("chat/completions", {})]) for _ in range(2)]
        finally:
            await backend.close()
            server.close()

    assert run(ask_twice()) == ["14", "14"] and opened == 2


def test_the_models_are_known_before_the_first_question(faulty: Server) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed: make install EXTRAS=dev,app")
    from r1chat.settings import Settings
    from r1chat.shared import Shared

    shared = Shared(Settings(backend=f"{faulty.url}/v1"))
    run(shared.acquainted())
    assert shared.model("r1").max_model_len == 1024
