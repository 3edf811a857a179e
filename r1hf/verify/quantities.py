"""Quantities in plain words: which number a sentence claims, with its sign, scale and unit."""

from __future__ import annotations

import re

from r1hf.verify.answers import read
from r1hf.verify.evaluate import Undecided
from r1hf.verify.normal import normalise
from r1hf.verify.tree import Unreadable
from r1hf.verify.units import unit_name

_DIGITS = r"(?:[1-9]\d{0,2}(?:[, \u00a0]\d{3})+(?!\d)|\d+,\d{1,2}(?![\d,])|\d+)(?:\.\d+)?"
_SCALE = r"(?:hundred|thousand|million|billion|trillion|dozen)\b|[百千]?[万亿萬億]"
_CORE = (
    rf"(?:[(\[]\s*[-−]?{_DIGITS}(?:\s*,\s*[-−]?{_DIGITS})+\s*[)\]]"  # a point or an interval
    r"|\d+(?::\d+)+(?:\s?[ap]\.?m\b\.?)?"
    rf"|\d+\s(?:out of)\s\d+|\d+ \d+/\d+|\d*[¼-¾⅐-⅞]|{_DIGITS}(?:/\d+(?!\d*/))?)"
    r"(?:\s?(?:×|\\times|x|\*)\s?10\s?\^\s?\{?-?\d+\}?)?"
    r"(?:\^\{?-?\d+\}?|_\{?\d+\}?|\s?π|\s?pi\b|√\d+|\*?sqrt\(\d+\)|[eE][+-]?\d+)*"
)
_QUANTITY = re.compile(
    r"(?P<name>(?<![A-Za-z\d_.])[A-Za-z](?:_?\d)?\s*(?P<relation>=|≥|≤|<|>|>=|<=)\s*)?"
    r"(?P<sign>(?:(?<![\w)\]}.-])[-−–]|\b(?:minus|negative)\s|负)\s?)?(?<![A-Za-z\d_^±])(?:[$€£¥]\s?)?(?P<sign2>[-−])?"
    rf"(?P<core>{_CORE})(?P<scale>\s?(?:{_SCALE}))?(?P<percent>\s?%)?"
)
_JOINT = re.compile(r"\s*(?:,\s*(?:and|or)?|\band\b|\bor\b|\bto\b|、|和|或|与)\s*(?:[$€£¥]\s?)?$", re.IGNORECASE)
# What stands before a number that is not claimed: "in 2 days", "the 4 friends"; but "a total of 72" is.
_BEFORE = re.compile(
    r"(?:\b(?:in|after|within|every|each|per|of|from|by|at|on|than|since|for|over|with|between|the first|the"
    r"|these|those|all|his|her|their|step|figure|table|equation|theorem|lemma|page|question|problem|line|case|base|mod|part|chapter|option)\s+(?:the\s+|all\s+)?|第)$",
    re.IGNORECASE,
)
_TOTAL_OF = re.compile(r"\b(?:an?|the) (?:\w+ )?\w+ of\s+(?:[$€£¥]\s?)?$", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:not|cannot be|isn't|aren't|never|between|half of|twice|square of|root of|none of|least|most|about|under"
    r"|below|above|exceeds?|(?:greater|less|more|fewer|larger|smaller) than)\s*"
    r"|[≥≤><≠]\s*|不是\s*|至少\s*|至多\s*|大于\s*|小于\s*)(?:[$€£¥]\s?)?$",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"^\s*(?:if|when|since|after|because|as|given|with|of|for|before|in)\b[^,]*,\s*(?=[^\d\s])", re.IGNORECASE
)
_NEXT_CLAUSE = re.compile(
    r"[,;]\s*(?=(?:then|so|thus|hence|therefore|thereby|giving|leaving|making|for a total"
    r"|which (?:makes|gives|is|means|produces)|and (?:it|he|she|they|we|the|so|then|thus|has|have|now))\b)"
    r"|\b(?=which is\b)|，(?!此时|其中|当|因为)",
    re.IGNORECASE,
)
_REASON = re.compile(r"\b(?:since|because)\b", re.IGNORECASE)
_CONDITION = re.compile(r"\b(?:when|where|rounded)\b|\bat [a-z]\s*=|此时|当", re.IGNORECASE)
_SIDE_CLAUSE = re.compile(
    r"[(（](?!\s*[-−]?\d[\d.]*\s*,)|,\s*(?:not|which|and not|rather|instead|to \d)\b|,\s+(?=\d)"
    r"|，(?=此时|其中|当|因为)",
    re.IGNORECASE,
)
_SAYS = re.compile(
    r"\b(?:is|are|equals?|gives?(?: us)?|yields|totals?|we get|comes to|becomes|a total of(?= ))\b"
    r"|还剩|剩下|一共|共有|等于|得到",
    re.IGNORECASE,
)
_SPECIAL = re.compile(r"<\|[^|<>]*\|>")
_UNIT = re.compile(r"\s*([A-Za-zµΩ°][A-Za-z/]*(?:\^\d|[²³])?(?: per [a-z]+| (?:per )?[a-z]+)?|[\u4e00-\u9fff]{1,4})")
_SENTENCE_WORDS = frozenset("in am us as at a is or and".split())


def claimed_quantity(sentence: str) -> tuple[str, int] | None:
    """(quantity, place) that a sentence claims: "72" of "Natalia sold 72 clips in 2 days."; None if there is none.

    What is behind the last "=" of the main clause; else the first quantity that is no side remark, with the ones that
    are listed with it ("3 and 5").
    """
    sentence = _SPECIAL.sub(" ", sentence)
    clauses = [0, *(match.end() for match in _NEXT_CLAUSE.finditer(sentence)), len(sentence)]
    for begin, end in reversed(list(zip(clauses, clauses[1:], strict=False))):
        if leading := _LEADING.match(sentence[begin:end]):
            begin += leading.end()
        found = _in_clause(sentence, begin, end)
        if found is not None:
            return found
    return None


def last_plain_number(sentence: str) -> str | None:
    """The last number of a sentence as digits, the first one behind a last "="."""
    found = list(_QUANTITY.finditer(sentence))
    side = sentence.rfind("=")
    if behind := [match for match in found if match.start("core") > side >= 0]:
        return _plain(behind[0])
    free = [match for match in found[-20:] if not _side_remark(sentence, match)]
    return _plain((free or found)[-1]) if found else None


def _plain(match: re.Match[str]) -> str:
    sign = "-" if match["sign"] or match["sign2"] else ""
    return f"{sign}{match['core'].strip()}{(match['percent'] or '').strip()}"


def _in_clause(sentence: str, begin: int, end: int) -> tuple[str, int] | None:
    end = _cut(sentence, begin, end, _REASON)
    if "=" not in sentence[begin:end] or _CONDITION.search(sentence, sentence.rfind("=", begin, end), end):
        end = _cut(sentence, begin, end, _CONDITION)
    side = sentence.rfind("=", begin, end)
    found = list(_QUANTITY.finditer(sentence, begin, end))
    if side >= 0 and not any(m["relation"] == "=" and m.start("core") > side for m in found[1:]):
        if whole := _readable_side(sentence[side + 1 : end]):
            return whole, side
        found = [m for m in found if m.start("core") > side] or found
    elif side < 0:
        end = _cut(sentence, begin, end, _SIDE_CLAUSE)
        begin = _after_verb(sentence, begin, end)
        found = list(_QUANTITY.finditer(sentence, begin, end))
    claimed = [m for m in found if not _side_remark(sentence, m)]
    if not claimed and len(found) == 1 and not _is_denied(sentence, found[0]):
        claimed = found
    if not claimed or len(claimed) != 1 and any(_is_denied(sentence, m) for m in found):
        return None
    return _with_listed(sentence, claimed)


def _after_verb(sentence: str, begin: int, end: int) -> int:
    """Where what is said begins: behind the last "is", "gives", "a total of" that a quantity follows."""
    for verb in reversed(list(_SAYS.finditer(sentence, begin, end))):
        if any(not _side_remark(sentence, quantity) for quantity in _QUANTITY.finditer(sentence, verb.end(), end)):
            return verb.end()
    return begin


def _cut(sentence: str, begin: int, end: int, aside: re.Pattern[str]) -> int:
    """Where a side clause begins, if something is claimed before it; else `end`."""
    for match in aside.finditer(sentence, begin, end):
        before = _QUANTITY.finditer(sentence, begin, match.start())
        if any(not _side_remark(sentence, quantity) for quantity in before):
            return match.start()
    return end


def _is_denied(sentence: str, match: re.Match[str]) -> bool:
    return _DENIED.search(sentence[max(0, match.start() - 24) : match.start()]) is not None


def _side_remark(sentence: str, match: re.Match[str]) -> bool:
    before = sentence[max(0, match.start() - 40) : match.start()]
    return _is_denied(sentence, match) or _BEFORE.search(before) is not None and not _TOTAL_OF.search(before)


def _readable_side(side: str) -> str | None:
    """What follows an equals sign up to the first word, if it can be read: "2x + 3", "$70,000"."""
    run = re.match(r"\s*\**\s*((?:[^A-Za-z\u4e00-\u9fff]|[A-Za-z](?![A-Za-z]))*)", side)
    text = run[1].strip().rstrip(".,;*/ ") if run else ""
    text = re.sub(r"\s+[aA]$", "", text)  # "$2.00 a serving"
    if not any(char.isdigit() for char in text):
        return None
    try:
        read(normalise(text))
    except (Unreadable, Undecided, RecursionError):
        return None
    return text + _unit(side[run.end() :]) if run else None


def _with_listed(sentence: str, claimed: list[re.Match[str]]) -> tuple[str, int]:
    """The first claimed quantity, and those that are joined to it."""
    last = 0
    while last + 1 < len(claimed) and _JOINT.fullmatch(sentence[claimed[last].end() : claimed[last + 1].start()]):
        last += 1
    first = claimed[0]
    if last:
        return sentence[first.start() : claimed[last].end()].strip() + _unit(
            sentence[claimed[last].end() :]
        ), first.start()
    relation = first["name"].strip() + " " if first["name"] and first["relation"] != "=" else ""
    core = first["core"].replace(" out of ", "/")
    sign = "-" if first["sign"] or first["sign2"] else ""
    money = "".join(char for char in first[0] if char in "€£¥")
    text = f"{relation}{money}{sign}{core}{first['scale'] or ''}{first['percent'] or ''}"
    return text.strip() + ("" if first["percent"] else _unit(sentence[first.end() :])), first.start()


def _unit(rest: str) -> str:
    match = _UNIT.match(rest)
    if match is None:
        return ""
    for candidate in (match[1], match[1].split(" ")[0]):
        if not _SENTENCE_WORDS & set(candidate.split()) and unit_name(candidate, marked=len(candidate) > 1):
            return f" {candidate}"
    return ""
