"""A plan of a stage or of a whole pipeline, with what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.source import paths_of
from r1hf.data.rows import load_rows, without_gold
from r1hf.models.shapes import Shape, shape_of
from r1hf.preflight.estimate.gpus import PRICED, Cluster
from r1hf.preflight.estimate.one_stage import Given, StagePlan, kind_of, no_plan, plan_stage, total_hours
from r1hf.preflight.stages import Loaded


@dataclass(frozen=True)
class Plan:
    """stages: what can be said. skipped: stage -> why nothing can. price: dollars a GPU-hour."""

    stages: tuple[StagePlan, ...]
    skipped: dict[str, str]
    price: float | None
    priced: str

    @property
    def gpu_hours(self) -> float | None:
        return total_hours(self.stages)

    def cost(self, hours: float | None) -> float | None:
        return None if hours is None or self.price is None else hours * self.price

    @property
    def fits(self) -> bool:
        return all(stage.memory.fits is not False for stage in self.stages)


def make_plan(
    stages: Sequence[Loaded], cluster: Cluster, given: Given | None = None, price: float | None = None
) -> Plan:
    """Plans every stage that trains or samples a language model."""
    given = given or Given()
    shapes: dict[str, Shape] = {}
    plans, skipped = [], {}
    for stage in stages:
        try:
            values = _values(stage)
            shape = model_shape(stage, values, shapes, given)
            if shape is not None:
                shapes[stage.name] = shape
            if kind_of(values) is None:
                skipped[stage.name] = no_plan(values)
                continue
            rows = count_rows(stage)
            own = given if given.prompt else replace(given, prompt=longest_prompt(stage, values))
            plans.append(plan_stage(stage.name, stage.recipe.stem, values, cluster, stage.launch, rows, own, shape))
        except R1Error as error:
            skipped[stage.name] = "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)
    source = f"assumed, {PRICED}" if price is None else "given"
    if price is None and cluster.device is not None:
        price = cluster.device.price
    return Plan(tuple(plans), skipped, price, source)


def _values(stage: Loaded) -> dict[str, Any]:
    if stage.parsed is None or any(config is None for config in stage.parsed.configs):
        raise ConfigError(stage.problems or ["cannot be read"])
    return stage.values


def model_shape(stage: Loaded, values: Mapping[str, Any], shapes: Mapping[str, Shape], given: Given) -> Shape | None:
    """The shape of the stage's model: given, on disk, or that of the stage which makes it."""
    if given.shape is not None:
        return shape_of(given.shape)
    for key in ("model", "models"):
        parents = stage.upstream.get(key, [])
        known = [shapes[parent] for parent in parents if parent in shapes]
        if known:
            return known[0]
        paths = paths_of(values.get(key))
        if paths:
            return shape_of(paths[0])
    return None


def longest_prompt(stage: Loaded, values: Mapping[str, Any], most: int = 512) -> int | None:
    """Tokens of the longest of the first `most` prompts, where rows and tokenizer are here and no limit is set."""
    source, model = values.get("prompts"), values.get("model")
    if kind_of(values) != "grpo" or values.get("max_prompt_length") or not isinstance(model, str) or not source:
        return None
    if not all(Path(path).is_file() for path in paths_of(source)):
        return None
    from r1hf.data.lengths import token_counts
    from r1hf.preflight.settings.round_trip import find_tokenizer
    from r1hf.trainers.rl import prompt_rows

    try:
        tokenizer = find_tokenizer(model)
        if tokenizer is None:
            return None
        rows = prompt_rows(load_rows(source)[:most], values.get("prompt_template"))
        return max(token_counts([row["prompt"] for row in rows], tokenizer, add_generation_prompt=True))
    except (R1Error, OSError, ValueError, KeyError):
        return None  # the doctor says why


def count_rows(stage: Loaded) -> int | None:
    """Rows of the prompts or data, where they are files here; None where they are not."""
    if stage.parsed is None:
        return None
    for key in ("prompts", "data", "helpful"):
        source = stage.parsed.inputs.get(key)
        if source and all(Path(path).is_file() for path in paths_of(source)):
            try:
                return sum(key == "data" or not without_gold(row) for row in load_rows(source))
            except R1Error:
                return None
    return None
