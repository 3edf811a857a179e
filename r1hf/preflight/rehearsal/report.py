"""What a dry run found, as a person reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Report:
    """replaced: (what, by what). untried: what only the machine of the launch can show. built: the trainers.
    notes: of the preflight.
    """

    name: str
    recipe: Path
    config: Path | None
    resolved: Path | None = None
    replaced: list[tuple[str, str]] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    built: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        lines = [f"{self.name}: dry run of {self.recipe.name}" + (f" with {self.config}" if self.config else "")]
        if self.resolved is not None:
            lines.append(f"  resolved   {self.resolved}")
        same: dict[str, list[str]] = {}
        for what, by in self.replaced:
            same.setdefault(by, []).append(what)
        lines += [f"  replaced   {', '.join(dict.fromkeys(what))} → {by}" for by, what in same.items()]
        lines += [f"  not tried  {what}" for what in self.untried]
        lines += [f"  note       {note}" for note in self.notes]
        lines += [f"  built      {what}" for what in self.built]
        lines += [f"  FAIL       {problem}" for problem in self.problems]
        verdict = "passed, nothing was trained" if self.passed else "failed"
        return "\n".join([*lines, f"  {verdict} ({self.seconds:.1f} s)"])
