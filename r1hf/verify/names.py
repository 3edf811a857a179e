"""What may stand before an equals sign without being part of the answer: a variable, a function, a named quantity."""

from __future__ import annotations

import re

from r1hf.verify.latex import Token

_CONSTANTS = frozenset(("e", "i", "\\pi", "\\infty", "\\emptyset"))
_SYMBOL = r"(?:[A-Za-z]|\\(?!frac|sqrt|binom|left|right|pi\b)[A-Za-z]+)'*"
_SUB = r"(?:_(?:\w|\\[A-Za-z]+|\{[^{}]*\}))?"
_SUP = r"(?:\^(?:\w|\{[^{}]*\}|\*))?"
_VARIABLE = re.compile(rf"{_SYMBOL}{_SUB}(?:\^\{{-1\}})?(?:\([a-z]\))?")
_POINTS = (
    r"(?:m?\\angle|\\triangle|\\overline|\\vec|\\overrightarrow|\\widehat|\\measuredangle|m)?\{?[A-Z][A-Z'_\d]+\}?"
)
_CALL = rf"{_SYMBOL}{_SUB}{_SUP}\([^()]*(?:\([^()]*\)[^()]*)*\)"
_CAPITALS = r"(?:[A-Z]\w?(?:_\{?\w+\}?)?)"
_ANGLE = r"\\(?:sin|cos|tan|cot)(?:\\angle)?\(?(?:[A-Z]+|\\[a-z]+)\)?"
_QUANTITY = re.compile(
    rf"(?:{_POINTS}|{_CALL}|[A-Za-z]\[[^\[\]]*\]|\|[^|]+\||{_SYMBOL}_(?:\w|\{{[^{{}}]*\}})\^(?:\w|\{{[^{{}}]*\}})"
    rf"|{_ANGLE}|\\angle(?:\d|[A-Z])|{_SYMBOL}_\{{[^{{}}]*\}}|[a-dm-w](?:\+[a-dm-w])+)"
)
_RATIO = re.compile(
    rf"\\frac\{{({_QUANTITY.pattern}|{_CAPITALS})\}}\{{({_QUANTITY.pattern}|{_CAPITALS})\}}"
    rf"|({_QUANTITY.pattern}|{_CAPITALS})[/:]({_QUANTITY.pattern}|{_CAPITALS})"
)
# Words before the sign: "Area = 5", "speed = 60 km/h". A denial is no name.
_WORDS = re.compile(
    r"(?:the\s+)?([A-Za-z\u4e00-\u9fff][A-Za-z\u4e00-\u9fff'() -]{1,40}?)\s*=\s*(?=[^=\s])", re.IGNORECASE
)
_DENIALS = frozenset("not no never isn't isnt wrong or and except than false maybe".split())
_FUNCTIONS = frozenset("sin cos tan cot sec csc log exp sqrt max min gcd lcm arcsin arccos arctan".split())
_CHINESE_DENIAL = re.compile(r"[不非没沒或]")


def variable(tokens: list[Token]) -> str | None:
    """The variable that `tokens` are: x, \\theta, a_1, f(x), f^{-1}(x)."""
    text = "".join(sign for _, sign in tokens)
    if _VARIABLE.fullmatch(text):
        return None if text in _CONSTANTS else re.sub(r"[{}]", "", text)
    return None


def quantity(tokens: list[Token]) -> str | None:
    """A named quantity, which is no unknown to be solved for: AB, \\angle ABC, P(A), |z|, S_{\\max}, C_5^2, m+n."""
    if len(tokens) > 40:
        return None
    text = "".join(sign for _, sign in tokens)
    return re.sub(r"[{}]", "", text) if _QUANTITY.fullmatch(text) or _RATIO.fullmatch(text) else None


def drop_words_before_sign(text: str) -> str:
    """`text` without a name in words and its equals sign; with them where they are none."""
    match = _WORDS.match(text)
    if match is None:
        return text
    words = re.findall(r"[A-Za-z']{3,}|[\u4e00-\u9fff]{2,}", match[1])
    if not words or _CHINESE_DENIAL.search(match[1]) or _DENIALS & set(match[1].casefold().split()):
        return text
    if all(word.isupper() or word in _FUNCTIONS for word in words):
        return text
    return text[match.end() :]
