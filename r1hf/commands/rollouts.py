"""Shows rollouts of a run, also while it trains: prompt, completion, rewards, advantage.

The run need not be r1hf's: what `r1hf explain` reads is shown too.

r1hf rollouts runs/tiny/r1_zero                       the last step
r1hf rollouts runs/tiny/r1_zero --step 40 --wrong     what was answered wrongly in step 40
r1hf rollouts runs/tiny/r1_zero --step all --reward 'format<1' --limit 20

Exit status: 0 done, 1 nothing could be read, or an option is wrong.
"""

from __future__ import annotations

import argparse
import json
import operator
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1hf.commands.table import figure, table
from r1hf.core.errors import ConfigError, DataError
from r1hf.explain.report.text import MISSING, cut, visible
from r1hf.explain.runs.columns import chosen_columns, messages_of
from r1hf.explain.runs.read import read_run, rollout_directory, rollout_places
from r1hf.rewards._common import question_text
from r1hf.rewards.declared import RIGHT
from r1hf.stage.manifest import prove
from r1hf.trainers.rollouts import files, outcome_columns, read

_TESTS: dict[str, Callable[[float, float], bool]] = {
    **{"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq},
}
_CONDITION = re.compile(r"\s*([\w/]+)\s*(<=|>=|<|>|=)\s*(-?[\d.]+)\s*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a stage's directory, finished or not, or a directory of rollouts")
    parser.add_argument("--step", default="last", help="a step, 'last' (the default) or 'all'")
    parser.add_argument("--wrong", action="store_true", help="only what the outcome reward calls wrong")
    parser.add_argument("--right", action="store_true", help="only what it calls right")
    parser.add_argument("--reward", action="append", default=[], metavar="NAME<X", help="a condition; repeat it")
    parser.add_argument("--columns", metavar="WHAT=NAME,…", help="of other trainers' files: completion=text,…")
    parser.set_defaults(outcomes=None)
    parser.add_argument("--limit", type=int, default=8, help="rollouts shown (8)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    run_path = Path(options.run)
    directory = rollout_directory(run_path)
    rows = _rows(directory, options.step) if directory else _foreign_rows(run_path, options)
    conditions = _conditions(options, list(rows[0]), files(directory)[-1] if directory else run_path)
    kept = [row for row in rows if all(keeps(row) for keeps in conditions)]
    if options.json:
        shown = {"rollouts": kept[: options.limit], "fit": len(kept), "of": len(rows), "step": options.step}
        print(json.dumps(shown, ensure_ascii=False, indent=2, default=str))
        return 0
    for row in kept[: options.limit]:
        print(render(row) + "\n")
    print(f"{min(len(kept), options.limit)} of {len(kept)} rollouts that fit, of {len(rows)} in step {options.step}")
    return 0


def _rows(directory: Path, step: str) -> list[dict[str, Any]]:
    """r1hf's own, proved; only the files that hold the step are read."""
    prove(directory)
    paths = files(directory)
    if step == "last":
        paths = paths[-1:]
    elif step != "all":
        before = [path for path in paths if int(path.stem.removeprefix("step-")) <= _step(step)]
        paths = before[-1:]
    rows = []
    for path in paths:
        columns = read(path)
        rows += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return _of_step(rows, step, directory)


def _foreign_rows(where: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Another trainer's rollouts, with the columns of r1hf's own."""
    if not where.exists():
        raise DataError(
            f"{where} has no rollouts: give the directory of an RL stage that ran with log_rollouts; looked for "
            f"step-*.parquet in {', '.join(map(str, rollout_places(where)))}"
        )
    found = read_run(where, chosen_columns(options.columns))
    for note in found.notes:
        print(f"r1hf rollouts: {note}", file=sys.stderr)
    rows = [
        {
            **{"step": one.step, "prompt_id": one.group or "", "prompt": one.prompt, "completion": one.completion},
            **{f"rewards/{name}": one.rewards.get(name) for name in found.rewards},
            **{"reward": one.reward, "advantage": one.advantage, "tokens": one.tokens, "truncated": one.truncated},
        }
        for one in found.rollouts
    ]
    options.outcomes = [f"rewards/{name}" for name in found.outcomes]
    return _of_step(rows, options.step, where)


def _step(text: str) -> int:
    if not text.isdigit():
        raise ConfigError(f"--step: {text!r} is not a step; give a number, last or all")
    return int(text)


def _of_step(rows: list[dict[str, Any]], step: str, where: Path) -> list[dict[str, Any]]:
    if step != "all":
        wanted = rows[-1]["step"] if step == "last" and rows else _step(step) if step != "last" else None
        rows = [row for row in rows if row["step"] == wanted]
    if not rows:
        raise DataError(f"{where} has no rollouts of step {step}: older files may be gone (rollout_keep)")
    return rows


def _conditions(options: argparse.Namespace, names: list[str], newest: Path) -> list[Callable[[dict[str, Any]], bool]]:
    found: list[Callable[[dict[str, Any]], bool]] = []
    if options.wrong or options.right:
        outcomes = options.outcomes if options.outcomes is not None else outcome_columns(newest)
        if outcomes is None:
            raise ConfigError(
                f"--wrong, --right: {newest} does not say which rewards judge the answer (an earlier r1hf wrote it); "
                f"use --reward 'NAME<1' with one of {', '.join(_rewards(names))}"
            )
        if not outcomes:
            raise ConfigError("--wrong, --right: no outcome reward among " + ", ".join(_rewards(names)))
        found.append(lambda row: _is_right(row, outcomes) is options.right)
    for text in options.reward:
        match = _CONDITION.fullmatch(text)
        near = [name for name in _rewards(names) if match and match[1] in name]
        if match is None or len(near) != 1:
            raise ConfigError(
                f"--reward {text!r}: is not NAME<X (or <=, >, >=, =) with one of {', '.join(_rewards(names))}"
            )
        found.append(_compares(near[0], _TESTS[match[2]], float(match[3])))
    return found


def _compares(name: str, test: Callable[[float, float], bool], bound: float) -> Callable[[dict[str, Any]], bool]:
    return lambda row: row[name] is not None and test(row[name], bound)


def _rewards(names: list[str]) -> list[str]:
    return [name for name in names if name.startswith("rewards/")]


def _is_right(row: dict[str, Any], outcomes: list[str]) -> bool | None:
    value = next((row[name] for name in outcomes if row[name] is not None), None)
    return None if value is None else value >= RIGHT


def render(row: dict[str, Any]) -> str:
    """One rollout: a table of figures, then the question and the completion."""
    rewards = _rewards(list(row))
    head = ["step", "prompt", *(name.removeprefix("rewards/") for name in rewards), "reward", "advantage", "tokens"]
    figures = [figure(row[name]) for name in (*rewards, "reward", "advantage")]
    tokens = f"{_count(row['tokens'])}{' (cut off)' if row['truncated'] else ''}"
    question = question_text(messages_of(row["prompt"]))
    texts = [cut(visible(text), 2000) for text in (question, row["completion"])]
    shown = [text + (f" … {left} characters more" if left else "") for text, left in texts]
    lines = table(head, [[str(row["step"]), row["prompt_id"], *figures, tokens]], left=2, indent=0)
    return f"{lines}\n  asked:    {shown[0]}\n  answered: {shown[1]}"


def _count(tokens: float | None) -> str:
    return MISSING if tokens is None else f"{tokens:.0f}"
