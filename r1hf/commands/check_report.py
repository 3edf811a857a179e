"""The report of a check, for people and as JSON."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable
from typing import Any

from r1hf.commands.estimate_tables import assumptions, estimate_table, total_table
from r1hf.commands.reward_tables import reward_tables
from r1hf.preflight.check import Report, StageReport
from r1hf.preflight.estimate.cost import Total
from r1hf.preflight.estimate.one_stage import StagePlan, advice
from r1hf.preflight.finding import Finding, counts

_WIDTH = 118


def render(report: Report) -> str:
    """A block for each stage, then every error once more, then the sum."""
    detailed = len(report.stages) == 1 or len(report.asked.parts) == 1
    blocks = ["\n".join(_lines(report.common, ""))] if report.common else []
    blocks += [_stage(stage, report.total, detailed) for stage in report.stages]
    if len(report.stages) > 1 and report.total.stages:
        blocks.append("All stages\n" + total_table(report.total))
    if detailed and (text := assumptions(report.total)) is not None:
        blocks.append(text)
    found = list(report.findings)
    errors = [(stage, finding) for stage, _, finding in found if finding.grade == "error"]
    if len(report.stages) > 1 and errors:
        blocks.append("\n".join(["To mend", *(line for stage, one in errors for line in _lines([one], f"{stage}: "))]))
    count = counts(finding for _, _, finding in found)
    said = [f"{number} {grade}{'s' if grade in _PLURAL and number != 1 else ''}" for grade, number in count.items()]
    blocks.append(f"{'passed' if report.passed else 'FAILED'}: {', '.join(said)}")
    return "\n\n".join(blocks)


_PLURAL = ("error", "warning", "note")


def _stage(stage: StageReport, total: Total, detailed: bool) -> str:
    read = stage.facts.stage
    lines = [f"{stage.name}: {read.recipe.name} with {read.config}"]
    for part, findings in stage.findings.items():
        if findings:
            lines += [f"  {part}", *_lines(findings, "", "    ")]
    blocks = ["\n".join(lines)]
    if stage.rewards is not None and (detailed or not stage.rewards.passed):
        blocks += reward_tables(stage.rewards)
    if stage.plan is not None and detailed:
        blocks.append(estimate_table(stage.plan, total))
    return "\n\n".join(blocks)


def _lines(findings: Iterable[Finding], prefix: str, indent: str = "  ") -> list[str]:
    lines = []
    for one in findings:
        head = f"{indent}{one.grade:<7}  {one.what:<9} "
        text = f"{prefix}{one.where}: {one.found}" if one.where else f"{prefix}{one.found}"
        text = f"{text} → {one.advice}" if one.advice else text
        hang = " " * len(head)
        lines += textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=hang, break_on_hyphens=False)
    return lines


def as_json(report: Report) -> dict[str, Any]:
    """The whole report in JSON's types: bytes, seconds, hours, dollars. `status` is the exit status."""
    total = report.total
    return {
        "file": str(report.asked.file),
        "parts": list(report.asked.parts),
        "status": 0 if report.passed else 1,
        "counts": counts(finding for _, _, finding in report.findings),
        "findings": [
            {"stage": stage, "part": part, **dataclasses.asdict(finding)} for stage, part, finding in report.findings
        ],
        "stages": [_stage_json(stage, total) for stage in report.stages],
        "total": {
            "gpu_hours": total.gpu_hours,
            "price": total.price,
            "priced": total.priced,
            "cost": total.cost(total.gpu_hours),
        },
    }


def _stage_json(stage: StageReport, total: Total) -> dict[str, Any]:
    read, rehearsal = stage.facts.stage, stage.rehearsal
    return {
        "name": stage.name,
        "recipe": str(read.recipe),
        "config": str(read.config),
        "launch": None if read.launch is None else str(read.launch),
        "processes": read.processes,
        "rewards": None if stage.rewards is None else dataclasses.asdict(stage.rewards),
        "rehearsal": None if rehearsal is None else dataclasses.asdict(rehearsal),
        "estimate": None if stage.plan is None else _estimate_json(stage.plan, total),
    }


def _estimate_json(plan: StagePlan, total: Total) -> dict[str, Any]:
    times = plan.times
    seconds = None
    if times is not None:
        seconds = {"generation": times.generation, "reference": times.scoring, "training": times.training}
        seconds["step"] = times.step
    return {
        "model": plan.job.shape.name,
        "parameters": plan.job.shape.parameters,
        "gpus": plan.cluster.name,
        "memory": {phase.name: phase.parts for phase in plan.memory.phases},
        "needed": plan.memory.needed,
        "available": plan.memory.available,
        "fits": plan.memory.fits,
        "seconds": seconds,
        "steps": plan.job.steps,
        "gpu_hours": plan.gpu_hours,
        "cost": total.cost(plan.gpu_hours),
        "advice": advice(plan),
        "assumed": list(plan.notes),
    }
