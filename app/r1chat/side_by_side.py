"""Several answers side by side, as cards that stream: what the Stages and Vote tabs are made of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from r1chat.lean_gradio import gradio as gr
from r1chat.questions import Round
from r1chat.render import LATEX
from r1chat.reply import Reply

Draw = Callable[[int, Reply], str]


class SideBySide:
    """A fixed row of cards, shown as far as they hold something. A card that did not change is not sent.

    The style sheet hides an empty card, so that a card is only ever given its text.
    """

    def __init__(self, count: int, elem_id: str, label: str):
        self.count = count
        with gr.Row(elem_classes="r1-lanes", elem_id=elem_id):
            self.cards = [
                gr.Markdown(
                    elem_classes="r1-card",
                    latex_delimiters=LATEX,
                    line_breaks=True,
                    label=f"{label} {index + 1}",
                )
                for index in range(count)
            ]

    def clear(self) -> list[Any]:
        return [""] * self.count

    def skip(self) -> list[Any]:
        return [gr.skip()] * self.count


async def stream(
    running: Round, lanes: SideBySide, draw: Draw, ended: Callable[[int, Reply], Awaitable[None]]
) -> AsyncIterator[list[Any]]:
    """Updates of the cards while `running` goes on. `ended` judges an answer once, and its card is drawn again."""
    shown: dict[int, str] = {}
    judging: dict[int, asyncio.Task[None]] = {}
    used = len(running.replies)

    def updates(indices: set[int]) -> list[Any]:
        cards = lanes.skip()
        for index in indices:
            text = draw(index, running.replies[index])
            if shown.get(index) != text:
                shown[index] = text
                cards[index] = text
        return cards

    try:
        async for changed in running.watch():
            for index in changed:
                reply = running.replies[index]
                if reply.ended is not None and index not in judging:
                    judging[index] = asyncio.ensure_future(ended(index, reply))
            finished = {index for index, task in judging.items() if task.done()}
            yield updates(changed | finished)
        await asyncio.gather(*judging.values(), return_exceptions=True)
        yield updates(set(range(used)))
    finally:
        for task in judging.values():
            task.cancel()
