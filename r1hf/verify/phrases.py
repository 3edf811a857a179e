"""Units and joining words inside an answer, marked before its maths is read: "3 miles and 5 km", "2和5"."""

from __future__ import annotations

import re

from r1hf.verify.latex import UNIT_CLOSE, UNIT_OPEN
from r1hf.verify.normal import TEXT_COMMANDS, strip_text_commands
from r1hf.verify.units import are_unit_letters, bare_letters, unit_name

_POWER = r"(?:\s*\^\s*\{?\s*[+-]?\d\s*\}?)?"
_PIECE = rf"(?:(?:\\mu\s*)?{TEXT_COMMANDS}\s*\{{[^{{}}]*\}}|\\Omega){_POWER}"
_MARKED = re.compile(rf"(?<=[^\s=,:<>(&])(?:\s|\\[,; ]|~)*({_PIECE}(?:\s*(?:/|\\cdot|\\times|\\,|\*|~)?\s*{_PIECE})*)")
_PLAIN = re.compile(
    r"(?:(?<=[\d)\]}])(\s*)|(?<=\\pi)(\s+))(?!(?:and|or|to|mod|in|pi|sqrt)\b)((?:[^\W\d_]|°)(?:[^,;:=<>()\[\]{}\\|\d+&和与與及或]|\^-?\d)*?)"
    r"(?=\s*(?:$|[,;:)\]=<>+\d&]|\\(?:approx|text|mathrm|\}|quad)|(?<=\s)(?:and|or|to)\b|[和与與及或]))"
)
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|°)(?![A-Za-z])")
_ANGLE_FUNCTION = re.compile(r"sin|cos|tan|cot|sec|csc")
_ENDS_IN_WORD = re.compile(r"(.*?)[\s,]*\b(and|or|to)\s*")
_STARTS_WITH_WORD = re.compile(r"(?:and|or|to|if|when|where|for|is)\b")
_JOINED = re.compile(r"(?<=[\w)\]}%⟧])\s*(?:以及|和|与|與|及)\s*(?=[-+(\[{\\\w])")
_EITHER = re.compile(r"(?<=[\w)\]}%⟧])\s*(?:或者|或)\s*(?=[-+(\[{\\\w])")
_SIGNS = (("\\cdot", "*"), ("\\times", "*"), ("\\Omega", "Ω"), ("\\mu", "µ"), ("\\,", " "), ("~", " "))


def mark_phrases(text: str) -> str:
    """`text` with every unit in marks that the tokeniser knows, and with "and", "or" for joining words of Chinese."""
    if not _ANGLE_FUNCTION.search(text):
        text = _DEGREES.sub(_mark("degree"), text)
    if "\\" in text:
        text = _MARKED.sub(_marked, text)
    text = _PLAIN.sub(_plain, text)
    if not text.isascii():
        text = _EITHER.sub(" or ", _JOINED.sub(" and ", text))
    return text


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
    number = re.search(r"[\d.,]+$", match.string[: match.start()])
    set_off = bool(match[1] or match[2]) or number is not None and ("." in number[0] or "," in number[0])
    bare = set_off and number is not None and bare_letters(phrase) and are_unit_letters(phrase)
    unit = _name(phrase, bare)
    if unit is None or unit[0] == "#" and phrase.isascii() and not (match[1] or match[2]):
        return match[0]
    return _mark(unit)
