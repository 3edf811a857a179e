"""Predict memory of each phase, time of each step, GPU-hours and cost of a stage or a pipeline. Nothing is launched.

  r1hf plan --config recipes/configs/qwen2.5-7b/r1_zero.yaml --gpus 8xH100 --launch recipes/accelerate/zero3.yaml
  r1hf plan --config recipes/configs/qwen2.5-7b/pipeline.yaml --gpus 8xH100 --price 2.1

Exit status: 0 it fits, 1 it does not, or nothing can be said.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.commands.table import bullets, table

if TYPE_CHECKING:
    from r1hf.preflight.estimate.cost import Plan
    from r1hf.preflight.estimate.one_stage import StagePlan

_GIB = 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, type=Path, metavar="FILE.yaml", help="of a stage or a pipeline")
    parser.add_argument("--recipe", metavar="NAME|FILE.py", help="the stage's recipe (default: as the file says)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeat it")
    parser.add_argument("--gpus", default="1xH100", metavar="8xH100", help="what it would run on, or cpu")
    parser.add_argument("--launch", type=Path, metavar="FILE.yaml", help="the accelerate file: processes and sharding")
    parser.add_argument("--shape", metavar="MODEL", help="plan for this model's architecture instead")
    parser.add_argument("--prompt-tokens", type=int, metavar="N", help="tokens of the longest prompt")
    parser.add_argument("--mean", type=float, metavar="SHARE", help="mean length as a share of the longest (0.5)")
    parser.add_argument("--rows", type=int, metavar="N", help="rows of the data, where it is not here")
    parser.add_argument("--price", type=float, metavar="USD", help="of a GPU-hour (default: assumed)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from r1hf.preflight.estimate.cost import make_plan
    from r1hf.preflight.estimate.gpus import parse_gpus
    from r1hf.preflight.estimate.one_stage import Given
    from r1hf.preflight.stages import load

    cluster = parse_gpus(options.gpus)
    processes = None if options.launch else cluster.count
    stages, problems = load(options.config, options.recipe, options.set, options.launch, processes)
    given = Given(options.prompt_tokens, options.mean, options.rows, options.shape)
    plan = make_plan(stages, cluster, given, options.price)
    if options.json:
        print(json.dumps(as_json(plan), ensure_ascii=False, indent=2))
    else:
        print(render(plan))
        if problems:
            print("\n" + bullets("The pipeline's file", problems))
    return 0 if plan.stages and plan.fits else 1


def render(plan: Plan) -> str:
    """The tables of all stages, their sum, and every assumption."""
    from r1hf.preflight.estimate.step_time import Assumed

    blocks = [_stage(stage, plan) for stage in plan.stages]
    if len(plan.stages) + len(plan.skipped) > 1 and plan.stages:
        blocks.append(_total(plan))
    if plan.skipped:
        blocks.append(bullets("Not planned", [f"{name}: {why}" for name, why in plan.skipped.items()]))
    if any(stage.times for stage in plan.stages):
        lines = [*Assumed().lines(), f"a GPU-hour costs ${plan.price:.2f} ({plan.priced})"]
        blocks.append(bullets("Assumed for all times; none was measured", lines))
    return "\n\n".join(blocks)


def _stage(stage: StagePlan, plan: Plan) -> str:
    from r1hf.preflight.estimate.one_stage import advice

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
        blocks.append(_times(stage, plan))
    if lines := advice(stage):
        blocks.append(bullets("To make it fit", lines))
    if stage.notes:
        blocks.append(bullets("Assumed", stage.notes))
    return "\n".join(blocks)


def _times(stage: StagePlan, plan: Plan) -> str:
    times = stage.times
    assert times is not None
    if stage.job.kind == "sample":
        where = "one GPU" if stage.job.processes == 1 else f"{stage.job.processes} GPUs"
        return f"  {stage.job.samples} samples: {_hours(stage.hours)} on {where}, {_money(plan.cost(stage.hours))}"
    parts = f"generation {times.generation:.1f} s, reference {times.scoring:.1f} s, training {times.training:.1f} s"
    steps = "" if stage.job.steps is None else f", {stage.job.steps} steps"
    return (
        f"  a step: {times.step:.1f} s ({parts}){steps}\n"
        f"  {_hours(stage.hours)}, {_hours(stage.gpu_hours, 'GPU-hours')}, {_money(plan.cost(stage.gpu_hours))}"
    )


def _total(plan: Plan) -> str:
    rows = [
        [stage.name, _gib(stage.memory.needed), _hours(stage.gpu_hours, ""), _money(plan.cost(stage.gpu_hours))]
        for stage in plan.stages
    ]
    rows.append(["all", "", _hours(plan.gpu_hours, ""), _money(plan.cost(plan.gpu_hours))])
    return "All stages\n" + table(["stage", "GiB per device", "GPU-hours", "cost"], rows)


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan in JSON's types: bytes, seconds, hours, dollars."""
    from r1hf.preflight.estimate.one_stage import advice

    return {
        "fits": plan.fits,
        "gpu_hours": plan.gpu_hours,
        "price": plan.price,
        "priced": plan.priced,
        "cost": plan.cost(plan.gpu_hours),
        "skipped": plan.skipped,
        "stages": [
            {
                "name": stage.name,
                "recipe": stage.recipe,
                "model": stage.job.shape.name,
                "parameters": stage.job.shape.parameters,
                "gpus": stage.cluster.name,
                "memory": {phase.name: phase.parts for phase in stage.memory.phases},
                "needed": stage.memory.needed,
                "available": stage.memory.available,
                "fits": stage.memory.fits,
                "seconds": None
                if stage.times is None
                else {
                    "generation": stage.times.generation,
                    "reference": stage.times.scoring,
                    "training": stage.times.training,
                    "step": stage.times.step,
                },
                "steps": stage.job.steps,
                "gpu_hours": stage.gpu_hours,
                "cost": plan.cost(stage.gpu_hours),
                "advice": advice(stage),
                "assumed": list(stage.notes),
            }
            for stage in plan.stages
        ],
    }


def _gib(value: float) -> str:
    return f"{value / _GIB:.2f}"


def _hours(value: float | None, unit: str = "hours") -> str:
    return ("unknown " + unit if value is None else f"{value:,.2f} {unit}").strip()


def _money(value: float | None) -> str:
    return "cost unknown" if value is None else f"${value:,.2f}"
