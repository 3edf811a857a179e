"""The rollouts and the health of a run's stages, for the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from r1hf.core.errors import R1Error
from r1hf.explain.health.panel import Panel, examine
from r1hf.explain.report.load import RunData, stage_place
from r1hf.explain.runs.read import read_run, rollout_directory


@dataclass(frozen=True)
class Examined:
    """A stage, or a run that r1hf never saw: what was read, and what the health panel says of it."""

    name: str
    panel: Panel


def examined(run: RunData) -> list[Examined]:
    """Every stage of a run that logged rollouts, or rewards; what cannot be read becomes a note."""
    found = []
    for stage in run.graph:
        place = stage_place(run.run_dir, stage)
        rewarded = any("reward" in row for row in run.logs.get(stage, ())[:50])
        if not place.is_dir() or not (rewarded or rollout_directory(place)):
            continue
        try:
            found.append(Examined(stage, examine(read_run(place))))
        except (R1Error, OSError) as error:
            run.notes.append(f"The rollouts of {stage} cannot be read: {shown(str(error), run.run_dir)}.")
    return found


def shown(text: str, folder: Path) -> str:
    """A sentence without the machine's own directories."""
    return text.replace(f"{folder.resolve()}/", "").replace(f"{folder}/", "")
