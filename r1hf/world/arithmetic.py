"""The tiny world's problems: sums of two to five numbers and small stories, in English and Chinese.

Whether an expression may be asked in training is decided by its text alone (`expressions.held_out`), whatever the
seed, and evaluation asks in wordings of its own. So a held-out problem is new by construction.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass

from r1hf.data.sums import Operation, parse, value
from r1hf.world.expressions import drawn, for_training, held_out, remains, size, text, within, wrong_remains
from r1hf.world.stories import Story, stories
from r1hf.world.wordings import ask, held_out_ask

LANGUAGES = ("en", "zh")
TRAINING = 3000  # problems of the prompts' file; training text is drawn without end
EVALUATION: dict[int | str, int] = {2: 90, 3: 210, 4: 130, 5: 60, "story": 110}  # problems of the held-out set
LONGER = 200  # problems of one number more than training ever has
_KINDS: dict[int | str, float] = {2: 0.16, 3: 0.29, 4: 0.2, 5: 0.09, "story": 0.26}


@dataclass(frozen=True)
class Problem:
    """A question in one language, with its gold answer. kind: how many numbers it has, or "story"."""

    tree: Operation
    language: str
    question: str
    kind: int | str

    @property
    def answer(self) -> str:
        return str(value(self.tree))

    def steps(self) -> list[str]:
        """What is written down on the way to the answer: what is left after each operation; first the sum itself,
        where it is a single one or the question only tells it."""
        return [*self._read(), *remains(self.tree)]

    def wrong_steps(self, rng: random.Random) -> list[str]:
        """The same from left to right, or with a slip. Never reaches the right answer."""
        return [*self._read(), *wrong_remains(self.tree, rng)]

    def _read(self) -> list[str]:
        written = text(self.tree, "")
        return [] if size(self.tree) > 2 and written in self.question.replace(" ", "") else [written]

    def row(self) -> dict[str, str]:
        """The columns that prompts carry through every stage."""
        return {
            "question": self.question,
            "answer": self.answer,
            "language": self.language,
            "task": "reasoning",
            "kind": str(self.kind),
            "id": f"{self.language}:{self.question}",
        }


def sum_problem(numbers: int, language: str, rng: random.Random, kept: bool = False) -> Problem:
    """A question for an expression; `kept`: a held-out one, in a wording of its own."""
    tree = drawn(numbers, rng, kept)
    asks = held_out_ask if kept else ask
    return Problem(tree, language, asks(text(tree), language, rng), numbers)


@functools.cache
def _by_shape(language: str, kept: bool) -> dict[str, tuple[Story, ...]]:
    found: dict[str, list[Story]] = {}
    for story in stories(language, kept):
        found.setdefault(story.shape, []).append(story)
    return {shape: tuple(items) for shape, items in found.items()}


def story_problem(language: str, rng: random.Random, kept: bool = False) -> Problem:
    """A small story; `kept`: a held-out expression in a held-out wording."""
    shapes = _by_shape(language, kept)
    while True:
        story = rng.choice(shapes[rng.choice(list(shapes))])
        values = {letter: rng.randint(1, 12 if rng.random() < 0.8 else 40) for letter in story.letters}
        if not story.fits(values):
            continue
        tree = parse("".join(str(values.get(letter, letter)) for letter in story.shape))
        if not isinstance(tree, Operation) or not within(tree):
            continue
        if held_out(text(tree)) if kept and size(tree) > 2 else for_training(tree):
            return Problem(tree, language, story.tell(values, rng), "story")


def problem(rng: random.Random, kind: int | str | None = None, kept: bool = False) -> Problem:
    """A problem of training text, or with `kept` one that training never sees."""
    language = rng.choice(LANGUAGES)
    kind = kind or rng.choices(list(_KINDS), weights=list(_KINDS.values()))[0]
    return story_problem(language, rng, kept) if isinstance(kind, str) else sum_problem(kind, language, rng, kept)


def _distinct(rng: random.Random, counts: Mapping[int | str, int], kept: bool) -> list[Problem]:
    found: dict[str, Problem] = {}
    for kind, count in counts.items():
        wanted = len(found) + count
        while len(found) < wanted:
            one = problem(rng, kind, kept)
            found.setdefault(one.question, one)
    return list(found.values())


@functools.cache
def training_problems() -> tuple[Problem, ...]:
    """The prompts of the reinforcement-learning and sampling stages, each question once."""
    total = sum(_KINDS.values())
    counts: dict[int | str, int] = {kind: round(TRAINING * share / total) for kind, share in _KINDS.items()}
    return tuple(_distinct(random.Random("r1hf tiny world, training"), counts, kept=False))


@functools.cache
def held_out_problems() -> tuple[Problem, ...]:
    """The evaluation set: held-out expressions in held-out wordings."""
    return tuple(_distinct(random.Random("r1hf tiny world, evaluation"), EVALUATION, kept=True))


@functools.cache
def longer_problems() -> tuple[Problem, ...]:
    """Sums of six numbers: one operation more than any text of training."""
    return tuple(_distinct(random.Random("r1hf tiny world, longer"), {6: LONGER}, kept=True))
