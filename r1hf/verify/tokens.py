"""Tokens out of normalised LaTeX or plain maths, within fixed bounds."""

from __future__ import annotations

import re

from r1hf.verify.tree import Unreadable

MAX_TOKENS = 600
MAX_DEPTH = 40

UNIT_OPEN, UNIT_CLOSE = "⟦", "⟧"  # around the name of a unit; `normalise` takes them out of what people write

Token = tuple[str, str]  # kind (num, cmd, let, sep, op, unit) and text

_TOKEN = re.compile(
    rf"{UNIT_OPEN}([^{UNIT_CLOSE}]*){UNIT_CLOSE}|"
    r"(\s+)|(\d+(?:\.\d+)?|\.\d+)|(\\[A-Za-z]+|\\.)|([A-Za-z]+)|(\*\*|<=|>=|!=|.)",
    re.DOTALL,
)
_DROPPED = frozenset(
    "\\left \\right \\displaystyle \\textstyle \\limits \\quad \\qquad \\big \\Big \\bigl \\bigr \\Bigl \\Bigr "
    "\\, \\! \\; \\: \\$ \\> ~ $".split()
) | {"\\ "}
_ALIASES = {
    "\\cdot": "*", "\\times": "*", "\\ast": "*", "\\div": "/", "**": "^", "\\le": "<=", "\\leq": "<=",
    "\\leqslant": "<=",
    "\\ge": ">=", "\\geq": ">=", "\\geqslant": ">=", "\\lt": "<", "\\gt": ">", "\\ne": "!=", "\\neq": "!=",
    "\\mid": "|", "\\vert": "|", "\\lvert": "|", "\\rvert": "|", "\\langle": "(", "\\rangle": ")", "\\lbrace": "\\{",
    "\\rbrace": "\\}", "\\colon": ":", "\\lbrack": "[", "\\rbrack": "]", "\\backslash": "\\setminus",
    "\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\cfrac": "\\frac", "\\dbinom": "\\binom", "\\tbinom": "\\binom",
    "\\varnothing": "\\emptyset", "\\ldots": "\\dots", "\\cdots": "\\dots", "\\bigcup": "\\cup", "\\infin": "\\infty",
    "\\wedge": "\\land", "\\vee": "\\lor", "\\tg": "\\tan", "\\ctg": "\\cot",
    "\\asin": "\\arcsin", "\\acos": "\\arccos", "\\atan": "\\arctan", "\\varphi": "\\phi", "\\varepsilon": "\\epsilon",
    "\\overrightarrow": "\\vec", "\\boldsymbol": "\\vec", "\\bm": "\\vec", 
    "\\thickapprox": "\\approx", "\\simeq": "\\approx", "\\doteq": "\\approx",
}  # fmt: skip
FUNCTIONS = frozenset("sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln exp log lg".split())
GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega ell hbar dots ihat jhat khat".split()
)
_WORDS = {
    **{name: "\\" + name for name in (*FUNCTIONS, *GREEK, "pi", "sqrt")},
    "inf": "\\infty", "infinity": "\\infty", "oo": "\\infty", "asin": "\\arcsin", "acos": "\\arccos",
    "atan": "\\arctan", "union": "\\cup", "in": "\\in",
}  # fmt: skip
_SHORT_WORDS = frozenset("no yes odd all any one two six ten not the is at of to it he she nor can may but".split())
_FORMULA_WORDS = frozenset("at it is he to of may".split())
DECORATIONS = frozenset("\\vec \\bar \\hat \\overline \\tilde \\widehat".split())
_OPENERS, _CLOSERS = frozenset("( [ { \\{".split()), frozenset(") ] } \\}".split())


def tokenise(text: str) -> list[Token]:
    """The tokens of normalised text. Raises Unreadable for prose, unbalanced brackets and more than MAX_TOKENS."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        unit, space, number, command, word, other = match.groups()
        if space:
            continue
        if unit:
            tokens.append(("unit", unit))
        elif number:
            tokens.append(("num", number))
        elif word:
            tokens += _word_tokens(word, in_formula=word in _FORMULA_WORDS and _in_formula(text, *match.span()))
        else:
            sign = _ALIASES.get(command or other, command or other)
            if sign in _DROPPED:
                continue
            kind = "sep" if sign in ("and", "or") else "cmd" if len(sign) > 1 and sign[1:].isalpha() else "op"
            tokens.append((kind, sign))
        if len(tokens) > MAX_TOKENS:
            raise Unreadable("too long")
    _check_balance(tokens)
    return tokens


def _in_formula(text: str, start: int, end: int) -> bool:
    """Whether a sign of arithmetic stands at a word: "v_0 + at", "at^2"."""
    before, after = text[max(0, start - 8) : start], text[end : end + 8].lstrip()
    glued = bool(before) and (before[-1] in "})" or before[-1].isdigit())
    return glued or before.rstrip()[-1:] in ("+", "-", "*", "/", "=") or after[:1] in ("+", "-", "*", "/", "^")


def _word_tokens(word: str, *, in_formula: bool = False) -> list[Token]:
    known = _WORDS.get(word) or _WORDS.get(word.lower())
    if known:
        return [("cmd", known)]
    if in_formula:
        return [("let", letter) for letter in word]
    if word[:-1] in FUNCTIONS and word[-1] == "x":
        return [("cmd", "\\" + word[:-1]), ("let", "x")]  # "sinx"
    if word.lower() in ("and", "or"):
        return [("sep", word.lower())]
    if word.isupper() and len(word) <= 6:
        return [("let", letter) for letter in word]  # points: ABCD
    if len(word) > 3 or word.lower() in _SHORT_WORDS:
        raise Unreadable(f"the word {word[:20]!r}")
    return [("let", letter) for letter in word]


def _check_balance(tokens: list[Token]) -> None:
    depth = 0
    for _, sign in tokens:
        depth += (sign in _OPENERS) - (sign in _CLOSERS)
        if depth < 0 or depth > MAX_DEPTH:
            raise Unreadable("brackets")
    if depth:
        raise Unreadable("brackets")


def split_at(tokens: list[Token], marks: frozenset[str]) -> list[list[Token]]:
    """`tokens` cut at every one of `marks` that stands in no bracket."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        sign = token[1]
        depth += (sign in _OPENERS) - (sign in _CLOSERS)
        if not depth and sign in marks:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts
