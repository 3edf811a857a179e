"""The think/answer grammar: the one place that splits a completion into thought and answer.

Forms: inline `<think>…</think> <answer>…</answer>` (the answer tags may be absent), prefilled (the prompt ended
in `<think>`), split (`reasoning` and `content` fields of a server), cold start
(`| special_token | reasoning | special_token | Summary: …`, DeepSeek-R1 §2.3.1), and none.

Extraction is lenient and decides left to right, so a stream gives what the whole text gives. Only `</think>` ends a
thought: an `<answer>` written inside a thought is part of the thought. A tag that plain text only speaks of opens
nothing (`r1hf.text.mentions`). The strict check is `is_well_formed` in `r1hf.text.forms`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from r1hf.text import mentions

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
ANSWER_OPEN = "<answer>"
ANSWER_CLOSE = "</answer>"
TAGS = (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE)
BLOCK_GAP = " "  # between </think> and <answer>, as in the paper's template
SEPARATOR = "| special_token |"
SUMMARY_LABEL = "Summary:"
SUMMARY_LABELS = ("summary:", "summary：", "总结:", "总结：", "總結:", "總結：")

Channel = Literal["reasoning", "answer", "text"]
Form = Literal["inline", "prefilled", "split", "cold_start", "none"]
Mode = Literal["think_answer", "think_only", "cold_start"]

_SEPARATOR_WORD = "special_token"
SEPARATORS = re.compile(r"\|[ \t]{0,8}special_token[ \t]{0,8}\|")
_OPENERS = re.compile(rf"{THINK_OPEN}|{ANSWER_OPEN}|{SEPARATORS.pattern}")
_MOST_SPOKEN_OF = 64  # marks that a text can speak of; each is looked at with all that came before it
_LONGEST_MARK = len(_SEPARATOR_WORD) + 2 * 8 + 2


@dataclass(frozen=True)
class Response:
    """A completion split into its parts; every text is stripped of white space at both ends.

    `reasoning` is None where no thought was opened. `answer` is the text of `<answer>`, else the text after the
    thought, else None. `leading` is text before the first mark (all of it in the form "none"), `trailing` is text
    after `</answer>`.
    """

    reasoning: str | None
    answer: str | None
    form: Form
    thinking_closed: bool = False
    answer_tagged: bool = False
    answer_closed: bool = False
    leading: str = ""
    trailing: str = ""

    @property
    def truncated(self) -> bool:
        """True if a thought or an `<answer>` was opened and never closed."""
        return (self.reasoning is not None and not self.thinking_closed) or (
            self.answer_tagged and not self.answer_closed
        )

    @property
    def visible(self) -> str:
        """What a reader sees beside the thought: the answer, or the plain text where there is no answer."""
        return self.answer if self.answer is not None else self.leading


class Delta(NamedTuple):
    """A piece of a stream: its channel and its text, without the tags."""

    channel: Channel
    text: str


def parse(text: str, *, prefilled: bool = False) -> Response:
    """Split `text` leniently. `prefilled`: the prompt already held `<think>`."""
    parser = StreamParser(prefilled=prefilled)
    parser.feed(text)
    parser.close()
    return parser.response


def closes_unopened(text: str, *, final: bool = True) -> bool:
    """Whether plain text holds a `</think>` that is no mere mention: the prompt, unknown to us, ended in `<think>`.

    final: False where more may come, which may yet decide it.
    """
    if THINK_CLOSE not in text or not all(mentions.verdicts(text, THINK_OPEN, final=final)):
        return False
    return 0 in mentions.verdicts(text, THINK_CLOSE, final=final)


def opening(prompt: str) -> str:
    """`<think>` and the white space behind it, where a prompt ends so (a prefilled one); else nothing."""
    bare = prompt.rstrip()
    return THINK_OPEN + prompt[len(bare) :] if bare.endswith(THINK_OPEN) else ""


def from_split(reasoning: str | None, content: str | None) -> Response:
    """A response whose thought a server or tokenizer has already taken out of the text.

    A thought left inline in `content` is found when `reasoning` is empty.
    """
    inner = parse(content or "")
    plain = (content or "").strip()
    thought = (reasoning or "").strip() or None
    if thought is None and inner.reasoning is not None:
        return inner
    return Response(
        reasoning=thought,
        answer=inner.answer if inner.answer_tagged else plain or None,
        form="split",
        thinking_closed=thought is not None and bool(plain),
        answer_tagged=inner.answer_tagged,
        answer_closed=inner.answer_closed if inner.answer_tagged else bool(plain),
        leading=inner.leading if inner.answer_tagged else "",
        trailing=inner.trailing,
    )


class StreamParser:
    """The grammar over a stream: pieces of any size give, per channel, what `parse` gives for the whole.

    White space around a block is dropped, and text that may yet become a tag is held back until it is decided.
    The channel "text" carries `leading` and `trailing`.
    """

    def __init__(self, *, prefilled: bool = False):
        self._form: Form = "prefilled" if prefilled else "none"
        self._state = "prefill" if prefilled else "outside"
        self._buffer = ""
        self._plain = ""  # what came before the first mark, as it came
        self._spoken_of = 0  # marks that the text so far only speaks of
        self._space = ""
        self._parts: dict[str, list[str]] = {"leading": [], "reasoning": [], "answer": [], "trailing": []}
        self._has_thought = prefilled
        self._thinking_closed = self._tagged = self._answer_closed = self._closed = False

    def feed(self, piece: str) -> list[Delta]:
        """Take the next piece; returns what it decided. Raises ValueError after `close`."""
        if self._closed:
            raise ValueError("this StreamParser is closed: make a new one for the next completion")
        self._buffer += piece
        out: list[Delta] = []
        while self._buffer and self._step(out):
            pass
        return out

    def close(self) -> list[Delta]:
        """End the stream: what was held back is now plain text."""
        out: list[Delta] = []
        if not self._closed:
            self._closed = True
            while self._buffer and self._step(out):
                pass
            self._emit(out, len(self._buffer))
        return out

    @property
    def response(self) -> Response:
        """The parts so far; complete after `close`."""
        texts = {name: "".join(parts) for name, parts in self._parts.items()}
        answer = texts["answer"] if self._tagged else texts["answer"] or None
        return Response(
            reasoning=texts["reasoning"] if self._has_thought else None,
            answer=answer,
            form=self._form,
            thinking_closed=self._thinking_closed,
            answer_tagged=self._tagged,
            answer_closed=self._answer_closed if self._tagged else answer is not None,
            leading=texts["leading"],
            trailing=texts["trailing"],
        )

    def _step(self, out: list[Delta]) -> bool:
        """Consume what can be decided. True where the state changed and text is left to look at."""
        state = self._state
        if state == "outside":
            return self._until(_OPENERS, (THINK_OPEN, ANSWER_OPEN), True, out)
        if state == "thought":
            if self._form == "cold_start":
                return self._until(SEPARATORS, (), True, out)
            return self._until(_THINK_CLOSE, (THINK_CLOSE,), False, out)
        if state == "answer":
            return self._until(_ANSWER_CLOSE, (ANSWER_CLOSE,), False, out)
        if state == "prefill":
            return self._after_space((THINK_OPEN,), "thought")
        if state == "after":
            # What comes first after the thought decides: an <answer> tag, or a summary up to the end.
            labels = SUMMARY_LABELS if self._form == "cold_start" else ()
            return self._after_space((ANSWER_OPEN, *labels), "summary")
        self._emit(out, len(self._buffer))
        return False

    def _until(self, pattern: re.Pattern[str], tags: tuple[str, ...], separator: bool, out: list[Delta]) -> bool:
        match = pattern.search(self._buffer)
        if match is None:
            self._emit(out, len(self._buffer) - _held_back(self._buffer, tags, separator))
            return False
        self._emit(out, match.start())
        if self._state == "outside":
            length = self._mentioned(match[0])
            if length is None:
                return False
            if length:
                self._spoken_of += 1
                self._emit(out, length)
                return True
        self._cut(len(match[0]))
        self._enter(match[0])
        return True

    def _mentioned(self, mark: str) -> int | None:
        """`mentions.mentioned` of the mark with which the buffer begins; text that repeats itself is not believed."""
        if self._spoken_of >= _MOST_SPOKEN_OF:
            return 0
        after = self._buffer[len(mark) :]
        return mentions.mentioned(self._plain, mark, after, final=self._closed)

    def _after_space(self, marks: tuple[str, ...], otherwise: str) -> bool:
        self._buffer = self._buffer.lstrip()
        for mark in marks:
            if self._buffer[: len(mark)].lower() == mark:
                self._cut(len(mark))
                if mark == ANSWER_OPEN:
                    self._enter(mark)
                else:
                    self._state = otherwise
                return True
        if any(mark.startswith(self._buffer.lower()) for mark in marks):
            return False
        self._state = otherwise
        return True

    def _enter(self, mark: str) -> None:
        self._space = ""
        if mark == ANSWER_OPEN:
            self._tagged, self._state = True, "answer"
            self._form = "inline" if self._form == "none" else self._form
        elif mark == ANSWER_CLOSE:
            self._answer_closed, self._state = True, "trailing"
        elif mark == THINK_CLOSE or self._state == "thought":
            self._thinking_closed, self._state = True, "after"
        else:
            self._has_thought, self._state = True, "thought"
            self._form = "inline" if mark == THINK_OPEN else "cold_start"

    def _cut(self, count: int) -> None:
        self._buffer = self._buffer[count:]

    def _emit(self, out: list[Delta], count: int) -> None:
        """Move `count` characters of the buffer into the block of the current state."""
        text, self._buffer = self._buffer[:count], self._buffer[count:]
        if self._state == "outside":
            self._plain += text
        block, channel = _BLOCKS[self._state]
        parts = self._parts[block]
        if not parts:
            text = text.lstrip()
        body = text.rstrip()
        if not body:
            self._space += text
            return
        delta = Delta(channel, self._space + body)
        self._space = text[len(body) :]
        parts.append(delta.text)
        out.append(delta)


_THINK_CLOSE = re.compile(THINK_CLOSE)
_ANSWER_CLOSE = re.compile(ANSWER_CLOSE)
_BLOCKS: dict[str, tuple[str, Channel]] = {
    "outside": ("leading", "text"),
    "prefill": ("reasoning", "reasoning"),
    "thought": ("reasoning", "reasoning"),
    "after": ("answer", "answer"),
    "answer": ("answer", "answer"),
    "summary": ("answer", "answer"),
    "trailing": ("trailing", "text"),
}


def _held_back(buffer: str, tags: tuple[str, ...], separator: bool) -> int:
    """Length of the longest end of `buffer` that may still grow into one of the marks."""
    tail = buffer[-_LONGEST_MARK:]
    for start, char in enumerate(tail):
        if (char == "<" and any(tag.startswith(tail[start:]) for tag in tags)) or (
            char == "|" and separator and _may_be_separator(tail[start + 1 :])
        ):
            return len(tail) - start
    return 0


def _may_be_separator(text: str) -> bool:
    word = text.lstrip(" \t")
    if len(text) - len(word) > 8:
        return False
    if len(word) <= len(_SEPARATOR_WORD):
        return _SEPARATOR_WORD.startswith(word)
    gap = word[len(_SEPARATOR_WORD) :]
    return word.startswith(_SEPARATOR_WORD) and len(gap) <= 8 and not gap.strip(" \t")
