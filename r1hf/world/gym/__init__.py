"""Problems of reasoning-gym for a real model, split for good: what is held out is asked nowhere else.

A set is a task of reasoning-gym with its configuration, or `stories`, the tiny world's English word problems. Training
and evaluation draw with different seeds, and a held-out question that training has asked is left out; word problems
are held out by their template too.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import count, islice
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.data.rows import Row
from r1hf.verify.gym import check_installed, gym_row
from r1hf.world.arithmetic import story_problem
from r1hf.world.expressions import text
from r1hf.world.gym.solutions import SOLUTIONS, arithmetic

STORIES = "stories"
_BATCH = 200  # problems of one draw
_SPARE = 20  # draws without a new question: the set holds no more
_HELD_OUT_TEMPLATES = 4  # of GSM-Symbolic's templates one in so many is never trained on


def known_sets() -> list[str]:
    return [*SOLUTIONS, STORIES]


def check_set(name: str, config: Mapping[str, Any]) -> None:
    """Raises ConfigError where a set is unknown or its configuration is not its own."""
    if name not in known_sets():
        raise ConfigError(f"sets: {name!r} has no worked solutions; there are {', '.join(known_sets())}")
    if name == STORIES:
        if config:
            raise ConfigError(f"sets: {STORIES} takes no settings, not {', '.join(config)}")
        return
    check_installed()
    import reasoning_gym

    try:
        reasoning_gym.create_dataset(name, size=1, seed=0, **config)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(f"sets: {name}: reasoning-gym refuses {dict(config)}: {error}") from None


def _gym(name: str, config: Mapping[str, Any], seed: int, held_out: bool) -> Iterator[Row]:
    import reasoning_gym

    for draw in count():
        made = reasoning_gym.create_dataset(name, size=_BATCH, seed=seed + draw * _BATCH, **config)
        for place in range(_BATCH):
            if name == "gsm_symbolic" and (made.task_indices[place] % _HELD_OUT_TEMPLATES == 0) != held_out:
                continue
            entry = made[place]
            row = gym_row(name, config, entry)
            yield {**row, "question": row["question"].strip(), "task": "gym", "thought": SOLUTIONS[name](entry)}


def _stories(seed: int, held_out: bool) -> Iterator[Row]:
    rng = random.Random(seed)
    while True:
        one = story_problem("en", rng, held_out)
        thought = arithmetic(text(one.tree))
        yield {"question": one.question, "answer": one.answer, "task": "reasoning", "gym": None, "thought": thought}


def problems(
    name: str, config: Mapping[str, Any], wanted: int, seed: int, held_out: bool, asked: set[str]
) -> list[Row]:
    """`wanted` rows of a set with questions that are not in `asked`, which grows; fewer where the set has no more.

    Columns: question, answer, language, task, gym, kind (the set), id, thought (worked by rule).
    """
    drawn = _stories(seed, held_out) if name == STORIES else _gym(name, config, seed, held_out)
    rows: list[Row] = []
    for row in islice(drawn, _SPARE * _BATCH + 20 * wanted):
        if len(rows) == wanted:
            break
        if row["question"] not in asked:
            asked.add(row["question"])
            rows.append({**row, "language": "en", "kind": name, "id": f"{name}:{row['question']}"})
    return rows


def worked(rows: Iterable[Row]) -> list[Row]:
    """Rows with their solution as a completion in the form that models are trained to write."""
    return [
        {**without(row), "completion": f"<think>{row['thought']}</think> <answer>{row['answer']}</answer>"}
        for row in rows
    ]


def without(row: Row) -> Row:
    """A row as prompts have it: no solution."""
    return {key: value for key, value in row.items() if key != "thought"}
