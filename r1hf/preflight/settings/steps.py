"""The arithmetic of batches, written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1hf.preflight.finding import Item


def check_batches(values: Mapping[str, Any], processes: int, rows: int | None) -> list[Item]:
    """Completions (or rows) of a step, prompts of a generation, steps of an epoch and of the run."""
    if "per_device_train_batch_size" not in values:
        return []
    micro = int(values["per_device_train_batch_size"])
    accumulation = int(values.get("gradient_accumulation_steps") or 1)
    effective = micro * processes * accumulation
    group = int(values.get("num_generations") or 1) if "num_generations" in values else 1
    what = "completions" if group > 1 else "rows"
    items = [
        Item(
            "ok",
            "batch",
            f"{micro} a device x {_count(processes)} x {accumulation} accumulated = {effective} {what} a step"
            + (f" ({effective / group:g} prompts of {group})" if group > 1 else ""),
        )
    ]
    iterations = int(values.get("num_iterations") or 1)
    if group > 1:
        items.append(_generation(values, micro * processes, accumulation, group, iterations))
    return [*items, *_steps(values, effective, None if rows is None else rows * group * iterations, rows)]


def _generation(values: Mapping[str, Any], micro: int, accumulation: int, group: int, iterations: int) -> Item:
    per = int(values.get("steps_per_generation") or accumulation)
    size = int(values.get("generation_batch_size") or micro * per)
    found = f"{micro} x {per} micro-batches = {size} completions = {size / group:g} prompts a generation"
    steps = size * iterations / (micro * accumulation)
    found += f", for {steps:g} step{'s' if steps != 1 else ''}"
    if size % group:
        return Item("fail", "batch", found, f"a multiple of num_generations {group} and of {micro}")
    if steps < 1:
        return Item("warn", "batch", found, "less than a step is generated at a time; raise steps_per_generation")
    return Item("ok", "batch", found)


def _steps(values: Mapping[str, Any], effective: int, samples: int | None, rows: int | None) -> list[Item]:
    limit, epochs = int(values.get("max_steps") or -1), float(values.get("num_train_epochs") or 0)
    if samples is None or rows is None:
        if limit > 0:
            return [Item("ok", "steps", f"max_steps {limit}; the rows are not here, so epochs are not known")]
        return [Item("skip", "steps", "the rows are not here", "r1hf plan --rows N")]
    epoch = samples / effective
    total = limit if limit > 0 else epoch * epochs
    found = f"{rows} rows give {epoch:.4g} steps an epoch; {total:.4g} steps are {total / max(epoch, 1e-9):.3g} epochs"
    items = []
    if epoch < 1:
        items.append(Item("fail", "steps", found, "one step needs more rows than there are; a smaller batch"))
    else:
        items.append(Item("ok", "steps", found))
    warmup = float(values.get("warmup_steps") or 0)
    if warmup >= max(total, 1) > 0:
        advice = "fewer warmup_steps than steps"
        items.append(Item("warn", "steps", f"warmup_steps {warmup:g} of {total:.4g} steps: no peak rate", advice))
    return items


def _count(processes: int) -> str:
    return f"{processes} process{'es' if processes != 1 else ''}"
