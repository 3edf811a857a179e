"""Statements of an answer ("The answer is 14."), and whether what follows an answer takes it back."""

from __future__ import annotations

import re

from r1hf.verify.boxes import distinct
from r1hf.verify.normal import normalise
from r1hf.verify.numeric import parse_number

_LINK = (
    r"(?:is|are|was|equals?|becomes|(?:should|must|would|will) be|comes (?:out )?to|works out to"
    r"|lautet|ist|est|es|é|هو)\b\s*[:：]?|[:=：→]"
)
_STATEMENT = re.compile(
    r"(?P<not>\b(?:wrong|incorrect|false|another|other|alternative|possible)\s+)?"
    r"(?:\bthe\s{1,4})?(?:\bfinal\s{1,4}|\bcorrect\s{1,4})?"
    r"\b(?:answers?|ans|respuesta|réponse|antwort|resposta|risposta)\b\.?\*{0,2}"
    r"(?:\s+(?:to|of|for)\s+[^.:=\n]{1,60}?)?(?:\s*,?\s*(?:thus|therefore|then|hence|actually|however|simply)\b,?)?"
    rf"\s*(?:{_LINK})"
    r"|(?:^|\n)\W{0,8}\b(?:the\s{1,4})?final\s{1,4}(?:result|value|solution)\b\*{0,2}\s*(?:is\b|[:=：])"
    r"|(?:^|\n)[ \t]{0,8}(?:\#{1,6}|\*\*)[ \t]{0,8}(?:final[ \t]{1,8})?(?:answer|result|solution)"
    r"[ \t]*:?[ \t]*(?:\*\*)?[ \t]*:?[ \t]*\n+"
    r"|(?:最[终終])?答案\*{0,2}\s*(?:应该?)?(?:(?:是|为|為)\s*[:：]?|[:：])|【答案】"
    r"|(?:^|[\n。])[ \t]{0,8}答\s{0,4}[:：]"
    r"|(?:^|\n)[ \t]{0,8}\#{4}(?=[^#])|ответ\s*:?|답은\s*|答えは\s*|الجواب هو",
    re.IGNORECASE,
)
_CHECKING = re.compile(
    r"\b(?:check|verify|verifying|checking|confirm|test)\s+(?:our|the|this|my|your)?\s*$", re.IGNORECASE
)
# "So our answer is correct." says nothing new.
_ABOUT_ANSWERS = frozenset(
    "correct right valid unique verified consistent reasonable clear obvious confirmed as above below given found "
    "obtained in also the same indeed 正确 正確 对 對".split()
)
_STATED = re.compile(
    r"(?:actually|therefore|thus|now|really|simply|just|then|indeed|option|choice)\b,?\s+", re.IGNORECASE
)
_SENTENCE_END = re.compile(
    r"(?<!\\)!|[。！\n]|\.(?=\s|$)|\s(?:because|since|which)\s"
    r"|,\s(?!(?:or|no|not|and|but|maybe|perhaps|otherwise|rather|another)\b)(?=[a-z])"
    r"|\s\((?!or\b)(?=[A-Za-z ]+\))|\s[\u2190-\U0001ffff]"
)
_COURTESY = re.compile(r"\.?\s*I hope (?:it|this) is correct\.?\s*$|\s*<\|im_(?:start|end)\|>.*$", re.IGNORECASE)
_QUOTED = re.compile(r"""\\?["“]([^"“”]*?)\\?["”]""")
_NEGATIVE = re.compile(r"(?:negative|minus)\s+(?=\d)", re.IGNORECASE)

# What takes an answer back, with or without another one.
_TAKEN_BACK = re.compile(
    r"\b(?:scrap that|forget (?:it|that)|i take it back|never ?mind|(?:this|that|it|which)(?:'s| is| was| would be)"
    r" (?:wrong|incorrect|a mistake|not (?:right|correct|true|it))|(?:would be|is) (?:wrong|incorrect)\b"
    r"|not the answer|\(wrong\)|\?\s*no\b|there is no (?:answer|solution)|does not exist"
    r"|i (?:do not|don't) know)|(?:是|有)错|不对|不正确",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"\b(?:actually|sorry|correction|i meant|wait|oops)\b|\bno[,:.!]|\b(?:it|this|that) (?:should|must) be\b"
    r"|\bor (?:maybe|perhaps|rather|possibly|else)\b|\binstead\b(?! of)|\brather\b(?! than)|更正|应该是|应为|改为",
    re.IGNORECASE,
)
_NOT_IT = re.compile(
    r"\b(?:is not|isn't|isn’t|not)\s+(?:equal to\s+)?\$?([-−]?\d[\d.,]*)|不是\s*\$?([-−]?\d[\d.,]*)", re.IGNORECASE
)
_JOINED = re.compile(r"\s*[,(]?\s*(?:or|and|/|或|和|to)\s+(?:\$)?([-−]?\d[\d.,]*|\(?[A-J]\)?(?![\w']))")
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*(?:\.\d+)?(?:/\d+)?")
_SENTENCE = re.compile(r"(?:[.。!?])(?:\s|$)|\n")
_LABEL = re.compile(
    r"^(?!\s*(?:=(?!>)|\\approx))\W*"
    r"(?:(?:so|thus|hence|therefore|所以|因此)\b,?\s*)?(?:(?:the )?(?:result|total(?: number)?|sum|value) is\s"
    r"|结果是|应选|\$?[a-z]\s*=\s*"
    r"|(?:(?:final )?(?:result|solution|value|answer|ans)\b\.?|final|=>|or|rounded)\s*[:=→]?\s*)?"
    r"([^A-Za-z\u4e00-\u9fff]*)\W*$",
    re.IGNORECASE,
)
# "No, wait, C.", "the correct option is C", "or C"
_LETTER = re.compile(
    r"(?:\b(?:correct|right|best)\s+(?:option|choice)\s*(?:is|:)|\bno,\s*(?:wait,\s*)?|\bactually,?\s|^\s*or\b)"
    r"\s*\(?([A-J])\)?(?=[.\s,!]|$)",
    re.IGNORECASE,
)
MAX_LENGTH = 20_000  # characters from the end in which statements are looked for
MAX_TAIL = 400  # characters behind an answer in which it may be taken back


def said(text: str) -> list[str]:
    """What follows each statement of an answer, up to the next. Statements of wrong answers and checks are none."""
    text = text[-MAX_LENGTH:]
    heads = list(_STATEMENT.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)] if heads else []
    found = [
        _trim(text[head.end() : end])
        for head, end in zip(heads, ends, strict=True)
        if not head["not"] and not _CHECKING.search(text[max(0, head.start() - 30) : head.start()])
    ]
    return [answer for answer in found if answer] or found[:1]  # "Final answer: The final answer is 5."


def stated(text: str) -> list[str]:
    """What the statements of a text say that can be read as an answer: "15", but not "obtained by adding"."""
    found = [answer for told in said(text) if (answer := first_reading(told)) and _is_short(answer)]
    return found + [match[1] for match in _LETTER.finditer(text)]


def answer_said(told: str) -> str:
    """The answer in what a statement says: 15 of "15 because 7 + 8 = 15"; all of it where the rest takes that back."""
    head = first_reading(told)
    rest = told[told.find(head) + len(head) :] if head else ""
    return told if contradicts(rest, head) else head


def first_reading(told: str) -> str:
    """The answer at the start of what a statement says: "15 because 7 + 8 = 15", "5. I hope it is correct."."""
    told = _NEGATIVE.sub("-", _COURTESY.sub("", _STATED.sub("", told)))
    if parse_number(told) or not (end := _SENTENCE_END.search(told)):
        return _trim(told)
    return _trim(told[: end.start()]) or _trim(told)


def contradicts(tail: str, answer: str) -> bool:
    """Whether the text behind an answer takes it back, or gives another one."""
    tail = tail[:MAX_TAIL]
    if not any(char.isalnum() for char in tail):
        return False
    if joined := _JOINED.match(tail):
        return _differs(joined[1], answer)
    if _TAKEN_BACK.search(tail):
        return True
    if (denied := _NOT_IT.search(tail)) and not _differs(denied[1] or denied[2], answer):
        return True
    for corrected in _CORRECTED.finditer(tail):
        begins = max(tail.rfind(mark, 0, corrected.start()) for mark in (". ", "\n", "。")) + 1
        ends = _SENTENCE.search(tail, corrected.end() + 1)
        sentence = tail[begins : ends.start() if ends else len(tail)]
        if any(_differs(number[0], answer) for number in _NUMBER.finditer(sentence)):
            return True
    lines = [line for line in tail.split("\n") if any(char.isalnum() for char in line)]
    alone = _LABEL.match(lines[-1]) if len(lines) == 1 else None
    if alone and (number := _NUMBER.search(alone[1])) and _differs(number[0], answer):
        return True
    return any(len(distinct([answer, told])) > 1 for told in stated(tail))


def _differs(number: str, answer: str) -> bool:
    return len(distinct([number.rstrip(".,"), answer])) > 1


def _is_short(answer: str) -> bool:
    text = normalise(answer)
    if text.split(" ")[0].casefold() in _ABOUT_ANSWERS:
        return False
    return len(text) <= 60 and (any(char.isdigit() for char in text) or len(text.split()) <= 2)


def _trim(text: str) -> str:
    text = text.rstrip(" \t\r\n.。!！*").lstrip(" \t\r\n*:：")
    text = text.removesuffix('"') if text.count('"') == 1 else text
    quoted = _QUOTED.fullmatch(text)
    return quoted[1] if quoted else text
