"""What a model is for, in a sentence, for whoever opens it: out of its card, or because r1hf made it itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from r1hf.core.errors import R1Error
from r1hf.core.files import open_plain
from r1hf.publish.lineage import find, own_roots

CARD, LONGEST, SHORTEST = "README.md", 300, 20
_MOST = 1 << 18  # bytes of a card that are read
_WORLD = "r1hf's tiny world"  # as model_cards/model.md.jinja says it
_FRONT = re.compile(r"\A\s*---\n.*?\n---\s*\n", re.DOTALL)
_NO_PROSE = re.compile(r"<!--.*?-->|```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)", re.DOTALL)
_HEADING = re.compile(r"^ {0,3}(?:#.*|=+|-+)$|^[^\n]*\n {0,3}(?:==+|--+)$", re.MULTILINE)
_OTHER = re.compile(r"\s*(?:[<|>{]|!?\[!?\[|!\[|[-*+]\s|\d+[.)]\s)")  # tables, lists, pictures, quotes, HTML
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_MARKS = re.compile(r"\*{1,3}|`|(?<!\w)_{1,2}|_{1,2}(?!\w)|<[^>]*>")
_END = re.compile(r"[.!?](?=\s|$)|[。！？]")


class Known(NamedTuple):
    """description: the first sentences of the card. tiny_world: r1hf made it itself, to show the pipeline."""

    description: str | None = None
    tiny_world: bool = False


def known_of(directory: Path) -> Known:
    """What is known of the model in a directory; nothing where there is no card and no stage of r1hf's made it."""
    card = _read(directory / CARD)
    return Known(described(card), _WORLD in card or _made_here(directory))


def described(card: str) -> str | None:
    """The first paragraph of prose in a card, as plain text and at most LONGEST characters; None without one."""
    text = _NO_PROSE.sub("\n\n", _FRONT.sub("", card.replace("\r\n", "\n")))
    for part in re.split(r"\n\s*\n", _HEADING.sub("\n\n", text)):
        plain = " ".join(_MARKS.sub("", _LINK.sub(r"\1", part)).split())
        if not _OTHER.match(part) and len(plain) >= SHORTEST and _END.search(plain):
            return _cut(plain)
    return None


def _cut(text: str) -> str:
    """Whole sentences that fit, else the words that do."""
    if len(text) <= LONGEST:
        return text
    ends = [found.end() for found in _END.finditer(text) if SHORTEST <= found.end() <= LONGEST]
    return text[: ends[-1]] if ends else text[: LONGEST - 1].rsplit(" ", 1)[0] + "…"


def _read(path: Path) -> str:
    try:
        with open_plain(path) as stream:
            return stream.read(_MOST).decode("utf-8", "replace")
    except OSError:
        return ""


def _made_here(directory: Path) -> bool:
    try:
        return bool(own_roots(find(directory)))
    except (R1Error, OSError):
        return False  # not made by a stage, or what it was made from is gone
