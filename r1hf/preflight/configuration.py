"""A stage's configuration as it was read: every mistake in it, with its place."""

from __future__ import annotations

import re

from r1hf.preflight.facts import Facts
from r1hf.preflight.finding import Finding

_PLACED = re.compile(r"(?P<where>\S+\.ya?ml:\d+|command line): (?P<rest>.+)", re.DOTALL)
_KEY = re.compile(r"(\w+)[:.]")


def check_configuration(facts: Facts, inputs: bool = True) -> list[Finding]:
    """What the reading and the recipe's own preflight found. inputs: count those that are not here."""
    stage = facts.stage
    said = [text for text in stage.problems if inputs or text not in stage.missing]
    findings = [placed(facts, text) for text in said]
    if not findings:
        findings = [Finding("ok", "config", f"every key of {stage.config} is known to {stage.recipe.name}")]
    if stage.parsed is not None:
        findings += [Finding("warning", "config", note) for note in stage.parsed.notes]
    if stage.without_gpu:
        text = "asks for a GPU, and none is here"
        findings.append(Finding("warning", "config", text, "launch it where there is one"))
    for key, value in stage.hidden.items():
        findings.append(Finding("skipped", "config", f"{key}: {value} can be read on the machine of the launch only"))
    return findings


def placed(facts: Facts, problem: str, what: str = "config") -> Finding:
    """A problem with the place that it begins with, or that of the key that it is about."""
    found = _PLACED.match(problem)
    if found is not None:
        return Finding("error", what, found["rest"], where=found["where"])
    key = _KEY.match(problem)
    return Finding("error", what, problem, where=facts.where(key[1]) if key is not None else "")
