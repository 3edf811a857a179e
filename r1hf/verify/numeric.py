"""Exact numbers out of short answers: integers, decimals, fractions, percent, a scale, a unit. No arithmetic is done.

"2 + 3 * 4" is no number here, so that repeating the question is no answer.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from r1hf.verify.normal import TEXT_COMMANDS, THOUSANDS_MARK, expand_repeating, normalise, strip_text_commands
from r1hf.verify.unit_table import CURRENCY, MONEY_WORDS
from r1hf.verify.units import are_unit_letters, bare_letters, is_product, same_unit, unit_name

MAX_LENGTH = 200  # characters; longer text is no number

_SPACING = re.compile(r"\\[,!;: ]|~|\\(?:q?quad|displaystyle|left|right|space)(?![A-Za-z])")
_ASSIGNMENT = re.compile(r"[A-Za-z]\s*=\s*(?=[^=\s])")
_ENDS_IN_TEXT = re.compile(TEXT_COMMANDS + r"\s*\{[^{}]*\}(?:\s*\^\s*\{?\s*-?\d\s*\}?)?$|\\Omega$")
_INNER_DOLLARS = re.compile(r"\$([^$]+)\$|\\\(|\\\)")
_PLAIN = r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_GROUP = rf"(?:\{{\s*([+-]?\s*(?:{_PLAIN}))\s*\}}|\s*(\d))"
_FORMS = re.compile(
    rf"(?P<sign>[+-]?)\s*(?:"
    rf"(?:(?P<whole>\d+)\s*)?\\frac\s*{_GROUP}\s*{_GROUP}"
    rf"|(?P<mixed>\d+)\s+(?P<ma>\d+)/(?P<mb>\d+)"
    rf"|(?P<top>{_PLAIN})(?:\s*/\s*(?P<bottom>[+-]?(?:{_PLAIN})))?"
    rf"|(?P<mantissa>{_PLAIN})\s*(?:[eE](?P<exp>[+-]?\d{{1,2}})"
    rf"|(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*\{{?\s*(?P<power>[+-]?\s*\d{{1,2}})\s*\}}?)"
    rf")\s*(?P<percent>\\?%|(?i:percent(?:age)?(?: points?)?|per cent|pct\.?)|个?百分点)?"
)
_SCALES = {
    **{"hundred": 10**2, "thousand": 10**3, "million": 10**6, "mn": 10**6, "billion": 10**9, "bn": 10**9},
    **{"trillion": 10**12, "quadrillion": 10**15, "lakh": 10**5, "crore": 10**7, "dozen": 12},
    **{"百": 10**2, "千": 10**3, "万": 10**4, "萬": 10**4, "百万": 10**6},
    **{"千万": 10**7, "亿": 10**8, "億": 10**8, "十亿": 10**9, "百亿": 10**10, "千亿": 10**11, "万亿": 10**12},
}
_MONEY_SCALES = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9}  # "$5M"; a bare 5 M is molar
_SCALE_NAME = "|".join(sorted(_SCALES, key=len, reverse=True))
# 千 before a unit is its prefix: 千米.
_SCALE = re.compile(rf"(.*[\d}}.])\s*({_SCALE_NAME})s?(?![a-z])(?<!千(?=[米克瓦卡赫帕伏焦牛欧法安升秒字电]))\s*(.*)")
_MONEY_SCALE = re.compile(r"(.*\d)\s*([kKMB])")
_MONEY_WORD = re.compile(rf"({'|'.join(map(re.escape, MONEY_WORDS))})\s*(?=[\d.])")
_UNIT_STARTS = re.compile(r"(?<=[\d}.)%])\s*(?=[^\W\d_]|[°'\"¢‰])")
_IN_BRACKETS = re.compile(r"(.*[\d}%])\s*\(\s*([^()\d]{1,40}?)\s*\)")
_BEFORE_UNIT = re.compile(r"([+-]?[\d.,]*\d)\s*((?:/|[^\W\d_]).*)", re.DOTALL)
_PERCENT_FIRST = re.compile(r"百分之\s*([\d.]+)")
_BRACED_PERCENT = re.compile(r"(?<![A-Za-z])\{(\\?%)\}")
_COMMA_PERCENT = re.compile(r"([+-]?\d+),(\d{1,2})\s*(\\?%|€)")
_ROUND_PERCENT = re.compile(r"\(([^()]*)\)\s*(\\?%)")
_PERCENT_WORDS = {
    **dict.fromkeys(("increase", "growth", "gain", "profit", "raise", "up", "rise", "markup"), ">up"),
    **dict.fromkeys(
        ("decrease", "off", "discount", "loss", "reduction", "drop", "down", "decline", "markdown"), ">down"
    ),
}
_UNIT_SIGNS = (("\\cdot", "*"), ("\\times", "*"), ("\\Omega", "Ω"), ("\\mu", "µ"))
_SHORT_POWER = re.compile(r"\s*\^\s*(?:\{\s*([+-]?\d)\s*\}|([+-]?\d))(?!\d)(?=[^\d]*$)")
_PREFIX_APART = re.compile(r"(?<=[\skMGmµu])\s+(?=Ω)|(?<=µ)\s+(?=[A-Za-z])")


class Number(NamedTuple):
    """An exact value; `unit` is canonical ("mi"), "" for a noun, or None."""

    value: Fraction
    percent: bool = False
    unit: str | None = None

    def equals(self, other: Number) -> bool:
        """Same value, where 50% is 0.5 and also the 50 of "what percent"; a unit counts only if both have one.

        A fraction of a percent is no such 50: 0.5% is neither 0.5 nor 1/2.
        """
        if not same_unit(self.unit, other.unit):
            return False
        if self.percent == other.percent:
            return self.value == other.value
        percent, plain = (self, other) if self.percent else (other, self)
        if plain.unit is not None:
            return False
        return plain.value == percent.value / 100 or plain.value == percent.value and abs(percent.value) >= 1


def parse_number(text: str) -> Number | None:
    """The number that `text` is, whole: 14, 1,400, 28/2, \\frac{28}{2}, 3 1/2, 50%, 3 million, 14 miles, x = 14.

    None for anything else, also for an unfinished sum, a list, two numbers or text around a number.
    """
    return None if len(text) > MAX_LENGTH else _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Number | None:
    text = normalise(text)
    if text.isascii() and text.isdigit():
        return Number(Fraction(int(text)))
    if not any(char.isdecimal() for char in text):
        return None
    text = expand_repeating(text)
    if not text[:1].isdigit() and (assigned := _ASSIGNMENT.match(text)):
        text = text[assigned.end() :]
    text = _one_spelling(text)
    marked = _ENDS_IN_TEXT.search(text) is not None
    text = " ".join(strip_text_commands(text).split()).replace(" ^", "^")
    if bracketed := _IN_BRACKETS.fullmatch(text):
        text, marked = f"{bracketed[1]} {bracketed[2]}", len(bracketed[2]) > 1
    unit, rest = _money(text)
    number = _value(rest) or _scaled(rest, unit is not None) or _with_unit(rest, marked)
    if number is None or not same_unit(unit, number.unit):
        return _priced(unit, rest) if unit else None
    return number._replace(unit=unit or number.unit)


def _one_spelling(text: str) -> str:
    """Currencies, degrees, percent, blanks and short powers in one spelling."""
    text = _INNER_DOLLARS.sub(r" \1 ", text).replace("\\$", "$").replace("\\dfrac", "\\frac")
    text = text.replace("\\tfrac", "\\frac").replace("^\\circ", "°").replace("^{\\circ}", "°").strip()
    text = text.replace("{10}", "10").replace("**", "^")
    text = _SHORT_POWER.sub(r"^\1\2", _SPACING.sub(" ", THOUSANDS_MARK.sub("", text))).strip()
    if "%" in text or "€" in text:
        text = _BRACED_PERCENT.sub(r"\1", text)
        text = _ROUND_PERCENT.sub(r"\1\2", _COMMA_PERCENT.sub(r"\1.\2\3", text))
    return _PERCENT_FIRST.sub(r"\1%", text)


def _priced(unit: str, rest: str) -> Number | None:
    """ "$6 per pound", "$18 a day": the currency is the first factor of the unit."""
    priced = _BEFORE_UNIT.fullmatch(rest)
    number = _value(priced[1]) if priced else None
    name = unit_name(f"{unit} {priced[2]}", marked=True) if priced and number else None
    return number._replace(unit=name) if number and name else None


def _money(text: str) -> tuple[str | None, str]:
    """The currency at either end of `text`, and the rest: "-$5", "5 €", "US$ 5"."""
    sign = ""
    if text[:1] in "+-" and text[1:2] in CURRENCY:
        sign, text = text[0], text[1:]
    if word := _MONEY_WORD.match(text):
        return MONEY_WORDS[word[1]], text[word.end() :]
    if text[:1] in CURRENCY:
        return CURRENCY[text[0]], sign + text[1:].lstrip()
    if text[-1:] in CURRENCY:
        return CURRENCY[text[-1]], text[:-1].rstrip()
    return None, text


def _scaled(text: str, money: bool) -> Number | None:
    """5.2 billion, 3万, $5M; a unit may follow ("3 million people")."""
    if not (match := _SCALE.fullmatch(text)):
        short = _MONEY_SCALE.fullmatch(text) if money else None
        number = _value(short[1]) if short else None
        return number._replace(value=number.value * _MONEY_SCALES[short[2]]) if number and short else None
    number = _value(match[1].strip())
    if number is None or number.percent:
        return None
    unit = unit_name(match[3].removeprefix("of ").strip(), marked=True) if match[3] else None
    if match[3] and unit is None:
        return None
    return Number(number.value * _SCALES[match[2]], unit=unit)


def _with_unit(text: str, marked: bool) -> Number | None:
    r"""A number and the unit behind it. `marked`: the unit stood in \text{…}."""
    if not any(char.isalpha() or char in "°'\"¢‰" for char in text):
        return None
    for sign, plain in _UNIT_SIGNS:
        text = text.replace(sign, plain)
    text = _PREFIX_APART.sub("", text)
    for start in list(_UNIT_STARTS.finditer(text))[:6]:
        name = text[start.end() :].replace("{", "").replace("}", "")
        head = text[: start.start()]
        set_off = bool(start[0]) or "." in head or "," in head
        unit = unit_name(name, marked or set_off and bare_letters(name) and are_unit_letters(name, bool(start[0])))
        if name.isascii() and not start[0] and not marked and (not unit or is_product(name)) and name[0].isalpha():
            continue  # "2abc" is a product
        number = _value(head)
        if number is None:
            continue
        if number.percent:
            unit = _PERCENT_WORDS.get(name.lower(), "" if unit == "" and name.startswith("of ") else None)
        if unit is not None:
            return number._replace(unit=unit)
    return None


def _value(text: str) -> Number | None:
    match = _FORMS.fullmatch(text)
    if match is None:
        return None
    get = match.groupdict()
    try:
        if get["top"]:
            value = _decimal(get["top"]) / _decimal(get["bottom"] or "1")
        elif get["mixed"]:
            value = _decimal(get["mixed"]) + _decimal(get["ma"]) / _decimal(get["mb"])
        elif get["mantissa"]:
            value = _decimal(get["mantissa"]) * Fraction(10) ** int((get["exp"] or get["power"]).replace(" ", ""))
        else:
            # \\frac: each side is a group in braces or one bare digit.
            top, bottom = match[3] or match[4], match[5] or match[6]
            value = _decimal(get["whole"] or "0") + _decimal(top) / _decimal(bottom)
    except ZeroDivisionError:
        return None
    return Number(-value if get["sign"] == "-" else value, percent=bool(get["percent"]))


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", "").rstrip("."))
