"""Is a mathematical answer right? Exact and by value in this process; the rest by math-verify in worker processes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from r1hf.verify import pool
from r1hf.verify.answers import Value, read
from r1hf.verify.compare import Unfinished, equal
from r1hf.verify.evaluate import Undecided
from r1hf.verify.extract import boxed_answers, gold_answer
from r1hf.verify.numeric import normalise, parse_number, strip_text_commands
from r1hf.verify.tree import Undefined, Unreadable

MAX_LENGTH = 4000  # characters of an answer that is looked at; a longer one is right only if it is literally the gold
MAX_TEXT_LENGTH = 200  # of a text answer
MAX_WORKER_LENGTH = 300
MAX_WORKER_DEPTH = 12
MAX_WORKER_DIGITS = 40
MAX_WORKER_EXPONENT_DIGITS = 3

_HARD = "hard"  # only a worker can tell
_Verdict = bool | str | None

_CHOICE = re.compile(r"\([A-Za-z]\)")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[a-z]+\}|\\[A-Za-z]+")
_NAME = re.compile(r"\s*([A-Za-z])\s*=")
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*[{(]?\s*-?\s*(\d+)")
# Two signs in a row; towers of numbers, factorials and binomials that are not to be computed.
_WILD = re.compile(
    r"[-+]\s*[-+]|(?:\^|\*\*)\s*[{(]?\s*-?\s*\d+\s*[})]?\s*(?:\^|\*\*)"
    r"|(?:\^\s*\{[^{}]*){3}|(?:\d{4,}|[)}])\s*!|!\s*!|binom[^}]*(?:\^|\d{4,})"
)
_MATHS_WORDS = frozenset(
    "sqrt frac infty infinity alpha beta gamma delta theta lambda sigma omega arcsin arccos arctan".split()
)


def verify_math(prediction: str | None, gold: str | None) -> bool | None:
    """True if `prediction` is the answer `gold`, False if not, None where nobody can judge.

    Both are answers as `final_answer` gives them; a gold may also be a worked solution that ends in a box or "#### 7".
    A number needs a number, exactly: 14.0, 28/2, \\frac{28}{2} and １４ are 14; 140, -14, "contains 14", "14 or 15"
    and the unfinished sum 2 + 12 are not, and 0.333 is not 1/3. Expressions, equations, tuples, intervals, sets,
    matrices and numbers in a base are compared by value, text as text. What is not read here goes to a worker process
    with `pool.CPU_SECONDS` a question; a prediction that is too long, too deep or too slow for that is False.

    None: the gold is empty, has no reading, holds several boxes, or takes too long on its own; or it is itself an
    unfinished sum or an unsolved equation that the prediction finishes.
    """
    return verify_math_batch([prediction], [gold])[0]


def verify_math_batch(predictions: Sequence[str | None], golds: Sequence[str | None]) -> list[bool | None]:
    """`verify_math` of every pair; what needs a worker is shared out over all. Raises ValueError on lengths."""
    pairs = [(prediction or "", gold or "") for prediction, gold in zip(predictions, golds, strict=True)]
    verdicts = [_judge(*pair) for pair in pairs]
    if _HARD not in verdicts:
        return verdicts  # type: ignore[return-value]
    asked = {pair: _hard_pair(*pair) for pair, verdict in zip(pairs, verdicts, strict=True) if verdict == _HARD}
    questions = list(dict.fromkeys(asked.values()))
    answers = dict(zip(questions, pool.judge_all(questions), strict=True))
    found: list[bool | None] = []
    for pair, verdict in zip(pairs, verdicts, strict=True):
        if verdict == _HARD:
            verdict = answers[asked[pair]]
            if verdict and parse_number(asked[pair][0]):
                verdict = None  # the gold is an unfinished sum
        found.append(verdict)  # type: ignore[arg-type]
    return found


def _judge(prediction: str, gold: str) -> _Verdict:
    if len(prediction) + len(gold) > MAX_LENGTH:
        return _judge_once(prediction, gold)
    return _judge_cached(prediction, gold)


def _judge_once(prediction: str, gold: str) -> _Verdict:
    own_gold = _prepared_gold(gold)
    if own_gold is None:
        return None
    own_prediction = _prepared_prediction(prediction)
    if own_prediction is None:
        return False if _is_judge(own_gold) else None
    if own_prediction == own_gold:
        return True
    if len(own_gold) > MAX_LENGTH:
        return None
    return _compare(own_prediction, own_gold)


_judge_cached = lru_cache(maxsize=8192)(_judge_once)


def _hard_pair(prediction: str, gold: str) -> pool.Pair:
    return _prepared_prediction(prediction) or "", _prepared_gold(gold) or ""


def _prepared_gold(gold: str) -> str | None:
    """The normalised answer in the gold column; None if it has none, or several."""
    found = gold_answer(gold)
    return None if found is None else normalise(found) or None


def _prepared_prediction(prediction: str) -> str | None:
    """The normalised prediction, out of its box if it is in one; None if it is a hedge of several boxes."""
    if "boxed" in prediction:
        boxes = boxed_answers(prediction)
        if len(boxes) > 1:
            return None
        prediction = boxes[0] if boxes else prediction
    return normalise(prediction)


def _compare(prediction: str, gold: str) -> _Verdict:
    """The verdict on normalised answers that are not literally the same."""
    gold_number = parse_number(gold)
    if gold_number is not None:
        number = parse_number(prediction)
        if number is not None:
            names = _NAME.match(prediction), _NAME.match(gold)
            return gold_number.equals(number) and not (names[0] and names[1] and names[0][1] != names[1][1])
    elif _is_words(gold) or _is_words(prediction):
        return _bare(prediction) == _bare(gold)
    try:
        right = read(gold)
    except Undefined:
        return None
    except (Unreadable, Undecided, RecursionError):
        return _compare_unread(prediction, gold)
    try:
        return equal(read(prediction), right)
    except Unfinished as unfinished:
        return None if unfinished.second else False
    except Undefined:
        return False
    except (Unreadable, Undecided, RecursionError):
        if isinstance(right, Value) and right.node[0] == "num" or not _is_tame(prediction):
            return False
        return _HARD if _is_tame(gold) else None


def _compare_unread(prediction: str, gold: str) -> _Verdict:
    """A gold that only a worker, or nobody, can read; or that is text with digits or signs in it."""
    if _is_prose(gold):
        return _bare(prediction) == _bare(gold) if len(gold) <= MAX_TEXT_LENGTH else None
    if not _is_tame(gold):
        return None
    return _HARD if _is_tame(prediction) else _hard_gold(gold)


def _hard_gold(gold: str) -> bool | None:
    """False if a worker can read the gold at all: the prediction is beyond every limit."""
    return None if pool.judge("0.5772", gold) is None else False


def _is_judge(gold: str) -> bool:
    """Whether somebody can read this gold."""
    return _compare("0.5772156649", gold) is not None


def _bare(text: str) -> str:
    """Casefolded, without \\text{} and without the brackets of a choice: "(A)" is "a"."""
    bare = " ".join(strip_text_commands(text[: 4 * MAX_TEXT_LENGTH]).split()).strip(" .!。！*$")
    if len(bare) == 3 and bare[0] == "(" and bare[2] == ")" and bare[1].isalpha():
        bare = bare[1]
    return bare.casefold()


def _is_words(text: str) -> bool:
    """Whether an answer is text ("\\text{Even}", "no solution", "(A)") and not maths."""
    bare = _bare(text)
    if len(bare) > MAX_TEXT_LENGTH or not bare.replace(" ", "").replace("-", "").replace("'", "").isalpha():
        return False
    # Up to three letters without \text may be a product of variables; a lone capital is a choice.
    return bool(
        "\\text" in text
        or "\\mbox" in text
        or _CHOICE.fullmatch(text)
        or _is_prose(text)
        or (len(bare) == 1 and text.isupper())
    )


def _is_prose(text: str) -> bool:
    """Whether there are words in `text` that no formula has."""
    bare = _COMMAND.sub(" ", strip_text_commands(text))
    if any(char.isalpha() and not char.isascii() for char in bare):
        return True
    words = re.findall(r"[A-Za-z]{2,}", bare)
    return any(
        (len(word) > 3 or word.lower() in ("no", "yes", "odd", "all", "any", "the"))
        and word.lower() not in _MATHS_WORDS
        for word in words
    )


def _is_tame(text: str) -> bool:
    """Whether a worker may see `text`: short, shallow, balanced; no prose, no towers of powers, no huge numbers."""
    if not any(char.isalnum() for char in text) or len(text) > MAX_WORKER_LENGTH or not text.isascii():
        return False
    if not text.isprintable() or _is_prose(text):
        return False
    if any(len(run) > MAX_WORKER_DIGITS for run in re.findall(r"\d+", text)) or _WILD.search(text):
        return False
    if any(len(run) > MAX_WORKER_EXPONENT_DIGITS for run in _EXPONENT.findall(text)):
        return False
    depth = 0
    for char in text:
        depth += (char in "({[") - (char in ")}]")
        if not 0 <= depth <= MAX_WORKER_DEPTH:
            return False
    return depth == 0
