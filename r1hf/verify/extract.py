"""The final answer of a completion, found through the grammar and never in the thought; and that of a gold column."""

from __future__ import annotations

import ast

from r1hf.core.errors import ConfigError
from r1hf.text.forms import strip_summary_label
from r1hf.text.grammar import ANSWER_CLOSE, ANSWER_OPEN, Response, parse
from r1hf.verify.boxes import CutOff, are_one_list, claims, distinct
from r1hf.verify.normal import strip_text_commands
from r1hf.verify.numeric import parse_number
from r1hf.verify.prose import has_formula, is_sentence, last_claim, last_number, sole_claim
from r1hf.verify.statements import answer_said, contradicts, first_reading, said, stated

_HASHES = "####"
_FALLBACKS = (None, "last_number", "prose")


def final_answer(completion: str | Response, *, prefilled: bool = False, fallback: str | None = None) -> str | None:
    r"""The final answer as text, or None where there is none or more than one.

    Looked for in `<answer>` if it is there and closed, else in the text after the thought. Inside: the `\boxed{}`
    with the sign and the unit that stand at it, else a statement that ends the text ("The answer is X.", "答案是 X。",
    "答案：X"), else all of it. Text without any tag answers only through a box or a statement. An unclosed or a
    second `<answer>`, a last box that was cut off, and a statement behind the box that says something else give None:
    a cut-off "1" is no "1", and two answers are a hedge. Several different boxes that stand together are given back
    as such, joined; they are right only for a gold that is a list.

    `fallback` reads what a model wrote that knows no format, where there is no box and no statement. "last_number":
    the last number of the visible text. "prose": the last formula or number of its last sentence with
    one, and a statement behind a box rather than the box. They serve data filters, evaluation and the chat
    (`read_answer`), and are too easy to hack for a reward.
    """
    text = _visible(completion, prefilled, fallback)
    return None if text is None else _inside(text[0], whole=text[1], fallback=fallback)


def read_answer(completion: str | Response, *, prefilled: bool = False) -> str | None:
    """The final answer as a person would read it. For everything that judges but is not trained against."""
    return final_answer(completion, prefilled=prefilled, fallback="prose")


def stated_answers(completion: str | Response, *, prefilled: bool = False) -> list[str]:
    """All that a completion may be taken to answer, in order: its boxes, the statements after them; else all of it."""
    text = _visible(completion, prefilled, None)
    if text is None:
        return []
    try:
        boxes = claims(text[0]) if "box" in text[0] else []
    except CutOff:
        return []
    found = [claim for claim, _ in boxes] + stated(text[0][boxes[-1][1] if boxes else 0 :])
    rest = _inside(text[0], whole=text[1], fallback=None) if not found else None
    return found or ([rest] if rest else [])


def _visible(completion: str | Response, prefilled: bool, fallback: str | None) -> tuple[str, bool] | None:
    """The text that answers, and whether all of it may be the answer; None where it was cut off or given twice."""
    if fallback not in _FALLBACKS:
        raise ConfigError(f"fallback {fallback!r} is unknown; use None, 'last_number' or 'prose'")
    response = parse(completion, prefilled=prefilled) if isinstance(completion, str) else completion
    if response.truncated or (response.reasoning is not None and response.answer is None):
        return None
    text = response.visible
    if response.answer_tagged:
        if ANSWER_OPEN in response.trailing or ANSWER_OPEN in text:
            return None
        if response.trailing and ("boxed" in response.trailing or contradicts(response.trailing, text.strip())):
            return None
    elif ANSWER_OPEN in text:
        # A summary that holds the tags in its midst.
        _, _, tagged = text.partition(ANSWER_OPEN)
        text, closed, _ = tagged.partition(ANSWER_CLOSE)
        if ANSWER_OPEN in tagged or not closed:
            return None
    return text.strip(), response.answer is not None


def _inside(text: str, *, whole: bool, fallback: str | None) -> str | None:
    try:
        boxes = claims(text) if "box" in text else []
    except CutOff:
        return None
    tail = text[boxes[-1][1] :] if boxes else ""
    if boxes and not (fallback and stated(tail)):
        return _boxed(boxes, text, tail)
    if told := said(tail or text):
        found = distinct(
            [_claimed(first_reading(answer)) or "" if fallback else answer_said(answer) for answer in told]
        )
        return found[0] or None if len(found) == 1 else None
    text = strip_summary_label(text)
    if fallback and parse_number(text) is None:
        return last_number(text) if fallback == "last_number" else _claimed(text)
    return text or None if whole or fallback else None


def _boxed(boxes: list[tuple[str, int]], text: str, tail: str) -> str | None:
    """The answer in the boxes, unless what follows says something else."""
    found = distinct([_unlabelled(claim) for claim, _ in boxes])
    if found == [""]:
        return None
    if len(found) > 1:
        return _all_of(found) if are_one_list(text) else None
    return None if contradicts(tail, found[0]) else found[0]


def _unlabelled(claim: str) -> str:
    r"""14 of `\boxed{\text{The answer is 14}}`."""
    told = said(strip_text_commands(claim)) if "answer" in claim.casefold() or "答案" in claim else []
    return told[-1] if told and told[-1] else claim


def _all_of(answers: list[str]) -> str:
    return ", ".join(rf"\boxed{{{answer}}}" for answer in answers)


def gold_answer(gold: str) -> str | None:
    r"""The answer in a gold column that may hold a worked solution; None if it is empty or was cut off.

    In this order: the `\boxed{}` (several different ones joined), what follows the last "####" (GSM8K), the content
    of `<answer>`, the last statement ("Therefore, the answer is: 180."), the last formula of a sentence ("Therefore
    $x \geq 5$ is the solution."), the one item of a list (["14"]), else all of it.
    """
    if "box" in gold:
        try:
            boxes = distinct([claim for claim, _ in claims(gold)])
        except CutOff:
            return None
        if boxes:
            return (boxes[0] or None) if len(boxes) == 1 else _all_of(boxes) if are_one_list(gold) else None
    if _HASHES in gold:
        return gold.rpartition(_HASHES)[2].strip() or None
    if ANSWER_OPEN in gold:
        return final_answer(gold)
    if len(gold) > 3 and (told := said(gold)):
        return _gold_in_prose(first_reading(told[-1]))
    items = _listed(gold)
    if items and len(items) > 1 and all(isinstance(item, str) for item in items):
        return None  # all of them, or any: nobody says
    return str(items[0]) if items and len(items) == 1 else _gold_in_prose(gold)


def _gold_in_prose(gold: str) -> str | None:
    if has_formula(gold) and is_sentence(gold):
        return sole_claim(gold)
    return gold.strip() or None


def _claimed(text: str) -> str | None:
    """What a sentence claims; a text that is no sentence, as it stands."""
    return (last_claim(text) if is_sentence(text) else text) or None


def _listed(gold: str) -> list[str | int] | None:
    """The items of a gold that a program wrote as a list: '["14"]', "[14]"."""
    text = gold.strip()
    if not (text.startswith("[") and text.endswith("]") and len(text) < 400):
        return None
    try:
        items = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return items if isinstance(items, list) and all(isinstance(item, str | int) for item in items) else None
