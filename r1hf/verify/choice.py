"""Is the right option of a multiple-choice question chosen, and only that one?"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from r1hf.verify.judge import compare
from r1hf.verify.normal import normalise
from r1hf.verify.text import text_keys

Choices = Sequence[str] | Mapping[str, Any]

MAX_LENGTH = 2000  # characters; a longer answer chooses nothing

_MAX_MATHS = 400  # characters of a text and an option that are compared by value
_WORDS = re.compile(r"(?<![\\A-Za-z])(?!sin|cos|tan|log|exp|max|min|lim)[^\W\d_]{3,}|[\u3040-\u9fff]")
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf|textit|textrm|mbox|boxed|rm)\s*\{([^{}]*)\}")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_LEAD = re.compile(
    r"(?:(?:so|thus|hence|therefore|i choose|i pick|my|the|final|correct|best|right|most|likely|appropriate"
    r"|故|所以|因此|综上|应该?|正确|最[终終佳]?|本题|我)[\s,，]*)*"
    r"(?:(?:answer|option|choice|letter|答案|[选選][项項择擇]?)[\s:]*(?:is|are|是|为|為|应[选選]|[选選])?[\s:]*)?",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s*(?:is(?: the)?(?: (?:correct|right|best|true))?(?: (?:answer|option|choice|one))?"
    r"|[选選]?[项項]|[选選][项項]?)?(?:(?:是|为|為)?(?:正确|正確|对|對)的?(?:答案|[选選][项項])?)?\s*[.。!！]*$",
    re.IGNORECASE,
)
_LABELLED = re.compile(
    r"(?:\(\s*(\w{1,2})\s*\)|\[\s*(\w{1,2})\s*\]|(\w{1,2})\s*[).:、]|(\w{1,2})(?=\s+-\s))(?:[\s:.、]|-(?=\s))*",
    re.ASCII,
)
_BARE = re.compile(r"[(\[{<]?\s*(\w{1,2})\s*[)\]}>]?\s*[.:、]?", re.ASCII)
_RUN = re.compile(r"(?:[(\[]?[A-J][)\]]?[\s.]*){2,10}")
_SEPARATOR = re.compile(r"\s*(?:[,;、&\n]|\band\b|和|与|與|及)\s*", re.IGNORECASE)
_HEDGE = re.compile(r"(?<![\w'])(?:[B-HJ]|A(?!\s+[a-z]|\w)|A(?=\s+(?:is|are|or|and|may|might|could|also)\b))(?!\w)")


def verify_choice(prediction: str | None, gold: str | int | None, choices: Choices | None = None) -> bool | None:
    """True if `prediction` chooses what `gold` says, False if not; None where `gold` names no option.

    `gold` is a label ("B"), several ("A, C", in any order), an option's text, or an option's place from 0 (an int).
    `choices` are the options' texts in order, {label: text}, or ARC's {"label": […], "text": […]}.
    A prediction is a label in any dress (B, (b), B., "B) 12", \\text{B}, Ｂ, "Option B is correct", 选B, 答案：B),
    or an option's text where `choices` are known. It is wrong if it names another label or option beside the one
    ("A or B", "B) 12 or C", "B) 13" where 13 is C), all of several asked for or none; an option's text needs
    `choices` to be told from a hedge with certainty, so rows should have them. A label is read before a text.
    """
    options = _options(choices)
    wanted = _gold_labels(gold, options)
    if not wanted:
        return None
    chosen = _chosen(_plain(prediction or ""), options, several=len(wanted) > 1)
    if chosen is None:
        return False
    if len(wanted) == len(chosen) == 1:
        (asked,), (given,) = wanted, chosen
        # Two options may read the same.
        return given == asked or (given in options and _plain(options[given]) == _plain(options.get(asked, "")))
    return chosen == wanted


def names_option(prediction: str, choices: Choices | None = None) -> bool:
    """Whether a text can be read as a choice at all, right or wrong: "B", "A or B", an option's text."""
    options = _options(choices)
    plain = _plain(prediction)
    if _chosen(plain, options, several=True) is not None:
        return True
    return any(found[0] in options for found in _HEDGE.finditer(plain))


def _options(choices: Choices | None) -> dict[str, str]:
    """{label: text}; labels are A, B, … where none are given."""
    if isinstance(choices, Mapping):
        labels, texts = choices.get("label"), choices.get("text")
        if isinstance(labels, Sequence) and isinstance(texts, Sequence) and not isinstance(texts, str):
            return {str(label).upper(): str(text) for label, text in zip(labels, texts, strict=True)}
        return {str(label).upper(): str(text) for label, text in choices.items() if text is not None}
    texts = [str(text) for text in choices or ()]
    letters = string.ascii_uppercase[: len(texts)]
    heads = [_LABELLED.match(_plain(text)) for text in texts]
    if len(texts) > 1 and [_label(head) for head in heads] == list(letters):
        texts = [_plain(text)[head.end() :] for text, head in zip(texts, heads, strict=True) if head]
    return dict(zip(letters, texts, strict=False))


def _gold_labels(gold: str | int | None, options: dict[str, str]) -> frozenset[str]:
    if isinstance(gold, int) and not isinstance(gold, bool):
        labels = list(options) or list(string.ascii_uppercase)
        return frozenset(labels[gold : gold + 1] if gold >= 0 else ())
    if not isinstance(gold, str):
        return frozenset()
    named = _by_text(gold, options)
    if named and gold.strip().upper() not in options:
        return frozenset(named[:1])
    return _chosen(_plain(gold), options, several=True) or frozenset()


def _plain(text: str) -> str:
    """ASCII brackets, letters and colons; no LaTeX, emphasis or invisible characters."""
    if len(text) > MAX_LENGTH:
        return ""
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(str.maketrans("【】", "[]", "*$`"))
    for _ in range(3):  # \boxed{\text{B}}
        text = _LATEX.sub(r"\1", text)
    # Runs of blanks would cost the patterns above the square of their length, and more.
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def _chosen(text: str, options: dict[str, str], *, several: bool) -> frozenset[str] | None:
    """The labels that `text` chooses, or None if it chooses none or cannot be read."""
    whole = _single(text, options)
    if whole:
        return frozenset({whole})
    lead = _LEAD.match(text)
    text = text[lead.end() :] if lead else text
    text = re.sub(r"^both\s+", "", text.rstrip(".。"), flags=re.IGNORECASE)
    pieces = [_single(piece, options) for piece in _SEPARATOR.split(text) if piece]
    if pieces and None not in pieces:
        return frozenset(piece for piece in pieces if piece)
    if several and _RUN.fullmatch(text):
        return frozenset(char for char in text if char.isalpha())
    return None


def _single(text: str, options: dict[str, str]) -> str | None:
    """The one label that `text` chooses, whether by label, by text or by both."""
    same = [label for label, option in options.items() if _plain(option).casefold() == text.casefold()]
    if len(same) == 1 and not _BARE.fullmatch(text):
        return same[0]  # whatever it looks like: "A. Lincoln" may be an option's text
    lead, tail = _LEAD.match(text), _TAIL.search(text)
    inner = text[lead.end() if lead else 0 : tail.start() if tail else len(text)].strip()
    if bare := _BARE.fullmatch(inner) or _BARE.fullmatch(text):
        if label := _known(bare[1], options):
            return label
    rest = text[lead.end() if lead else 0 :]
    if (head := _LABELLED.match(rest)) and (label := _known(_label(head), options)):
        return label if _goes_with(rest[head.end() :].strip(), label, options) else None
    if named := _by_text(text, options) or _by_text(inner, options):
        return named[0]
    first, _, rest = rest.partition(" ")
    if (label := _known(first, options)) and label in _by_text(rest, options):
        return label  # "B 12"
    return None


def _known(label: str | None, options: dict[str, str]) -> str | None:
    """The label as the options write it; without options, one letter."""
    label = (label or "").upper()
    if options:
        return label if label in options else None
    return label if len(label) == 1 and label in string.ascii_uppercase else None


def _label(match: re.Match[str] | None) -> str | None:
    return next((group.upper() for group in match.groups() if group), None) if match else None


def _by_text(text: str, options: dict[str, str]) -> list[str]:
    """The labels of the options that `text` is: literally, else by words or by value."""
    if not options or not text.strip():
        return []
    literal = [label for label, option in options.items() if _plain(option) == _plain(text)]
    alike = literal or [label for label, option in options.items() if _reads_as(text, option)]
    return alike if literal or len(alike) == 1 else []  # "3" where the options are 3 cm and 3 m


def _reads_as(text: str, option: str) -> bool:
    """The same words whatever their dress, or the same value; "-x" is not x, nor (0, 1) the interval [0, 1]."""
    if _WORDS.search(text) and _WORDS.search(option):
        return bool(text_keys(text) & text_keys(option))
    return len(text) + len(option) < _MAX_MATHS and compare(normalise(text), normalise(option)) is True


def _goes_with(rest: str, label: str, options: dict[str, str]) -> bool:
    """Whether the words after a label are its option's, or at least name no other."""
    if not rest or label in (named := _by_text(rest, options)):
        return True
    if named or any(found[0] != label for found in _HEDGE.finditer(rest)):
        return False
    words = f" {' '.join(min(text_keys(rest), key=len, default='').split())} "
    for other, text in options.items():
        if other != label and _WORDS.search(text) and any(f" {key} " in words for key in text_keys(text)):
            return False
    return True
