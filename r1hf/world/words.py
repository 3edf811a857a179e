"""The world's words: texts kept as YAML beside the code, their split by hash, and the ways people type a sentence."""

from __future__ import annotations

import functools
import hashlib
import random
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

LANGUAGES = ("en", "zh")
HELD_OUT = 0.2  # of wordings and topics
_DIRECTORY = Path(__file__).parent / "texts"


class Split(NamedTuple):
    """Texts for training, and texts that only evaluation holds."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]

    def half(self, held_out: bool) -> tuple[str, ...]:
        return self.held_out if held_out else self.train


@functools.cache
def texts(name: str, language: str) -> dict[str, Any]:
    """The mapping in `texts/NAME.LANGUAGE.yaml`; its lists are written as text, one item a line or after a `;`."""
    return yaml.load((_DIRECTORY / f"{name}.{language}.yaml").read_text("utf-8"), Loader=yaml.BaseLoader)


def lines(block: str) -> list[str]:
    return [line.strip() for line in block.splitlines() if line.strip()]


def items(block: str) -> list[str]:
    return [item for line in lines(block) for item in re.split(r"; *", line) if item]


def plain(text: str) -> str:
    """A sentence without case, spaces and punctuation; the text itself where nothing would be left."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\W_]+", "", folded.replace("'s ", " is ")) or folded.strip()


def is_held_out(text: str, share: float = HELD_OUT) -> bool:
    """By the SHA-256 of the plain text alone: the same text is on the same side wherever it stands."""
    rank = hashlib.sha256(f"r1hf words / {plain(text)}".encode()).digest()
    return int.from_bytes(rank[:4], "big") < share * 2**32


def split(values: Iterable[str], share: float = HELD_OUT) -> Split:
    """Splits texts by hash; those marked with a `!` are always for training."""
    values = dict.fromkeys(values)
    common = {plain(value[2:]) for value in values if value.startswith("! ")}
    sides: tuple[list[str], list[str]] = ([], [])
    for value in (value.removeprefix("! ") for value in values):
        sides[plain(value) not in common and is_held_out(value, share)].append(value)
    return Split(tuple(sides[0]), tuple(sides[1]))


def marked(values: Sequence[str]) -> Split:
    """Splits texts of which those to hold out are marked with a `~`."""
    held_out = tuple(value[1:].strip() for value in values if value.startswith("~"))
    return Split(tuple(value for value in values if not value.startswith("~")), held_out)


def as_typed(sentence: str, language: str, rng: random.Random, polite: bool = True) -> str:
    """The sentence as somebody might type it: lower case, no mark at the end or two, a polite word, other marks."""
    if not plain(sentence)[0].isalnum():
        return sentence
    if language == "en":
        if polite and rng.random() < 0.05:
            sentence = rng.choice(["Hey, ", "Hi, ", "So, ", "Ok, "]) + _lower_first(sentence)
        if rng.random() < 0.25:
            sentence = sentence.lower()
        elif polite and rng.random() < 0.01:
            sentence = sentence.upper()
    elif polite and rng.random() < 0.06 and sentence.endswith("？") and not sentence.startswith("请"):
        sentence = f"请问{sentence}"
    draw = rng.random()
    if draw < 0.2:
        return sentence.rstrip("?？.。!！ ")
    if draw < (0.24 if language == "en" else 0.3):
        return _other_marks(sentence, language)
    if draw > 0.98 and sentence[-1] in "?？!！":
        return sentence + sentence[-1]
    return sentence


def in_words(value: int, language: str) -> str:
    """A number from 0 to 99 in words: `twenty-one`, `二十一`."""
    tens, ones = divmod(value, 10)
    if language == "zh":
        ten = "" if tens == 0 else ("" if tens == 1 else _DIGITS_ZH[tens]) + "十"
        return ten + (_DIGITS_ZH[ones] if ones or not tens else "")
    if value < 20:
        return _NUMBERS_EN[value]
    return _TENS_EN[tens - 2] + (f"-{_NUMBERS_EN[ones]}" if ones else "")


_DIGITS_ZH = "零一二三四五六七八九"
_NUMBERS_EN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS_EN = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_HALF_WIDTH = str.maketrans({"？": "?", "，": ",", "！": "!", "。": "."})


def _other_marks(sentence: str, language: str) -> str:
    return sentence.translate(_HALF_WIDTH) if language == "zh" else re.sub(r" ?\?$", " ?", sentence)


def _lower_first(sentence: str) -> str:
    first = sentence.split(" ", 1)[0]
    return sentence if first in ("I", "I'm") or first.isupper() else sentence[0].lower() + sentence[1:]
