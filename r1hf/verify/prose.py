"""The formula or the number that a text in prose ends in, as a reader takes it for the answer."""

from __future__ import annotations

import re

from r1hf.verify.answers import read
from r1hf.verify.evaluate import Undecided
from r1hf.verify.normal import normalise, strip_text_commands
from r1hf.verify.tree import Unreadable
from r1hf.verify.units import unit_name

MAX_LENGTH = 20_000  # characters from the end that are looked at

_FORMULA = re.compile(
    r"\$\$(.+?)\$\$|(?<![\\$])\$(?!\s*\n)((?:\\\$|[^$\n])+?)(?<![\\\n])\$(?!\d)|\\\(([^\n]+?)\\\)|\\\[(.+?)\\\]",
    re.DOTALL,
)
# Marks of a formula in a line with lines between them: it is not known what they enclose.
_BROKEN = re.compile(r"\$[ \t]*\n[^$]{0,200}\n[ \t]*\$|\\\([ \t]*\n[^$]{0,200}?\n[ \t]*\\\)")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:align|aligned|equation|gather|eqnarray|split)\*?\}")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[a-z*]+\}|\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_UNIT_WORDS = re.compile(
    r"\s*(?:\\?%|°\s?[CF]?|[A-Za-zµΩ][A-Za-z/^0-9]*(?: per [a-z]+| [a-z]+)?|[\u4e00-\u9fff]{1,4})"
)
# A number as people write it; a sign is one only where no operand stands before it.
_NUMBER = re.compile(
    r"(?:(?<![\w)\]}.-])[-−])?(?<![A-Za-z\d])(?:[€£¥]\s?)?"
    r"(?:[1-9]\d{0,2}(?:[, \u00a0]\d{3})+(?!\d)|\d+,\d{1,2}(?![\d,])|\d+)"
    r"(?:\.\d+)?(?:/\d+(?!\d*/))?(?:\s?(?:×|\\times|x)\s?10\s?\^\s?\{?-?\d+\}?)?%?"
)
_AFTER_PREPOSITION = re.compile(
    r"\b(?:in|after|within|every|each|per|of|from|by|at|on|than|since|the first)\s+(?:the\s+)?$"
)
_SENTENCE = re.compile(r"(?<=[.?。！？])\s+|(?<=[^\\]!)\s+|\n+")
_NAME_ONLY = re.compile(r"[A-Za-z]+(?:_\w)?(?:\([a-z]\))?|\\[A-Za-z]+")
_CONNECTING = frozenset(("and", "or", ""))
_NO_UNIT = frozenset(("in", "am", "us", "as"))


def is_sentence(text: str) -> bool:
    """Whether there are words beside the formulas of a text, other than a unit behind them, "and" and "or"."""
    text = text[-MAX_LENGTH:]
    parts = _FORMULA.split(text)
    before, outside = parts[0], _FORMULA.sub(" ", text)
    outside = _COMMAND.sub(" ", strip_text_commands(outside))
    if not _WORD.search(outside):
        return False
    words = outside.split()
    phrase = " ".join(words).strip(" .,;")
    is_unit = unit_name(phrase, marked=True) is not None or phrase in ("percent", "percentage", "pct")
    return not (is_unit and not _WORD.search(before)) and not {word.strip(",.;") for word in words} <= _CONNECTING


def has_formula(text: str) -> bool:
    r"""Whether a text holds a formula in $…$, \(…\), $$…$$ or \[…\]."""
    return any(_content(span) for span in _FORMULA.finditer(text))


def last_claim(text: str) -> str | None:
    r"""The last formula, or the last number outside of one, of the last sentence of a text that has either.

    With a unit behind it. None where the text has neither: words alone, or digits in words.
    """
    text = text[-MAX_LENGTH:]
    spans = [span for span in _FORMULA.finditer(text) if _content(span)]
    bare = _BROKEN.sub(_blank, _FORMULA.sub(_blank, text))
    for start, end in reversed(_sentences(bare)):
        formulas = [span for span in spans if start <= span.start() < end]
        told = [span for span in formulas if not _NAME_ONLY.fullmatch(_content(span))]
        number = _number_in(bare, start, end)
        if told and (number is None or number.start() < told[-1].start()):
            return _formula(told[-1]) + _unit_after(text[told[-1].end() :])
        if number is not None:
            return number[0].strip() + _unit_after(text[number.end() :])
        if formulas:
            return _formula(formulas[-1])
    return None


def last_number(text: str) -> str | None:
    """The number that the last sentence with one claims: 72 of "Natalia sold 72 clips in 2 days."

    The first after the last "=" if there is one; else the last that no preposition goes before. None without a number.
    """
    text = text[-MAX_LENGTH:]
    for start, end in reversed(_sentences(text)):
        if number := _number_in(text, start, end):
            return number[0].strip()
    return None


def _blank(match: re.Match[str]) -> str:
    return " " * len(match[0])


def _sentences(text: str) -> list[tuple[int, int]]:
    ends = [match.start() for match in _SENTENCE.finditer(text)] + [len(text)]
    starts = [0] + [match.end() for match in _SENTENCE.finditer(text)]
    return list(zip(starts, ends, strict=True))


def _number_in(text: str, start: int, end: int) -> re.Match[str] | None:
    numbers = list(_NUMBER.finditer(text, start, end))
    side = text.rfind("=", start, end)
    claimed = [number for number in numbers if 0 <= side < number.start()]
    free = [n for n in numbers[-20:] if not _AFTER_PREPOSITION.search(text[max(start, n.start() - 40) : n.start()])]
    if claimed or not numbers:
        return claimed[0] if claimed else None
    return (free or numbers)[-1]


def _content(span: re.Match[str]) -> str:
    return next(filter(None, span.groups()), "").strip()


def _formula(span: re.Match[str]) -> str:
    formula = _content(span)
    if _ENVIRONMENT.search(formula):
        # The last line that has something; alignment marks are no part of it.
        lines = [line for line in _ENVIRONMENT.sub(" ", formula).replace("&", " ").split("\\\\") if line.strip()]
        formula = lines[-1] if lines else ""
    return _readable(formula.strip().rstrip(" .,;"))


def _readable(formula: str) -> str:
    """The formula, or its last side where the whole cannot be read."""
    try:
        read(normalise(formula))
    except Undecided:
        pass
    except (Unreadable, RecursionError):
        side = formula.rpartition("=")[2].strip()
        return side or formula
    return formula


def _unit_after(rest: str) -> str:
    match = _UNIT_WORDS.match(rest)
    if match is None:
        return ""
    phrase = match[0].strip()
    for candidate in (phrase, phrase.split(" ")[0]):
        if candidate[-1:] == "%" or candidate not in _NO_UNIT and unit_name(candidate, marked=len(candidate) > 1):
            return f" {candidate}"
    return ""
