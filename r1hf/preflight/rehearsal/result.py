"""What one rehearsal did: what stood in for what, what was left out, what was built, and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from r1hf.preflight.finding import Finding


@dataclass
class Rehearsal:
    """replaced: (what, by what). untried: what only the machine of the launch can show. built: the trainers.
    seconds: that it took.
    """

    replaced: list[tuple[str, str]] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    built: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def findings(self) -> list[Finding]:
        """What was done, in the order in which a person reads it; what went wrong is in `problems`."""
        same: dict[str, list[str]] = {}
        for what, by in self.replaced:
            same.setdefault(by, []).append(what)
        lines = [Finding("note", "replaced", f"{', '.join(dict.fromkeys(what))} → {by}") for by, what in same.items()]
        lines += [Finding("skipped", "not tried", what) for what in self.untried]
        return lines + [Finding("ok", "built", f"{what}; nothing was trained") for what in self.built]
