"""Find what would fail, or silently do nothing, in a configuration before it is launched.

  r1hf doctor --config recipes/configs/tiny/r1_zero.yaml
  r1hf doctor --config recipes/configs/tiny/pipeline.yaml         all its stages
  r1hf doctor rewards --config recipes/configs/tiny/r1_zero.yaml  its rewards, at length

Exit status: 0 nothing found, 1 something that must be mended.
"""

from __future__ import annotations

import argparse
import importlib
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from r1hf.core.errors import ConfigError

if TYPE_CHECKING:
    from r1hf.models.shapes import Shape
    from r1hf.preflight.finding import Item

CHECKS = {
    "rewards": ("r1hf.commands.doctor_rewards", "do golden completions earn most, and cheats less?"),
}
_WIDTH = 118


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE.yaml", help="of a stage or a pipeline")
    parser.add_argument("--recipe", metavar="NAME|FILE.py", help="the stage's recipe (default: as the file says)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeat it")
    parser.add_argument("--launch", type=Path, metavar="FILE.yaml", help="the accelerate file it is launched with")
    parser.add_argument("--rows", type=int, default=4, help="rows of each prompt file for the rewards (default 4)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    checks = parser.add_subparsers(dest="check", metavar="CHECK")
    for name, (module, line) in CHECKS.items():
        part = importlib.import_module(module)
        check = checks.add_parser(
            name, help=line, description=part.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        part.add_arguments(check)


def run(options: argparse.Namespace) -> int:
    if options.check is not None:
        return int(importlib.import_module(CHECKS[options.check][0]).run(options))
    if options.config is None:
        raise ConfigError("--config is missing: the YAML of a stage or of a pipeline")
    from r1hf.preflight.finding import Item, passed
    from r1hf.preflight.settings.checks import common, examine
    from r1hf.preflight.stages import load

    stages, problems = load(options.config, options.recipe, options.set, options.launch)
    found = {"machine": common()}
    if problems:
        found["pipeline"] = [Item("fail", "config", problem) for problem in problems]
    shapes: dict[str, Shape] = {}
    found |= {stage.name: examine(stage, options.rows, shapes) for stage in stages}
    sound = all(passed(items) for items in found.values())
    if options.json:
        print(json.dumps(as_json(found, sound), ensure_ascii=False, indent=2))
    else:
        print(render(found))
    return 0 if sound else 1


def as_json(found: dict[str, list[Item]], sound: bool) -> dict[str, object]:
    lines = [
        {"stage": name, "status": item.status, "what": item.what, "found": item.found, "advice": item.advice}
        for name, items in found.items()
        for item in items
    ]
    return {"passed": sound, "checks": lines}


def render(found: dict[str, list[Item]]) -> str:
    """A table for each stage, and the sum."""
    blocks = []
    for name, items in found.items():
        lines = [name]
        for item in items:
            head = f"  {item.status:<4}  {item.what:<9} "
            text = f"{item.found} → {item.advice}" if item.advice else item.found
            indent = " " * len(head)
            lines += textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
        blocks.append("\n".join(lines))
    every = [item for items in found.values() for item in items]
    count = {status: sum(item.status == status for item in every) for status in ("fail", "warn", "skip", "ok")}
    verdict = "passed" if not count["fail"] else "FAIL"
    blocks.append(f"{verdict}: " + ", ".join(f"{number} {status}" for status, number in count.items()))
    return "\n\n".join(blocks)
