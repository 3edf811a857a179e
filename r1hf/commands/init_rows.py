"""`r1hf init my.csv`: what the rows are, a configuration, and the check of its rewards on them."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, DataError, named
from r1hf.core.files import write_atomic
from r1hf.data.any_table import Given, read_any
from r1hf.data.rows import write_rows
from r1hf.preflight.check import Asked, Report, check
from r1hf.preflight.proposal.columns import Found, find
from r1hf.preflight.proposal.prompts import beside, copied, direct
from r1hf.preflight.proposal.rows import Judged, judge_rows, settle_languages
from r1hf.preflight.proposal.yamltext import propose

_ROLES = ("question", "answer", "choices", "tests", "language")


def run(options: argparse.Namespace) -> int:
    out = _out(options)
    given = read_any(options.target, options.encoding, options.delimiter)
    named_columns = {role: getattr(options, role) for role in _ROLES if getattr(options, role) is not None}
    if not given.rows:
        why = f"none of {len(given.bad)} rows can be read: {named(given.bad)}" if given.bad else "it holds no rows"
        raise DataError(f"{given.path}: {why}")
    found = find(given, named_columns)
    judged = judge_rows(given, found, options.task, options.count_from)
    settle_languages(judged)
    prompts: Any = direct(given, found, judged)
    rows_file = None
    if prompts is None:
        rows_file = beside(out)
        _write_rows(rows_file, judged)
        prompts = str(rows_file)
    proposal = propose(judged.rows, prompts, options.model, out.stem)
    tasks = ", ".join(f"{count} {task}" for task, count in judged.tasks.items())
    head = [
        f"R1-Zero on {given.path} ({tasks}), written by r1hf init.",
        f"Try it: r1hf check {out}. Train: r1hf recipe r1_zero --config {out}",
    ]
    write_atomic(out, proposal.text(head))
    report = check(Asked(out, ("settings", "rewards"), rows=options.rows))
    told = _said(given, found, judged, rows_file)
    if options.json:
        print(json.dumps(_as_json(out, rows_file, found, judged, told, report), ensure_ascii=False, indent=2))
    else:
        print("\n".join([*told, "", out.read_text("utf-8"), *_verdict(report, out)]))
    return 0 if report.passed else 1


def _out(options: argparse.Namespace) -> Path:
    """Where the YAML goes. Raises ConfigError where something is there, or no file can be."""
    path: Path = options.target
    out: Path = options.out or Path(f"{path.name.split('.')[0] or 'mine'}.yaml")
    if out.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"--out {out}: a file that ends in .yaml")
    there = [str(one) for one in (out, beside(out)) if os.path.lexists(one)]
    if there:
        raise ConfigError(f"{' and '.join(there)} is there already, and nothing is written over: --out OTHER.yaml")
    out.parent.mkdir(parents=True, exist_ok=True)
    return out


def _write_rows(path: Path, judged: Judged) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_rows(temporary, copied(judged.rows))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _said(given: Given, found: Found, judged: Judged, rows_file: Path | None) -> list[str]:
    """What was found, and what was not, a sentence each."""
    where = {role: found.roles[role] for role in found.roles}
    if found.options:
        where["choices"] = ", ".join(found.options)
    lines = [f"{given.path}: {len(judged.rows)} of {len(given.rows) + len(given.bad)} rows can be judged by a rule"]
    lines.append("  columns: " + ", ".join(f"{role} is '{name}'" for role, name in where.items()))
    lines += [f"  {task}: {count} rows" for task, count in judged.tasks.items()]
    lines += [f"  {note}" for note in found.notes]
    lines += [
        f"  left out: {len(places)} rows have {why}: {named(places, ', ')}" for why, places in judged.lost.items()
    ]
    if given.bad:
        lines.append(f"  left out: {len(given.bad)} rows cannot be read: {named(given.bad)}")
    if rows_file is not None:
        reasons = [*given.others, *sorted(judged.changed)] or ["its rows that cannot be used are left out"]
        lines.append(f"  training reads {rows_file}, and not the file itself: {'; '.join(reasons)}")
    return lines


def _verdict(report: Report, out: Path) -> list[str]:
    grave = [one for _, _, one in report.findings if one.grade in ("error", "warning")]
    shown = [one for _, part, one in report.findings if one in grave or (part == "rewards" and one.grade == "ok")]
    lines = [f"{one.grade}: {one.where + ': ' if one.where else ''}{one.found}" for one in shown]
    lines = [f"{line}; {one.advice}" if one.advice else line for line, one in zip(lines, shown, strict=True)]
    last = f"r1hf check {out} --only rewards shows what each kind of completion earns, cheats among them"
    return [*dict.fromkeys(lines), "" if report.passed else "mend what is an error before you train", last]


def _as_json(
    out: Path, rows_file: Path | None, found: Found, judged: Judged, told: list[str], report: Report
) -> dict[str, Any]:
    from r1hf.commands.check_report import as_json

    return {
        "yaml": str(out),
        "rows_file": None if rows_file is None else str(rows_file),
        "columns": found.roles | ({"options": found.options} if found.options else {}),
        "tasks": dict(judged.tasks),
        "left_out": {why: len(places) for why, places in judged.lost.items()},
        "said": told,
        "check": as_json(report),
    }
