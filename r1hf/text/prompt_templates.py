"""Prompt templates: text files with `{prompt}` in `r1hf/text/templates/`, or a file of the user's own.

A file is taken to the last character: a short template ends with a line break, the paper's does not.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from pathlib import Path

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_bytes, reason_of

PLACEHOLDER = "{prompt}"
_LARGEST = 1 << 20  # bytes
_DIRECTORY = Path(__file__).parent / "templates"


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Names of the templates that come with r1hf."""
    return tuple(sorted(path.stem for path in _DIRECTORY.glob("*.txt")))


def load(name: str) -> str:
    """The text of a template, by name or by the path of a file. Raises ConfigError if there is none or it is unfit."""
    if name in names():
        return _read(_DIRECTORY / f"{name}.txt")
    path = Path(name).expanduser()
    if path.is_file():
        return _read(path)
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"template {name!r} is neither a name nor a file; {hint}known: {', '.join(names())}; or the path of a text "
        f"file that holds {PLACEHOLDER}"
    )


def render(name: str, prompt: str) -> str:
    """The template `name` with `prompt` in place of `{prompt}`; braces in `prompt` stay as they are."""
    return load(name).replace(PLACEHOLDER, prompt)


@lru_cache(maxsize=64)
def _read(path: Path) -> str:
    try:
        text = read_bytes(path, _LARGEST).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"template {path} cannot be read: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"template {path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    if PLACEHOLDER not in text:
        raise ConfigError(f"template {path} does not hold {PLACEHOLDER}, so the question would be lost: add it")
    return text
