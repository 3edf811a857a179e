"""The tokenizer that a stage trains with: the model's own, with another chat template where the configuration asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from r1hf.core.errors import ConfigError
from r1hf.core.foreign_code import faults
from r1hf.models.loading import check_chat_template, load_tokenizer
from r1hf.text import template_checks
from r1hf.text.chat_templates import AUTO, chat_template, dress


@dataclass(kw_only=True)
class TemplateConfig:
    """A base on the Hub has no chat template (Llama), or one whose turns do not end in its end token (Qwen2.5)."""

    chat_template: str | None = field(
        default=None,
        metadata={"help": "auto, qwen, llama, chat, r1_zero or a .jinja file; none: the one beside the tokenizer"},
    )
    prefill_think: bool = field(
        default=False,
        metadata={"help": "with chat_template: prompts end in <think>, and the model goes on inside"},
    )


class HasTemplate(Protocol):
    """A stage's configuration with these keys and a model."""

    model: str
    chat_template: str | None
    prefill_think: bool


def training_tokenizer(config: HasTemplate) -> Any:
    """The tokenizer of the stage's model, as it is trained with and saved.

    Raises ConfigError where its chat template fails or never ends: a Hub id's is seen here first.
    """
    tokenizer = _dressed(config)
    template_checks.check_ends(config.model, tokenizer)
    return tokenizer


def _dressed(config: HasTemplate) -> Any:
    tokenizer = load_tokenizer(config.model)
    if config.chat_template is not None:
        dress(tokenizer, config.chat_template, config.prefill_think)
    return tokenizer


def check_training_template(problems: list[str], config: HasTemplate) -> None:
    """Adds what is wrong with the chat template: the one asked for, or the one beside the tokenizer."""
    if config.chat_template is None:
        if config.prefill_think:
            problems.append("prefill_think: needs chat_template too (auto, qwen or llama)")
        check_chat_template(problems, "model", config.model)
        return
    if faults(config.model):
        return  # named with the configuration
    try:
        if Path(config.model).is_dir():
            found = template_checks.findings(_dressed(config))
            problems += [f"model: {config.model}: {one}" for one in found if one.fatal]
        elif config.chat_template != AUTO:
            chat_template(config.chat_template, config.prefill_think)
    except ConfigError as error:
        problems += [f"chat_template: {problem}" for problem in error.problems]
    except Exception as error:  # tokenizers raises Exception itself, and broken files anything at all
        problems.append(f"model: no tokenizer can be loaded from {config.model}: {' '.join(str(error).split())[:200]}")
