"""Is a text answer right? Exactly, or normalised in the manner of SQuAD, but safe for numbers and all scripts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MAX_LENGTH = 20_000  # characters; a longer answer is wrong, and a longer gold judges nobody

_KEPT = frozenset("#%&@/\\")  # punctuation that carries meaning: C#, 50%, R&D, 1/2
_DECORATION = frozenset("*`^\u00b4\u02c6")  # marks of emphasis; * is punctuation to Unicode, the rest modifiers
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹣－"), "-")
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textbf|textit|textrm|mathbf|mathit|rm)\s*\{([^{}]*)\}")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CJK_GAP = re.compile(rf"(?<=[{_CJK}])\s+|\s+(?=[{_CJK}])")
_ARTICLE = re.compile(r"\b(?:a|an|the)\s+(?=\S)")


def verify_text(prediction: str | None, gold: str | Sequence[str] | None, *, exact: bool = False) -> bool | None:
    """True if `prediction` is `gold`, or one of them where `gold` is a list; None where there is no gold.

    `exact`: the same characters (Unicode NFC), white space at both ends apart. Else case, width, invisible characters,
    white space, quotes, emphasis, punctuation and the articles a, an, the do not count, a hyphen is the same as a
    space or nothing ("e-mail", "email"), and blanks beside Chinese or Japanese characters are dropped. What
    SQuAD's normalisation confuses stays apart: 3.14 and 314, -14 and 14, C# and C, "Vitamin A" and "Vitamin".
    A longer text that contains the gold is wrong.
    """
    golds = [gold] if isinstance(gold, str) else list(gold or ())
    golds = [text for text in golds if isinstance(text, str) and text.strip() and len(text) <= MAX_LENGTH]
    if not golds:
        return None
    if not prediction or len(prediction) > MAX_LENGTH:
        return False
    form = _exact if exact else text_keys
    keys = form(prediction)
    return any(keys & form(text) for text in golds)


def _exact(text: str) -> frozenset[str]:
    return frozenset({unicodedata.normalize("NFC", text.strip())} - {""})


def text_keys(text: str) -> frozenset[str]:
    """The spellings under which `text` is compared: two texts are the same if they share one."""
    text = _LATEX_TEXT.sub(r"\1", text.strip())
    if len(text) > 2 and text[0] == text[-1] == "$":
        text = text[1:-1]
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text.translate(_DASHES)).casefold())
    folded = _THOUSANDS.sub("", folded)
    forms = {_without_punctuation(folded, gap) for gap in ("", " ")}
    forms |= {_ARTICLE.sub("", form) for form in forms}
    keys = {_CJK_GAP.sub("", " ".join(form.split())) for form in forms} - {""}
    return frozenset(keys or {" ".join(folded.split())} - {""})


def _without_punctuation(text: str, gap: str) -> str:
    """Punctuation between digits becomes a space, apart from the decimal point; elsewhere it becomes `gap`."""
    out = []
    for place, char in enumerate(text):
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        category = unicodedata.category(char)
        if category in ("Cf", "Cc") and not char.isspace():
            continue
        if (category[0] != "P" and char not in _DECORATION) or char in _KEPT:
            out.append(char)
        elif char in ".-" and after.isdigit() and not before.isalpha():
            out.append(char)  # a decimal point, a sign, a range
        elif before.isdigit() and after.isdigit():
            out.append(" ")
        else:
            out.append("" if char in "'’." else gap)
    return "".join(out)
