"""The interface's texts in its languages: strings/<language>.json, one sentence a key, `{name}` for a value."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

LANGUAGES = {"en": "English", "zh-Hans": "简体中文", "zh-Hant": "繁體中文"}
_FOLDER = Path(__file__).parent / "strings"
_TRADITIONAL = ("zh-hant", "zh-tw", "zh-hk", "zh-mo")

Translator = Callable[..., str]


@cache
def load(language: str) -> dict[str, str]:
    return json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8"))


def translator(language: str) -> Translator:
    """A function from a key and its values to the sentence; English for an unknown language."""
    strings = load(language if language in LANGUAGES else "en")

    def translate(key: str, /, **values: object) -> str:
        return strings[key].format(**values) if values else strings[key]

    return translate


def from_browser(accept_language: str | None) -> str:
    """The language of an Accept-Language header: its first entry that is known, else English."""
    for entry in (accept_language or "").lower().split(","):
        tag = entry.partition(";")[0].strip()
        if tag.startswith(_TRADITIONAL):
            return "zh-Hant"
        if tag.startswith("zh"):
            return "zh-Hans"
        if tag.startswith("en"):
            return "en"
    return "en"
