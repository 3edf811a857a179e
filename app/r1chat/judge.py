"""Rewards of one completion as training computes them, and the votes of several."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from r1chat.reply import Reply
from r1hf.core.environment import narrowed
from r1hf.serving.fair import Fair, Full, Who
from r1hf.text.grammar import THINK_OPEN, Mode
from r1hf.verify.extract import read_answer
from r1hf.verify.math import verify_math
from r1hf.verify.numeric import parse_number

SECONDS = 30.0  # the longest wait for a judgement, the start of the worker included
MAX_GOLD = 200
WAITING = 256  # judgements


class Rewards(NamedTuple):
    """None is "could not judge", as everywhere in r1hf."""

    accuracy: float | None
    format: float | None
    language: float | None


class Judged(NamedTuple):
    """Rewards, and what they were paid for. read: the final answer, as the accuracy reward reads it. fault: what
    breaks the form. target: the language of the question, ISO 639-1. failed: no worker judged it."""

    rewards: Rewards
    gold: str = ""
    read: str | None = None
    fault: str | None = None
    target: str | None = None
    failed: bool = False


@dataclass
class Judge:
    """Judges in a worker process, started at the first use.

    math-verify's time limit needs a main thread of its own, and word lists and sympy need memory and seconds that
    the page's process should not spend.
    """

    _turn: Fair = field(default_factory=lambda: Fair(1, WAITING), init=False, repr=False)
    _pool: ProcessPoolExecutor | None = field(default=None, init=False, repr=False)

    async def judged(self, question: str, reply: Reply, gold: str, who: Who = ("",)) -> Judged:
        """Accuracy is None without a gold answer; all rewards are None if the worker fails."""
        given = (question, reply.completion(), gold.strip()[:MAX_GOLD], format_mode(reply), reply.form == "prefilled")
        return await self._run(who, _judged, *given) or Judged(Rewards(None, None, None), failed=True)

    async def agrees(self, answer: str | None, gold: str, who: Who = ("",)) -> bool | None:
        """Whether an answer is the gold one; None where it cannot be judged."""
        return await self._run(who, verify_math, answer, gold.strip()[:MAX_GOLD])

    async def _run(self, who: Who, function: Any, *given: Any) -> Any:
        """Persons take turns: answers that are slow to judge hold up their own."""
        try:
            async with self._turn.hold(*who):
                return await self._judged(function, *given)
        except Full:
            return None

    async def _judged(self, function: Any, *given: Any) -> Any:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_leave_with_parent)
        pool = self._pool
        try:
            with narrowed():  # the worker is started here, and inherits
                asked = asyncio.get_running_loop().run_in_executor(pool, function, *given)
            return await asyncio.wait_for(asked, SECONDS)
        except (TimeoutError, BrokenProcessPool):
            if pool is self._pool:  # the next judgement gets a new worker
                self.close()
            return None

    def close(self) -> None:
        if self._pool is not None:
            for process in list((self._pool._processes or {}).values()):
                process.kill()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _leave_with_parent() -> None:
    """Ends the worker when the page's process ends, in whatever way."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _judged(question: str, completion: Any, gold: str, mode: Mode, prefilled: bool) -> Judged:
    # Imported in the worker only: the page needs none of it and should start soon.
    from r1hf.data.form_faults import form_fault
    from r1hf.rewards import get_accuracy_reward, get_format_reward, get_language_consistency_reward
    from r1hf.rewards._common import completion_texts
    from r1hf.text.language import target_of
    from r1hf.verify.extract import final_answer

    given = ([question], [completion])
    shape = get_format_reward(mode=mode, prefilled=prefilled)(*given)[0]
    language = get_language_consistency_reward(prefilled=prefilled)(*given)[0]
    accuracy = get_accuracy_reward(prefilled=prefilled)(*given, answer=[gold])[0] if gold else None
    (text,) = completion_texts([completion], prefilled=prefilled)
    whole = f"{THINK_OPEN}{text}" if prefilled else text
    fault = None if shape else form_fault(whole, mode) or "malformed"
    rewards = Rewards(accuracy, shape, language)
    return Judged(rewards, gold, final_answer(text, prefilled=prefilled), fault, target_of(None, question))


def format_mode(reply: Reply) -> Mode:
    """The form that the model was trained to write: cold start, R1's own without answer tags, or the template's."""
    response = reply.response
    if response.form == "cold_start" or reply.form == "cold_start":
        return "cold_start"
    return "think_only" if response.form in ("prefilled", "split") and not response.answer_tagged else "think_answer"


@dataclass
class Vote:
    """One answer that samples gave, with the indices of those samples."""

    answer: str | None
    samples: list[int]
    gold: bool | None = None


def answer_of(reply: Reply) -> str | None:
    return read_answer(reply.response) if reply.ended is not None else None


def count_votes(answers: Sequence[str | None]) -> list[Vote]:
    """Answers grouped by value (14, 14.0 and 28/2 are one), most votes first, those without an answer last."""
    votes: list[Vote] = []
    for index, answer in enumerate(answers):
        same = next((vote for vote in votes if _same(vote.answer, answer)), None)
        if same is None:
            votes.append(Vote(answer, [index]))
        else:
            same.samples.append(index)
    return sorted(votes, key=lambda vote: (vote.answer is None, -len(vote.samples)))


def _same(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    first, second = parse_number(one), parse_number(other)
    if first is not None and second is not None:
        return first.equals(second)
    return one.strip().casefold() == other.strip().casefold()
