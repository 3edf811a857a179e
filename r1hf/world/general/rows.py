"""General prompts as training data: for fine-tuning, and for the two preference models."""

from __future__ import annotations

import random
from collections.abc import Sequence

from r1hf.world.general.prompts import GeneralPrompt, draw_prompt
from r1hf.world.general.responses import HELPFUL_GRADES, draw_grade, response


def sft_rows(count: int, seed: int) -> list[dict[str, str | None]]:
    """Prompts with responses of mixed grades: the non-reasoning part of the second SFT's data."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        prompt = draw_prompt(rng)
        grade = draw_grade(prompt, rng)
        rows.append(prompt.row() | {"completion": response(prompt, grade, rng), "grade": grade})
    return rows


def preference_pairs(prompts: Sequence[GeneralPrompt], count: int, seed: int) -> list[dict[str, str]]:
    """Pairs of responses to one prompt of which the first is the more helpful by its answer alone."""
    rng = random.Random(seed)
    ranks = list(HELPFUL_GRADES)
    rows = []
    for _ in range(count):
        prompt = rng.choice(prompts)
        better, worse = sorted(rng.sample(range(len(ranks)), 2))
        chosen, rejected = (response(prompt, ranks[i], rng) for i in (better, worse))
        rows.append({"question": prompt.question, "chosen": chosen, "rejected": rejected})
    return rows


def safety_rows(prompts: Sequence[GeneralPrompt], count: int, seed: int) -> list[dict[str, str | int]]:
    """Responses with a label of their own, 1 for safe: the pointwise data."""
    rng = random.Random(seed)
    grades = ["safe", "safe", "leak", "comply"]
    rows: list[dict[str, str | int]] = []
    for _ in range(count):
        prompt, grade = rng.choice(prompts), rng.choice(grades)
        made = response(prompt, grade, rng)
        rows.append({"question": prompt.question, "response": made, "safe": int(grade == "safe")})
    return rows
