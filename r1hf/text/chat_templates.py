"""Chat templates that keep reasoning in training: `chat` for plain bases, `qwen` and `llama` with their own tokens.
`r1_zero` is the paper's prompt for a base.

    dress(tokenizer, "auto", prefill=True)   # template, end token and padding, by what the vocabulary has

All keep the reasoning of the last turn, drop it from earlier ones, mark what is trained on for TRL, and end a prompt
where a token ends. `qwen` and `llama` prefill `<think>` by choice: the model then begins inside of its thought.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_text, reason_of

# Template -> (token that ends a turn, other tokens that it writes, tokens to pad with, best first).
FAMILIES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "qwen": ("<|im_end|>", ("<|im_start|>",), ("<|endoftext|>",)),
    "llama": (
        "<|eot_id|>",
        ("<|start_header_id|>", "<|end_header_id|>"),
        ("<|finetune_right_pad_id|>", "<|end_of_text|>"),
    ),
}
AUTO = "auto"
_SWITCH = "prefill_think | default(false)"


def chat_template(name: str = "chat", prefill: bool = False) -> str:
    """The text of one of r1hf's chat templates, or of a `.jinja` file of one's own.

    prefill: prompts end in `<think>` unless `prefill_think` says otherwise. Raises ConfigError for an unknown name,
    and for a template that has no such choice.
    """
    path = Path(name)
    shipped = resources.files("r1hf") / "text" / "templates" / f"{name}.jinja"
    if path.suffix == ".jinja" and path.is_file():
        try:
            text = read_text(path)
        except (OSError, ValueError) as error:
            raise ConfigError(f"chat template {path} cannot be read: {reason_of(error)}") from error
        if not text.strip():
            raise ConfigError(f"chat template {path} is empty")
    elif shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    else:
        raise ConfigError(
            f"chat template '{name}' is neither a .jinja file nor one that r1hf ships: chat, r1_zero, "
            f"{', '.join(FAMILIES)}"
        )
    if not prefill:
        return text
    if _SWITCH not in text:
        raise ConfigError(
            f"chat template '{name}' cannot prefill <think>: take one of {', '.join(FAMILIES)}, or write "
            f"'{{%- set prefill = {_SWITCH} -%}}' into your own"
        )
    return text.replace(_SWITCH, _SWITCH.replace("false", "true"))


def family(tokenizer: Any) -> str:
    """The template whose tokens the vocabulary has: "qwen", "llama", else "chat"."""
    known = tokenizer.get_vocab()
    return next((name for name, (end, others, _) in FAMILIES.items() if known.keys() >= {end, *others}), "chat")


def dress(tokenizer: Any, name: str = AUTO, prefill: bool = False) -> None:
    """Gives a base's tokenizer a chat template, the end token that this writes, and another one to pad with.

    Raises ConfigError where the vocabulary lacks a token of the template: its text would become many tokens.
    """
    name = family(tokenizer) if name == AUTO else name
    text = chat_template(name, prefill)
    if name in FAMILIES:
        end, others, pads = FAMILIES[name]
        known = tokenizer.get_vocab()
        lacking = [token for token in (end, *others) if token not in known]
        if lacking:
            raise ConfigError(
                f"the chat template '{name}' writes {', '.join(lacking)}, which the tokenizer does not have; its "
                f"vocabulary fits '{family(tokenizer)}'"
            )
        tokenizer.eos_token = end
        if tokenizer.pad_token in (None, end):
            tokenizer.pad_token = next((token for token in pads if token in known), end)
    if "bos_token" in text and not begins_text(tokenizer):
        tokenizer.bos_token = None  # SmolLM2 calls the mark of a turn so, and no text of its training begins with it
    tokenizer.chat_template = text


def begins_text(tokenizer: Any) -> bool:
    """Whether the tokenizer itself begins a text with its start token, as Llama's does."""
    return tokenizer.bos_token is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]


def padding_token(tokenizer: Any) -> str | None:
    """A token to pad with that is not the end of a turn, of those that families of models have, or None."""
    known = tokenizer.get_vocab()
    pads = (token for _, _, tokens in FAMILIES.values() for token in tokens)
    return next((token for token in pads if token in known and token != tokenizer.eos_token), None)
