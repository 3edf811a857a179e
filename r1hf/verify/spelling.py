"""LaTeX that means the same, in one spelling: commands of style, fractions, signs, remainders, units."""

from __future__ import annotations

import re

from r1hf.verify.units import are_unit_letters, bare_letters, unit_name

MAX_LENGTH = 4000  # characters; longer texts stay as they are

TEXT_COMMANDS = (
    r"\\(?:text|textnormal|mathrm|mbox|hbox|textbf|textit|textrm|textsf|mathbf|mathit|mathsf|operatorname|rm)"
)
_SWITCH = (
    "tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|displaystyle|textstyle|boldmath"
    "|bfseries|itshape|centering|hfill|hfil|mathstrut|strut|nonumber|notag|left\\.|right\\."
)
_SWITCHES = re.compile(
    rf"\\(?:{_SWITCH})(?![A-Za-z])(?!\s*\{{)|\\(?:bf|[bB]igg?[lrm]?)(?![A-Za-z])|\\(?:tag|label)\*?\s*\{{[^{{}}]*\}}"
)
_OLD_STYLE = re.compile(rf"\{{\s*\\(?:rm|bf|it|sf|tt|mathrm|mathbf|{_SWITCH})(?![A-Za-z])\s*([^{{}}\\]*)\}}")
# \mathbf{\frac34}: what is set in another type is maths if there are commands in it.
_STYLED = re.compile(
    rf"\\(?:(?:{_SWITCH}|boldsymbol|bm|pmb|ensuremath|texttt|mathtt|mathord|emph|underline|uline)(?![A-Za-z])"
    r"|(?:textcolor|color)\s*\{[^{}]*\}"
    r"|(?:math(?:bf|rm|it|sf)|operatorname|text(?:bf|it|rm)?)(?=\s*\{\s*\$?\\(?:[dt]?frac|sqrt)))\s*(?=\{)"
)
_STYLED_NUMBER = re.compile(_STYLED.pattern + r"\{\s*(-?[\d.,/%]+|[A-Za-z])\s*\}")
_COLOUR = re.compile(r"\\color\s*\{[^{}]*\}(?!\s*\{)")
_SI = re.compile(r"\\(?:SI|qty)\s*(?:\[[^\[\]]*\])?\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_SI_UNIT = re.compile(r"\\(?:si|unit)\s*(?:\[[^\[\]]*\])?\s*\{([^{}]*)\}")
_NUM = re.compile(r"\\num\s*\{([^{}]*)\}")
_SI_PREFIX = re.compile(r"\\(kilo|mega|giga|tera|milli|micro|nano|pico|centi|deci|hecto)\s*\\?(?=[a-z])")
_OVER = re.compile(r"\{([^{}]*(?:\{[^{}]*\}[^{}]*)?)\\over(?![A-Za-z])([^{}]*(?:\{[^{}]*\}[^{}]*)?)\}")
_BARE_OVER = re.compile(r"([^{}]{1,80}|\{[^{}]*\})\\over(?![A-Za-z])\s*([^{}]{1,80}|\{[^{}]*\})")
_PLAIN_NAMES = (
    (re.compile(r"\\(?:nicefrac|sfrac|flatfrac|xfrac)(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\(?:textdollar|mathdollar|dollar)(?![A-Za-z])\s*"), r"\\$"),
    (re.compile(r"\\(?:pounds|textsterling)(?![A-Za-z])\s*"), "£"),
    (re.compile(r"\\(?:degree|textdegree)(?![A-Za-z])"), r"^\\circ"),
    (re.compile(r"\\space(?![A-Za-z])|\\q?quad\s*(?=\\\\?%)"), " "),
    (re.compile(r"\{\}(?=\s*\^)"), ""),
    (re.compile(r"\\mathbin\s*\{:\}"), ":"),
    (re.compile(r"\\[hv]space\*?\s*\{[^{}]*\}|\\[hv]?phantom\s*\{[^{}]*\}"), " "),
)
# cm^{2} inside of \text{…}
_TEXT_POWER = re.compile(rf"({TEXT_COMMANDS}\s*\{{[^{{}}]*)\^\s*\{{\s*([+-]?\d)\s*\}}(?!\d)")
_POWER = r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?"
_APART = r"(?:\s|\\[,; ]|~|\\cdot|\*|·)*"
_IN_TEXT = rf"(?:{_APART}{TEXT_COMMANDS}\s*\{{[^{{}}]*\}}{_POWER})+"
_SIDE = rf"\{{({_IN_TEXT}|\s*[A-Za-z]{{1,10}}{_POWER})\s*\}}"
_UNIT_FRACTION = re.compile(rf"(\\[,;: ]|~|\s)?\\[dt]?frac\s*{_SIDE}\s*{_SIDE}")
_SPACED = re.compile(r"\\[,; ]|~")
_TEXT_COMMAND = re.compile(TEXT_COMMANDS)
_REMAINDER = re.compile(
    r"(\d+)\s*(?:\\text\s*\{\s*)?(?:\b[Rr]\b|[Rr](?=\d)|rem\.?|remainder|with (?:an? )?remainder(?: of)?"
    r"|余数?|\.{6}|\\[lc]dots)(?:\s*\})?\s*(\d+)"
)
_BRACED_COLON = re.compile(r"(?<![A-Za-z])\{:\}")
_RAISED = re.compile(r"\^\{?(\d+)\}?\s*/_\{?(\d+)\}?")
_GOES_ON = re.compile(r"(?<=\d)\s*\.{3,}")
_STRUCK = re.compile(r"~~([^~]+)~~")
_MINUS_WORD = re.compile(r"(?:negative|minus)\s+(?=[\d\\.$]|infinity)", re.IGNORECASE)
_LEADING = re.compile(
    r"(?:\s|&|=(?!=)|:(?!\))|∴|→|=>|\\(?:therefore|to|rightarrow|Rightarrow|implies|Longrightarrow)(?![A-Za-z])"
    r"|\\[,!;: ]|\\q?quad(?![A-Za-z]))+"
)
_TRAILING = re.compile(
    r"(?:[\s.,;]|\\[,!;: ]|\\\\|(?<!\\)\\$|\{\}"
    r"|\\(?:q?quad|checkmark|blacksquare|square|Box|qed|qedsymbol)(?![A-Za-z])|[✓✔✅■□∎]|\\text\s*\{[.,\s]*\}){1,12}$"
)
_GROUPED = re.compile(r"\{\s*(?:\{|\\(?:[dt]?frac|sqrt)(?![A-Za-z]))")
_ENVIRONMENT = re.compile(r"\\begin\s*\{(equation|align|aligned|gather|gathered|center|math|displaymath)(\*?)\}")


def one_spelling(text: str) -> str:
    """`text` with the many spellings of LaTeX replaced by one, wherever they stand."""
    if "~~" in text:
        text = _STRUCK.sub(r"\\cancel{\1}", text)
    if remainder := _REMAINDER.fullmatch(text.strip().strip("$")):
        return f"{remainder[1]} remainder {remainder[2]}"
    if "..." in text:
        text = _GOES_ON.sub(r"\\ldots ", text)
    if ":=" in text:
        text = text.replace(":=", "=")
    if "{:}" in text:
        text = _BRACED_COLON.sub(":", text)
    if "/_" in text:
        text = _RAISED.sub(r"\\frac{\1}{\2}", text)
    if "\\" in text:
        text = _latex(text)
    return _MINUS_WORD.sub("-", text, count=1) if _MINUS_WORD.match(text) else text


def without_frame(text: str) -> str:
    """`text` without what stands around an answer: "= 5", "5 \\,", "\\therefore 5", \\underline{5}, an environment."""
    if text[:1] in "&=:∴→\\" and (match := _LEADING.match(text)) and match.end() < len(text):
        text = text[match.end() :]
    if text and not text[-1].isalnum() or "\\" in text[-16:]:
        start = max(0, len(text) - 60)
        if (match := _TRAILING.search(text, start)) and match.start():
            text = text[: match.start()]
    if text[:1] == "\\":
        text = _unframed(text)
    elif _GROUPED.match(text) and "," not in text and _closes_at_end(text, 0):
        text = text[1:-1].strip()  # {\frac{3}{4}}; a bare {14} is a set
    return text


def _latex(text: str) -> str:
    text = _SWITCHES.sub(" ", _OLD_STYLE.sub(_old_style, text))
    if "\\color" in text:
        text = _COLOUR.sub(" ", text)
    for pattern, plain in _PLAIN_NAMES:
        text = pattern.sub(plain, text)
    if "\\over" in text:
        text = _OVER.sub(r"\\frac{\1}{\2}", text)
        if bare := _BARE_OVER.fullmatch(text.strip("$ ")):
            top, bottom = (side.strip().removeprefix("{").removesuffix("}") for side in bare.groups())
            text = rf"\frac{{{top}}}{{{bottom}}}"
    text = _NUM.sub(r"\1", _SI_UNIT.sub(_si_unit, _SI.sub(lambda found: f"{found[1]} {_si_unit(found, 2)}", text)))
    for _ in range(4):
        if (shorter := _TEXT_POWER.sub(r"\1^\2", text)) == text:
            break
        text = shorter
    if "frac" in text:
        text = _UNIT_FRACTION.sub(_unit_fraction, text)
    text = _STYLED_NUMBER.sub(r"\1", text)
    return _STYLED.sub("", text) if _STYLED.search(text) and not _STYLED.match(text) else text


def _old_style(match: re.Match[str]) -> str:
    r"""{\rm Hz} is \mathrm{Hz}; a number in bold is that number."""
    content = match[1].strip()
    return rf"\mathrm{{{content}}}" if content[:1].isalpha() else f" {content} "


def _si_unit(match: re.Match[str], group: int = 1) -> str:
    words = _SI_PREFIX.sub(r"\\\1", match[group])
    name = re.sub(r"\\([A-Za-z]+)", r" \1 ", words).replace(".", " ").strip()
    return rf"\text{{{name}}}"


def _unit_fraction(match: re.Match[str]) -> str:
    r"""\frac{\text{m}}{\text{s}} as \text{m/s}, if both are units; bare letters only behind a blank and a number."""
    top, bottom = (_SPACED.sub(" ", _TEXT_COMMAND.sub("", side)).strip() for side in match.groups()[1:])
    name = f"{top}/({bottom})".replace("\\cdot", "*").replace("{", "").replace("}", "")
    if not all("\\" in side for side in match.groups()[1:]):
        before = match.string[: match.start()]
        if not match[1] or not is_plain(before) or bare_letters(name) and not are_unit_letters(name):
            return match[0]
    return rf" \text{{{name}}} " if unit_name(name, True) else match[0]


_KNOWN_COMMANDS = re.compile(
    rf"{TEXT_COMMANDS}\s*\{{[^{{}}]*\}}|\\(?:[dt]?frac|sqrt|pi|times|cdot|left|right|q?quad|approx|pm|circ)(?![A-Za-z])|\\[^A-Za-z]"
)
_LAST_TERM = re.compile(r"[=,;:<>&]|\b(?:and|or|to)\b|(?<=[A-Za-z°⟧])\s+(?=\d)")


def is_plain(text: str) -> bool:
    """Whether the last term of `text` is a number without variables: what follows may be its unit."""
    term = _LAST_TERM.split(_KNOWN_COMMANDS.sub(" ", text[-200:]))[-1]
    return any(char.isdigit() for char in text[-200:]) and not any(char.isalpha() or char == "\\" for char in term)


def _unframed(text: str) -> str:
    r"""The content of a command of style, or of an environment, that holds all of `text`."""
    styled = _STYLED.match(text)
    if styled and _closes_at_end(text, styled.end()):
        return text[styled.end() + 1 : -1].strip()
    if styled:
        return text[styled.end() :]
    if (begin := _ENVIRONMENT.match(text)) and text.endswith(end := f"\\end{{{begin[1]}{begin[2]}}}"):
        inner = text[begin.end() : -len(end)].strip()
        return text if "\\\\" in inner or "\\begin" in inner else inner
    return text


def _closes_at_end(text: str, start: int) -> bool:
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if not depth:
            return at == len(text) - 1
    return False
