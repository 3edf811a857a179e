"""The answer in a text: codes such as dates, times of day, then maths with units and names taken care of."""

from __future__ import annotations

import re
from functools import lru_cache

from r1hf.verify.kinds import (
    Answer,
    Assignment,
    Based,
    Clock,
    Code,
    Collection,
    Congruence,
    Measured,
    Ratio,
    Rounded,
    Value,
)
from r1hf.verify.latex import parse_expression
from r1hf.verify.layout import plain_layout
from r1hf.verify.names import words_before_sign
from r1hf.verify.normal import THOUSANDS_MARK, expand_repeating, strip_text_commands
from r1hf.verify.numeric import Number, parse_number
from r1hf.verify.phrases import mark_phrases
from r1hf.verify.terms import read_answer, read_list
from r1hf.verify.tokens import Token, tokenise
from r1hf.verify.tree import Unreadable
from r1hf.verify.values import with_unit

MAX_LENGTH = 600  # characters

_MATRIX = re.compile(r"\\begin\s*\{(?:[pbB]?matrix|smallmatrix|array\}\s*\{[^{}]*)\}")
_MATRIX_END = re.compile(r"\\end\s*\{(?:[pbB]?matrix|smallmatrix|array)\}")
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")
_FRENCH = re.compile(r"([\][])([^][(){}]*[^][(){},;\s][^][(){}]*[,;][^][(){}]*[^][(){},;\s][^][(){}]*)([\][])")
_ORDER = frozenset(("<", "<=", ">", ">=", "!="))
_CLOSED_END, _OPEN_END = {"]": "(", "[": "["}, {"[": ")", "]": "]"}
_CONGRUENCE = re.compile(
    r"(?:[A-Za-z]\s*(?:\\equiv|=|≡)\s*)?([^=]{1,80}?)\s*\(?\s*\\?(?:[pb]?mod|text\{mod\}) *\{?([^{}()]{1,40})\}?\s*\)?"
)
_BLANKS = re.compile(r"\s+|\\[ ,;]\s*")
_PARAMETER = r"[a-z]\s*(?:\\in\b|is an? integer)"
_WHERE = re.compile(
    rf",?\s*(?:\\text\s*\{{\s*)?(?:where|for all|for any|for every|for|with|其中)\s*\}}?[\s,]*"
    rf"(?=(?:\\(?:text|,|;| )\s*)?\(?{_PARAMETER})"
)
_INTEGER = re.compile(r"([a-z])\s+is an(?:y)? integer\b")
_CLOCK = re.compile(
    r"(\d{1,2})(?::(\d\d))?(?::(\d\d))?\s*(?:([ap])\.?\s?m\.?|([上下]午))?(?:\s*o'?clock)?", re.IGNORECASE
)
_HALF_FIRST = re.compile(r"^([上下]午)\s*(.{1,12})$")
_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*-\s*(\d+(?:\.\d+)?)(?=\s|$|[^\W\d_])")
_GROUPS = re.compile(r"\d+([-/.])\d+(?:\1\d+)+")
_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")
_PHONE = re.compile(r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{2,4}\)[ -]?|\d{2,4}[ -])\d{3,4}[ -]\d{3,4}|\+\d[\d -]{6,16}")
_TO_SIGN = r"\s+to\s+|\s*比\s*"
_TO = re.compile(rf"(\d+(?:\.\d+)?(?:(?:{_TO_SIGN})\d+(?:\.\d+)?){{1,5}})(.*)")
_REMAINDER = re.compile(r"(\d{1,12})\s*(?:R|r|余|remainder|with remainder|with a remainder of|……)\s*(\d{1,12})")
_BASED = re.compile(r"([0-9A-Fa-f]{1,60})\s*\(?\s*(?:in )?base[ -]?(\d{1,2})\s*\)?")


@lru_cache(maxsize=4096)
def read(text: str) -> Answer:
    """The answer in normalised text. Raises Unreadable (Undefined for a division by zero) and Undecided."""
    if len(text) > MAX_LENGTH:
        raise Unreadable("too long")
    plain = " ".join(strip_text_commands(text.replace("\\$", "$")).split()) if len(text) < 80 else text
    if special := _read_clock(plain) or _read_code(plain):
        return special
    if "=" not in text and (number := parse_number(text)):
        return _number(number)
    name, text = words_before_sign(plain_layout(text))
    if name and (number := parse_number(text)):
        return Assignment(name, _number(number))
    answer = _read_maths(text)
    if name is None or isinstance(answer, Assignment | Rounded | Collection) and not getattr(answer, "braced", False):
        return answer
    return Assignment(name, answer)


def _number(number: Number) -> Value:
    return Value(("num", number.value / 100 if number.percent else number.value), unit=number.unit)


def _read_maths(text: str) -> Answer:
    text = expand_repeating(THOUSANDS_MARK.sub("", text))
    if not any(opener in text for opener in "([{"):
        text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    if "mod" in text and (congruence := _CONGRUENCE.fullmatch(_BLANKS.sub(" ", strip_text_commands(text)).strip())):
        return Congruence(*(parse_expression(tokenise(part)).node for part in congruence.groups()))
    text = strip_text_commands(text) if "integer" in text else text
    text = mark_phrases(_MATRIX_END.sub(")", _MATRIX.sub(r"\\matrix(", _WHERE.sub(",", text))))
    text = _INTEGER.sub(r"\1 \\in \\integers ", text)
    text = _FRENCH.sub(lambda match: f"{_CLOSED_END[match[1]]}{match[2]}{_OPEN_END[match[3]]}", text)
    tokens = tokenise(strip_text_commands(text))
    units = [sign for kind, sign in tokens if kind == "unit"]
    if units and any(sign in _ORDER for _, sign in tokens):
        bare = read_list([token for token in tokens if token[0] != "unit"])
        if len(set(units)) > 1:
            raise Unreadable("several units")
        return Measured(bare, units[-1])
    answer = read_answer(_apart(tokens))
    # A unit behind a list is that of every item without one: "3 and 5 miles".
    return with_unit(answer, tokens[-1][1]) if units and tokens[-1][0] == "unit" else answer


def _apart(tokens: list[Token]) -> list[Token]:
    """ "2 hours 30 minutes" is 2 hours and 30 minutes."""
    found: list[Token] = []
    for token in tokens:
        if found and found[-1][0] == "unit" and token[0] == "num":
            found.append(("sep", "and"))
        found.append(token)
    return found


def _read_clock(text: str) -> Clock | None:
    match = _CLOCK.fullmatch(_HALF_FIRST.sub(r"\2\1", text))
    if not match or not (match[2] or match[4] or match[5]) or int(match[1]) > 24 or int(match[2] or 0) > 59:
        return None
    half = {"a": "am", "p": "pm", "上午": "am", "下午": "pm"}.get((match[4] or match[5] or "").lower())
    return Clock(int(match[1]), int(match[2] or 0), int(match[3] or 0), half)


def _read_code(text: str) -> Answer | None:
    """A range or score, a date, a phone number; a ratio in words ("3 to 2")."""
    if date := _DATE.fullmatch(text):
        return Code(tuple(str(int(part)) for part in date.groups() if part))
    if _GROUPS.fullmatch(text) or _PHONE.fullmatch(text):
        return Code(tuple(part for part in re.split(r"\D+", text) if part))
    if division := _REMAINDER.fullmatch(text):
        return Code(("quotient", *(str(int(part)) for part in division.groups())))
    if based := _BASED.fullmatch(text):
        return Based(based[1].upper().lstrip("0") or "0", based[2])
    if ratio := _TO.fullmatch(text):
        parts, rest = re.split(_TO_SIGN, ratio[1]), ratio[2]
        answer: Answer = Ratio(
            tuple(Value(parse_expression([("num", part)]).node) for part in parts), worded=len(parts) == 2
        )
    elif between := _RANGE.match(text):
        rest = text[between.end() :]
        answer = Code((between[1], between[2]))
    else:
        return None
    if not rest.strip():
        return answer
    number = parse_number("1" + rest)
    return None if number is None or number.value != 1 else Measured(answer, number.unit or "")
