"""Is a mathematical answer right? Exact and by value in this process; the rest by math-verify in worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from r1hf.verify import pool
from r1hf.verify.answers import read
from r1hf.verify.boxes import are_one_list, different_boxes
from r1hf.verify.compare import Unfinished, equal
from r1hf.verify.evaluate import Undecided
from r1hf.verify.extract import gold_answer
from r1hf.verify.judge import HARD, HARD_GOLD, MAX_TEXT_LENGTH, Verdict, compare, is_judge
from r1hf.verify.kinds import Collection
from r1hf.verify.normal import normalise, without_blanks
from r1hf.verify.numeric import parse_number
from r1hf.verify.placeholder import is_placeholder
from r1hf.verify.tree import Unreadable
from r1hf.verify.words import may_be_word

MAX_LENGTH = 4000  # characters of an answer that is looked at; a longer one is right only if it is literally the gold

_HARD = {HARD, HARD_GOLD}
_MANY = "\n\n"  # between the answers of several boxes


def verify_math(prediction: str | None, gold: str | None) -> bool | None:
    """True if `prediction` is the answer `gold`, False if not, None where nobody can judge.

    Both are answers as `final_answer` gives them; a gold may also be a worked solution that ends in a box, "#### 7",
    a statement or a formula. A number needs a number, exactly: 14.0, 28/2, \\frac{28}{2} and １４ are 14; 140, -14,
    "contains 14", "14 or 15" and the unfinished sum 2 + 12 are not, and 0.333 is not 1/3. Expressions, equations,
    tuples, intervals, sets, matrices and numbers in a base are compared by value, text as text, dates and ranges as
    they stand. What is not read here goes to a worker process with `pool.CPU_SECONDS` a question; a prediction that is
    too long, too deep or too slow for that is False. Several boxes are right only for a gold that is a list of them.

    None: the gold is empty or a placeholder ("N/A", "proof"), has no reading, or takes too long on its own; or it is
    itself an unfinished sum or an unsolved equation that the prediction finishes.
    """
    return verify_math_batch([prediction], [gold])[0]


def verify_math_batch(predictions: Sequence[str | None], golds: Sequence[str | None]) -> list[bool | None]:
    """`verify_math` of every pair; what needs a worker is shared out over all. Raises ValueError on lengths."""
    pairs = [(prediction or "", gold or "") for prediction, gold in zip(predictions, golds, strict=True)]
    verdicts = [_judge(*pair) for pair in pairs]
    if not _HARD & set(verdicts):
        return verdicts  # type: ignore[return-value]
    asked = {
        pair: _question(*pair, verdict) for pair, verdict in zip(pairs, verdicts, strict=True) if verdict in _HARD
    }
    questions = list(dict.fromkeys(asked.values()))
    answers = dict(zip(questions, pool.judge_all(questions), strict=True))
    found: list[bool | None] = []
    for pair, verdict in zip(pairs, verdicts, strict=True):
        if verdict not in _HARD:
            found.append(verdict)  # type: ignore[arg-type]
            continue
        answer = answers[asked[pair]]
        if verdict == HARD_GOLD:
            answer = None if answer is None else False
        elif answer and parse_number(asked[pair][0]):
            answer = None  # the gold is an unfinished sum
        found.append(answer)
    return found


def _judge(prediction: str, gold: str) -> Verdict:
    if len(prediction) + len(gold) > MAX_LENGTH:
        return _judge_once(prediction, gold)
    return _judge_cached(prediction, gold)


def _judge_once(prediction: str, gold: str) -> Verdict:
    own_gold = _prepared_gold(gold)
    if own_gold is None:
        return None
    own = _joined(prediction)
    if own == own_gold or prediction == gold:
        return True
    if len(own_gold) > MAX_LENGTH:
        return None
    if _MANY not in own and len(own) <= MAX_LENGTH and _without_blanks(own) == _without_blanks(own_gold):
        return True
    if _MANY in own_gold:
        # Several boxes: a list, or alternatives. A prediction of all of them is right, of another nobody knows.
        return _same_boxes(own, own_gold) or None
    if _MANY in own:
        return _same_boxes(own, own_gold) if is_judge(own_gold) else None
    return compare(own, own_gold)


def _without_blanks(text: str) -> str:
    bare = without_blanks(text)
    return text if may_be_word(bare) else bare  # "t e a" is not "tea"


_judge_cached = lru_cache(maxsize=8192)(_judge_once)


def _question(prediction: str, gold: str, verdict: Verdict) -> pool.Pair:
    """What a worker is asked: the pair, or whether the gold can be read at all."""
    return _joined(prediction) if verdict == HARD else "0.5772", _prepared_gold(gold) or ""


def _prepared_gold(gold: str) -> str | None:
    """The normalised answer in the gold column, several joined by `_MANY`; None if it has none."""
    found = gold_answer(gold)
    if found is None or is_placeholder(gold) or (found != gold and is_placeholder(rf"\boxed{{{found}}}")):
        return None
    return _joined(found) or None


def _joined(text: str) -> str:
    """The normalised answer, out of its box if it is in one; those of several different boxes joined by `_MANY`."""
    if "box" in text and (boxes := different_boxes(text)):
        return _MANY.join(normalise(box) for box in boxes) + ("" if are_one_list(text) else _MANY)
    return normalise(text)


def _same_boxes(first: str, second: str) -> bool:
    """Whether several boxes are, one by one in any order, the items of a list (or of several boxes)."""
    try:
        answers = [_items(text) for text in (first, second)]
        return all(answers) and len(answers[0]) == len(answers[1]) and equal(*map(_collection, answers))
    except (Unreadable, Undecided, Unfinished, RecursionError):
        return False


def _items(text: str) -> tuple[object, ...]:
    if _MANY in text:
        return tuple(read(part) for part in text.split(_MANY)) if len(text) <= MAX_TEXT_LENGTH * 4 else ()
    answer = read(text)
    return answer.items if isinstance(answer, Collection) else ()


def _collection(items: tuple[object, ...]) -> Collection:
    return Collection(items, braced=False)  # type: ignore[arg-type]
