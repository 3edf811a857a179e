"""The right answer of a question that is a sum, in English or Chinese: worked out exactly, and by no model."""

from __future__ import annotations

import re

from r1hf.verify.countdown import expression_value

LONGEST = 200  # characters of a question
MOST_NUMBERS, MOST_DIGITS = 8, 4

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("×✕✖⨯⋅·∙∗＊", "*"),
        **dict.fromkeys("−–—－﹣", "-"),
        **{"＋": "+", "（": "(", "）": ")", "’": "'", "＝": "="},
        **dict(zip("請計於幫結訴麼減個幾問", "请计于帮结诉么减个几问", strict=True)),  # of the words below
    }
)
_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()
_ONES += "sixteen seventeen eighteen nineteen".split()
_TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True))
_ENGLISH = re.compile(rf"\b(?:({'|'.join(_TENS)})(?:[ -]({'|'.join(_ONES[1:10])}))?|({'|'.join(_ONES)}))\b")
_HAN = "零一二三四五六七八九"
_CHINESE = re.compile(
    r"(?:([一二两三四五六七八九])?(十)([一二三四五六七八九])?|([零一二两三四五六七八九]))(?![下共些百千万点])"
)
_SIGN_WORDS = (
    (re.compile(r"\bplus\b|加上?"), "+"),
    (re.compile(r"\bminus\b|减去?"), "-"),
    (re.compile(r"\btimes\b|\bmultiplied by\b|乘[以上]?|(?<=[\d)])\s*x(?=\s*[\d(])"), "*"),
)
_SUM = re.compile(r"-?\s*[(\d][\d\s()+*-]*[\d)]")
_NO_SUM = re.compile(r"\d+(?:-\d{2,})*-\d{3,}(?:-\d{2,})*|\d{4}(?:-\d{1,2}){2}")  # telephone numbers, dates
# All that may stand around a sum: words that only ask for its value.
_ASKING = re.compile(
    r"\b(?:what(?:'s|s)?|is|are|how|much|many|the|result|value|answer|of|compute|calculate|evaluate|solve|work|out|find"
    r"|can|could|would|will|you|please|pls|tell|me|hi|hello|hey|do|does|make|makes|get|give|equals?|to|it|for|i|need"
    r"|know|quick|question|so|then|and now|now|thanks|thank)\b"
    r"|请问|请|帮我|帮忙|麻烦|你|您|能|可以|知道|告诉|我|计算|算|一下|求|问|等于|是|得|多少|几|什么|的|值|结果|答案|得数|和"
    r"|吗|呢|吧|啊|怎么|会|一共|那么|[\s,.:;!?=，。：；！？、…]"
)


def right_answer(question: str) -> str | None:
    """The value of a question that asks for that of a sum and for nothing else; None for any other.

    A sum has 2 to 8 whole numbers of at most 4 digits, + - * (also × x ·, "plus", 乘以), parentheses, spaces or none.
    It stands alone or in words that ask for it: "what's 2+3*4", "（2＋3）×4 等于多少？".
    """
    if len(question) > LONGEST:
        return None
    text = _spelled(question.casefold().translate(_SIGNS))
    sums = _SUM.findall(text)
    if len(sums) != 1 or _ASKING.sub("", text.replace(sums[0], " ", 1)):
        return None
    if _NO_SUM.fullmatch(text.strip()):
        return None
    numbers = re.findall(r"\d+", sums[0])
    if not 2 <= len(numbers) <= MOST_NUMBERS or any(len(n) > MOST_DIGITS or n[0] == "0" < n[1:] for n in numbers):
        return None
    value = expression_value(sums[0])
    return None if value is None else str(value)


def _spelled(text: str) -> str:
    """Numbers and signs in digits and signs."""
    text = _ENGLISH.sub(_english, text)
    text = _CHINESE.sub(_chinese, text)
    for words, sign in _SIGN_WORDS:
        text = words.sub(sign, text)
    return text


def _english(found: re.Match[str]) -> str:
    tens, one, alone = found.groups()
    return str(_ONES.index(alone) if alone else _TENS[tens] + (_ONES.index(one) if one else 0))


def _chinese(found: re.Match[str]) -> str:
    tens, ten, ones, alone = (part and part.replace("两", "二") for part in found.groups())
    if alone:
        return str(_HAN.index(alone))
    return str(10 * (_HAN.index(tens) if tens else 1) + (_HAN.index(ones) if ones else 0)) if ten else ""
