"""The tiny world as files: what a practitioner would bring as data sets of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1hf.data.rows import write_rows
from r1hf.world import general
from r1hf.world.arithmetic import LANGUAGES, held_out_problems, longer_problems, training_problems

GENERAL_SFT, PAIRS, SAFETY, TEST = 4000, 3000, 2400, 400


def write_datasets(directory: Path, seed: int) -> dict[str, int]:
    """Writes every prompt and preference file; returns the number of rows of each."""
    files: dict[str, Callable[[], Iterable[Mapping[str, Any]]]] = {
        "train": lambda: [p.row() for p in training_problems()],
        "held_out": lambda: [p.row() for p in held_out_problems()],
        "held_out_longer": lambda: [p.row() for p in longer_problems()],
    }
    counts = {name: write_rows(directory / f"{name}.jsonl", rows()) for name, rows in files.items()}
    return counts | write_general(directory, seed)


def write_general(
    directory: Path, seed: int, languages: Sequence[str] = LANGUAGES, share: float = 1.0
) -> dict[str, int]:
    """Writes the general prompts of some languages, with a share of the world's pairs and safety rows."""

    def prompts(found: Iterable[general.GeneralPrompt]) -> list[general.GeneralPrompt]:
        return [prompt for prompt in found if prompt.language in languages]

    train = {task: prompts(general.training_prompts(task)) for task in ("helpful", "harmless")}
    test = {task: prompts(general.held_out_prompts(task)) for task in ("helpful", "harmless")}
    sft, pairs, safety, tests = (round(number * share) for number in (GENERAL_SFT, PAIRS, SAFETY, TEST))
    files: dict[str, Callable[[], Iterable[Mapping[str, Any]]]] = {
        "general_train": lambda: [p.row() for p in prompts(general.training_prompts())],
        "general_held_out": lambda: [p.row() for p in prompts(general.held_out_prompts())],
        "general_sft": lambda: [row for row in general.sft_rows(sft, seed) if row["language"] in languages],
        "helpful_pairs": lambda: general.preference_pairs(train["helpful"], pairs, seed),
        "helpful_pairs_test": lambda: general.preference_pairs(test["helpful"], tests, seed + 1),
        "harmless": lambda: general.safety_rows(train["harmless"], safety, seed),
        "harmless_test": lambda: general.safety_rows(test["harmless"], tests, seed + 1),
    }
    return {name: write_rows(directory / f"{name}.jsonl", rows()) for name, rows in files.items()}
