"""Exact numbers out of short answers: integers, decimals, fractions, percent, a unit. No arithmetic is done.

"2 + 3 * 4" is no number here, so that repeating the question is no answer.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

MAX_LENGTH = 200  # characters; longer text is no number

_UNIT_GROUPS = (
    ("mile", "miles", "英里"),
    ("km", "kilometer", "kilometers", "kilometre", "kilometres", "公里", "千米"),
    ("meter", "meters", "metre", "metres", "米"),
    ("cm", "centimeter", "centimeters", "厘米", "公分"),
    ("mm", "millimeter", "millimeters", "毫米"),
    ("inch", "inches", "英寸"),
    ("foot", "feet", "ft", "英尺"),
    ("kg", "kilogram", "kilograms", "公斤", "千克"),
    ("gram", "grams", "克"),
    ("pound", "pounds", "lb", "lbs"),
    ("liter", "liters", "litre", "litres", "升"),
    ("second", "seconds", "秒"),
    ("minute", "minutes", "分钟", "分鐘"),
    ("hour", "hours", "小时", "小時"),
    ("day", "days", "天"),
    ("week", "weeks", "周"),
    ("year", "years", "年"),
    ("dollar", "dollars", "usd", "美元"),
    ("cent", "cents", "美分"),
    ("yuan", "元"),
    ("degree", "degrees", "°", "度"),
    ("mph", "miles per hour"),
    ("unit", "units", "个", "個"),
    ("square unit", "square units"),
    ("square inch", "square inches"),
    ("square foot", "square feet", "平方英尺"),
    ("square meter", "square meters", "平方米"),
    ("cubic unit", "cubic units"),
)
_UNITS = {name: group[0] for group in _UNIT_GROUPS for name in group}
_CURRENCY = {"$": "dollar", "¥": "yuan", "€": "euro", "£": "pound sterling"}
_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))

_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_SUBSCRIPTS = re.compile("[₀-₉₊₋]+")
_VULGAR = re.compile("(\\d?)([¼-¾⅐-⅞↉])")
_ZERO_WIDTH = dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF])
_SPACING = re.compile(r"\\[!,;: ]|~|\\(?:quad|displaystyle|left|right)(?![A-Za-z])")
_THOUSANDS_SPACE = re.compile(r"(?<=\d)(?:\\[,;: ]|\{,\}|,\\!\s?)(?=\d{3}(?!\d))")
_ASSIGNMENT = re.compile(r"[A-Za-z]\s*=\s*(?=[^=\s])")
_TEXT_COMMAND = re.compile(r"\\(?:text|mathrm|mbox|textbf|textit)\s*\{([^{}]*)\}")
_PLAIN = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_GROUP = rf"(?:\{{\s*([+-]?\s*(?:{_PLAIN}))\s*\}}|\s*(\d))"
_FORMS = re.compile(
    rf"(?P<sign>[+-]?)\s*(?:"
    rf"(?:(?P<whole>\d+)\s*)?\\frac\s*{_GROUP}\s*{_GROUP}"
    rf"|(?P<mixed>\d+)\s+(?P<ma>\d+)/(?P<mb>\d+)"
    rf"|(?P<top>{_PLAIN})(?:\s*/\s*(?P<bottom>[+-]?(?:{_PLAIN})))?"
    rf"|(?P<mantissa>{_PLAIN})\s*(?:[eE](?P<exp>[+-]?\d{{1,2}})|\\times\s*10\^\{{?(?P<power>[+-]?\d{{1,2}})\}}?)"
    rf")\s*(?P<percent>\\?%|\\text\{{%\}}|percent)?"
)
_NUMBER_THEN_UNIT = re.compile(r"(?P<number>.*[\d}.])\s*(?P<unit>°|[^\W\d_]+(?: [a-z]+){0,2})")


class Number(NamedTuple):
    """An exact value; `unit` is canonical ("mile") or None."""

    value: Fraction
    percent: bool = False
    unit: str | None = None

    def equals(self, other: Number) -> bool:
        """Same value, where 50% is 0.5 and also the 50 of "what percent"; a unit counts only if both have one."""
        if self.unit and other.unit and self.unit != other.unit:
            return False
        if self.percent == other.percent:
            return self.value == other.value
        percent, plain = (self, other) if self.percent else (other, self)
        return plain.value in (percent.value, percent.value / 100)


def normalise(text: str) -> str:
    """One spelling for one answer: NFKC, ASCII digits and minus, no enclosing math or emphasis marks, no full stop.

    Superscripts become powers before NFKC, which would turn 1⁴ into 14.
    """
    if not text.isascii():
        text = _fold(text)
    before = None
    while text != before:
        before = text
        text = text.strip().rstrip(".。,;").strip()
        for left, right in _WRAPPERS:
            inner = text[len(left) : -len(right)]
            if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
                if left not in inner and right not in inner:
                    text = inner
    return text


def _fold(text: str) -> str:
    text = text.translate(_ZERO_WIDTH)
    text = _SUPERSCRIPTS.sub(lambda run: "^{" + unicodedata.normalize("NFKC", run[0]) + "}", text)
    text = _SUBSCRIPTS.sub(lambda run: "_{" + unicodedata.normalize("NFKC", run[0]) + "}", text)
    text = _VULGAR.sub(lambda pair: f"{pair[1]} {unicodedata.normalize('NFKC', pair[2])}", text)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/").replace("\u2212", "-").replace("\u2013", "-")
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def parse_number(text: str) -> Number | None:
    """The number that `text` is, whole: 14, 14.0, 1,400, 28/2, \\frac{28}{2}, 3 1/2, 50%, $14$, 14 miles, x = 14.

    None for anything else, also for an unfinished sum, a list, two numbers or text around a number.
    """
    return None if len(text) > MAX_LENGTH else _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Number | None:
    text = normalise(text)
    if not text[:1].isdigit() and (assigned := _ASSIGNMENT.match(text)):
        text = text[assigned.end() :]
    unit = None
    text = text.replace("\\$", "$")
    if text[:1] in _CURRENCY:
        unit, text = _CURRENCY[text[0]], text[1:]
    text = _TEXT_COMMAND.sub(r" \1", text)
    text = (
        text.replace("\\dfrac", "\\frac")
        .replace("\\tfrac", "\\frac")
        .replace("^\\circ", "°")
        .replace("^{\\circ}", "°")
    )
    text = _SPACING.sub(" ", _THOUSANDS_SPACE.sub("", text)).strip()
    number = _value(text)
    if number is None and (split := _NUMBER_THEN_UNIT.fullmatch(text)):
        named = _UNITS.get(split["unit"].lower())
        if named and (number := _value(split["number"].strip())):
            unit = named
    return number._replace(unit=unit) if number else None


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
            value = _decimal(get["mantissa"]) * Fraction(10) ** int(get["exp"] or get["power"])
        else:
            # \\frac: each side is a group in braces or one bare digit.
            top, bottom = match[3] or match[4], match[5] or match[6]
            value = _decimal(get["whole"] or "0") + _decimal(top) / _decimal(bottom)
    except ZeroDivisionError:
        return None
    return Number(-value if get["sign"] == "-" else value, percent=bool(get["percent"]))


def _decimal(text: str) -> Fraction:
    return Fraction(text.replace(",", "").replace(" ", "").rstrip("."))
