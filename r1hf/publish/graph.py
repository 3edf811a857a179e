"""The run as a tree of models in plain text, and short names for what a stage was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from r1hf.publish.card import one_line
from r1hf.publish.lineage import Made, Parent

METHODS = {
    "base": "pretraining",
    "import_model": "taken in",
    "r1_zero": "RL (GRPO)",
    "reasoning_rl": "RL (GRPO) with language consistency",
    "all_scenario_rl": "RL (GRPO) with preferences",
    "sft": "SFT",
    "distill": "distillation by SFT",
    "cold_start": "sampled and rewritten",
    "rejection_sampling": "rejection sampling",
    "reward_models": "reward models",
}


def method(stage: Made) -> str:
    """What a stage does, by its recipe."""
    recipe = Path(stage.manifest.recipe).stem
    return "pretraining" if stage.inside else METHODS.get(recipe, recipe)


def short_name(stage: Made, parent: Parent) -> str:
    """`sft2` for a model, `rejection_sampling` for its data.jsonl, `train` for base/data/train.jsonl, or a Hub id."""
    if parent.repo is not None:
        return parent.repo
    origin = stage.find(parent)
    if origin is None:
        return Path(parent.path).name
    if origin.inside in ("", "data.jsonl"):
        return origin.manifest.stage
    return Path(origin.inside).stem if "." in origin.inside else origin.name


def draw(stages: Sequence[Made], marked: str) -> str:
    """One line a model, below what it was trained from; then one line for each stage that makes data."""
    models = [stage for stage in stages if stage.is_model]
    above: dict[str, str | None] = {}
    for stage in models:
        step = stage.model_parent()
        above[stage.name] = None if step is None else short_name(stage, step[0])
    outside = [name for name in dict.fromkeys(above.values()) if name is not None and name not in above]
    lines: list[str] = []

    def branch(name: str, label: str, lead: str, end: bool | None) -> None:
        knot = "" if end is None else "└── " if end else "├── "
        mark = "   <- this model" if name == marked else ""
        lines.append(f"{lead}{knot}{name}{label}{mark}")
        below = [stage for stage in models if above[stage.name] == name]
        inner = lead if end is None else lead + ("    " if end else "│   ")
        for stage in below:
            branch(stage.name, f"  ({_label(stage)})", inner, stage is below[-1])

    for name in outside:
        branch(name, "", "", None)
    for stage in models:
        if above[stage.name] is None:
            branch(stage.name, f"  ({method(stage)})", "", None)
    for stage in stages:
        if not stage.is_model and not stage.manifest.recipe.endswith("evaluate.py"):
            mark = "   <- this data" if stage.name == marked else ""
            origins = ", ".join(dict.fromkeys(short_name(stage, parent) for parent in stage.parents))
            lines.append(f"{stage.name}: {method(stage)}, from {origins}{mark}")
    return "\n".join(map(one_line, lines))


def _label(stage: Made) -> str:
    data = [short_name(stage, parent) for parent in stage.parents if not parent.is_model]
    return f"{method(stage)} on {', '.join(data)}" if data else method(stage)
