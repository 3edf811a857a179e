"""The arithmetic of batches and steps, written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1hf.preflight.finding import Finding
from r1hf.trainers.batch_sizes import BatchSizes


def check_steps(values: Mapping[str, Any], processes: int, rows: int | None) -> list[Finding]:
    """Completions (or rows) of a step, prompts of a generation, steps of an epoch and of the run. Nothing for a stage
    without a trainer. rows: of the data, None where it is not here.
    """
    if "per_device_train_batch_size" not in values:
        return []
    sizes = BatchSizes.of(values, processes)
    what = "completions" if sizes.group > 1 else "rows"
    prompts = f" ({sizes.step / sizes.group:g} prompts of {sizes.group})" if sizes.group > 1 else ""
    text = (
        f"{sizes.rows} a device x {_count(processes)} x {sizes.accumulation} accumulated = {sizes.step} {what} a step"
    )
    findings = [Finding("note", "batch", text + prompts)]
    if sizes.group > 1:
        findings.append(_generation(sizes))
    return [*findings, *_steps(values, sizes, rows)]


def _generation(sizes: BatchSizes) -> Finding:
    steps = sizes.steps_per_rollout
    found = (
        f"{sizes.micro} x {sizes.per_generation} micro-batches = {sizes.generation} completions = "
        f"{sizes.generation / sizes.group:g} prompts a generation, for {steps:g} step{'s' if steps != 1 else ''}"
    )
    if sizes.generation % sizes.group:
        return Finding("error", "batch", found, f"a multiple of num_generations {sizes.group} and of {sizes.micro}")
    if steps < 1:
        return Finding(
            "warning", "batch", found, "less than a step is generated at a time; raise steps_per_generation"
        )
    return Finding("note", "batch", found)


def _steps(values: Mapping[str, Any], sizes: BatchSizes, rows: int | None) -> list[Finding]:
    limit = int(values.get("max_steps") or -1)
    if rows is None:
        if limit > 0:
            return [Finding("note", "steps", f"max_steps {limit}; the rows are not here, so epochs are not known")]
        return [Finding("skipped", "steps", "the rows are not here", "--data-rows N")]
    epoch = sizes.epoch(rows)
    total = limit if limit > 0 else epoch * float(values.get("num_train_epochs") or 0)
    found = f"{rows} rows give {epoch:.4g} steps an epoch; {total:.4g} steps are {total / max(epoch, 1e-9):.3g} epochs"
    findings = [Finding("note", "steps", found)]
    if epoch < 1:
        findings = [Finding("error", "steps", found, "one step needs more rows than there are; a smaller batch")]
    warmup = float(values.get("warmup_steps") or 0)
    if warmup >= max(total, 1) > 0:
        text = f"warmup_steps {warmup:g} of {total:.4g} steps: no peak rate"
        findings.append(Finding("warning", "steps", text, "fewer warmup_steps than steps"))
    return findings


def _count(processes: int) -> str:
    return f"{processes} process{'es' if processes != 1 else ''}"
