"""The tiny world as files: what a practitioner would bring as data sets of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from r1hf.data.rows import write_rows
from r1hf.world import general
from r1hf.world.arithmetic import held_out_problems, longer_problems, training_problems

GENERAL_SFT, PAIRS, SAFETY, TEST = 4000, 3000, 2400, 400


def write_datasets(directory: Path, seed: int) -> dict[str, int]:
    """Writes every prompt and preference file; returns the number of rows of each."""
    train = {task: general.training_prompts(task) for task in ("helpful", "harmless")}
    test = {task: general.held_out_prompts(task) for task in ("helpful", "harmless")}
    files: dict[str, Callable[[], Iterable[Mapping[str, Any]]]] = {
        "train": lambda: [p.row() for p in training_problems()],
        "held_out": lambda: [p.row() for p in held_out_problems()],
        "held_out_longer": lambda: [p.row() for p in longer_problems()],
        "general_train": lambda: [p.row() for p in general.training_prompts()],
        "general_held_out": lambda: [p.row() for p in general.held_out_prompts()],
        "general_sft": lambda: general.sft_rows(GENERAL_SFT, seed),
        "helpful_pairs": lambda: general.preference_pairs(train["helpful"], PAIRS, seed),
        "helpful_pairs_test": lambda: general.preference_pairs(test["helpful"], TEST, seed + 1),
        "harmless": lambda: general.safety_rows(train["harmless"], SAFETY, seed),
        "harmless_test": lambda: general.safety_rows(test["harmless"], TEST, seed + 1),
    }
    return {name: write_rows(directory / f"{name}.jsonl", rows()) for name, rows in files.items()}
