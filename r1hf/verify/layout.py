r"""What LaTeX's layout means in an answer: systems and cases, row gaps, number sets, unit vectors, binomials.

Works on text, before it is cut into tokens; every step is linear in its length.
"""

from __future__ import annotations

import math
import re

from r1hf.verify.normal import strip_text_commands

_SET_NAMES = {"R": "\\reals", "Z": "\\integers", "N": "\\naturals", "Q": "\\rationals", "C": "\\complexes"}
_SET = re.compile(r"\\(?:mathbb|mathbf|Bbb)\s*(?:\{\s*([RZNQC])\s*\}|([RZNQC])(?![A-Za-z]))")
_BARE_SET = re.compile(r"(?<=\\in)\s*([RZNQ])(?![A-Za-z(])")
_ALL_REALS = re.compile(
    r"(?:the set of )?(?:all|any)\s+(?:the\s+)?reals?(?:\s+numbers?)?(?!\w)|全体实数|任意实数|一切实数|所有实数",
    re.IGNORECASE,
)
_ALL_BUT = re.compile(
    r"\\reals\s*(?:except(?:\s+for)?|but|other than)\s*([A-Za-z]\s*=\s*)?([^{}]{1,40}|[^{}]*\{[^{}]*\}[^{}]*)$"
)
_DIFFERENCE = re.compile(r"\\reals\s*(?:-|\\(?=\s*\\?\{))\s*(?=\\?\{)")
_GAP = re.compile(r"\\\\\s*\[\s*-?[\d.]+\s*(?:pt|ex|em|mm|cm)\s*\]|\\cr(?![A-Za-z])")
_NOTHING = re.compile(
    r"\\(?:checkmark|blacksquare|square|qed)\s*$|\\(?:left|right)\s*\.|\\middle(?![A-Za-z])|\\nonumber(?![A-Za-z])"
)
_UNIT_VECTOR = re.compile(
    r"\\(?:mathbf|hat|vec|boldsymbol|bm|widehat)\s*(?:\{\s*\\?([ijk])(?:math)?\s*\}|\\?([ijk])(?:math)?(?![A-Za-z]))"
)
_CHOOSE = re.compile(r"\{\s*([\w+\-]{1,12})\s*\\choose\s*([\w+\-]{1,12})\s*\}")
_COUNT = re.compile(
    r"(?:\\mathrm|\\rm)?\s*\{?\s*([CA])\s*\}?\s*(?:_\s*\{?(\d{1,3})\}?\s*\^\s*\{?(\d{1,3})\}?|\^\s*\{?(\d{1,3})\}?\s*_\s*\{?(\d{1,3})\}?)"
)
_COUNT_LEFT = re.compile(r"(?:\{\s*\})?\s*([_^])\s*\{?(\d{1,3})\}?\s*C\s*_\s*\{?(\d{1,3})\}?")
_LETTER = re.compile(r"\\[A-Za-z]+|[A-Za-z]")
_PLAIN_COMMANDS = frozenset("\\frac \\dfrac \\cdot \\times \\mathrm \\rm \\div \\left \\right \\binom".split())
_ANGLES = re.compile(r"<([^<>=]{1,200},[^<>=]{1,200})>")
_FACTORIAL = re.compile(r"(?<=\d)!=(?=\s*\d)")
_APPROXIMATELY = re.compile(r"\(\s*(\\approx[^()]*)\)\s*$")
_OR_ELSE = re.compile(r"\(\s*((?:or|i\.\s?e\.)[^()]*)\)\s*$|,?\s*\bi\.\s?e\.,?\s*")
_START = re.compile(r"\s*(?:\\therefore|\\Rightarrow|\\implies|∴|⇒|&?=(?!=))\s*")
_BOTH = re.compile(r"(?:both|either)\s+(?=\S.*(?:and|or))")
_JOINTS = re.compile(r"\s+as well as\s+|\s+\\?&\s+|且|并且")
_NEW_LINE = re.compile(r"(?<=[\w)\]}])\s*(?:\n|\\\\(?!\s*\[))\s*(?=[\w(\[\\$-])")
_APART = re.compile(r"(?<=[\w)\]}])\s*\\q?quad\s*(?=[\w(-]|\\(?!math|in|q?quad))")
_CHINESE_JOINT = re.compile(r"\\text\s*\{\s*(或者|或|和|且)\s*\}")
_DETERMINANT = re.compile(r"\\begin\s*\{vmatrix\}[^=]*\\end\s*\{vmatrix\}\s*(?==)")
_ENVIRONMENT = re.compile(
    r"(\\left\s*\\?[{\[]|\\\{|\\lbrace)?\s*\\begin\s*\{(cases|dcases|array|aligned|align|gathered|split)\*?\}"
    r"\s*(?:\{[lcr|@ ]{0,40}\})?"
)
_OTHERWISE = re.compile(r"\\text\s*\{\s*,?\s*(?:otherwise|else)\s*\.?\}|(?<!\\)\b(?:otherwise|else)\b")
_IF = re.compile(r"\\text\s*\{\s*,?\s*(?:if|for|when|where)\s*\}|\b(?:if|for|when)\b")
_RIGHT = re.compile(r"\s*\\right\s*(?:\.|$)")
_CONDITION = re.compile(
    r"[<>]|\\(?:le|ge|ne|in|leq|geq|neq|leqslant|geqslant|lt|gt)(?![A-Za-z])|otherwise|else|if|when"
)


def plain_layout(text: str) -> str:
    r"""`text` with layout replaced by what it means: \mathbb{R} by \reals, a system by \system(row \\ row)."""
    if text.isalnum():
        return text
    text = _ANGLES.sub(r"(\1)", text) if text.startswith("<") else text
    text = _FACTORIAL.sub("! = ", text)
    text = text.replace(":=", "=")
    if "\\begin" not in text:
        text = _lines(text)
    text = _JOINTS.sub(" and ", text) if "\\begin" not in text else text
    text = _BOTH.sub("", text, count=1) if text[:4] in ("both", "eith") else text
    text = _without_start(text)
    if "\\" in text:
        text = _DETERMINANT.sub(r"\\det M ", text)
        text = _GAP.sub(r"\\\\ ", text)
        text = _NOTHING.sub("", _systems(text) if "\\begin" in text else text)
        text = _CHOOSE.sub(r"\\binom{\1}{\2}", text)
        if len({match[1] or match[2] for match in _UNIT_VECTOR.finditer(text)}) > 1:  # a lone i is the imaginary unit
            text = _UNIT_VECTOR.sub(r"\\\1\2hat ", text)
        text = _SET.sub(lambda match: _SET_NAMES[match[1] or match[2]] + " ", text)
        text = _BARE_SET.sub(lambda match: " " + _SET_NAMES[match[1]], text)
        text = _APPROXIMATELY.sub(r"\1", text)
    text = (
        _OR_ELSE.sub(lambda match: " or " + (match[1] or "").removeprefix("or"), text)
        if ")" in text or "i.e" in text
        else text
    )
    text = _counts(text) if "_" in text else text
    return reals_in_words(text)


def _lines(text: str) -> str:
    """Lines, and formulas set apart with \\quad, as a list."""
    text = _NEW_LINE.sub(", ", text) if "\n" in text or "\\\\" in text else text
    text = _APART.sub(", ", text) if "quad" in text and "text" not in text else text
    return (
        _CHINESE_JOINT.sub(lambda match: " or " if match[1][0] == "或" else " and ", text)
        if not text.isascii()
        else text
    )


def _without_start(text: str) -> str:
    r"""Without \therefore or an equals sign before the answer."""
    start = _START.match(text)
    return text[start.end() :] if start else text


def reals_in_words(text: str) -> str:
    r"""`text` with \reals for "all real numbers", and "all real numbers except 1" as a difference of sets."""
    text = _ALL_REALS.sub(r"\\reals", strip_text_commands(text)) if "real" in text or "实数" in text else text
    if "\\reals" not in text:
        return text
    if (found := _ALL_BUT.search(strip_text_commands(text))) is not None:
        return rf"\reals \setminus \{{{found[2]}\}}"
    return _DIFFERENCE.sub(r"\\reals \\setminus ", text)


def _counts(text: str) -> str:
    r"""C_5^2, A_5^2, {}_5C_2 and ^5C_2 as numbers, where there is no variable that C or A could stand beside."""
    marked = _COUNT_LEFT.sub(lambda match: rf"\binom{{{match[2]}}}{{{match[3]}}}", text)
    marked = _COUNT.sub(_count, marked)
    letters = set(_LETTER.findall(marked))
    return marked if letters <= _PLAIN_COMMANDS else text


def _count(match: re.Match[str]) -> str:
    top, chosen = match[2] or match[5], match[3] or match[4]
    if match[1] == "A":
        return str(math.perm(int(top), int(chosen)))
    return rf"\binom{{{top}}}{{{chosen}}}"


def _systems(text: str) -> str:
    r"""Environments as \system(row \\ row), \cases(value & condition \\ …) or, where there is one row, that row."""
    out: list[str] = []
    done = at = 0
    for _ in range(20):
        opening = _ENVIRONMENT.search(text, at)
        end = text.find(f"\\end{{{opening[2]}", opening.end()) if opening else -1
        if opening is None or end < 0:
            break
        closing = text.index("}", end) + 1 if "}" in text[end:] else len(text)
        right = _RIGHT.match(text, closing)
        at = closing
        if opening[2] == "array" and not (opening[1] and (right or "left" not in opening[1])):
            continue  # a matrix
        rows = [row.strip(" ,.;\n") for row in re.split(r"\\\\", text[opening.end() : end])]
        out += [text[done : opening.start()], _system([row for row in rows if row], opening[1] or "")]
        done = at = right.end() if right else closing
    return "".join(out) + text[done:]


def _system(rows: list[str], bracket: str) -> str:
    if rows and all("&" in row and _CONDITION.search(row.rsplit("&", 1)[1]) for row in rows):
        return r"\cases(" + r" \\ ".join(_IF.sub(" ", _OTHERWISE.sub(r"\\otherwise ", row)) for row in rows) + ")"
    joined: list[str] = []
    for row in (row.replace("&", " ").strip() for row in rows):
        if row.startswith("=") and joined:
            joined[-1] += " " + row  # a calculation that goes on
        else:
            joined.append(row)
    if len(joined) < 2:
        return joined[0] if joined else ""
    if bracket.endswith("["):
        return " or ".join(joined)  # a bracket joins alternatives
    return r"\system(" + r" \\ ".join(joined) + ")"
