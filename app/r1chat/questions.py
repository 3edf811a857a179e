"""Ask the server: one question or several at once, with waiting, stopping and a budget for the thought."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from r1chat.backend import Backend, BackendError, Model
from r1chat.reply import Reply, opening
from r1hf.serving.fair import Fair, Full, Who

TICK = 0.5  # seconds between two pictures of a silent stream: the timer runs on
PACE = 0.1  # least seconds between two pictures of a busy one: each costs the browser 15 ms or more
SLOWEST_PACE = 0.25
DRAWN_A_SECOND = 15_000  # characters that a slow browser draws anew in a second
CHARACTERS = 64  # a token's, at most; a server that sends more counts wrong
BUSY_PATIENCE = 20.0  # seconds for which a busy server is asked again


@dataclass(frozen=True)
class Question:
    """`budget`: most tokens of thinking, None for no limit. `max_tokens`: of the whole answer.

    person: for whom it is asked, in no readable form.
    """

    model: Model
    messages: list[dict[str, str]]
    temperature: float
    top_p: float
    seed: int | None = None
    budget: int | None = None
    max_tokens: int = 8192
    person: str = ""

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self.model.id, "temperature": self.temperature, "top_p": self.top_p}
        if self.seed is not None:
            body["seed"] = self.seed
        # A server refuses a limit that does not fit beside the prompt; its own limit is the context then.
        context = self.model.max_model_len
        if context is None or self.max_tokens <= context // 2:
            body["max_tokens"] = self.max_tokens
        return body


@dataclass
class Asker:
    """Asks `backend` on behalf of everybody: `places` limits the streams open at once, and shares them fairly."""

    backend: Backend
    places: Fair
    patience: float = 180.0

    async def answer(self, question: Question, reply: Reply, changed: Callable[[], None], who: Who = ("",)) -> None:
        """Fills `reply` to its end. Raises nothing; cancelling it closes the connection to the server."""
        try:
            async with self.places.hold(*who):
                await self._until_answered(question, reply, changed)
        except Full:
            reply.end(error=BackendError("crowded"))
        except asyncio.CancelledError:
            reply.end(stopped=True)
            raise
        except BackendError as error:
            reply.end(error=error, context=question.model.max_model_len)
        except Exception as error:  # an answer must end, whatever happens
            reply.end(error=BackendError("broken", f"{type(error).__name__}: {error}"))
        finally:
            changed()

    async def _until_answered(self, question: Question, reply: Reply, changed: Callable[[], None]) -> None:
        waited, delay = 0.0, 1.0
        while True:
            try:
                await self._once(question, reply, changed)
                reply.end()
                return
            except BackendError as error:
                patience = {"loading": self.patience, "busy": BUSY_PATIENCE}.get(error.kind, 0.0)
                if error.kind == "busy" and error.retry_after is None:
                    patience = 0.0
                pause = min(max(error.retry_after or delay, 0.2), 5.0)
                if reply.first is not None or waited + pause > min(patience, self.patience):
                    raise
                reply.waiting_for = error.kind
            changed()
            await asyncio.sleep(pause)
            waited, delay = waited + pause, delay * 1.5

    async def _once(self, question: Question, reply: Reply, changed: Callable[[], None]) -> None:
        body = {**question.body(), "messages": question.messages}
        if question.budget is not None and question.model.thinking_budget:
            body["thinking_token_budget"] = question.budget
        if await self._read("chat/completions", body, question, reply, changed):
            await self._go_on(question, reply, changed)

    async def _read(
        self, path: str, body: dict[str, Any], question: Question, reply: Reply, changed: Callable[[], None]
    ) -> bool:
        """Reads a stream into `reply`. True if it was left because the thought is over its budget."""
        native = "thinking_token_budget" in body
        longest = CHARACTERS * question.max_tokens
        async with contextlib.aclosing(self.backend.stream(path, body, question.person)) as stream:
            async for piece in stream:
                reply.feed(piece)
                changed()
                if reply.size > longest:
                    raise BackendError("broken", "the answer has no end")
                if reply.tokens >= question.max_tokens and not reply.finish:
                    reply.finish = "length"
                    return False
                over = question.budget is not None and reply.thinking_tokens >= question.budget
                if over and not native and not reply.over_budget and reply.phase == "thinking":
                    return not reply.finish
        return False

    async def _go_on(self, question: Question, reply: Reply, changed: Callable[[], None]) -> None:
        """Close the thought ourselves and let the model go on from there, through /completions.

        Works with any chat template: the prompt's tokens are the server's, and the text written so far follows.
        """
        split, written = reply.split_thought, reply.raw
        closing = reply.close_thought()
        changed()
        try:
            prompt = await self.backend.tokenize(question.model.id, question.messages, question.person)
            if split:
                written = opening(prompt.pieces) + split
            added = await self.backend.tokenize(question.model.id, written + closing, question.person)
        except BackendError as error:
            raise BackendError("no_budget", error.detail) from error
        body = {**question.body(), "prompt": prompt.ids + added.ids}
        if "max_tokens" in body:
            body["max_tokens"] = max(1, question.max_tokens - reply.tokens)
        elif question.model.max_model_len:
            # /completions, unlike chat, stops after 16 tokens where no limit is given.
            body["max_tokens"] = max(1, question.model.max_model_len - len(body["prompt"]))
        await self._read("completions", body, question, reply, changed)


@dataclass
class Round:
    """Questions asked at once and watched together; the same object is what Stop acts on. who: asks them."""

    asker: Asker
    questions: list[Question]
    at_once: int | None = None
    who: Who = ("",)
    replies: list[Reply] = field(init=False)
    _stop: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        self.replies = [
            Reply(form=_known(question.model.form), model=question.model.id) for question in self.questions
        ]
        self._changed: set[int] = set()

    def stop(self) -> None:
        """Ends every answer; their connections to the server close at once."""
        self._stop.set()

    async def watch(self, first: float = 0.0) -> AsyncIterator[set[int]]:
        """Yields which replies changed, at least every TICK seconds, and a last time when all have ended.

        The first picture comes with the first change, but after `first` seconds at the latest.
        """
        gate = asyncio.Semaphore(self.at_once or len(self.questions))
        tasks = [asyncio.create_task(self._run(index, gate)) for index in range(len(self.questions))]
        all_done = asyncio.gather(*tasks, return_exceptions=True)
        stop = asyncio.create_task(self._stop.wait())
        timeout = first
        try:
            while not all_done.done():
                news = asyncio.create_task(self._news.wait())
                await asyncio.wait({all_done, stop, news}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
                timeout = PACE if timeout == first and first else TICK
                if stop.done():
                    break
                self._news.clear()
                changed, self._changed = self._changed, set()
                running = {index for index, reply in enumerate(self.replies) if reply.ended is None}
                drawn = time.monotonic()
                yield changed | running
                if changed:
                    # A long answer takes longer to draw, here and in the browser, which must not fall behind.
                    size = sum(self.replies[index].size for index in changed)
                    pace = max(PACE, time.monotonic() - drawn, min(SLOWEST_PACE, size / DRAWN_A_SECOND))
                    await asyncio.wait({all_done, stop}, timeout=pace, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for reply in self.replies:
            reply.end(stopped=True)  # a task that was cancelled before it began; no effect on the others
        yield set(range(len(self.replies)))

    async def _run(self, index: int, gate: asyncio.Semaphore) -> None:
        def changed() -> None:
            self._changed.add(index)
            # The pieces of an opening tag show nothing: the picture waits for what comes next.
            if reply.visible or reply.waiting_for or reply.ended is not None:
                self._news.set()

        reply = self.replies[index]
        async with gate:
            reply.asked = reply.clock()
            await self.asker.answer(self.questions[index], reply, changed, self.who)


def _known(form: str | None) -> str | None:
    return form if form in ("inline", "prefilled", "cold_start", "split") else None
