"""Secrets out of what is shown or written: by the key's name, and by their shape wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from r1hf.core.secrets import MASK, mask

_SECRET_KEY = re.compile(
    r"(^|_)(token|api_?key|access_?key|private_?key|passw(or)?d|passphrase|pwd|secret|credentials?)$", re.IGNORECASE
)
_TOKENIZER_KEY = re.compile(r"^(eos|bos|pad|unk|sep|cls|mask|image|video|audio)_token$")


def redact(value: Any) -> Any:
    """The same JSON value with secrets masked: by the key's name, and by their shape wherever they stand."""
    if isinstance(value, dict):
        return {
            mask(key): MASK if item is not None and _is_secret(key) else redact(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [redact(item) for item in value]
    return mask(value) if isinstance(value, str) else value


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
            shown.append(mask(word))
        hide = secret and not equals
    return shown


def _is_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key)) and not _TOKENIZER_KEY.match(key)
