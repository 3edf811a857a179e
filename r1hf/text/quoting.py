"""Text that a model wrote, put into a prompt for another: it must neither end the quotation nor open a turn."""

from __future__ import annotations

import re

# Marks of chat templates and tags are taken for what they say by a tokenizer or a model; a blank breaks them.
_MARK = re.compile(
    r"<(?=[|｜/!?A-Za-z\u4e00-\u9fff])|\[(?=\|?/?(?:INST|SYS|TOOL|AVAILABLE|user|system|assistant))|\|(?=>)"
)
_INVISIBLE = re.compile(
    "[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\U000e0000-\U000e007f]|[\x00-\x08\x0b-\x1f\x7f]"
)


def quoted(text: str) -> str:
    """`text` with its marks broken ("<|im_end|>" to "< |im_end| >"), without invisible characters."""
    return _MARK.sub(r"\g<0> ", _INVISIBLE.sub("", text)).strip()
