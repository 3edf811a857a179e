"""`r1hf explain RUN`: the health of a run in words, for people and as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1hf.commands.report import no_page
from r1hf.commands.table import bullets, figure, short, table
from r1hf.core.errors import ConfigError, R1Error
from r1hf.explain.health.diagnosis import Diagnosis
from r1hf.explain.health.panel import Panel, examine, figures
from r1hf.explain.health.series import Series
from r1hf.explain.report.single import write_single
from r1hf.explain.runs.columns import chosen_columns, messages_of
from r1hf.explain.runs.golds import add_golds
from r1hf.explain.runs.read import read_run
from r1hf.explain.runs.table import Rollout, RunTable
from r1hf.rewards._common import question_text

_WIDTH = 116


def run(options: argparse.Namespace) -> int:
    """0: no fault found, 1: a fault, 2: nothing could be read."""
    try:
        if problems := no_page(options.html, "--html"):
            raise ConfigError(problems)
        columns = chosen_columns(options.columns)
        read = read_run(Path(options.run), columns)
        if options.data is not None:
            add_golds(read, options.data, columns)
        panel = examine(read)
        if options.html is not None:
            write_single(panel, options.html)
    except R1Error as error:
        print(f"r1hf explain: {error}", file=sys.stderr)
        return 2
    print(json.dumps(as_json(panel), ensure_ascii=False, indent=2) if options.json else render(panel))
    return 1 if panel.found else 0


def render(panel: Panel) -> str:
    """The diagnosis in the first line; then what shows it, what to try, the figures, and what was read."""
    blocks = [panel.headline]
    blocks += [_block(one, place) for place, one in enumerate(panel.found)]
    if known := figures(panel.facts):
        rows = [[name, *_row(series)] for name, series in known.items()]
        blocks.append("Figures\n" + table(["", "first third", "last third", "least", "most"], rows))
    blocks.append(bullets("Read", _read(panel.facts.run)))
    return "\n\n".join(blocks)


def _block(one: Diagnosis, place: int) -> str:
    lines = [] if place == 0 else [f"Also: {one.said}."]
    lines += _wrapped("seen", one.seen) + _wrapped("try", one.advice)
    for rollout in one.rollouts:
        question = short(question_text(messages_of(rollout.prompt)).strip(), 90)
        lines += [f"  {rollout.place}  step {rollout.step}  {_paid(rollout)}", f"    asked:    {question}"]
        lines.append(f"    answered: {short(rollout.completion, 160) or '(nothing)'}")
    return "\n".join(lines)


def _wrapped(head: str, lines: Sequence[str]) -> list[str]:
    first, rest = f"  {head:<5}", " " * 7
    return [
        textwrap.fill(line, _WIDTH, initial_indent=first if place == 0 else rest, subsequent_indent=rest + "  ")
        for place, line in enumerate(lines)
    ]


def _paid(one: Rollout) -> str:
    parts = [f"{name} {figure(value, 2)}" for name, value in one.rewards.items()] or [
        f"reward {figure(one.reward, 2)}"
    ]
    gold = [] if one.gold is None else [f"gold {short(one.gold, 30)}"]
    verdict = [] if one.right is None else ["right" if one.right else "wrong"]
    return ", ".join([*parts, *gold, *verdict])


def _row(series: Series) -> list[str]:
    return [_short_number(value) for value in (series.first, series.last, series.least, series.most)]


def _short_number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _read(read: RunTable) -> list[str]:
    what = " and ".join(dict.fromkeys(read.kinds)) or "a log"
    lines = [f"{read.where}: {what}; {len(read.rollouts):,} completions, {len(read.steps):,} logged steps"]
    names = [f"{key} from {name}" for key, name in read.taken if key != "the log"]
    lines += [f"taken: {', '.join(names)}"] if names else []
    if not read.rollouts:
        lines.append("no completions were logged, so only the log could be looked at (TRL: log_completions=True)")
    elif not any(one.gold for one in read.rollouts):
        lines.append("no gold answers are logged, so r1hf's verifier judged nothing: give them with --data FILE")
    if not read.steps:
        lines.append("no log of the steps was found (trainer_state.json): KL, entropy and learning rate are unknown")
    return lines + read.notes


def as_json(panel: Panel) -> dict[str, Any]:
    """As docs/explain.md lists it; `status` is the exit status."""
    facts = panel.facts
    return {
        "run": str(facts.run.where),
        "status": 1 if panel.found else 0,
        "headline": panel.headline,
        "diagnoses": [
            {
                "code": one.code,
                "said": one.said,
                "seen": list(one.seen),
                "advice": list(one.advice),
                "rollouts": [_rollout_json(rollout) for rollout in one.rollouts],
            }
            for one in panel.found
        ],
        "figures": {
            name: {"steps": list(series.steps), "values": list(series.values)}
            for name, series in figures(facts).items()
        },
        "rewards": {"all": facts.run.rewards, "outcome": facts.run.outcomes, "form": facts.run.forms},
        "read": {
            "kinds": facts.run.kinds,
            "completions": len(facts.rollouts),
            "steps": facts.count,
            "taken": [list(pair) for pair in facts.run.taken],
            "notes": facts.run.notes,
        },
    }


def _rollout_json(one: Rollout) -> dict[str, Any]:
    return {
        "place": one.place,
        "step": one.step,
        "prompt": one.prompt,
        "completion": one.completion,
        "reward": one.reward,
        "rewards": one.rewards,
        "gold": one.gold,
        "right": one.right,
    }
