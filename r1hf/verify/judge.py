"""Are two normalised answers the same? By number, by text, by value; or only a worker can tell."""

from __future__ import annotations

import re
from typing import Literal

from r1hf.verify.answers import read
from r1hf.verify.compare import Unfinished, equal
from r1hf.verify.evaluate import Undecided
from r1hf.verify.kinds import Value
from r1hf.verify.normal import strip_text_commands, without_blanks
from r1hf.verify.numeric import Number, parse_number
from r1hf.verify.tree import Undefined, Unreadable

MAX_TEXT_LENGTH = 200  # of a text answer
MAX_WORKER_LENGTH = 300
MAX_WORKER_DEPTH = 12
MAX_WORKER_DIGITS = 40
MAX_WORKER_EXPONENT_DIGITS = 3

HARD: Literal["hard"] = "hard"  # only a worker can tell
HARD_GOLD: Literal["hard gold"] = "hard gold"  # wrong if a worker can read the gold at all
Verdict = bool | Literal["hard", "hard gold"] | None

_CHOICE = re.compile(r"\([A-Za-z]\)")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[a-z]+\}|\\[A-Za-z]+")
_NAME = re.compile(r"\s*([A-Za-z])\s*=")
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*[{(]?\s*-?\s*(\d+)")
# Two signs in a row; towers of numbers, factorials and binomials that are not to be computed.
_WILD = re.compile(
    r"[-+]\s*[-+]|(?:\^|\*\*)\s*[{(]?\s*-?\s*\d+\s*[})]?\s*(?:\^|\*\*)"
    r"|(?:\^\s*\{[^{}]*){3}|(?:\d{4,}|[)}])\s*!|!\s*!|binom[^}]*(?:\^|\d{4,})"
)
_MATHS_WORDS = frozenset(
    "sqrt frac infty infinity alpha beta gamma delta theta lambda sigma omega arcsin arccos arctan".split()
)
# Letters and digits without a sign that begin with a letter: "A1", "H_2O", "C6H12O6". No product is written so.
_FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:_?\{?\d+\}?)?|[a-z]\d+)+(?:\^\{?\d?[+-]\}?)?")
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
    elif _are_texts(prediction, gold):
        return _bare(prediction) == _bare(gold)
    elif _is_long_decimal_comma(gold, prediction):
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
    if _is_prose(gold):
        return _bare(prediction) == _bare(gold) if len(gold) <= MAX_TEXT_LENGTH else None
    if not _is_tame(gold):
        return None
    return HARD if _is_tame(prediction) else HARD_GOLD


def _is_decimal_comma(text: str, number: Number, spelling: str) -> bool:
    """Whether `text` is the number with a comma for its point: 1,22 for 1.22. Never for a whole number."""
    match = _DECIMAL_COMMA.fullmatch(text)
    if match is None or "." not in spelling or number.value.denominator == 1:
        return False
    other = parse_number(f"{match[1]}{match[2]}.{match[3]}")
    return other is not None and number.equals(other)


def _is_long_decimal_comma(gold: str, prediction: str) -> bool:
    """A gold "1,22" or "0,5" that a list is hardly written like, and its own digits with a point."""
    match = _DECIMAL_COMMA.fullmatch(gold)
    if match is None or not (len(match[3]) > 1 or match[2] == "0"):
        return False
    return re.fullmatch(r"[+-]?\d+\.\d+", prediction) is not None and prediction == gold.replace(",", ".")


def _bare(text: str) -> str:
    """Casefolded, without \\text{} and without the brackets of a choice: "(A)" is "a"."""
    bare = " ".join(strip_text_commands(text[: 4 * MAX_TEXT_LENGTH]).split()).strip(" .!。！*$")
    if len(bare) == 3 and bare[0] == "(" and bare[2] == ")" and bare[1].isalpha():
        bare = bare[1]
    if _FORMULA.fullmatch(without_blanks(bare)):
        bare = re.sub(r"[_{}\s]", "", bare)
        return bare if any(char.isdigit() for char in bare) else bare.casefold()
    if all(len(word) == 1 for word in bare.split()):
        bare = bare.replace(" ", "")  # letters with blanks between them
    return bare.casefold()


def _are_texts(prediction: str, gold: str) -> bool:
    """Whether the answers are compared as text: one of them is words, or the gold is letters without an operator."""
    if _is_words(gold) or _is_words(prediction):
        return True
    return _is_letters(gold) and (_is_letters(prediction) or bool(_FORMULA.fullmatch(_spelled(prediction))))


def _spelled(text: str) -> str:
    return without_blanks(strip_text_commands(text).replace("$", ""))


def _is_letters(text: str) -> bool:
    """Letters, or letters and digits that begin with one, without an operator: "god", "ABC", "A1", "H_2O"."""
    spelled = _spelled(text)
    return len(spelled) > 1 and (spelled.isalpha() or bool(_FORMULA.fullmatch(spelled)))


def _is_words(text: str) -> bool:
    """Whether an answer is text ("\\text{Even}", "no solution", "(A)") and not maths."""
    bare = _bare(text)
    if len(bare) > MAX_TEXT_LENGTH or not bare.replace(" ", "").replace("-", "").replace("'", "").isalpha():
        return False
    # Up to three letters without \text may be a product of variables; a lone capital is a choice.
    return bool(
        "\\text" in text
        or "\\mbox" in text
        or _CHOICE.fullmatch(text)
        or _is_prose(text)
        or (len(bare) == 1 and text.isupper())
    )


def _is_prose(text: str) -> bool:
    """Whether there are words in `text` that no formula has."""
    bare = _COMMAND.sub(" ", strip_text_commands(text))
    if any(char.isalpha() and not char.isascii() for char in bare):
        return True
    words = re.findall(r"[A-Za-z]{2,}", bare)
    return any(
        (len(word) > 3 or word.lower() in ("no", "yes", "odd", "all", "any", "the"))
        and word.lower() not in _MATHS_WORDS
        for word in words
    )


def _is_tame(text: str) -> bool:
    """Whether a worker may see `text`: short, shallow, balanced; no prose, no towers of powers, no huge numbers."""
    if not any(char.isalnum() for char in text) or len(text) > MAX_WORKER_LENGTH or not text.isascii():
        return False
    if not text.isprintable() or _is_prose(text):
        return False
    if any(len(run) > MAX_WORKER_DIGITS for run in re.findall(r"\d+", text)) or _WILD.search(text):
        return False
    if any(len(run) > MAX_WORKER_EXPONENT_DIGITS for run in _EXPONENT.findall(text)):
        return False
    depth = 0
    for char in text:
        depth += (char in "({[") - (char in ")}]")
        if not 0 <= depth <= MAX_WORKER_DEPTH:
            return False
    return depth == 0
