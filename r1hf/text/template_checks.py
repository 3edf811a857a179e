"""What a tokenizer and its chat template would silently break in training.

Each function returns findings; none raises for what it finds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from r1hf.core.errors import ConfigError
from r1hf.text.bounded import bounded
from r1hf.text.grammar import parse

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_CONTENT = "forty-two"  # no template has a reason to change it


@dataclass(frozen=True)
class Finding:
    """name: a short id. problem: what is wrong, with the value. fix: what to do. fatal: training would go wrong."""

    name: str
    problem: str
    fix: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.problem}; {self.fix}"


def special_tags(tokenizer: PreTrainedTokenizerBase, tags: Sequence[str] = TAGS) -> list[Finding]:
    """Tags that decoding without special tokens removes: TRL decodes so before rewards, which then see no thinking."""
    lost = [
        tag
        for tag in tags
        if tag
        not in tokenizer.decode(tokenizer.encode(f"{tag} 1", add_special_tokens=False), skip_special_tokens=True)
    ]
    if not lost:
        return []
    return [
        Finding(
            "special_tags",
            f"the tokenizer has {', '.join(lost)} as special: decoding strips them before the rewards",
            "register them as ordinary tokens (tokenizer.add_tokens([AddedToken(tag, special=False)], "
            'special_tokens=False), or "special": false in tokenizer.json and tokenizer_config.json)',
        )
    ]


def turn_end(tokenizer: PreTrainedTokenizerBase, ends: Collection[int] = ()) -> list[Finding]:
    """An assistant turn that the chat template closes with no end token: the model would never learn to stop.

    ends: further token ids that end a generation (`eos_token_id` of the generation config).
    """
    if tokenizer.eos_token is None:
        return [
            Finding(
                "no_eos",
                "the tokenizer has no eos_token: no completion can end",
                "set it to the token that closes an assistant turn (tokenizer.eos_token = ...)",
            )
        ]
    if not tokenizer.chat_template:
        return []
    known = {tokenizer.eos_token, *(str(tokenizer.convert_ids_to_tokens(end)) for end in ends)}
    question = [{"role": "user", "content": "Why?"}]
    answered = [*question, {"role": "assistant", "content": _CONTENT}]
    try:  # a template is a program, which may fail in its own ways, and may never end
        text = bounded(lambda: str(tokenizer.apply_chat_template(answered, tokenize=False)))
        bounded(lambda: str(tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)))
    except RuntimeError as error:
        return [
            Finding(
                "template_fails",
                f"the chat template fails on a question and an answer: {' '.join(str(error).split())[:200]}",
                "mend it, or use r1hf's chat.jinja",
            )
        ]
    _, found, tail = text.rpartition(_CONTENT)
    if found and any(end in tail for end in known):
        return []
    return [
        Finding(
            "turn_without_eos",
            f"the chat template closes an assistant turn with {tail[:40]!r}, where no end token "
            f"({', '.join(sorted(known))}) is: the model would not learn to stop",
            "put {{ eos_token }} behind the content, or set eos_token to the token that the template writes "
            "(Qwen: <|im_end|>)",
        )
    ]


def check_ends(source: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises ConfigError where the chat template of `source` fails or never ends."""
    for found in turn_end(tokenizer):
        if found.name == "template_fails":
            raise ConfigError(f"{source}: {found}")


def dropped(target: str, trained: str) -> bool:
    """Whether part of a target is missing in the text that it becomes; white space beside its tags does not count."""
    if target.strip() in trained:
        return False
    response = parse(target)
    parts = (response.leading, response.reasoning, response.answer, response.trailing)
    return not all(part in trained for part in parts if part)


def padding(tokenizer: PreTrainedTokenizerBase) -> list[Finding]:
    """Padding with the end token: a collator that masks padding by id masks the end too."""
    if tokenizer.pad_token is None or tokenizer.pad_token_id != tokenizer.eos_token_id:
        return []
    return [
        Finding(
            "pad_is_eos",
            f"pad_token and eos_token are both {tokenizer.eos_token!r}: masking padding by id masks the end",
            "set pad_token to a token that no text has; r1hf's trainers mask by length and check that the end is "
            "trained",
            fatal=False,
        )
    ]


def end_untrained(
    ids: Iterable[Sequence[int]], labels: Iterable[Sequence[int]], ends: Collection[int], cut_at: int | None = None
) -> list[Finding]:
    """Rows whose trained part holds no end token. ids, labels: one row each, -100 where there is no loss.

    Rows of `cut_at` tokens and more count as cut off, and not against the template. A finding means that not one of
    the other rows trains an end.
    """
    whole = [
        {int(label) for label in row_labels if label != -100}
        for row_ids, row_labels in zip(ids, labels, strict=True)
        if cut_at is None or len(row_ids) < cut_at
    ]
    if not whole or any(trained & set(ends) for trained in whole):
        return []
    return [
        Finding(
            "end_untrained",
            f"no end token (ids {sorted(ends)}) has a loss in any of {len(whole)} rows: the model would not learn to "
            "stop",
            "check that the chat template writes eos_token inside the completion, and that pad_token is another token",
        )
    ]


def findings(tokenizer: PreTrainedTokenizerBase, ends: Collection[int] = ()) -> list[Finding]:
    """All that can be said without data."""
    return [*special_tags(tokenizer), *turn_end(tokenizer, ends), *padding(tokenizer)]


def end_ids(tokenizer: Any, generation: Any = None) -> set[int]:
    """Ids that end a generation: the tokenizer's and those of a `GenerationConfig`."""
    more = getattr(generation, "eos_token_id", None)
    listed = more if isinstance(more, list | tuple) else [more]
    known = {end for end in (tokenizer.eos_token_id, *listed) if type(end) is int}  # a file may say anything
    return {end for end in known if 0 <= end < 2**31}
