"""What may stand before an equals sign without being part of the value: a variable, a function, a named quantity."""

from __future__ import annotations

import re

from r1hf.verify.normal import strip_text_commands
from r1hf.verify.tokens import Token, split_at

MAX_TOKENS = 60  # of a name

_CONSTANTS = frozenset(("e", "i", "\\pi", "\\infty", "\\emptyset", "\\reals"))
_SYMBOL = (
    r"(?:[A-Za-z]|\\(?!frac|sqrt|binom|left|right|matrix|system|cases|(?:ln|log|lg|exp|pi)(?![A-Za-z]))[A-Za-z]+)'*"
)
_SUB = r"(?:_(?:\w|\\[A-Za-z]+|\{[^{}]*\}))?"
_SUP = r"(?:\^(?:\w|\{[^{}]*\}|\*))?"
_VARIABLE = re.compile(rf"{_SYMBOL}{_SUB}(?:\^\{{-1\}})?(?:\([a-z]\))?")
_POINTS = (
    r"(?:m?\\angle|\\triangle|\\overline|\\vec|\\overrightarrow|\\widehat|\\measuredangle|m|\\overset\{[^{}]*\})?"
    r"\{?[A-Z][A-Z'_\d]+\}?(?:\^2)?"
)
_ARGUMENT = r"\([^()]{0,60}(?:\([^()]{0,60}\)[^()]{0,60}){0,3}\)"
_DECORATED = rf"\\(?:bar|hat|overline|vec|overrightarrow|tilde|widehat|mathbf|boldsymbol)\{{?[A-Za-z]{{1,3}}\}}?{_SUB}"
_LIMIT = r"_\{?\\m(?:in|ax)\}?"
_SET = r"(?:\\mathbb\{?[A-Z]\}?|[A-Za-z]|\\Pr)"
_ATOM = re.compile(
    "|".join(
        (
            rf"{_SYMBOL}{_SUB}{_SUP}{_ARGUMENT}{_SUB}",  # f(2), P(A|B), f(x)_{\max}
            rf"{_SYMBOL}_(?:\w|\{{[^{{}}]*\}})\^(?:\w|\{{[^{{}}]*\}})",  # C_5^2
            rf"\([a-z]\\circ[a-z]\){_ARGUMENT}",
            rf"{_SET}\[[^\[\]]*\]|\\mathbb\{{?[A-Z]\}}?{_ARGUMENT}",  # E[X], \mathbb{P}(A)
            rf"\[\\?(?:triangle)?[A-Z]{{3,}}\]|\[[a-zA-Z]\([a-z]\)\]{_LIMIT}",  # [ABC]
            r"\\\|[^|]{1,60}\\\||\|(?:\\vec|\\mathbf)[^|]{1,60}\|",
            rf"\|(?![^|]*[xy](?!_))[^|]{{1,60}}\|(?:{_LIMIT})?",  # |z|, |AB|; |x| is unsolved
            r"[A-Z](?:\\(?:cap|cup)[A-Z]){1,3}",
            r"\\(?:sin|cos|tan|cot)(?:\^\{?2\}?)?(?:\\angle)?\(?\d?(?:[A-Z]+|\\[a-z]+|[a-z])\)?",
            rf"{_SYMBOL}_\{{[^{{}}]*\}}",
            rf"{_POINTS}|{_DECORATED}|m?\\angle[A-Z]|\\angle\d",
            r"[a-z]\^\{?\*\}?|\\sigma\^2|\\#[A-Z]|\\lfloor[^=]{1,20}\\rfloor|\\lceil[^=]{1,20}\\rceil",
        )
    )
)
# Letters that are looked for together, not solved for: m + n, ab, 100m + n, a^2 + b^2, a/b.
_SUM = re.compile(
    r"(?:\d{0,4}[a-dm-w](?:\^\d)?){1,3}(?:[-+](?:\d{0,4}[a-dm-w](?:\^\d)?){1,3}){0,5}|[a-dm-w]/[a-dm-w]|\\frac\{[a-dm-w]\}\{[a-dm-w]\}|[a-dm-w]\*[a-dm-w]"
)
_DERIVATIVE = re.compile(
    r"\\frac\{(?:d|\\partial)(?:\^\{?\d\}?)?[A-Za-z]?\}\{(?:d|\\partial)[a-z](?:\^\{?\d\}?)?\}(?:[\[(a-z].{0,80})?|d[a-z]/d[a-z]"
)
# What is computed by a sign of its own; what it is computed from is not read.
_OPERATION = re.compile(r"\\(?:lim|int|iint|oint|sum|prod|det|gcd|lcm|max|min|sup|inf)(?![A-Za-z])|\\begin\{vmatrix\}")
_CAPITALS = r"(?:[A-Z]\w?(?:_\{?\w+\}?)?)"
_SIDE = r"\{((?:[^{}]|\{[^{}]*\}){1,40})\}"
_RATIO = re.compile(rf"\\frac{_SIDE}{_SIDE}|([^/:]{{1,40}})[/:]([^/:]{{1,40}})")
_ROOT = re.compile(r"(?:x|z|\\lambda)_\d{1,2}")

# Words before the sign: "Area = 5", "speed = 60 km/h".
_HEAD = re.compile(
    r"((?:[^=<>:：\\≈]|\\(?:triangle|angle|[ ,;])|\\(?:text|mathrm|operatorname)[a-z]*\b){2,80}?)"
    r"\s*(?:=|[:：](?=\s)|：|等于|为(?=[\s$\d\\(-]))\s*(?=[^=\s])"
)
_WORD = re.compile(r"[A-Za-z]{3,}|[\u4e00-\u9fff]{2,}|角")
_IS_HEAD = re.compile(r"[A-Za-z\u4e00-\u9fff角](?:[\w\u4e00-\u9fff' ,()-]|\\triangle|\\angle)*")
_GENERIC = frozenset(
    "the a an so thus hence therefore final correct required our my your answer ans result solution value total it "
    "of to this problem question".split()
)
_ANSWERS = frozenset("answer ans result solution 答案 结果 最终答案".split())
_SMALL = frozenset("the a an of for in to is and its".split())
# A denial, a guess, or a change of the value: what follows is not the value itself.
_NO_NAME = frozenset(
    "not no never isn't isnt wrong or except than false maybe incorrect untrue mistaken invalid twice thrice half "
    "double triple quadruple third quarter squared cubed root reciprocal inverse negative opposite minus plus times "
    "about approximately nearly almost possibly perhaps probably guess estimate estimated approx more less over under "
    "multiple doubled halved if when unless nor nothing none roughly around circa suppose assume".split()
)
_SUMS = re.compile(r"\s-|-\s|-\d|\d[^()]*$")
_SCALED = re.compile(r"\b(?:square|cube|power|double|half)\s+of\b")
_CHINESE_NO_NAME = re.compile(r"[不非没沒或倍半约約负負错錯]|平方$|立方$|大于|小于|至少|至多|超过")
_FUNCTIONS = frozenset("sin cos tan cot sec csc log exp sqrt max min gcd lcm arcsin arccos arctan lim".split())
_COLON_INSIDE = re.compile(r"^(\\text\s*\{[^{}:：]{1,60})[:：]\s*\}")
_LINE = re.compile(r"[A-Za-z]\s*:\s*(?=[^:]*=)")


def variable(tokens: list[Token]) -> str | None:
    """The variable that `tokens` are: x, \\theta, a_1, f(x), f^{-1}(x)."""
    text = "".join(sign for _, sign in tokens)
    if _VARIABLE.fullmatch(text):
        return None if text in _CONSTANTS else re.sub(r"[{}]", "", text)
    return None


def quantity(tokens: list[Token]) -> str | None:
    r"""A named quantity, which is no unknown to be solved for: AB, \angle ABC, P(A), |z|, S_{\max}, C_5^2, m+n,
    \vec a \cdot \vec b, \frac{dy}{dx}, \lim …"""
    if not 0 < len(tokens) <= MAX_TOKENS:
        return None
    text = "".join(sign for _, sign in tokens)
    if _OPERATION.match(text) or _DERIVATIVE.fullmatch(text) or _is_quantity(text) or _is_ratio(text):
        return re.sub(r"[{}]", "", text)
    return None


def sum_name(tokens: list[Token]) -> str | None:
    """Letters that are looked for together: m + n, ab, a^2 + b^2."""
    text = "".join(sign for _, sign in tokens)
    several = len(set(re.findall(r"[a-z]", text.removeprefix("\\frac")))) > 1
    even = text.count("^") in (0, len(re.findall(r"[a-z]", text)))  # a^2 + b = 0 is a curve
    return re.sub(r"[{}]", "", text) if several and even and len(text) < 40 and _SUM.fullmatch(text) else None


def _is_quantity(text: str) -> bool:
    """Named quantities with signs between them, read from left to right."""
    at, end = 0, len(text)
    while at < end:
        atom = _ATOM.match(text, at)
        if atom is None or atom.end() == at:
            return False
        at = atom.end()
        if at < end and text[at] in "+-*" and at + 1 < end:
            at += 1
        elif at < end and not text.startswith(("\\sin", "\\cos", "\\tan"), at):
            return False
    return True


def _is_ratio(text: str) -> bool:
    match = _RATIO.fullmatch(text)
    return match is not None and all(
        _is_quantity(part) or re.fullmatch(_CAPITALS, part) is not None for part in match.groups() if part
    )


def tuple_name(tokens: list[Token]) -> str | None:
    """The variables of a tuple: "(x,y)" of (x, y) = (1, 2)."""
    if tokens[:1] != [("op", "(")] or tokens[-1:] != [("op", ")")]:
        return None
    names = [variable(part) for part in split_at(tokens[1:-1], frozenset(","))]
    return f"({','.join(name or '' for name in names)})" if len(names) > 1 and all(names) else None


def is_root(name: str) -> bool:
    """Whether a name numbers the solutions of one equation: x_1, x_2. They have no order."""
    return _ROOT.fullmatch(name) is not None


def same_name(first: str, second: str) -> bool:
    """Whether two names may mean the same: words that say more or less of one thing, or words and a symbol."""
    if first == second:
        return True
    if first[0] != '"' and second[0] != '"':
        pair = sorted((first.removeprefix("\\hat"), second.removeprefix("\\hat")), key=len)
        return (
            pair[0] == pair[1] or pair[0] == "y" and re.fullmatch(r"[A-Za-z](?:\^-1)?\([a-z]\)", pair[1]) is not None
        )
    if first[0] != second[0]:
        return True
    short, long = sorted((first.strip('"'), second.strip('"')), key=len)
    return set(short.split()) <= set(long.split()) or not short.isascii() and short in long


def words_before_sign(text: str) -> tuple[str | None, str]:
    """A name in words and what follows its sign; None and all of `text` where there is none.

    The name is None for words that only say "answer".
    """
    text = _COLON_INSIDE.sub(r"\1}: ", text, count=1)
    if line := _LINE.match(text):
        text = text[line.end() :]
    match = _HEAD.match(text)
    if match is None:
        return None, text
    head = strip_text_commands(match[1]) if match[1].count("{") == match[1].count("}") else match[1]
    head = " ".join(head.replace("\\ ", " ").replace("\\,", " ").split())
    called = re.fullmatch(r"[A-Z][a-z]{1,4}\s*\([^()]*\)", head) is not None and head[:3] not in ("Sin", "Cos")
    marked = "\\text" in match[1] or "\\operatorname" in match[1] or "\\mathrm" in match[1]
    words = _WORD.findall(head)
    if not _IS_HEAD.fullmatch(head) or not (words or called) or _SUMS.search(head):
        return None, text
    low = head.casefold()
    said = set(re.findall(r"[a-z']+|[\u4e00-\u9fff]+", low))
    if said & _NO_NAME or _SCALED.search(low) or _CHINESE_NO_NAME.search(head):
        return None, text
    if said & _ANSWERS:
        return None, text[match.end() :] if said <= _GENERIC | _ANSWERS else text
    if all(word.isupper() or word in _FUNCTIONS for word in words) and not marked and not called:
        return None, text
    if called:
        return head.replace(" ", ""), text[match.end() :]
    content = [word.casefold() for word in head.split() if word not in _SMALL and word != "The"]
    return f'"{" ".join(content)}"', text[match.end() :]
