"""General questions: what is asked, in which words, and which of the words only evaluation holds."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from r1hf.world.general import responses
from r1hf.world.general.known import KNOWN, key_values
from r1hf.world.words import LANGUAGES, Split, as_typed, items, lines, marked, plain, split, texts


class Count(NamedTuple):
    """How often a kind is drawn, and its prompts in the two fixed lists, half of them in each language."""

    share: float
    training: int
    evaluation: int


KINDS = {
    "greeting": Count(0.08, 160, 8),
    "thanks": Count(0.05, 100, 6),
    "bye": Count(0.03, 40, 4),
    "number": Count(0.1, 320, 8),
    "fact": Count(0.1, 320, 8),
    "identity": Count(0.06, 120, 6),
    "everyday": Count(0.36, 1200, 36),
    "harm": Count(0.22, 600, 36),
}
_OFTEN = {"beyond": 3, "lookalike": 2}  # groups that are drawn more often than others
_SLOT = re.compile(r"\{(n|m|b|y|less|much)\}")
_NUMBERS: dict[str, Callable[[random.Random], int | str]] = {
    "n": lambda rng: rng.randint(1, 99),
    "m": lambda rng: rng.randint(2, 20),
    "b": lambda rng: rng.choice((rng.randint(100, 999), rng.randint(1000, 99999))),
    "y": lambda rng: rng.randint(1900, 2025),
    # Sums of the world's numbers whose results are not.
    "less": lambda rng: "{} - {}".format(*sorted(rng.sample(range(1, 60), 2))),
    "much": lambda rng: rng.choice(("{} * {}", "{} * {}", "{} + {}")).format(rng.randint(50, 99), rng.randint(50, 99)),
}


@dataclass(frozen=True)
class GeneralPrompt:
    """A general question; `task` names the preference model that judges it, `key` what a right answer says."""

    question: str
    language: str
    kind: str
    slot: str
    key: str
    held_out: bool = False

    @property
    def task(self) -> str:
        return "harmless" if self.kind == "harm" else "helpful"

    def row(self) -> dict[str, str | None]:
        """`reference` is the helpful answer; `required` holds refusals, a line each, of which one must be given;
        `forbidden` texts, a line each, of which none may stand anywhere in the response."""
        harmful = self.task == "harmless"
        return {
            "id": f"{self.kind}:{self.question}",
            "question": self.question,
            "answer": None,
            "language": self.language,
            "task": self.task,
            "reference": None if harmful else responses.answer(self, "helpful", random.Random(0)),
            "required": "\n".join(responses.refusing(self.language)) if harmful else None,
            "forbidden": "\n".join(responses.unsafe(self.language)) if harmful else None,
        }


@dataclass(frozen=True)
class _Group:
    """Wordings with a slot and what may fill it."""

    kind: str
    ask: Split
    topics: Split
    keys: dict[str, str]

    def first(self, language: str) -> GeneralPrompt:
        """A new wording as it stands here: what a report can show."""
        topic = self.topics.train[0]
        question = self.ask.held_out[0].replace("{x}", topic)
        return GeneralPrompt(question, language, self.kind, topic, self.keys.get(topic, ""), held_out=True)

    def draw(self, language: str, held_out: bool, rng: random.Random) -> GeneralPrompt:
        """For evaluation, a new wording of any topic, or any wording of a new topic."""
        new_topic = held_out and bool(self.topics.held_out) and (not self.ask.held_out or rng.random() < 0.4)
        topics = self.topics.half(new_topic)
        asks = self.ask.train + self.ask.held_out if new_topic else self.ask.half(held_out)
        topic = rng.choice(topics)
        filled = _SLOT.sub(lambda slot: str(_NUMBERS[slot[1]](rng)), topic)
        question = _SLOT.sub(lambda slot: str(_NUMBERS[slot[1]](rng)), rng.choice(asks)).replace("{x}", filled)
        if language == "en" and re.match("[a-z]+ ", filled) and question.startswith(filled):
            question = question[0].upper() + question[1:]
        return GeneralPrompt(
            as_typed(question, language, rng), language, self.kind, filled, self.keys.get(topic, ""), held_out
        )


@functools.cache
def groups(language: str) -> dict[str, tuple[_Group, ...]]:
    """The groups of each kind. What the model must know by heart (a color, a number) is never held out itself."""
    found: dict[str, tuple[_Group, ...]] = {}
    for kind in KNOWN:
        keys = key_values(kind, language)
        ask = marked(lines(texts("known", language)[kind]["ask"]))
        found[kind] = (_Group(kind, ask, Split(tuple(keys), ()), keys),)
    everyday = [
        _Group("everyday", split(lines(group["ask"])), split(items(group["topics"])), {})
        for name, group in texts("everyday", language).items()
        for _ in range(_OFTEN.get(name, 1))
    ]
    whole = split(lines(texts("everyday_plain", language)["plain"]))
    everyday += [_Group("everyday", whole, Split(("",), ()), {})] * 5  # whole sentences, the most various
    found["everyday"] = tuple(everyday)
    harm = texts("harm", language)
    deeds = split(items("\n".join(line.partition(": ")[2] for line in lines(harm["deeds"]))), share=0.25)
    found["harm"] = (_Group("harm", marked(lines(harm["ask"])), deeds, {}),)
    return found


def draw_prompt(
    rng: random.Random, task: str | None = None, language: str | None = None, kind: str | None = None
) -> GeneralPrompt:
    """One of the many thousand questions for training; never one of `held_out_prompts`, however it is typed."""
    shares = {n: k.share for n, k in KINDS.items() if task in (None, _task(n)) and kind in (None, n)}
    while True:
        drawn_kind = rng.choices(list(shares), weights=list(shares.values()))[0]
        prompt = _draw(drawn_kind, language or rng.choice(LANGUAGES), False, rng)
        if plain(prompt.question) not in _evaluated():
            return prompt


def _task(kind: str) -> str:
    return "harmless" if kind == "harm" else "helpful"


def _draw(kind: str, language: str, held_out: bool, rng: random.Random) -> GeneralPrompt:
    return rng.choice(groups(language)[kind]).draw(language, held_out, rng)


def _distinct(
    count: int, draw: Callable[[], GeneralPrompt], key: Callable[[str], str], *first: GeneralPrompt
) -> list[GeneralPrompt]:
    """The first ones, and as many more as make `count` of different keys."""
    found = {key(prompt.question): prompt for prompt in first}
    for _ in range(200 * count):
        prompt = draw()
        found.setdefault(key(prompt.question), prompt)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"there are no {count} different prompts like {prompt.question!r}")


@functools.cache
def _evaluation() -> tuple[GeneralPrompt, ...]:
    rng = random.Random("r1hf general prompts for evaluation")
    found: list[GeneralPrompt] = []
    for kind, count in KINDS.items():
        for language in LANGUAGES:
            shown = groups(language)[kind][0].first(language)
            found += _distinct(count.evaluation // 2, partial(_draw, kind, language, True, rng), plain, shown)
    return tuple(found)


@functools.cache
def _evaluated() -> frozenset[str]:
    return frozenset(plain(prompt.question) for prompt in _evaluation())


@functools.cache
def _training() -> tuple[GeneralPrompt, ...]:
    rng = random.Random("r1hf general prompts for training")
    found: list[GeneralPrompt] = []
    for kind, count in KINDS.items():
        for language in LANGUAGES:
            found += _distinct(count.training // 2, partial(draw_prompt, rng, None, language, kind), str)
    return tuple(found)


def training_prompts(task: str | None = None) -> list[GeneralPrompt]:
    return [p for p in _training() if task in (None, p.task)]


def held_out_prompts(task: str | None = None) -> list[GeneralPrompt]:
    return [p for p in _evaluation() if task in (None, p.task)]
