"""Estimates as tables: memory of each phase, time of each step, GPU-hours and cost."""

from __future__ import annotations

from r1hf.commands.table import bullets, table
from r1hf.preflight.estimate.cost import Total
from r1hf.preflight.estimate.one_stage import StagePlan, advice
from r1hf.preflight.estimate.step_time import Assumed

_GIB = 2**30


def estimate_table(stage: StagePlan, total: Total) -> str:
    """Memory of each phase, what a step takes, and what to change where it does not fit."""
    shape, job = stage.job.shape, stage.job
    head = (
        f"{stage.name}: {stage.recipe} of {shape.name} ({shape.parameters / 1e9:.2f} billion parameters) on "
        f"{stage.cluster.name}, {job.processes} process{'es' if job.processes != 1 else ''}, {job.sharding} sharding"
    )
    names = list(dict.fromkeys(name for phase in stage.memory.phases for name in phase.parts))
    rows = [
        [name, *(_gib(phase.parts[name]) if name in phase.parts else "—" for phase in stage.memory.phases)]
        for name in names
    ]
    rows.append(["sum", *(_gib(phase.total) for phase in stage.memory.phases)])
    blocks = [head, table(["GiB per device", *(phase.name for phase in stage.memory.phases)], rows)]
    room = "" if stage.memory.available is None else f" of {_gib(stage.memory.available)}"
    verdict = {True: "fits", False: "DOES NOT FIT", None: "peak of the tensors"}[stage.memory.fits]
    blocks.append(f"  {verdict}: {_gib(stage.memory.needed)} GiB{room}, fragments and context included")
    if stage.times is not None:
        blocks.append(_times(stage, total))
    if lines := advice(stage):
        blocks.append(bullets("To make it fit", lines))
    if stage.notes:
        blocks.append(bullets("Assumed", stage.notes))
    return "\n".join(blocks)


def _times(stage: StagePlan, total: Total) -> str:
    times = stage.times
    assert times is not None
    if stage.job.kind == "sample":
        where = "one GPU" if stage.job.processes == 1 else f"{stage.job.processes} GPUs"
        return f"  {stage.job.samples} samples: {_hours(stage.hours)} on {where}, {_money(total.cost(stage.hours))}"
    parts = f"generation {times.generation:.1f} s, reference {times.scoring:.1f} s, training {times.training:.1f} s"
    steps = "" if stage.job.steps is None else f", {stage.job.steps} steps"
    return (
        f"  a step: {times.step:.1f} s ({parts}){steps}\n"
        f"  {_hours(stage.hours)}, {_hours(stage.gpu_hours, 'GPU-hours')}, {_money(total.cost(stage.gpu_hours))}"
    )


def total_table(total: Total) -> str:
    """A line a stage, and their sum."""
    rows = [
        [stage.name, _gib(stage.memory.needed), _hours(stage.gpu_hours, ""), _money(total.cost(stage.gpu_hours))]
        for stage in total.stages
    ]
    rows.append(["all", "", _hours(total.gpu_hours, ""), _money(total.cost(total.gpu_hours))])
    return "All stages\n" + table(["stage", "GiB per device", "GPU-hours", "cost"], rows)


def assumptions(total: Total) -> str | None:
    """What all times rest on; None where no time was predicted."""
    if not any(stage.times for stage in total.stages):
        return None
    lines = [*Assumed().lines(), f"a GPU-hour costs ${total.price:.2f} ({total.priced})"]
    return bullets("Assumed for all times; none was measured", lines)


def _gib(value: float) -> str:
    return f"{value / _GIB:.2f}"


def _hours(value: float | None, unit: str = "hours") -> str:
    return ("unknown " + unit if value is None else f"{value:,.2f} {unit}").strip()


def _money(value: float | None) -> str:
    return "cost unknown" if value is None else f"${value:,.2f}"
