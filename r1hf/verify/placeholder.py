r"""Golds that are no answers: holes, and the words that data sets write into them.

A model that guesses the word would be paid for it, and one that solves the problem never. Two words of such lists are
answers elsewhere and stay golds: "undefined" (MATH has it for tan 90°) and "no solution". "none" is a hole only as
programs write it; typeset (`\text{None}`, `\boxed{None}`) somebody meant it. "Na" is sodium.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal

MAX_LENGTH = 120  # characters; a longer text says something

_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\x00-\x08]")
_DRESS = re.compile(
    r"\\(?:text\w*|math\w*|mbox|boxed|fbox|operatorname|emph|rm|bf|it|underline|large|Large)\*?\s*\{(.*)\}"
    r"|\{\\(?:rm|bf|it)\s+(.*)\}|\\\((.*)\\\)|\\\[(.*)\\\]|\$\$?(.*?)\$?\$|<(\w+)>(.*)</\6>",
    re.DOTALL,
)
_BRACKETS = dict(zip("([<【（「『〈《\"'“‘`*_", ")]>】）」』〉》\"'”’`*_", strict=True))
_LABEL = re.compile(
    r"(?:(?:so |thus |therefore )?(?:the )?(?:final |correct |right )?(?:answer|ans|solution)\s*(?::|=|\bis\b:?)"
    r"|####|答案?\s*[:：是为為]|解答?\s*[:：])\s*",
    re.IGNORECASE,
)
_PUNCTUATION = re.compile(r"[\s.。,，、:：;；!！?？…·'\"’“”*`_~\-‐-―−]+")
# Marks alone: nothing, a dash, "?", "…", the empty list. "<", "=" and "+" are answers, and {} is the empty set.
_MARKS = re.compile(
    r"(?:[\s.。,，、:：;；?？…·'\"’“”`_~\-‐-―−/|□■∎()（）【】\[\]$#]|\\(?:black)?square|\\qed(?:symbol)?)*"
)
_ERROR_CELL = re.compile(r"#(?:N/?A|NUM!|VALUE!|REF!|DIV/0!|NAME\?|NULL!)", re.IGNORECASE)
_NA = re.compile(r"[nN]\s*[/\\.]\s*[aA]\.?|NA|na|nA")
_BARE = frozenset("none nonetype 无 無 なし 없음".split())
_ONE = r"(?:the |a |your )?(?:final |correct |gold |reference |standard |expected )?"
_ANSWER = rf"{_ONE}(?:answer|ans|proof|ground truth)s?"
_THING = rf"{_ONE}(?:answer|ans|proof|ground truth|solution|result|value|label|data)s?"
_HOLES = re.compile(
    r"null|nan|nat|undef|invalid(?: ?answer)?|(?:extraction |parsing )?failed|error|open ?ended|image|空"
    rf"|(?:{_THING} (?:is |was |are )?)?"
    r"(?:not ?(?:found|available|known|provided|specified|stated|applicable|needed|required|present|extracted|parsed)"
    r"|unknown|unavailable|unspecified|omitted|missing|skipped|redacted|to be \w+( \w+)?|tb[dac]|todo|to do|fixme)"
    rf"|(?:missing|insert|enter|write|put|type|no) {_ANSWER}(?: here)?"
    rf"|(?:no|without) (?:{_THING}|information) (?:is )?(?:available|provided|given|needed|required|yet)"
    rf"|no {_ANSWER} (?:was |is )?found|{_ANSWER}(?: here)?|none (?:found|available|provided|given|needed|required)"
    r"|answers? (?:may |will |can |could )?vary|place ?holder|deleted|removed|masked|left blank|pending|x{3,}"
    r"|(?:the |see |see the |by |a )?(?:proofs?|prove[dn]?|to prove|qed|q e d)"
    r"(?: (?:is |was )?(?:problem|question|only|omitted|required|needed|based|complete|above|below|see solution"
    r"|left (?:to the reader|as an exercise)))?"
    r"|(?:this is )?a proof(?: problem| question)?"
    r"|(?:please )?(?:see|refer to|check|read) (?:the |my |our )?(?:full |detailed |official |attached |above )?"
    r"(?:solution|explanation|proof|answer|above|below|text|analysis|figure|diagram|graph|image|picture|table|sketch"
    r"|attachment|comments?|link|details|appendix|notes?|reasoning|derivation|work(?:ing)?|steps)s?"
    r"(?: (?:above|below|attached|for (?:details|the answer|the proof)))?"
    r"|(?:as |same as )(?:shown |given |stated |described )?(?:above|below|shown|follows)"
    r"|(?:本题|此题|本題)?(?:答案?|解答?|证明|證明|過程|过程|証明|解析)?(?:从|從)?(?:略|省略|略去|暂无|暫無|暂缺|缺失|待定|待补充"
    r"|未知|不详|不詳|不明|未提供|未找到|不适用|不適用)"
    r"|(?:答案?|解答?)?(?:请|請|详|詳|參|参)?(?:见|見|考)(?:答案|解析|解答|详解|詳解|分析|证明|證明|过程|過程|上|下|上文|图|圖|原文)"
    r"|如(?:图|圖|上|下)(?:所示|图|圖)?|(?:本题(?:为|是)?|此题(?:为|是)?)?(?:证明|證明|証明)(?:题|題|过程|過程|完毕|完畢|見解析|见解析)?"
    r"|已证|得证|得證|证毕|證畢|(?:暂)?(?:无|無|没有|沒有)(?:标准|標準)?答案|答案不唯一|空缺"
    r"|該当なし|증명|알 수 없음|neznámo|desconocido|no encontrado|sin respuesta|demostración|inconnu|preuve"
    r"|démonstration|unbekannt|nicht gefunden|beweis|неизвестно|не найдено|нет ответа|доказательство"
)


def is_placeholder(gold: object) -> bool:
    """Whether a gold holds no answer: None, NaN and their kin, nothing but blanks or marks, or a word for "no answer"
    ("proof", "not found", "N/A", "null", "TBD", "see solution", 略, …), whatever its case, brackets, quotes, box or
    `\\text{}`. A list is one where every item is.
    """
    if gold is None:
        return True
    if isinstance(gold, str):
        return _is_hole(gold)
    if isinstance(gold, list | tuple | set | frozenset):
        return all(is_placeholder(item) for item in gold)
    if isinstance(gold, Mapping):
        return not gold
    if isinstance(gold, Decimal):
        return gold.is_nan()
    try:
        return bool(gold != gold)  # NaN in any number type, and NaT
    except (TypeError, ValueError):  # pandas' NA has no truth, an array has several
        return type(gold).__name__ == "NAType"


def _is_hole(text: str) -> bool:
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).strip()
    if len(text) > MAX_LENGTH:
        return False
    plain = _undressed(text)
    if _MARKS.fullmatch(plain) or _ERROR_CELL.fullmatch(plain) or _NA.fullmatch(plain) or plain == r"\N":
        return True
    words = _PUNCTUATION.sub(" ", plain).replace("\\", "").strip().casefold()
    if words in _BARE:
        return "\\" not in text and "$" not in text
    return _HOLES.fullmatch(words) is not None


def _undressed(text: str) -> str:
    """The text without LaTeX's frames, brackets, quotes, and a label such as "Answer:" before it."""
    for _ in range(8):
        before = text
        if found := _DRESS.fullmatch(text):
            text = next((part for part in reversed(found.groups()) if part is not None), "")
        text = text.strip()
        if len(text) > 1 and _BRACKETS.get(text[0]) == text[-1]:
            text = text[1:-1].strip()
        if label := _LABEL.match(text):
            text = text[label.end() :]
        text = text.rstrip(".。!！;；").strip() if len(text) > 1 and not _NA.fullmatch(text) else text
        if text == before:
            break
    return text
