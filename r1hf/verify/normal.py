"""One spelling for one answer: digits, signs, LaTeX's spacing and text commands."""

from __future__ import annotations

import re
import unicodedata

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
        "⩾": "\\ge ", "≦": "\\le ", "≧": "\\ge ", "≠": "\\ne ", "±": "\\pm ", "∓": "\\mp ", "∪": "\\cup ",
        "∩": "\\cap ", "∈": "\\in ", "∅": "\\emptyset ", "π": "\\pi ", "θ": "\\theta ", "α": "\\alpha ",
        "β": "\\beta ", "γ": "\\gamma ", "λ": "\\lambda ", "φ": "\\phi ", "ω": "\\omega ", "≈": "\\approx ",
        "≡": "\\equiv ", "∠": "\\angle ", "△": "\\triangle ", "ℝ": "\\mathbb{R}", "℃": "°C", "【": "[", "】": "]",
        "、": ",", "٫": ".", "٬": ",", "μ": "µ", "′": "'", "⟦": "[", "⟧": "]",
    }
)  # fmt: skip
TEXT_COMMANDS = (
    r"\\(?:text|textnormal|mathrm|mbox|hbox|textbf|textit|textrm|textsf|mathbf|mathit|mathsf|operatorname|rm)"
)
_TEXT_COMMAND = re.compile(TEXT_COMMANDS + r"\s*\{([^{}]*)\}")
# JSON that was escaped twice: \\frac for \frac. A matrix has \\ of its own.
_DOUBLED = re.compile(
    r"\\\\(?=(?:[dtc]?frac|sqrt|f?box|boxed|text|pi|leq?|geq?|cdot|times|left|right|infty|circ|math|cup|in|pm)"
    r"(?![a-z])|text[a-z]+|math[a-z]+)"
)
_GOES_ON = re.compile(r"(?<=\d)\.{3,}")
THOUSANDS_MARK = re.compile(r"(?<=\d)(?:\\[,;: ]|\s*\{\s*,\s*\}\s*|,\\!\s?|[ '\u00a0])(?=\d{3}(?!\d))")
_REPEATING = re.compile(r"(\d{0,20})\.(\d{0,20})(?:\\(?:overline|bar)\s*(?:\{(\d{1,20})\}|(\d))|\((\d{1,20})\))")
_DOTS = re.compile(r"\\dot\s*(?:\{(\d)\}|(\d))(?:(\d{0,18})\\dot\s*(?:\{(\d)\}|(\d)))?")
_RUN = re.compile(r"(\d{0,20})\.(\d{0,6}?)(\d{1,6}?)\3{2,}\\l?dots\b")


def normalise(text: str) -> str:
    """One spelling for one answer: NFKC, ASCII digits and minus, no enclosing math or emphasis marks, no full stop.

    Superscripts become powers before NFKC, which would turn 1⁴ into 14. Signs such as √ and ≤ become commands.
    """
    if not text.isascii():
        text = _fold(text)
    if "\\\\" in text and "\\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)
    if "..." in text:
        text = _GOES_ON.sub(r"\\ldots ", text)
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
    text = unicodedata.normalize("NFKC", text.replace("℃", "°C").replace("℉", "°F")).translate(_MATHS)
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def strip_text_commands(text: str) -> str:
    r"""`text` with the content of \text{…}, \mathrm{…} and the like in their place."""
    return _TEXT_COMMAND.sub(r" \1 ", text) if "\\" in text else text


def without_blanks(text: str) -> str:
    """`text` without the blanks that mean nothing in maths; "1 4" and "14" stay apart."""
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", text)


def expand_repeating(text: str) -> str:
    r"""`text` with 0.1\overline{6}, 0.1\dot{6}, 0.1(6) and 0.1666… written as fractions."""
    if "\\dot" in text:
        text = _DOTS.sub(_under_dots, text)
        text = _RUN.sub(lambda run: _fraction(run[1], run[2], run[3]), text)
    if "." in text and ("\\" in text or "(" in text):
        text = _REPEATING.sub(lambda found: _fraction(found[1], found[2], found[3] or found[4] or found[5]), text)
        text = _RUN.sub(lambda run: _fraction(run[1], run[2], run[3]), text)
    return text


def _under_dots(match: re.Match[str]) -> str:
    r"""0.\dot{1}4285\dot{7} has the period from the first dot to the last."""
    return rf"\overline{{{match[1] or match[2]}{match[3] or ''}{match[4] or match[5] or ''}}}"


def _fraction(whole: str, fixed: str, repeated: str) -> str:
    whole = whole or "0"
    bottom = 10 ** len(fixed) * (10 ** len(repeated) - 1)
    return rf"\frac{{{int(whole + fixed + repeated) - int(whole + fixed)}}}{{{bottom}}}"
