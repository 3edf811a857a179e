"""The rewards of a stage on its own rows, as findings."""

from __future__ import annotations

import re

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.source import paths_of
from r1hf.data.rows import NO_GOLD
from r1hf.preflight.facts import Facts
from r1hf.preflight.finding import Finding
from r1hf.preflight.rewards.verdicts import RewardReport, judge_rewards
from r1hf.preflight.stages import assume_gpu

_PLACE = re.compile(r"(?P<where>(?P<file>\S+):(?P<line>\d+)): (?P<rest>.+)", re.DOTALL)


def check_rewards(facts: Facts, rows: int, seed: int) -> tuple[list[Finding], RewardReport | None]:
    """The findings, and the tables where there are any; nothing for a stage without rewards."""
    stage = facts.stage
    if stage.parsed is None or not callable(getattr(stage.module, "rewards", None)):
        return [], None
    if why := _out_of_reach(facts):
        return [Finding("skipped", "rewards", why)], None
    try:
        with assume_gpu(stage.without_gpu):
            report = judge_rewards(stage, rows, seed)
    except R1Error as error:
        texts = error.problems if isinstance(error, ConfigError) else [str(error)]
        return [Finding("error", "rewards", text) for text in texts], None
    findings = [found for fault in report.faults if (found := _fault(facts, fault)) is not None]
    findings += [_note(text) for text in report.notes]
    if not report.faults:
        total = sum(report.rows.values())
        findings.insert(0, Finding("ok", "rewards", f"golden completions earn most in {total} rows, cheats less"))
    return findings, report


def _out_of_reach(facts: Facts) -> str | None:
    """What keeps the rewards from being tried here."""
    stage = facts.stage
    assert stage.parsed is not None
    prompts = [key for key in stage.parsed.inputs if key.endswith("prompts")]
    away = [key for key in prompts if facts.local(key) is None]
    if not prompts or away:
        names = ", ".join(path for key in away for path in paths_of(stage.parsed.inputs[key])) or "prompts"
        kind = "still to be made" if any(stage.is_planned(key) for key in away) else "not here"
        return f"needs {names}, which is {kind}"
    return None


def _fault(facts: Facts, fault: str) -> Finding | None:
    """A fault with its row; None for a row that the configuration's own check has named."""
    found = _PLACE.match(fault)
    if found is None:
        return Finding("error", "rewards", fault)
    named = (f"{found['file']}, row {found['line']}:", found["rest"])
    if any(text in said for said in facts.stage.problems for text in named):
        return None
    return Finding("error", "rewards", found["rest"], where=found["where"])


def _note(text: str) -> Finding:
    lost = text.startswith("not checked") or NO_GOLD in text
    return Finding("warning" if lost else "note", "rewards", text)
