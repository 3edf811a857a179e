"""One spelling for one answer: digits, signs, LaTeX's spacing and text commands."""

from __future__ import annotations

import re
import unicodedata

from r1hf.verify.spelling import MAX_LENGTH, TEXT_COMMANDS, one_spelling, without_frame

_WRAPPERS = (
    *(
        ("$$", "$$"),
        ("$", "$"),
        ("```", "```"),
        ("\\(", "\\)"),
        ("\\[", "\\]"),
        ("**", "**"),
        ("__", "__"),
        ("_", "_"),
        ("`", "`"),
        ("*", "*"),
    ),
    *(("“", "”"), ("‘", "’"), ('"', '"'), ("'", "'"), ("「", "」")),
)
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
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
        "≡": "\\equiv ", "∠": "\\angle ", "△": "\\triangle ",
        "⌊": "\\lfloor ", "⌋": "\\rfloor ", "⌈": "\\lceil ", "⌉": "\\rceil ", "∣": "|", "∶": ":",
        "٪": "%", "∖": "\\setminus ",
        "℃": "°C", "【": "[", "】": "]",
        "、": ",", "٫": ".", "٬": ",", "μ": "µ", "′": "'", "⟦": "[", "⟧": "]",
    }
)  # fmt: skip
# Signs that NFKC would turn into something else.
_EARLY = str.maketrans(
    {
        "℃": "°C", "℉": "°F", "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}", "ℕ": "\\mathbb{N}", "ℚ": "\\mathbb{Q}",
        "ℂ": "\\mathbb{C}", "º": "°", "∛": "\\sqrt[3]", "∜": "\\sqrt[4]", "㎡": " m^2", "㎥": " m^3", "㎢": " km^2",
        "㎠": " cm^2", "㎟": " mm^2", "㎤": " cm^3", "…": "...", "″": "''",
    }
)  # fmt: skip
_TEXT_COMMAND = re.compile(TEXT_COMMANDS + r"\s*\{([^{}]*)\}")
# JSON that was escaped twice: \\frac for \frac. A matrix has \\ of its own.
_DOUBLED = re.compile(
    r"\\\\(?=(?:[dtc]?frac|sqrt|f?box|boxed|text|pi|leq?|geq?|cdot|times|left|right|infty|circ|math|cup|in|pm)"
    r"(?![a-z])|text[a-z]+|math[a-z]+)"
)
_CIRCLED = re.compile("[①-⑳]")
_DOTTED = re.compile("(\\d)\u0307")
_OVERLINED = re.compile("((?:\\d[\u0304\u0305])+)")
_MINUS = re.compile(r"负\s*(?=[\d\\.$])")
THOUSANDS_MARK = re.compile(
    r"(?<=\d)(?:\\[,;: ]|\s*\{\s*,\s*\}\s*|,\\[!,;:]\s?|\{ ?\}|\{\\,\}|[ '\u00a0])(?=\d{3}(?!\d))"
)
_REPEATING = re.compile(r"(\d{0,20})\.(\d{0,20})(?:\\(?:overline|bar)\s*(?:\{(\d{1,20})\}|(\d))|\((\d{1,20})\))")
_DOTS = re.compile(r"\\dot\s*(?:\{(\d)\}|(\d))(?:(\d{0,18})\\dot\s*(?:\{(\d)\}|(\d)))?")
# Three periods, or two of five digits and more: 0.666..., 0.142857142857...
_RUN = re.compile(r"(\d{0,20})\.(\d{0,6}?)(?:(\d{1,6}?)\3{2,}|(\d{5,12})\4)\\[lc]?dots\b")


def normalise(text: str) -> str:
    """One spelling for one answer: NFKC, ASCII digits and minus, no enclosing math or emphasis marks, no full stop.

    Superscripts become powers before NFKC, which would turn 1⁴ into 14. Signs such as √ and ≤ become commands.
    Commands of style, spacing at the ends and LaTeX's other ways to write a fraction or a unit go.
    """
    if text.isascii():
        if text.isdigit():
            return text
    else:
        text = _fold(text)
    if "\\\\" in text and "\\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)
    if len(text) <= MAX_LENGTH:
        text = one_spelling(text)
    before = None
    while text != before:
        before = text
        text = text.strip().rstrip(".。,;").strip()
        for left, right in _WRAPPERS:
            inner = text[len(left) : -len(right)]
            if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
                if left not in inner and right not in inner:
                    text = inner
        if len(text) <= MAX_LENGTH:
            text = without_frame(text)
    return text


def _fold(text: str) -> str:
    text = text.translate(_INVISIBLE)
    text = _SUPERSCRIPTS.sub(lambda run: "^{" + unicodedata.normalize("NFKC", run[0]) + "}", text)
    text = _SUBSCRIPTS.sub(lambda run: "_{" + unicodedata.normalize("NFKC", run[0]) + "}", text)
    text = _VULGAR.sub(lambda pair: f"{pair[1]} {unicodedata.normalize('NFKC', pair[2])}", text)
    text = _OVERLINED.sub(lambda run: rf"\overline{{{run[0][::2]}}}", text)
    text = _DOTTED.sub(r"\\dot{\1}", text)
    text = _circled(text.rstrip("！ ").translate(_EARLY))
    text = unicodedata.normalize("NFKC", text).translate(_MATHS)
    if text[:1] == "负":
        text = _MINUS.sub("-", text)
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in text)


def _circled(text: str) -> str:
    """Several circled numbers (①③) are a list of statements, in no order; a single one is a number."""
    signs = _CIRCLED.findall(text)
    if len(signs) < 2:
        return text
    if not _CIRCLED.sub("", text).strip("、,，和与及 ;；"):
        text = "".join(sorted(set(signs)))
    return _CIRCLED.sub(lambda sign: f"第{unicodedata.normalize('NFKC', sign[0])}", text)


def strip_text_commands(text: str) -> str:
    r"""`text` with the content of \text{…}, \mathrm{…} and the like in their place."""
    return _TEXT_COMMAND.sub(r" \1 ", text) if "\\" in text else text


def without_blanks(text: str) -> str:
    """`text` without the blanks that mean nothing in maths; "1 4" and "14" stay apart."""
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", " ".join(text.split()))


def expand_repeating(text: str) -> str:
    r"""`text` with 0.1\overline{6}, 0.1\dot{6}, 0.1(6) and 0.1666… written as fractions."""
    if "\\dot" in text:
        text = _DOTS.sub(_under_dots, text)
        text = _RUN.sub(lambda run: _fraction(run[1], run[2], run[3] or run[4]), text)
    if "." in text and ("\\" in text or "(" in text):
        text = _REPEATING.sub(lambda found: _fraction(found[1], found[2], found[3] or found[4] or found[5]), text)
        text = _RUN.sub(lambda run: _fraction(run[1], run[2], run[3] or run[4]), text)
    return text


def _under_dots(match: re.Match[str]) -> str:
    r"""0.\dot{1}4285\dot{7} has the period from the first dot to the last."""
    return rf"\overline{{{match[1] or match[2]}{match[3] or ''}{match[4] or match[5] or ''}}}"


def _fraction(whole: str, fixed: str, repeated: str) -> str:
    whole = whole or "0"
    bottom = 10 ** len(fixed) * (10 ** len(repeated) - 1)
    return rf"\frac{{{int(whole + fixed + repeated) - int(whole + fixed)}}}{{{bottom}}}"
