"""Print what a stage really gets: each value, with the file and line that it came from.

  r1hf resolve recipes/configs/tiny/r1_zero.yaml
  r1hf resolve recipes/configs/tiny/pipeline.yaml --only sft2 --set sft2.learning_rate=1e-4

Where nobody gave a value, the line is that of its default, or of what worked it out from others.
Exit status: 0 all could be read, 1 something must be mended.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.commands.table import bullets, table
from r1hf.core.errors import ConfigError

if TYPE_CHECKING:
    from r1hf.doctor.load import Loaded

_TITLES = {"given": "given", "worked out": "worked out from others", "default": "defaults"}
_WIDTH = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="FILE.yaml", help="of a stage or a pipeline")
    parser.add_argument("--recipe", metavar="NAME|FILE.py", help="the stage's recipe (default: as the file says)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeat it")
    parser.add_argument("--only", metavar="STAGE[,STAGE]", help="of a pipeline: no other stages than these")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from r1hf.doctor.load import load

    stages, problems = load(options.config, options.recipe, options.set)
    wanted = options.only.split(",") if options.only else [stage.name for stage in stages]
    if strange := sorted(set(wanted) - {stage.name for stage in stages}):
        known = ", ".join(stage.name for stage in stages)
        raise ConfigError(f"--only: no stage {', '.join(strange)}; there are {known}")
    shown = [stage for stage in stages if stage.name in wanted]
    problems = problems + [f"{stage.name}: {text}" for stage in shown for text in stage.problems]
    if options.json:
        found = {stage.name: as_json(stage) for stage in shown}
        print(json.dumps({"problems": problems, "stages": found}, ensure_ascii=False, indent=2))
    else:
        print("\n\n".join(render(stage) for stage in shown))
        if problems:
            print("\n" + bullets("Problems", problems))
    return 1 if problems else 0


def as_json(stage: Loaded) -> dict[str, Any]:
    from r1hf.pipeline.resolved import resolved

    values = resolved(stage.parsed) if stage.parsed is not None else {}
    return {
        "recipe": str(stage.recipe),
        "launch": str(stage.parsed.said.launch) if stage.parsed is not None else None,
        "processes": stage.processes,
        "values": {key: dataclasses.asdict(origin) for key, origin in values.items()},
    }


def render(stage: Loaded) -> str:
    """The stage's recipe and launch, and a table for each kind of origin."""
    from r1hf.pipeline.resolved import resolved

    if stage.parsed is None:
        return f"{stage.name}: {stage.recipe}"
    about = stage.parsed.said.about
    rows = [
        ["recipe", str(stage.recipe), about["recipe"].where if "recipe" in about else "the file's name, or --recipe"]
    ]
    rows.append(["launch", str(stage.parsed.said.launch), about["launch"].where if "launch" in about else "default"])
    blocks = [f"{stage.name}\n{table(['', '', 'from'], rows)}"]
    values = resolved(stage.parsed)
    for kind, title in _TITLES.items():
        rows = [[key, _short(one.value), one.where] for key, one in values.items() if one.kind == kind]
        if rows:
            blocks.append(table([title, "value", "from"], rows, left=3))
    return "\n\n".join(blocks)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = repr(text)[1:-1] if "\n" in text else text
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
