"""What is wrong with the form of a sample, each fault under its own name; the strict check is `is_well_formed`."""

from __future__ import annotations

import re

from r1hf.text.forms import has_content, is_well_formed, strip_summary_label
from r1hf.text.grammar import ANSWER_OPEN, SEPARATORS, SUMMARY_LABELS, TAGS, THINK_CLOSE, THINK_OPEN, Mode
from r1hf.text.repetition import units

_LABEL = re.compile(r"^\s*(?:reasoning|solution|推理过程|推理過程|推理|思考过程|思考過程|解答)\s*[:：]", re.IGNORECASE)
_ANSWER = re.compile(r"[^.。!！\n]*(?:\banswer\b|答案)[^.。!！\n]*", re.IGNORECASE)
_LEAST_UNITS = 6
_LOOKED_AT = 400  # characters
_OPERATION = re.compile(r"[=≈<>≤≥→⇒]|\\(?:frac|sqrt|times|cdot|le|ge|approx|implies)")

_CHECKED = r"verif(?:ication|ying|y)|(?:double[- ])?check(?:ing)?(?: (?:the |our |my )?(?:answer|result|work|step))?"
_CHECKED_HAN = r"(?:验证|驗證|检验|檢驗|检查|檢查|验算|驗算|核对|核對|复查|複查)"
# A part under its label, or a sentence that says that it checks.
_VERIFICATION = re.compile(
    rf"\b(?:{_CHECKED})\b[^.\n:：]{{0,30}}[:：]|{_CHECKED_HAN}[^。\n:：]{{0,12}}[:：]"
    rf"|\b(?:let me|let's|let us|we can|i will|i'll|we|to|now) (?:now )?(?:double[- ])?(?:check|verify)\b"
    rf"|(?:让我们?|讓我們?|我们|我們|现在|現在|再|来|來|进行|進行|下面){_CHECKED_HAN}",
    re.IGNORECASE,
)
_LEAST_CHECK = 2


def form_fault(text: str, form: Mode) -> str | None:
    """The name of what breaks the form, or None where the text is well formed (and, in the cold-start form, labelled).

    A label is asked for in the cold-start form, `Summary:`, 总结： or 總結：, and a reasoning that reasons.
    """
    if not has_content(text):
        return "empty"
    return _cold_start_fault(text.strip()) if form == "cold_start" else _tags_fault(text, form)


def _cold_start_fault(text: str) -> str | None:
    parts = SEPARATORS.split(text)
    if any(tag in text for tag in TAGS):
        return "think_tags"
    if len(parts) != 3:
        return {1: "no_separator", 2: "one_separator"}.get(len(parts), "too_many_separators")
    before, reasoning, summary = parts
    if before.strip():
        return "text_before"
    if not _reasons(reasoning):
        return "no_reasoning"
    if not has_content(strip_summary_label(summary)):
        return "no_summary"
    if not summary.strip().lower().startswith(SUMMARY_LABELS):
        return "no_summary_label"
    return None


def _reasons(text: str) -> bool:
    """Whether there is more than a label and the answer."""
    body = _ANSWER.sub("", _LABEL.sub("", text[:_LOOKED_AT]))
    return bool(_OPERATION.search(body)) or sum(unit.isalnum() for unit in units(body)) >= _LEAST_UNITS


def _tags_fault(text: str, form: Mode) -> str | None:
    if is_well_formed(text, form):
        return None
    if THINK_OPEN not in text or THINK_CLOSE not in text:
        return "no_thought"
    thought, _, rest = text.partition(THINK_OPEN)[2].partition(THINK_CLOSE)
    if not has_content(thought):
        return "empty_thought"
    if form == "think_answer" and has_content(rest) and ANSWER_OPEN not in rest:
        return "no_answer_tag"
    return "malformed" if has_content(rest) else "no_answer"


def verifies(reasoning: str) -> bool:
    """Whether the reasoning holds a part that checks the result, and something stands in it."""
    found = list(_VERIFICATION.finditer(reasoning))
    return any(
        sum(unit.isalnum() for unit in units(reasoning[one.end() : one.end() + _LOOKED_AT])) >= _LEAST_CHECK
        for one in found
    )
