"""What the app keeps of a question that was answered: nothing."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from chat_servers import NO_GRADIO, Server

ALONE = "R1HF_TEST_ALONE"
pytestmark = pytest.mark.slow
pytest.importorskip("gradio", reason=NO_GRADIO)

from chat_person import Person  # noqa: E402
from r1chat.page import Page, serve  # noqa: E402
from r1chat.settings import Settings  # noqa: E402
from r1chat.shared import Shared  # noqa: E402


@pytest.fixture
def page(faulty: Server) -> Iterator[Page]:
    """The page, served by this process, so that its objects can be counted."""
    page = Page(Shared(Settings(backend=f"{faulty.url}/v1", port=0, rate=0)))
    serve(page)
    yield page
    page.blocks.close()
    page.shared.judge.close()


async def _ask(page: Page, people: int, times: int, fresh: bool = False) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        url = page.blocks.local_url.rstrip("/")
        config = (await client.get(f"{url}/config")).json()

        async def live(name: str) -> None:
            for turn in range(times):
                person = Person(client, url, config, "echo")
                person.session = f"{name} {turn}" if fresh else name
                question, reply = await person.ask("Say 7.")
                assert question == "Say 7." and reply and not reply["problem"]

        await asyncio.gather(*[live(f"person {index}") for index in range(people)])


def _objects() -> Counter[str]:
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects())


def test_questions_leave_no_objects_behind() -> None:
    """In a process of its own: libraries that other tests import keep objects for each connection."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", "-p", "no:cacheprovider", __file__, "-k", "alone"]
    done = subprocess.run(command, env={**os.environ, ALONE: "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.skipif(ALONE not in os.environ, reason="run by the test above")
def test_questions_leave_no_objects_behind_alone(page: Page) -> None:
    asyncio.run(_ask(page, people=4, times=10))
    before = _objects()
    asyncio.run(_ask(page, people=4, times=25))
    grown = _objects() - before
    assert not {name: count for name, count in grown.items() if count >= 100}  # one for each question
    queue = page.blocks._queue
    assert len(queue.event_analytics) <= 1 and not queue.event_ids_to_events
    assert not page.shared.rounds


def test_pages_that_were_opened_and_left_are_forgotten(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = page.blocks.app.state_holder
    monkeypatch.setattr(holder, "capacity", 5)
    asyncio.run(_ask(page, people=2, times=6, fresh=True))
    assert len(holder.session_data) == 5


def test_streams_take_little_that_the_page_draws() -> None:
    """With each message of a stream Gradio's page updates every input of all events that ended before."""
    page = Page(Shared(Settings(port=0)))
    try:
        parts = {part["id"]: part for part in page.blocks.config["components"]}
        streams = [event for event in page.blocks.config["dependencies"] if event["backend_fn"] and event["queue"]]
        drawn = {
            parts[index]["props"].get("elem_id") or parts[index]["type"]
            for event in streams
            for index in event["inputs"]
            if parts[index]["type"] != "state" and parts[index]["props"].get("visible", True)
        }
        assert len(streams) >= 6
        boxes = {"r1-box", "r1-stages-box", "r1-stages-gold", "r1-vote-box", "r1-vote-gold", "r1-vote-n"}
        assert drawn <= boxes | {"r1-prompt-box", "r1-prompt-chat"}
    finally:
        page.shared.judge.close()
