"""Whether text survives a tokenizer, and whether a turn ends in the token that its chat template writes.

A tokenizer that was converted, from a GGUF file or by hand, loses this first, and training shows nothing of it.
"""

from __future__ import annotations

import re
from typing import Any

from r1hf.text.bounded import bounded
from r1hf.text.chat_templates import padding_token
from r1hf.text.template_checks import Finding

_MARK = "forty-two"
_MARKS = re.compile(r"<\|[^|<>\s]+\|>")
CONVERSATION = [
    {"role": "user", "content": "What is 12 + 34 , and why ?"},
    {"role": "assistant", "content": f"<think>\n12 + 34 = 46.\n\n</think>\n<answer>\n{_MARK}\n</answer>"},
]
# What real text has and made-up text has not; NFC, as some tokenizers make it.
TEXTS = (
    "Hello , world ! It 's a dog 's life ; isn't it ?",
    "<think>\nFirst 12+34=46 .\n\n</think>\n\n<answer>46</answer>",
    "  two  spaces,\n\n\ttabs\t and a line's end \n",
    "$\\frac{1}{2} \\le x^2$, 1,234.50 € and 100%",
    "été, naïve, 你好，世界。 Привет 👋🏽",
)


def rendered(tokenizer: Any) -> str:
    """A question and its answer by the chat template. Raises RuntimeError for one that fails or never ends."""
    return bounded(lambda: str(tokenizer.apply_chat_template(CONVERSATION, tokenize=False)))


def _closing(tokenizer: Any, text: str) -> str | None:
    """The special token that the chat template closes an assistant's turn with; None where it writes none."""
    tail = text.rpartition(_MARK)[2].removeprefix("\n</answer>").lstrip()
    known = sorted((str(one) for one in tokenizer.added_tokens_decoder.values()), key=len, reverse=True)
    return next((token for token in known if text and tail.startswith(token)), None)


def mend_ends(tokenizer: Any) -> list[str]:
    """Takes the end token that the chat template writes, and another one to pad with; says what was changed.

    Some files name the token that begins a text as its end, and many models pad with their end. Raises RuntimeError
    as `rendered` does.
    """
    notes = []
    text = rendered(tokenizer) if tokenizer.chat_template else ""
    end = _closing(tokenizer, text)
    if end is not None and end != tokenizer.eos_token:
        notes.append(f"eos_token is {end} and not {tokenizer.eos_token}: the chat template closes a turn with it")
        tokenizer.eos_token = end
    now = tokenizer.pad_token
    if (now in (None, tokenizer.eos_token) or now in text) and (pad := padding_token(tokenizer)) is not None:
        notes.append(f"pad_token is {pad} and not {now}: padding must not look like a part of a turn")
        tokenizer.pad_token = pad
    return notes


def findings(tokenizer: Any) -> list[Finding]:
    """Text and turns that do not come back from the tokenizer as they went in."""
    return [*lost_turn(tokenizer), *lost_text(tokenizer)]


def lost_text(tokenizer: Any) -> list[Finding]:
    """Texts that come back from the tokenizer as others than they went in."""
    lost = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False)
        if (back := tokenizer.decode(ids)) != text:
            lost.append(f"{text[:40]!r} comes back as {back[:40]!r}")
    if not lost:
        return []
    return [
        Finding(
            "text_lost",
            f"the tokenizer changes text: {'; '.join(lost[:2])}",
            "set clean_up_tokenization_spaces to false where it takes spaces away; else take the model's own "
            "tokenizer from the Hub",
        )
    ]


def lost_turn(tokenizer: Any) -> list[Finding]:
    """A conversation that becomes other tokens than its template says: marks that are taken apart, or text lost."""
    if not tokenizer.chat_template:
        return []
    try:
        text = rendered(tokenizer)
    except RuntimeError:
        return []  # `turn_end` says so
    ids = tokenizer.encode(text, add_special_tokens=False)
    known = tokenizer.get_vocab()
    spelt = [mark for mark in dict.fromkeys(_MARKS.findall(text)) if mark in known and known[mark] not in ids]
    if spelt:
        return [
            Finding(
                "marks_spelt",
                f"the chat template writes {', '.join(spelt)}, which the tokenizer has and takes apart all the same: "
                "a model knows its turns by the whole tokens",
                "register them as special tokens (tokenizer.add_special_tokens)",
            )
        ]
    if (back := tokenizer.decode(ids)) != text:
        at = next((n for n, (one, two) in enumerate(zip(back, text, strict=False)) if one != two), len(back))
        return [
            Finding(
                "turn_lost",
                f"a conversation comes back from the tokenizer changed: {text[at : at + 30]!r} as "
                f"{back[at : at + 30]!r}",
                "take the model's own tokenizer and chat template from the Hub",
            )
        ]
    return []
