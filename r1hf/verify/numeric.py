"""Exact numbers out of short answers: integers, decimals, fractions, percent, a unit. No arithmetic is done.

"2 + 3 * 4" is no number here, so that repeating the question is no answer.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from r1hf.verify.units import CURRENCY, same_unit, unit_name

MAX_LENGTH = 200  # characters; longer text is no number

_WRAPPERS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_SUBSCRIPTS = re.compile("[₀-₉₊₋]+")
_VULGAR = re.compile("(\\d?)([¼-¾⅐-⅞↉])")
_INVISIBLE = dict.fromkeys(
    [0x00AD, 0x2060, 0xFEFF, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
_MATHS = str.maketrans(
    {
        "⁄": "/", "∕": "/", "−": "-", "–": "-", "—": "-", "﹣": "-", "×": "\\times ", "⋅": "\\cdot ", "·": "\\cdot ",
        "∙": "\\cdot ", "÷": "\\div ", "√": "\\sqrt ", "∞": "\\infty ", "≤": "\\le ", "≥": "\\ge ", "⩽": "\\le ",
        "⩾": "\\ge ", "≠": "\\ne ", "±": "\\pm ", "∓": "\\mp ", "∪": "\\cup ", "∩": "\\cap ", "∈": "\\in ",
        "∅": "\\emptyset ", "π": "\\pi ", "θ": "\\theta ", "α": "\\alpha ", "β": "\\beta ", "γ": "\\gamma ",
        "λ": "\\lambda ", "μ": "\\mu ", "φ": "\\phi ", "ω": "\\omega ", "℃": "°", "【": "[", "】": "]",
    }
)  # fmt: skip
_SPACING = re.compile(r"\\[!,;: ]|~|\\(?:quad|displaystyle|left|right)(?![A-Za-z])")
THOUSANDS_MARK = re.compile(r"(?<=\d)(?:\\[,;: ]|\{,\}|,\\!\s?)(?=\d{3}(?!\d))")
_CELSIUS = re.compile(r"°\s*[CF]$")
_REPEATING = re.compile(r"(\d{0,20})\.(\d{0,20})\\overline\s*\{(\d{1,20})\}")
_ASSIGNMENT = re.compile(r"[A-Za-z]\s*=\s*(?=[^=\s])")
_TEXT_COMMAND = re.compile(r"\\(?:text|mathrm|mbox|textbf|textit|textrm|mathbf|rm)\s*\{([^{}]*)\}")
_ENDS_IN_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textrm|rm)\s*\{[^{}]*\}(?:\s*\^\s*\{?\s*[23]\s*\}?)?$")
_PLAIN = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_GROUP = rf"(?:\{{\s*([+-]?\s*(?:{_PLAIN}))\s*\}}|\s*(\d))"
_FORMS = re.compile(
    rf"(?P<sign>[+-]?)\s*(?:"
    rf"(?:(?P<whole>\d+)\s*)?\\frac\s*{_GROUP}\s*{_GROUP}"
    rf"|(?P<mixed>\d+)\s+(?P<ma>\d+)/(?P<mb>\d+)"
    rf"|(?P<top>{_PLAIN})(?:\s*/\s*(?P<bottom>[+-]?(?:{_PLAIN})))?"
    rf"|(?P<mantissa>{_PLAIN})\s*(?:[eE](?P<exp>[+-]?\d{{1,2}})"
    rf"|(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*\{{?\s*(?P<power>[+-]?\s*\d{{1,2}})\s*\}}?)"
    rf")\s*(?P<percent>\\?%|\\text\{{%\}}|percent)?"
)
_NUMBER_THEN_UNIT = re.compile(r"(?P<number>.*?[\d}.])\s*(?P<unit>[^\W\d_°][^\d{}\\]*(?:\^\s*\{?[23]\}?)?|°)")


class Number(NamedTuple):
    """An exact value; `unit` is canonical ("mile") or None."""

    value: Fraction
    percent: bool = False
    unit: str | None = None

    def equals(self, other: Number) -> bool:
        """Same value, where 50% is 0.5 and also the 50 of "what percent"; a unit counts only if both have one."""
        if not same_unit(self.unit, other.unit):
            return False
        if self.percent == other.percent:
            return self.value == other.value
        percent, plain = (self, other) if self.percent else (other, self)
        return plain.value in (percent.value, percent.value / 100)


def normalise(text: str) -> str:
    """One spelling for one answer: NFKC, ASCII digits and minus, no enclosing math or emphasis marks, no full stop.

    Superscripts become powers before NFKC, which would turn 1⁴ into 14. Signs such as √ and ≤ become commands.
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
    text = text.translate(_INVISIBLE)
    text = _SUPERSCRIPTS.sub(lambda run: "^{" + unicodedata.normalize("NFKC", run[0]) + "}", text)
    text = _SUBSCRIPTS.sub(lambda run: "_{" + unicodedata.normalize("NFKC", run[0]) + "}", text)
    text = _VULGAR.sub(lambda pair: f"{pair[1]} {unicodedata.normalize('NFKC', pair[2])}", text)
    text = unicodedata.normalize("NFKC", text).translate(_MATHS)
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def strip_text_commands(text: str) -> str:
    """`text` with the content of \\text{…}, \\mathrm{…} and the like in their place."""
    return _TEXT_COMMAND.sub(r" \1 ", text) if "\\" in text else text


def expand_repeating(text: str) -> str:
    r"""`text` with 0.1\overline{6} written as a fraction."""
    return _REPEATING.sub(_repeating_fraction, text) if "overline" in text else text


def _repeating_fraction(match: re.Match[str]) -> str:
    whole, fixed, repeated = match[1] or "0", match[2], match[3]
    bottom = 10 ** len(fixed) * (10 ** len(repeated) - 1)
    return rf"\frac{{{int(whole + fixed + repeated) - int(whole + fixed)}}}{{{bottom}}}"


def parse_number(text: str) -> Number | None:
    """The number that `text` is, whole: 14, 14.0, 1,400, 28/2, \\frac{28}{2}, 3 1/2, 50%, $14$, 14 miles, x = 14.

    None for anything else, also for an unfinished sum, a list, two numbers or text around a number.
    """
    return None if len(text) > MAX_LENGTH else _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Number | None:
    text = normalise(text)
    if not any(char.isdigit() for char in text):
        return None
    if text.isdigit():
        return Number(Fraction(int(text)))
    text = expand_repeating(text)
    if not text[:1].isdigit() and (assigned := _ASSIGNMENT.match(text)):
        text = text[assigned.end() :]
    text = text.replace("\\$", "$").replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    text = text.replace("^\\circ", "°").replace("^{\\circ}", "°")
    text = _SPACING.sub(" ", THOUSANDS_MARK.sub("", text)).strip()
    marked = _ENDS_IN_TEXT.search(text) is not None
    text = _CELSIUS.sub("°", strip_text_commands(text).strip())
    unit, sign = None, ""
    if text[:1] in "+-" and text[1:2] in CURRENCY:
        sign, text = text[0], text[1:]
    if text[:1] in CURRENCY:
        unit, text = CURRENCY[text[0]], sign + text[1:].lstrip()
    elif text[-1:] in CURRENCY:
        unit, text = CURRENCY[text[-1]], text[:-1].rstrip()
    number = _value(text)
    if number is None and (split := _NUMBER_THEN_UNIT.fullmatch(text)):
        named = unit_name(split["unit"], marked)
        if named is not None and same_unit(unit, named) and (number := _value(split["number"].strip())):
            unit = unit or named or None
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
