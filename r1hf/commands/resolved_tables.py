"""What stages really get, as `r1hf check --resolved` prints it: each value with the file and line it came from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from r1hf.commands.table import bullets, table
from r1hf.pipeline.resolved import resolved
from r1hf.preflight.stages import Loaded

_TITLES = {"given": "given", "worked out": "worked out from others", "default": "defaults"}
_WIDTH = 60


def print_resolved(stages: Sequence[Loaded], problems: Sequence[str], as_text: bool) -> int:
    """Prints tables, or JSON; returns 0 if all could be read, else 1. problems: of the pipeline's own file."""
    problems = [*problems, *(f"{stage.name}: {text}" for stage in stages for text in stage.problems)]
    if as_text:
        print("\n\n".join(render(stage) for stage in stages))
        if problems:
            print("\n" + bullets("Problems", problems))
    else:
        found = {stage.name: as_json(stage) for stage in stages}
        print(json.dumps({"problems": problems, "stages": found}, ensure_ascii=False, indent=2))
    return 1 if problems else 0


def as_json(stage: Loaded) -> dict[str, Any]:
    values = resolved(stage.parsed) if stage.parsed is not None else {}
    return {
        "recipe": str(stage.recipe),
        "launch": str(stage.parsed.said.launch) if stage.parsed is not None else None,
        "processes": stage.processes,
        "values": {key: dataclasses.asdict(origin) for key, origin in values.items()},
    }


def render(stage: Loaded) -> str:
    """The stage's recipe and launch, and a table for each kind of origin."""
    if stage.parsed is None:
        return f"{stage.name}: {stage.recipe}"
    about = stage.parsed.said.about
    rows = [
        ["recipe", str(stage.recipe), about["recipe"].where if "recipe" in about else "the file's name, or --recipe"]
    ]
    rows.append(["launch", str(stage.parsed.said.launch), about["launch"].where if "launch" in about else "default"])
    blocks = [f"{stage.name}\n{table(['', '', 'from'], rows, left=3)}"]
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
