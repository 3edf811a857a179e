"""All checks of a stage's settings: rules, arithmetic, chat template, lengths, packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_text
from r1hf.data.rows import Row
from r1hf.models.loading import find_tokenizer
from r1hf.models.tensor_parallel import check_values
from r1hf.preflight.estimate.one_stage import kind_of
from r1hf.preflight.estimate.room import check_positions
from r1hf.preflight.facts import Facts
from r1hf.preflight.finding import Finding
from r1hf.preflight.settings.packages import check_packages
from r1hf.preflight.settings.round_trip import check_template
from r1hf.preflight.settings.rules import check_rules
from r1hf.preflight.settings.steps import check_steps


def check_settings(facts: Facts) -> list[Finding]:
    """What would do nothing, or other than it says, in a configuration that could be built."""
    stage, values = facts.stage, facts.values
    launch_text = read_text(stage.launch) if stage.launch is not None else ""
    languages = None if facts.rows is None else {row.get("language") for row in facts.rows}
    given = set(facts.given)
    findings = check_rules(values, given, languages, facts.where)
    findings += check_steps(values, stage.processes, facts.machine.given.rows or facts.row_count)
    findings += _parts(facts)
    findings += _template(facts)
    findings += check_positions(facts.plan)
    return findings + check_packages(values, launch_text, stage.without_gpu)


def _parts(facts: Facts) -> list[Finding]:
    """Whether vLLM can split a model that an earlier stage makes: the preflight knows only one that is here."""
    try:
        wrong = check_values(facts.values, facts.shape) if facts.shape is not None else []
    except ConfigError:
        return []  # the estimate says what is not known of the model
    return [Finding("error", "settings", text) for text in wrong if text not in facts.stage.problems]


def _template(facts: Facts) -> list[Finding]:
    source = facts.values.get("model")
    if not isinstance(source, str) or kind_of(facts.values) is None:
        return []
    if facts.stage.is_planned("model") and not Path(source).is_dir():
        return [Finding("skipped", "template", f"{source} is still to be made")]
    try:
        tokenizer = find_tokenizer(source)
    except (OSError, ValueError) as error:
        found = f"no tokenizer can be loaded from {source}: {' '.join(str(error).split())[:120]}"
        return [Finding("error", "template", found, "save the model's tokenizer beside it")]
    if tokenizer is None:
        advice = f"hf download {source.partition('@')[0]}"
        return [Finding("skipped", "template", f"needs {source}, which is not here", advice)]
    return [*check_template(facts.values, tokenizer, source), *_length(facts.values, tokenizer, facts.rows)]


def _length(values: dict[str, Any], tokenizer: Any, rows: list[Row] | None) -> list[Finding]:
    """Whether the shortest well-formed completion of each row fits into max_completion_length."""
    most = values.get("max_completion_length")
    if not most or not rows:
        return []
    answers = {str(row.get("answer") or "") for row in rows}
    longest = max(sorted(answers), key=len)
    text = f"<think> </think> <answer> {longest} </answer>"
    count = len(tokenizer(text, add_special_tokens=False)["input_ids"]) + 1
    if count > int(most):
        found = f"max_completion_length {most}: {text[:60]!r} alone has {count} tokens: no reward could be earned"
        return [Finding("error", "length", found, f"at least {count}, and room to think")]
    if count * 2 > int(most):
        found = f"max_completion_length {most} leaves {int(most) - count} tokens to think ({count} are the form)"
        return [Finding("warning", "length", found, "raise it")]
    return [Finding("ok", "length", f"the form takes {count} of max_completion_length {most} tokens")]
