"""A person without a browser: the protocol of the chat's page."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
from gradio_client.utils import apply_diff
from r1chat.history import new_store


class Person:
    """Speaks the page's protocol: joins the queue, reads the events, keeps the store that a browser would keep."""

    def __init__(self, client: httpx.AsyncClient, url: str, config: dict[str, Any], model: str):
        self.client, self.url, self.model = client, url, model
        self.session = uuid.uuid4().hex[:10]
        names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}

        def of_box(kind: str) -> int:
            return next(
                index
                for index, event in enumerate(config["dependencies"])
                if any(names.get(target) == "r1-box" and found == kind for target, found in event["targets"])
            )

        self.ask_index, self.type_index = of_box("submit"), of_box("input")

    async def join(self, function: int, data: list[Any]) -> None:
        join = {"data": data, "fn_index": function, "session_hash": self.session, "event_data": None}
        answer = await self.client.post(f"{self.url}/gradio_api/queue/join", json=join)
        answer.raise_for_status()

    async def type(self) -> None:
        """A key of a question."""
        await self.join(self.type_index, [])

    def question(self, text: str) -> list[Any]:
        return [text, new_store(), {"language": "en", "model": self.model, "temperature": 0, "top_p": 1}]

    async def events(self, data: list[Any]) -> AsyncIterator[dict[str, Any]]:
        """What the page is told after a question."""
        await self.join(self.ask_index, data)
        path = f"{self.url}/gradio_api/queue/data?session_hash={self.session}"
        async with self.client.stream("GET", path) as events:
            async for line in events.aiter_lines():
                event = json.loads(line[5:]) if line.startswith("data:") else {}
                if event.get("msg") == "close_stream":
                    return
                yield event

    async def ask(self, question: str) -> tuple[str, dict[str, Any] | None]:
        """(question, reply) of the last turn as the page would show it; None if no answer came."""
        _, asked, reply = await self.ask_timed(question)
        return asked, reply

    async def ask_timed(self, question: str) -> tuple[float | None, str, dict[str, Any] | None]:
        """Seconds until the page shows the first of the answer, and what `ask` returns."""
        began, first = time.monotonic(), None
        outputs: list[Any] = []
        async for event in self.events(self.question(question)):
            kind = event.get("msg")
            if kind == "process_generating":
                new = event["output"]["data"]
                outputs = [apply_diff(old, diff) for old, diff in zip(outputs, new, strict=False)] if outputs else new
                shown = outputs[2] if isinstance(outputs[2], list) else []
                if first is None and any(message.get("role") == "assistant" for message in shown):
                    first = time.monotonic() - began
            elif kind == "process_completed":
                store = outputs[3] if outputs else None
                turns = store["chats"][0]["turns"] if isinstance(store, dict) and store.get("chats") else []
                return (first, turns[-1]["question"], turns[-1]["reply"]) if turns else (first, "", None)
        return first, "", None
