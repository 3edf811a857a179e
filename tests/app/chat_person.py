"""A person without a browser: the protocol of the chat's page."""

from __future__ import annotations

import json
import uuid
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
        self.ask_index = next(
            index
            for index, event in enumerate(config["dependencies"])
            if any(names.get(target) == "r1-box" and kind == "submit" for target, kind in event["targets"])
        )

    async def ask(self, question: str) -> tuple[str, dict[str, Any] | None]:
        """(question, reply) of the last turn as the page would show it; None if no answer came."""
        data = [question, new_store(), {"language": "en", "model": self.model, "temperature": 0, "top_p": 1}]
        join = {"data": data, "fn_index": self.ask_index, "session_hash": self.session, "event_data": None}
        answer = await self.client.post(f"{self.url}/gradio_api/queue/join", json=join)
        answer.raise_for_status()
        outputs: list[Any] = []
        path = f"{self.url}/gradio_api/queue/data?session_hash={self.session}"
        async with self.client.stream("GET", path) as events:
            async for line in events.aiter_lines():
                event = json.loads(line[5:]) if line.startswith("data:") else {}
                kind = event.get("msg")
                if kind == "process_generating":
                    new = event["output"]["data"]
                    outputs = (
                        [apply_diff(old, diff) for old, diff in zip(outputs, new, strict=False)] if outputs else new
                    )
                elif kind == "process_completed":
                    store = outputs[3] if outputs else None
                    turns = store["chats"][0]["turns"] if isinstance(store, dict) and store.get("chats") else []
                    return (turns[-1]["question"], turns[-1]["reply"]) if turns else ("", None)
                elif kind == "close_stream":
                    break
        return "", None
