"""Whether a stage has room: on the disk that it writes to, and in the memory of the devices that it is meant for."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.gpus import GIB
from r1hf.models.shapes import Shape
from r1hf.preflight.estimate.one_stage import StagePlan, advice, kind_of
from r1hf.preflight.finding import Finding, Grade


def check_disk(
    values: Mapping[str, Any], shape: Shape | None, steps: int | None, elsewhere: bool = False
) -> list[Finding]:
    """Checkpoints (weights and the optimizer's states) and the output against what is free at output_dir.

    elsewhere: it will be launched on another machine than this.
    """
    directory = Path(str(values.get("output_dir") or "."))
    place = next(path for path in (directory.resolve(), *directory.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if shape is None or kind_of(values) in (None, "sample"):
        return [Finding("ok", "disk", f"{free / GIB:.1f} GiB free at {place}")]
    lora = bool(values.get("use_peft"))
    weights = 4.0 * shape.parameters
    one = weights * 0.02 if lora else 3 * weights
    count = _checkpoints(values, steps)
    needed = weights + one * count
    found = (
        f"{weights / GIB:.1f} GiB of weights and {count} checkpoint{'s' if count != 1 else ''} of {one / GIB:.1f} GiB "
        f"= {needed / GIB:.1f} GiB; {free / GIB:.1f} free at {place}"
    )
    if needed > free:
        grade: Grade = "warning" if elsewhere else "error"
        return [Finding(grade, "disk", found, "save_total_limit, another output_dir, or more room")]
    return [Finding("warning" if needed > 0.8 * free else "ok", "disk", found)]


def _checkpoints(values: Mapping[str, Any], steps: int | None) -> int:
    """Most that lie there at once; one more than the limit while the next is written."""
    if values.get("save_strategy") == "no":
        return 0
    every = float(values.get("save_steps") or 500)
    made = 1 if values.get("save_strategy") == "epoch" or steps is None else max(1, round(steps / max(every, 1)))
    limit = values.get("save_total_limit")
    return min(made, int(limit) + 1) if limit else made


def check_memory(plan: StagePlan | ConfigError | None, assumed: bool) -> list[Finding]:
    """The prediction against the devices, or against this machine's memory for a stage on the CPU. assumed: nobody
    named the devices, and they are not here.
    """
    if plan is None:
        return []
    if isinstance(plan, ConfigError):
        return [Finding("skipped", "memory", "; ".join(plan.problems))]
    peak = f"{plan.memory.worst.name} takes {plan.memory.needed / GIB:.1f} GiB"
    if plan.cluster.device is not None:
        found = f"{peak} of {plan.cluster.device.memory / GIB:.1f} on {plan.cluster.name}"
        if assumed:
            found += ", which is assumed: no GPU is here, and --gpus names none"
        grade: Grade = "ok" if plan.memory.fits else "warning" if assumed else "error"
        return [Finding(grade, "memory", found, "; ".join(advice(plan)[1:]))]
    free = _ram()
    if free is None:
        return [Finding("ok", "memory", peak)]
    found = f"{peak}; {free / GIB:.1f} GiB are available"
    if plan.memory.needed > free:
        return [Finding("error", "memory", found, "a smaller per_device_train_batch_size, or gradient_checkpointing")]
    return [Finding("ok", "memory", found)]


def check_positions(plan: StagePlan | ConfigError | None) -> list[Finding]:
    """Whether the longest rows fit into the model's positions."""
    if not isinstance(plan, StagePlan) or not plan.job.shape.context:
        return []
    row, context = plan.job.completion, plan.job.shape.context
    if row <= context:
        return []
    found = f"rows of up to {row} tokens; {plan.job.shape.name} has positions for {context}"
    return [Finding("warning", "length", found, "a shorter length, or a model with a longer context")]


def _ram() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return float(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    except (OSError, StopIteration):
        return None
