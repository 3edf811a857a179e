"""Golden, failing and cheating completions for a sample of your own rows, through your own template and rewards.

Each kind of completion is a line of the table: its mean rewards, the total with the configured weights, and a verdict.
The check fails (exit status 1) if a golden completion does not earn most, if a cheat earns as much, if a completion
cannot be judged at all, or if a reward raises, returns NaN, the wrong length or a value outside its range.

  r1hf doctor rewards --config recipes/configs/tiny/r1_zero.yaml --rows 20
  r1hf doctor rewards --config my.yaml --recipe recipes/reasoning_rl.py --set weights='{accuracy: 1, language: 0.2}'
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from r1hf.commands.table import bullets, figure, table

if TYPE_CHECKING:
    from r1hf.preflight.rewards.verdicts import Line, Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, type=Path, metavar="FILE.yaml", help="the recipe's configuration")
    parser.add_argument("--recipe", metavar="NAME|FILE.py", help="its recipe (default: the one that the file names)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeat it")
    parser.add_argument("--rows", type=int, default=8, help="rows of each prompt file, 0 for all (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="which rows (default 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from r1hf.preflight.rewards.verdicts import check_rewards

    report = check_rewards(options.config, options.recipe, options.set, rows=options.rows, seed=options.seed)
    if options.json:
        print(json.dumps({"passed": report.passed, **dataclasses.asdict(report)}, ensure_ascii=False, indent=2))
    else:
        print(render(report))
    return 0 if report.passed else 1


def render(report: Report) -> str:
    """The tables, then what is at fault and what was not checked."""
    blocks = [f"{report.config}: recipe {report.recipe}, completions written as {report.form}"]
    for task, lines in report.tables.items():
        rows = report.rows[task]
        blocks.append(f"{task}, {rows} row{'s' if rows != 1 else ''}:\n{_table(lines, report.weights)}")
    if report.notes:
        blocks.append(bullets("Notes", report.notes))
    if report.faults:
        blocks.append(bullets("FAIL", report.faults))
    else:
        blocks.append("passed: golden completions earn most in every row that was checked")
    return "\n\n".join(blocks)


def _table(lines: list[Line], weights: dict[str, float]) -> str:
    used = [name for name in weights if any(line.rewards[name] is not None for line in lines)]
    rows = [
        [line.kind, *(figure(line.rewards[name], 2) for name in used), figure(line.total, 2), line.verdict]
        for line in lines
    ]
    return table(["completion", *(f"{name} ×{weights[name]:g}" for name in used), "total", "verdict"], rows)
