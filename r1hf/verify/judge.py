"""Are two normalised answers the same? By number, by text, by value; or only a worker can tell."""

from __future__ import annotations

import re
from typing import Literal

from r1hf.verify.answers import read
from r1hf.verify.compare import Unfinished, equal
from r1hf.verify.evaluate import Undecided
from r1hf.verify.kinds import Value
from r1hf.verify.layout import reals_in_words
from r1hf.verify.numeric import Number, parse_number
from r1hf.verify.tree import Undefined, Unreadable
from r1hf.verify.words import MAX_TEXT_LENGTH, are_texts, is_prose, letter, same_text, split_label

MAX_WORKER_LENGTH = 300
MAX_WORKER_DEPTH = 12
MAX_WORKER_DIGITS = 40
MAX_WORKER_EXPONENT_DIGITS = 3

HARD: Literal["hard"] = "hard"  # only a worker can tell
HARD_GOLD: Literal["hard gold"] = "hard gold"  # wrong if a worker can read the gold at all
Verdict = bool | Literal["hard", "hard gold"] | None

_NAME = re.compile(r"\s*([A-Za-z])\s*=")
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*[{(]?\s*-?\s*(\d+)")
# Two signs in a row; towers of numbers, factorials and binomials that are not to be computed.
_WILD = re.compile(
    r"[-+]\s*[-+]|(?:\^|\*\*)\s*[{(]?\s*-?\s*\d+\s*[})]?\s*(?:\^|\*\*)"
    r"|(?:\^\s*\{[^{}]*){3}|(?:\d{4,}|[)}])\s*!|!\s*!|binom[^}]*(?:\^|\d{4,})"
)
# What math-verify leaves out, so that it calls different answers the same.
_IGNORED = re.compile(
    r"\\(?:gcd|lcm|forall|exists|nexists|partial|nabla|land|lor|lnot|neg|wedge|vee|oplus|otimes|Rightarrow|iff|angle"
    r"|triangle|perp|parallel|notin|subset|subseteq|cap|to|mapsto|ce|begin\s*\{(?:cases|array|aligned|vmatrix|gathered)"
    r"|in\s*\\mathbb)(?![A-Za-z])|(?<![\\A-Za-z])[A-Za-hj-z]\s?\d|\bby\b|[<>].*\\(?:text|mathrm)|\\(?:text|mathrm).*[<>]"
)
_SHORT_FRACTION = re.compile(r"\\[dt]?frac\s*\w\s*\w")
_DECIMAL_COMMA = re.compile(r"([+-]?)(\d+),(\d+)")


def compare(prediction: str, gold: str) -> Verdict:
    """The verdict on normalised answers that are not literally the same. Neither is a hedge of several boxes."""
    gold_number = parse_number(gold)
    if gold_number is not None:
        number = parse_number(prediction)
        if number is not None:
            names = _NAME.match(prediction), _NAME.match(gold)
            return gold_number.equals(number) and not (names[0] and names[1] and names[0][1] != names[1][1])
        if _is_decimal_comma(prediction, gold_number, gold):
            return True
        label, rest = split_label(prediction)
        if label:
            return compare(rest, gold)
        return _compare_maths(prediction, gold)
    prediction, gold = reals_in_words(prediction), reals_in_words(gold)
    if labelled := _without_labels(prediction, gold):
        return labelled[0] and compare(labelled[1], labelled[2])
    if are_texts(prediction, gold):
        return same_text(prediction, gold)
    if _is_long_decimal_comma(gold, prediction):
        return True
    return _compare_maths(prediction, gold)


def is_judge(gold: str) -> bool:
    """Whether somebody can read this gold."""
    return compare("0.5772156649", gold) is not None


def _compare_maths(prediction: str, gold: str) -> Verdict:
    try:
        right = read(gold)
    except Undefined:
        return None
    except (Unreadable, Undecided, RecursionError):
        return _compare_unread(prediction, gold)
    try:
        return equal(read(prediction), right)
    except Unfinished as unfinished:
        return None if unfinished.second else False
    except Undefined:
        return False
    except (Unreadable, Undecided, RecursionError):
        if isinstance(right, Value) and right.node[0] == "num" or not _is_tame(prediction):
            return False
        return HARD if _is_tame(gold) else None


def _compare_unread(prediction: str, gold: str) -> Verdict:
    """A gold that only a worker, or nobody, can read; or that is text with digits or signs in it."""
    if is_prose(gold):
        return same_text(prediction, gold) if len(gold) <= MAX_TEXT_LENGTH else None
    if not _is_tame(gold):
        return None
    return HARD if _is_tame(prediction) else HARD_GOLD


def _without_labels(prediction: str, gold: str) -> tuple[bool, str, str] | None:
    """Options by what they say, once a letter has settled that it may be so; None where neither has one."""
    (label, rest), (gold_label, gold_rest) = split_label(prediction), split_label(gold)
    if not label and not gold_label:
        return None
    if label and gold_label:
        return label == gold_label, rest, gold_rest
    if alone := letter(gold if label else prediction):
        return alone == (label or gold_label), "B", "B"
    return True, rest, gold_rest


def _is_decimal_comma(text: str, number: Number, spelling: str) -> bool:
    """Whether `text` is the number with a comma for its point: 1,22 for 1.22. Never for a whole number."""
    match = _DECIMAL_COMMA.fullmatch(text)
    if match is None or "," in spelling or number.value.denominator == 1:
        return False
    other = parse_number(f"{match[1]}{match[2]}.{match[3]}")
    return other is not None and number.equals(other)


def _is_long_decimal_comma(gold: str, prediction: str) -> bool:
    """A gold "1,22" or "0,5" that a list is hardly written like, and its own digits with a point."""
    match = _DECIMAL_COMMA.fullmatch(gold)
    if match is None or not (len(match[3]) > 1 or match[2] == "0"):
        return False
    return re.fullmatch(r"[+-]?\d+\.\d+", prediction) is not None and prediction == gold.replace(",", ".")


def _is_tame(text: str) -> bool:
    """Whether a worker may see `text`: short, shallow, balanced; no prose, no towers of powers, no huge numbers."""
    if not any(char.isalnum() for char in text) or len(text) > MAX_WORKER_LENGTH or not text.isascii():
        return False
    if not text.isprintable() or is_prose(text):
        return False
    if (
        any(len(run) > MAX_WORKER_DIGITS for run in re.findall(r"\d+", text))
        or _WILD.search(text)
        or _IGNORED.search(_SHORT_FRACTION.sub("", text))
    ):
        return False
    if any(len(run) > MAX_WORKER_EXPONENT_DIGITS for run in _EXPONENT.findall(text)):
        return False
    depth = 0
    for char in text:
        depth += (char in "({[") - (char in ")}]")
        if not 0 <= depth <= MAX_WORKER_DEPTH:
            return False
    return depth == 0
