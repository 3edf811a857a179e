"""Requests of the Transformers engine become tokens: in threads and processes, never on the event loop.

A long prompt of one client delays neither the answers under way nor, by more than its own turn, another's prompt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from r1hf.core.errors import DataError
from r1hf.serving.errors import Refused
from r1hf.serving.fair import Fair, Full
from r1hf.serving.generation import LoadedModel
from r1hf.serving.request import most_characters
from r1hf.text.renderer import Renderer

AT_ONCE = 2  # prompts that become tokens
RENDERERS = 4  # processes that render chat templates, at most, and one at a time for a model
WAITING = 512
Result = TypeVar("Result")


class Reader:
    """`client`, in every method, is for whom the work is: those that wait take turns."""

    def __init__(self, models: dict[str, LoadedModel]):
        self._threads = ThreadPoolExecutor(AT_ONCE, "tokens")
        self._rendering = ThreadPoolExecutor(RENDERERS, "templates")
        self._places = Fair(AT_ONCE, WAITING)
        self._processes = Fair(RENDERERS, WAITING)
        # A template that takes its whole time holds up its own model, and no other.
        self._turns = {name: Fair(1, WAITING) for name in models}
        self._idle: list[Renderer] = []

    async def encode(self, model: LoadedModel, text: str, special: bool, client: str) -> list[int]:
        """The tokens of a text. Raises Refused if it is too long for the model however it is cut."""
        if len(text) > most_characters(model.context):
            raise Refused(
                f"This model's maximum context length is {model.context} tokens; the prompt has {len(text):,} "
                "characters. Shorten it.",
                param="prompt",
            )
        return await self.run(client, lambda: model.tokenizer.encode(text, add_special_tokens=special))

    async def run(self, client: str, work: Callable[[], Result]) -> Result:
        """What `work()` returns; it runs in a thread when it is the client's turn."""
        try:
            async with self._places.hold(client):
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except Full:
            raise Refused("too many requests are waiting: try again shortly", 503) from None

    async def render(self, model: LoadedModel, messages: list[dict[str, str]], prompt: bool, client: str) -> str:
        """The text of a conversation by the model's chat template; `prompt` opens the answer. Raises Refused."""
        if model.template is None:
            raise Refused(f"{model.name} has no chat template: ask /v1/completions", param="messages")
        variables = {**model.tokenizer.special_tokens_map, "documents": None, "add_generation_prompt": prompt}

        def work() -> str:
            renderer = self._idle.pop() if self._idle else Renderer()
            try:
                return renderer.render(model.template or "", messages, **variables)
            finally:
                self._idle.append(renderer)

        try:
            async with self._turns[model.name].hold(client), self._processes.hold(model.name):
                return await asyncio.get_running_loop().run_in_executor(self._rendering, work)
        except DataError as error:
            raise Refused(str(error), param="messages") from error
        except Full:
            raise Refused("too many requests are waiting: try again shortly", 503) from None

    def close(self) -> None:
        """Ends the processes; call it when no request is under way."""
        for renderer in self._idle:
            renderer.close()
        for pool in (self._threads, self._rendering):
            pool.shutdown(wait=False, cancel_futures=True)


def whole_number_list(tokens: Any, model: LoadedModel, param: str) -> list[int]:
    """A list of the model's tokens. Raises Refused."""
    if not isinstance(tokens, list) or not set(map(type, tokens)) <= {int}:
        raise Refused(f"{param}: give a list of tokens", param=param)
    if tokens and not (0 <= min(tokens) and max(tokens) < model.vocabulary):
        raise Refused(f"{param}: a token is outside the vocabulary (0 to {model.vocabulary - 1})", param=param)
    return tokens
