"""Settings that would silently do nothing, or something other than they say: two tables, each line with its source."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from r1hf.preflight.finding import Finding
from r1hf.preflight.settings.rl_rules import RL_RULES
from r1hf.preflight.settings.rule import Values
from r1hf.preflight.settings.training_rules import TRAINING_RULES
from r1hf.rewards.table import weight_problems, weights_of

RULES = RL_RULES + TRAINING_RULES


def check_rules(
    values: Values,
    given: Collection[str],
    languages: Collection[Any] | None = None,
    where: Callable[[str], str] = lambda key: "",
) -> list[Finding]:
    """A finding for each rule that applies. given: the keys that the file or the command line sets. languages: what
    the rows' column `language` holds, None where it is not known. where: the place of a key, for the report.
    """
    findings = []
    for rule in RULES:
        named = [key for key in rule.keys if key in given]
        if (named or not rule.keys) and rule.when(values):
            shown = ", ".join(f"{key} {_short(values.get(key))}" for key in named) or "settings"
            place = where(named[0]) if named else ""
            advice = f"{rule.advice} ({rule.source})"
            findings.append(Finding(rule.grade, "settings", f"{shown}: {rule.why}", advice, place))
    findings += _unnamed_language(values, languages)
    return findings or [Finding("ok", "settings", f"none of {len(RULES)} that would do nothing")]


def _unnamed_language(values: Values, languages: Collection[Any] | None) -> list[Finding]:
    chosen = values.get("rewards")
    if not isinstance(chosen, Mapping) or "language" not in chosen or weight_problems(chosen):
        return []
    if not weights_of(chosen)["language"] or languages is None or any(languages):
        return []
    found = "rewards: language is paid, and no row names its language"
    return [Finding("warning", "settings", found, "add the column `language` (en, zh, …), or weigh it 0")]


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) < 40 else text[:37] + "…"
