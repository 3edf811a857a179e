"""Memory, room on the disk, time and cost of a stage as findings."""

from __future__ import annotations

from r1hf.core.errors import ConfigError
from r1hf.preflight.estimate.one_stage import StagePlan, no_plan
from r1hf.preflight.estimate.room import check_disk, check_memory
from r1hf.preflight.facts import Facts
from r1hf.preflight.finding import Finding


def check_estimate(facts: Facts) -> list[Finding]:
    """Whether the stage has room, and what it takes."""
    plan = facts.plan
    shape, steps = (plan.job.shape, plan.job.steps) if isinstance(plan, StagePlan) else (None, None)
    findings = check_disk(facts.values, shape, steps, facts.stage.without_gpu or facts.assumed_cluster)
    if plan is None:
        return [*findings, Finding("skipped", "memory", no_plan(facts.values))]
    findings += check_memory(plan, facts.assumed_cluster)
    return findings if isinstance(plan, ConfigError) else [*findings, _time(plan)]


def _time(plan: StagePlan) -> Finding:
    if plan.times is None:
        return Finding("skipped", "time", plan.notes[-1])
    if plan.hours is None:
        return Finding("note", "time", f"{plan.times.step:.1f} s a step; {plan.notes[-1]}")
    return Finding("note", "time", f"{plan.hours:,.2f} hours on {plan.cluster.name}, predicted and not measured")
