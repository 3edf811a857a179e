"""What each kind of completion earns, as tables: one for each task."""

from __future__ import annotations

from r1hf.commands.table import figure, table
from r1hf.preflight.rewards.verdicts import Line, RewardReport


def reward_tables(report: RewardReport) -> list[str]:
    """A table for each task, each kind of completion a line: its mean rewards, the total, and a verdict."""
    blocks = [f"completions written as {report.form}"]
    for task, lines in report.tables.items():
        rows = report.rows[task]
        blocks.append(f"{task}, {rows} row{'s' if rows != 1 else ''}:\n{_table(lines, report.weights)}")
    return blocks


def _table(lines: list[Line], weights: dict[str, float]) -> str:
    used = [name for name in weights if any(line.rewards[name] is not None for line in lines)]
    rows = [
        [line.kind, *(figure(line.rewards[name], 2) for name in used), figure(line.total, 2), line.verdict]
        for line in lines
    ]
    return table(["completion", *(f"{name} ×{weights[name]:g}" for name in used), "total", "verdict"], rows)
