"""Units and joining words inside an answer, marked before its maths is read: "3 miles and 5 km", "2和5"."""

from __future__ import annotations

import re

from r1hf.verify.latex import UNIT_CLOSE, UNIT_OPEN
from r1hf.verify.normal import TEXT_COMMANDS, strip_text_commands
from r1hf.verify.spelling import is_plain
from r1hf.verify.unit_table import CURRENCY
from r1hf.verify.units import are_unit_letters, bare_letters, is_product, unit_name

_POWER = r"(?:\s*\^\s*\{?\s*[+-]?\d\s*\}?)?"
_PIECE = rf"(?:(?:\\mu\s*)?{TEXT_COMMANDS}\s*\{{[^{{}}]*\}}|\\Omega){_POWER}"
_MARKED = re.compile(rf"(?<=[^\s=,:<>(&])(?:\s|\\[,; ]|~)*({_PIECE}(?:\s*(?:/|\\cdot|\\times|\\,|\*|~)?\s*{_PIECE})*)")
_PLAIN = re.compile(
    r"(?:(?<=[\d)\]}])(\s*)|(?<=\\pi)(\s+))(?!(?:and|or|to|mod|in|pi|sqrt)\b)((?:[^\W\d_]|°)(?:[^,;:=<>()\[\]{}\\|\d+&^和与與及或]|\^-?\d|\^\{-?\d\})*?)"
    r"(?=\s*(?:$|[,;:)\]=<>+\d&]|\\(?:approx|text|mathrm|\}|quad)|(?<=\s)(?:and|or|to)\b|[和与與及或]))"
)
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|°)(?![A-Za-z])")
_ANGLE_FUNCTION = re.compile(r"sin|cos|tan|cot|sec|csc")
_ENDS_IN_WORD = re.compile(r"(.*?)[\s,]*\b(and|or|to)\s*")
_STARTS_WITH_WORD = re.compile(r"(?:and|or|to|if|when|where|for|is)\b")
_JOINED = re.compile(r"(?<=[\w)\]}%⟧])\s*(?:以及|和|与|與|及)\s*(?=[-+(\[{\\\w])")
_EITHER = re.compile(r"(?<=[\w)\]}%⟧])\s*(?:或者|或)\s*(?=[-+(\[{\\\w])")
_BY = re.compile(r"(?<=[\w}])\s+by\s+(?=[\d\\.])")
_MONEY = re.compile(r"\\\$\s*(\d[\d,]*(?:\.\d+)?)|([€£¥₹])\s*(\d[\d,]*(?:\.\d+)?)")
_LONE_DOLLAR = re.compile(r"\$\s*(\d[\d,]*(?:\.\d+)?)")
_OPERATOR = re.compile(r"[-+*/=^\\]")
_DELIMITERS = re.compile(r"(?<!\\)\$|\\[()]")
_ARC = re.compile(
    r"(\d)\s*(?:\^\s*\{?\s*(?:\\circ|°)\s*\}?|°)\s*(\d+(?:\.\d+)?)\s*'(?!')(?:\s*(\d+(?:\.\d+)?)\s*(?:''|\"))?"
)
_FEET = re.compile(r"(?<![\w^_])(\d+)\s*'(?!')\s*(\d+(?:\.\d+)?)\s*(?:''|\")")
_SIGNS = (("\\cdot", "*"), ("\\times", "*"), ("\\Omega", "Ω"), ("\\mu", "µ"), ("\\,", " "), ("~", " "))


def mark_phrases(text: str) -> str:
    """`text` with every unit in marks that the tokeniser knows, and with "and", "or" for joining words of Chinese."""
    text = _money(_BY.sub(" and ", text))
    if "'" in text:
        text = _FEET.sub(rf"\1 {_mark('ft')} \2 {_mark('in')}", _ARC.sub(_arc, text))
    if not _ANGLE_FUNCTION.search(text):
        text = _DEGREES.sub(_mark("degree"), text)
    if "\\" in text:
        text = _MARKED.sub(_marked, text)
    text = _PLAIN.sub(_plain, text)
    if not text.isascii():
        text = _EITHER.sub(" or ", _JOINED.sub(" and ", text))
    return text


def _money(text: str) -> str:
    """Currencies before a number behind it, and no dollars that only enclose maths."""
    text = _MONEY.sub(lambda found: f"{found[1] or found[3]} {_mark(CURRENCY[found[2] or '$'])}", text)
    if len(_DELIMITERS.findall(text)) % 2 == 0:
        return _DELIMITERS.sub(" ", text)
    return text if _OPERATOR.search(text) else _LONE_DOLLAR.sub(rf"\1 {_mark('dollar')}", text)


def _arc(match: re.Match[str]) -> str:
    """Degrees, minutes and perhaps seconds."""
    seconds = f"{match[3]} {_mark('arcsec')}" if match[3] else ""
    return f"{match[1]} {_mark('degree')} {match[2]} {_mark('arcmin')} {seconds}"


def _mark(unit: str) -> str:
    return f" {UNIT_OPEN}{unit}{UNIT_CLOSE} "


def _name(phrase: str, marked: bool) -> str | None:
    """The unit's name; a noun is kept, since among several numbers it says which is which."""
    phrase = " ".join(phrase.split())
    unit = unit_name(phrase, marked)
    return unit if unit != "" else f"#{phrase.casefold().removesuffix('s')}"


def _marked(match: re.Match[str]) -> str:
    phrase = match[1]
    for sign, plain in _SIGNS:
        phrase = phrase.replace(sign, plain)
    phrase = " ".join(strip_text_commands(phrase).replace("{", "").replace("}", "").split()).replace(" ^", "^")
    tail = ""
    if ending := _ENDS_IN_WORD.fullmatch(phrase):
        phrase, tail = ending[1], f" {ending[2]} "
    if not phrase or _STARTS_WITH_WORD.match(phrase):
        return match[0]
    unit = _name(phrase, True)
    return match[0] if unit is None else _mark(unit) + tail


def _plain(match: re.Match[str]) -> str:
    phrase = match[3].strip()
    head = match.string[: match.start()]
    number = re.search(r"[\d.,]+$", head)
    blank = bool(match[1] or match[2])
    set_off = blank or number is not None and ("." in number[0] or "," in number[0])
    letters = bare_letters(phrase)
    bare = set_off and letters and are_unit_letters(phrase, blank) and is_plain(head)
    unit = _name(phrase, bare)
    if unit is None or (unit[0] == "#" or is_product(phrase)) and phrase.isascii() and not blank:
        return match[0]
    if not letters and len(phrase) < 4 and phrase.isascii() and not is_plain(head):
        return match[0]  # "x^2 ms"
    return _mark(unit)
