"""Models and tokenizers on disk: safetensors only, no remote code, the chat template always saved along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from r1hf.chat_templates import chat_template as chat_template
from r1hf.checks import template


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a directory or Hub id (`org/name[@revision]`), padding on the left as generation needs it."""
    name, _, revision = source.partition("@")
    tokenizer = AutoTokenizer.from_pretrained(name, revision=revision or None, padding_side="left")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(source: str) -> PreTrainedModel:
    """A causal language model in float32, in evaluation mode."""
    name, _, revision = source.partition("@")
    model = AutoModelForCausalLM.from_pretrained(
        name, revision=revision or None, dtype="float32", use_safetensors=True
    )
    return model.eval()


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    weights: dict[str, Any] | None = None,
    **sampling: Any,
) -> None:
    """Writes model, tokenizer, chat template and generation settings as an ordinary Transformers directory.

    weights: in place of the model's own, where it is sharded.
    """
    model.generation_config = GenerationConfig(
        do_sample=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **({"temperature": 0.6, "top_p": 0.95} | sampling),  # the paper's evaluation settings
    )
    model.save_pretrained(directory, state_dict=weights)
    tokenizer.save_pretrained(directory)


def check_tokenizer(problems: list[str], key: str, source: str | None) -> PreTrainedTokenizerBase | None:
    """Adds what the tokenizer in the directory `source` would break in training, and returns it if it can be read."""
    if not source or not Path(source).is_dir():
        return None
    if (Path(source) / "adapter_config.json").exists() and not (Path(source) / "config.json").exists():
        problems.append(f"{key}: {source} is an adapter alone; make it with --export both, or give a merged model")
        return None
    try:
        tokenizer = load_tokenizer(source)
    except (OSError, ValueError) as error:
        problems.append(f"{key}: no tokenizer can be loaded from {source}: {' '.join(str(error).split())[:200]}")
        return None
    ends = template.end_ids(tokenizer, load_generation_config(source))
    problems += [f"{key}: {source}: {found}" for found in template.findings(tokenizer, ends) if found.fatal]
    return tokenizer


def load_generation_config(source: str) -> GenerationConfig | None:
    """The `generation_config.json` of a directory, or None."""
    try:
        return GenerationConfig.from_pretrained(source)
    except (OSError, ValueError):
        return None


def check_chat_template(problems: list[str], key: str, source: str | None) -> None:
    """Adds a problem where the tokenizer in the directory `source` has no chat template, or would not train well."""
    tokenizer = check_tokenizer(problems, key, source)
    if tokenizer is not None and not tokenizer.chat_template:
        problems.append(
            f"{key}: the tokenizer in {source} has no chat template; set chat_template: auto, or "
            "put a chat_template.jinja beside it (r1hf/templates/chat.jinja is one for base models)"
        )
