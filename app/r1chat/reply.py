"""One answer as it arrives: r1hf's grammar over the stream, times and token counts. Pure: no network, no interface."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from r1chat.backend import BackendError, Piece
from r1hf.text.grammar import (
    SEPARATOR,
    THINK_CLOSE,
    THINK_OPEN,
    Response,
    StreamParser,
    closes_unopened,
    from_split,
)
from r1hf.text.mentions import REACH

_MARK_END = re.compile("[>|]")
MEASURABLE = 0.05  # least seconds of streaming that make a rate: pieces read at once are microseconds apart
# What a reader is told about an answer that has ended, beside its text.
VERDICTS = ("complete", "cut_thinking", "no_answer", "no_thinking", "cut_answer", "stopped", "failed")


@dataclass
class Reply:
    """`form` is what the server says of the model, None where it says nothing: then the stream shows it.

    `phase` goes waiting → (thinking) → answering → done. `problem` is set where the answer failed, `waiting_for`
    while the server is loading or busy and the question will be asked again.
    """

    form: str | None = None
    model: str = ""
    clock: Callable[[], float] = time.monotonic
    raw: str = ""
    split_thought: str = ""
    tokens: int = 0
    finish: str | None = None
    stopped: bool = False
    over_budget: bool = False
    problem: dict[str, Any] | None = None
    waiting_for: str | None = None
    asked: float = field(init=False)
    first: float | None = field(default=None, init=False)
    first_tokens: int = field(default=0, init=False)  # tokens that had come with the first piece
    last: float | None = field(default=None, init=False)
    ended: float | None = field(default=None, init=False)
    thought_end: float | None = field(default=None, init=False)
    thinking_tokens: int = field(default=0, init=False)
    visible: bool = field(default=False, init=False)  # a thought was opened, or text came that is no tag
    _offset: int = field(default=0, init=False)
    _opened: bool = field(default=False, init=False)
    _closed: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.asked = self.clock()
        self._opened = self.form == "prefilled"
        self._parser = StreamParser(prefilled=self.form == "prefilled")

    def feed(self, piece: Piece) -> None:
        """Take one event of the stream."""
        now = self.clock()
        self.waiting_for = None
        if piece.text or piece.reasoning:
            self.tokens = self._offset + piece.tokens if piece.tokens else self.tokens + 1
            if self.first is None:
                self.first, self.first_tokens = now, self.tokens
            self.last = now
        elif piece.tokens:
            self.tokens = self._offset + piece.tokens
        self.finish = piece.finish or self.finish
        self.split_thought += piece.reasoning
        self.visible = self.visible or bool(piece.reasoning)
        if piece.text:
            self._feed_text(piece.text)
        if self.phase == "thinking":
            self.thinking_tokens = self.tokens
        elif self.thought_end is None and self.first is not None and self.has_thought:
            self.thought_end = now

    def _feed_text(self, text: str) -> None:
        self.raw += text
        said = self._parser.feed(text)
        self.visible = bool(said) or self.visible
        opens = not self._opened and any(channel == "reasoning" for channel, _ in said)  # a tag that was held back
        undecided = not self._opened and THINK_CLOSE in self.raw[-REACH:]
        if not opens and not undecided and not _MARK_END.search(text):
            return  # no tag can have ended here: a whole response for each piece would cost n² of a long answer
        self._note()
        self._find_end(final=False)

    def _find_end(self, *, final: bool) -> None:
        """A closing tag that nothing opened: the prompt ended in <think>, and the server did not say so."""
        if self.form is not None or self.split_thought or self._parser.response.form != "none":
            return
        if closes_unopened(self.raw, final=final):
            self.form = "prefilled"
            self._parser = StreamParser(prefilled=True)
            self._parser.feed(self.raw)
            self._note()
            self.thinking_tokens = self.tokens

    def _note(self) -> None:
        response = self._parser.response
        self._opened, self._closed = response.reasoning is not None, response.thinking_closed
        self.visible = self.visible or self._opened

    def close_thought(self) -> str:
        """End a thought that is over its budget; returns the text that was added to the prompt for it."""
        self.over_budget = True
        self._offset = self.tokens
        if self.split_thought:
            self.thought_end = self.clock()
            return f"\n{THINK_CLOSE}\n\n"
        form = self._parser.response.form
        closing = f" {SEPARATOR} " if form == "cold_start" else THINK_CLOSE
        closing = f"\n{THINK_CLOSE}\n\n" if form == "prefilled" else closing
        self._feed_text(closing)
        self.thought_end = self.clock()
        return closing

    def end(self, *, stopped: bool = False, error: BackendError | None = None, **values: Any) -> None:
        """The stream is over; `error` and `values` make the sentence about what went wrong."""
        if self.ended is not None:
            return
        self.ended = self.clock()
        self.stopped = stopped
        self.waiting_for = None
        self._parser.close()
        self._find_end(final=True)
        self._parser.close()
        self._note()
        if error is not None:
            self.problem = {"kind": error.kind, "detail": error.detail, "model": self.model, **values}
        if self.has_thought and self.thought_end is None:
            self.thought_end = self.last

    @property
    def response(self) -> Response:
        """The grammar's view of the text so far."""
        return from_split(self.split_thought, self.raw) if self.split_thought else self._parser.response

    @property
    def size(self) -> int:
        """Characters so far."""
        return len(self.raw) + len(self.split_thought)

    @property
    def has_thought(self) -> bool:
        return bool(self.split_thought) or self._opened

    @property
    def phase(self) -> str:
        if self.ended is not None:
            return "done"
        if self.first is None:
            return "waiting"
        if self.split_thought:
            return "answering" if self.raw.strip() or self.over_budget else "thinking"
        return "thinking" if self._opened and not self._closed else "answering"

    @property
    def verdict(self) -> str:
        """One of VERDICTS, for an answer that has ended."""
        response = self.response
        closed = response.thinking_closed or (self.over_budget and bool(self.split_thought))
        if self.problem:
            return "failed"
        if self.stopped:
            return "stopped"
        if self.has_thought and not closed:
            return "cut_thinking" if self.finish == "length" else "no_answer"
        if self.finish == "length":
            return "cut_answer"
        if not response.visible:
            return "no_answer"
        return "complete" if self.has_thought else "no_thinking"

    @property
    def thinking_seconds(self) -> float | None:
        """How long the thought took, up to now while it goes on; None without one."""
        if self.first is None or not self.has_thought:
            return None
        return (self.thought_end if self.thought_end is not None else self.clock()) - self.first

    @property
    def tokens_per_second(self) -> float | None:
        """Of the tokens after the first piece; None where these came in too short a time to tell."""
        if self.first is None or self.last is None or self.last - self.first < MEASURABLE:
            return None
        return (self.tokens - self.first_tokens) / (self.last - self.first) or None

    def completion(self) -> str | list[dict[str, str]]:
        """The completion in a shape that r1hf.rewards reads: the text, or a message where the server split it."""
        if not self.split_thought:
            return self.raw
        return [{"role": "assistant", "reasoning_content": self.split_thought, "content": self.raw}]

    def snapshot(self) -> dict[str, Any]:
        """All that is shown and stored, as JSON."""
        response = self.response
        rate, thinking = self.tokens_per_second, self.thinking_seconds
        return {
            "model": self.model,
            "form": response.form,
            "thought": response.reasoning,
            "answer": "\n\n".join(part for part in (response.leading, response.answer, response.trailing) if part),
            "phase": self.phase,
            "verdict": self.verdict if self.ended is not None else None,
            "problem": self.problem,
            "waiting_for": self.waiting_for,
            "over_budget": self.over_budget,
            "finish": self.finish,
            "tokens": self.tokens,
            "thinking_tokens": self.thinking_tokens,
            "thinking_seconds": None if thinking is None else round(thinking, 2),
            "first_token_seconds": None if self.first is None else round(self.first - self.asked, 3),
            "tokens_per_second": None if rate is None else round(rate, 1),
            "seconds": round((self.clock() if self.ended is None else self.ended) - self.asked, 2),
        }


def opening(prompt_pieces: list[str] | None) -> str:
    """What must be written before a split thought to continue it: `<think>`, unless the prompt ends in it."""
    tail = "".join((prompt_pieces or [])[-8:]).rstrip("ĊĠ \n")
    return "" if tail.endswith(THINK_OPEN) else f"{THINK_OPEN}\n"
