"""The plan as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence

from r1hf.core.graph import StageSpec
from r1hf.pipeline.decisions import Decision, Planner
from r1hf.pipeline.schedule import Capacity, makespan


def expected_seconds(planner: Planner, names: Sequence[str], allowed: Capacity) -> float | None:
    """How long these stages take together, None unless it is known of each."""
    loads = planner.loads
    if not names or any(loads[name].seconds is None for name in names):
        return None
    return makespan(names, planner.graph.links, loads, allowed)


def headline(planner: Planner, decisions: Sequence[Decision], allowed: Capacity) -> str:
    """`runs/tiny · seed 42 · 14 stages: 3 done, 11 run, about 12 min 00 s`."""
    graph = planner.graph
    actions = [decision.action for decision in decisions]
    counts = [f"{actions.count(action)} {action}" for action in dict.fromkeys(("done", "run", *actions))]
    seconds = expected_seconds(planner, [one.stage for one in decisions if one.action == "run"], allowed)
    about = "" if seconds is None else f", about {duration(seconds)}"
    seed = "" if graph.seed is None else f" · seed {graph.seed}"
    return f"{graph.run_dir}{seed} · {len(decisions)} stages: {', '.join(counts)}{about}"


def table(planner: Planner, decisions: Sequence[Decision], allowed: Capacity) -> str:
    """The graph, a line for each stage: what would happen to it, what it reads, and why."""
    stages = planner.graph.stages
    reads = {name: "← " + sources(spec) if spec.parents else "" for name, spec in stages.items()}
    name_width, reads_width = max(map(len, reads)), max(map(len, reads.values()))
    lines = [headline(planner, decisions, allowed)]
    for number, one in enumerate(decisions, start=1):
        why = "; ".join([*one.reasons, *(f"note: {note}" for note in one.notes)])
        head = f"{number:>3} {one.action:<8} {one.stage:<{name_width}} {reads[one.stage]:<{reads_width}}"
        lines.append(f"{head}  {why}".rstrip())
    return "\n".join(lines)


def sources(spec: StageSpec) -> str:
    """The stages that a stage reads, shortened where they are many."""
    parents = spec.parents
    if len(parents) > 4:
        return f"{', '.join(parents[:3])} and {len(parents) - 3} more"
    return ", ".join(parents) or "nothing"


def duration(seconds: float) -> str:
    """`23 s`, `4 min 10 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
