"""The round trip of the chat template: what is trained, what is asked, and what the rewards will see."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.source import paths_of
from r1hf.data.stream import stream_rows
from r1hf.models.loading import load_generation_config
from r1hf.preflight.finding import Finding
from r1hf.text import template_checks
from r1hf.text.chat_templates import dress
from r1hf.text.grammar import THINK_OPEN

_QUESTION = "What is 2 + 2?"
_TARGET = "<think>Two and two are four.</think> <answer>4</answer>"


def check_template(values: Mapping[str, Any], tokenizer: Any, source: str) -> list[Finding]:
    """What a tokenizer and its chat template would break, and what is trained and asked with them."""
    if asked := values.get("chat_template"):
        try:
            dress(tokenizer, str(asked), bool(values.get("prefill_think")))
        except ConfigError as error:
            return [Finding("error", "template", problem, "chat_template: auto") for problem in error.problems]
    ends = template_checks.end_ids(tokenizer, load_generation_config(source) if Path(source).is_dir() else None)
    found = template_checks.findings(tokenizer, ends)
    items = [Finding("error" if one.fatal else "warning", "template", one.problem, one.fix) for one in found]
    if any(one.name == "template_fails" for one in found):
        return items
    if values.get("prompt_template") is not None:
        items.append(_text_prompt(values))
    elif not tokenizer.chat_template:
        advice = "set chat_template: auto, or put a chat_template.jinja beside it"
        return [*items, Finding("error", "template", f"the tokenizer of {source} has no chat template", advice)]
    else:
        items += _prompt(tokenizer)
    if "completion_only_loss" in values:
        items += _target(tokenizer, ends, values, *_example(values))
    if not any(item.grade == "error" for item in items):
        items.append(Finding("ok", "template", "tags are ordinary text, a turn ends in an end token"))
    return items


def _text_prompt(values: Mapping[str, Any]) -> Finding:
    return Finding("ok", "template", f"prompts are text, by prompt_template {values['prompt_template']}")


def _prompt(tokenizer: Any) -> list[Finding]:
    text = str(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": _QUESTION}], tokenize=False, add_generation_prompt=True
        )
    )
    tail = text[-40:].replace("\n", "⏎")
    if text.rstrip().endswith(THINK_OPEN):
        return [
            Finding("ok", "template", f"a prompt ends in {tail!r}: <think> is prefilled, completions begin inside it")
        ]
    return [Finding("ok", "template", f"a prompt ends in {tail!r}: the model writes <think> itself")]


def _example(values: Mapping[str, Any]) -> tuple[str, str]:
    """A question and its target: the first row of the data if it is here."""
    source = values.get("data")
    if source and all(Path(path).is_file() for path in paths_of(source)):
        try:
            from r1hf.data.targets import as_targets

            rows = as_targets(islice(stream_rows(source, ("question", "completion")), 1))
            return str(rows[0]["question"]), str(rows[0]["completion"])
        except (R1Error, KeyError, IndexError):
            pass
    return _QUESTION, _TARGET


def _target(tokenizer: Any, ends: set[int], values: Mapping[str, Any], question: str, target: str) -> list[Finding]:
    """A row as SFT trains it: the reasoning is in it, the prompt is a prefix of it, and it ends in an end token."""
    prompt = [{"role": "user", "content": question}]
    asked = tokenizer.apply_chat_template(prompt, tokenize=True, add_generation_prompt=True, return_dict=False)
    turn = [*prompt, {"role": "assistant", "content": target}]
    whole = str(tokenizer.apply_chat_template(turn, tokenize=False))
    ids = tokenizer.apply_chat_template(turn, tokenize=True, return_dict=False)
    if template_checks.dropped(target, whole):
        found = f"the template drops part of the target: {target[:40]!r}… is trained as {whole[-60:]!r}"
        return [
            Finding("error", "template", found, "a template that keeps the reasoning (r1hf/text/templates/chat.jinja)")
        ]
    items = []
    if list(ids[: len(asked)]) != list(asked):
        found = "the prompt's tokens are not a prefix of the row's: the loss would begin in the wrong place"
        items.append(Finding("error", "template", found, "the same text before the answer with and without it"))
    trained = list(ids[len(asked) :])
    if not ends & set(trained):
        found = f"the trained part holds no end token (ids {sorted(ends)}): the model would not learn to stop"
        items.append(Finding("error", "template", found, "write {{ eos_token }} behind the content in the template"))
    limit = values.get("max_length")
    if limit and len(ids) > int(limit):
        found = f"the first row has {len(ids)} tokens; max_length {limit}"
        items.append(Finding("warning", "template", found, "raise it"))
    if not items:
        share = f"{len(trained)} of the first row's {len(ids)} tokens have a loss, the end token too"
        items.append(Finding("ok", "template", share))
    return items
