"""Prompt templates: text files with `{prompt}` (or other fields) in `r1hf/text/templates/`, or a user's own file.

A file is taken to the last character: a short template ends with a line break, the paper's does not.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_bytes, reason_of
from r1hf.text.language import is_traditional, language_code, names_none, target_of

PLACEHOLDER = "{prompt}"
_LARGEST = 1 << 20  # bytes
_DIRECTORY = Path(__file__).parent / "templates"


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Names of the templates that come with r1hf."""
    return tuple(sorted(path.stem for path in _DIRECTORY.glob("*.txt")))


def load(name: str, fields: Sequence[str] = ("prompt",)) -> str:
    """The text of a template, by name or by the path of a file, which holds each of `fields` in braces.

    Raises ConfigError if there is none or it is unfit.
    """
    if name in names():
        return _read(_DIRECTORY / f"{name}.txt", tuple(fields))
    path = Path(name).expanduser()
    if path.is_file():
        return _read(path, tuple(fields))
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"template {name!r} is neither a name nor a file; {hint}known: {', '.join(names())}; or the path of a text "
        f"file that holds {_listed(fields)}"
    )


def check(problems: list[str], key: str, name: str, fields: Sequence[str] = ("prompt",)) -> None:
    """Adds what is wrong with the template that a configuration's `key` names."""
    try:
        load(name, fields)
    except ConfigError as error:
        problems += [f"{key}: {problem}" for problem in error.problems]


def render(name: str, prompt: str) -> str:
    """The template `name` with `prompt` in place of `{prompt}`; braces in `prompt` stay as they are."""
    return load(name).replace(PLACEHOLDER, prompt)


def fill(name: str, **fields: str) -> str:
    """The template `name` with each field in place of its name in braces; braces in what is filled in stay."""
    text = load(name, tuple(fields))
    return re.sub(rf"\{{({'|'.join(map(re.escape, fields))})\}}", lambda match: fields[match[1]], text)


Templates = str | dict[str, str]  # for all, or by language; zh-Hant is traditional Chinese


def chosen(templates: str | Mapping[str, str], language: Any, question: str) -> str | None:
    """The name of the template for a row: that of its language, or of its question's where the row names none.

    Chinese is traditional where the row says so (zh-Hant, zh-TW, zh-HK) or the question is written so. A question
    that tells no language takes the first one. None where there is no template for the language.
    """
    if isinstance(templates, str):
        return templates
    named = "" if names_none(language) else str(language).replace("_", "-").lower()
    code = target_of(language, question)
    if code is None and names_none(language):
        return next(iter(templates.values()))
    known = {key.replace("_", "-").lower(): value for key, value in templates.items()}
    if code == "zh" and "zh-hant" in known:
        said = named.startswith(("zh-hant", "zh-tw", "zh-hk", "zh-mo"))
        if said or (not named.startswith("zh-") and is_traditional(question)):
            return known["zh-hant"]
    return known.get(named) or next((known[key] for key in known if code and language_code(key) == code), None)


def _listed(fields: Sequence[str]) -> str:
    return " and ".join(f"{{{field}}}" for field in fields)


@lru_cache(maxsize=64)
def _read(path: Path, fields: tuple[str, ...]) -> str:
    try:
        text = read_bytes(path, _LARGEST).decode("utf-8")
    except OSError as error:
        raise ConfigError(f"template {path} cannot be read: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"template {path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    if lost := [field for field in fields if f"{{{field}}}" not in text]:
        what = "the question" if lost == ["prompt"] else "it"
        raise ConfigError(f"template {path} does not hold {_listed(lost)}, so {what} would be lost: add it")
    return text
