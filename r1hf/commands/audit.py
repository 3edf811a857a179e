"""Says what became of the samples of cold start and rejection sampling, from what they left in audit.parquet.

    r1hf audit runs/mine                                       every data stage of a run
    r1hf audit runs/mine/rejection_sampling --json             one stage, for programs
    r1hf audit runs/mine --svg funnel.svg                      the funnels as a picture

Exit status: 0 shown, 1 an error that can be mended.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1hf.commands.table import table
from r1hf.core.errors import ConfigError
from r1hf.core.files import write_atomic
from r1hf.data.audit import STEPS
from r1hf.explain.funnel import funnel, picture
from r1hf.explain.report.text import cut, visible

_PARTS = {"by_language": "language", "by_method": "method", "by_judged_by": "judged by"}
_LENGTH = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run's directory, or that of a finished stage")
    parser.add_argument("--json", action="store_true", help="all figures and examples as JSON")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write the funnels as a picture")


def run(options: argparse.Namespace) -> int:
    found = funnel(Path(options.run))
    if options.svg is not None:
        if not options.svg.parent.is_dir():
            raise ConfigError(f"--svg: there is no directory {options.svg.parent}")
        write_atomic(options.svg, picture(found))
    if options.json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return 0
    print("\n\n".join(_told(stage, one) for stage, one in found.items()))
    return 0


def _told(stage: str, one: Mapping[str, Any]) -> str:
    sampled = one["steps"][STEPS[0]]
    parts = [
        f"{stage}: {sampled:,} samples of {one['prompts']:,} prompts",
        _shares("step", one["steps"], sampled),
        _shares("prompts by share of right samples", one["pass_rates"], one["prompts"]),
        _tokens(one["tokens"]),
    ]
    for key, name in _PARTS.items():
        rows = [[visible(value), f"{made['sampled']:,}", f"{made['kept']:,}"] for value, made in one[key].items()]
        parts += [table([name, "sampled", "kept"], rows)] if rows else []
    if one["reasons"]:
        parts.append(_shares("rejected because", one["reasons"], sampled))
        parts.append("\n".join(_examples(one["examples"])))
    return "\n\n".join(parts)


def _tokens(found: Mapping[str, Mapping[str, int]]) -> str:
    rows = [[name, *map(str, made.values())] for name, made in found.items() if made]
    return table(["tokens", *found["sampled"]], rows)


def _shares(title: str, counts: Mapping[str, int], whole: int) -> str:
    rows = [[name, f"{count:,}", f"{100 * count / max(whole, 1):.1f}%"] for name, count in counts.items()]
    return table([title, "", ""], rows)


def _examples(found: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    lines = []
    for reason, rows in found.items():
        lines.append(f"  {reason}:")
        for row in rows:
            of = f" (repeats {visible(row['of'])})" if row["of"] else ""
            lines.append(f"    {_line(row['question'])}{of} -> {_line(row['excerpt'])}")
    return lines


def _line(text: str) -> str:
    return visible(cut(" ".join(text.split()), _LENGTH)[0])
