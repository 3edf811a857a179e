"""Secrets out of what is shown or written: by the key's name, and Hub tokens wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_SECRET_KEY = re.compile(r"(^|_)(token|api_key|password|secret)$", re.IGNORECASE)
_TOKENIZER_KEY = re.compile(r"^(eos|bos|pad|unk|sep|cls|mask|image|video|audio)_token$")
SECRET_VALUE = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
MASK = "***"


def redact(value: Any) -> Any:
    """The same JSON value with secrets masked: by the key's name, and Hub tokens wherever they stand."""
    if isinstance(value, dict):
        return {key: MASK if item is not None and _is_secret(key) else redact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [redact(item) for item in value]
    return SECRET_VALUE.sub(MASK, value) if isinstance(value, str) else value


def redact_argv(argv: Sequence[str]) -> list[str]:
    """A command line without the values of secret keys."""
    shown: list[str] = []
    hide = False
    for word in argv:
        key, equals, _ = word.removeprefix("--").partition("=")
        secret = word.startswith("--") and _is_secret(key.replace("-", "_"))
        if hide and not word.startswith("--"):
            shown.append(MASK)
        elif secret and equals:
            shown.append(f"--{key}={MASK}")
        else:
            shown.append(SECRET_VALUE.sub(MASK, word))
        hide = secret and not equals
    return shown


def _is_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key)) and not _TOKENIZER_KEY.match(key)
