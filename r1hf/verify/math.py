"""Is a mathematical answer right? Exact for numbers; math-verify (sympy) for short symbolic answers."""

from __future__ import annotations

import re
import threading
from functools import lru_cache
from typing import Any

from r1hf.verify.numeric import normalise, parse_number

# sympy can run for hours on a few characters ("9^{9^{9}}"), and math-verify's time limit is a signal that only the
# main thread gets. So nothing is handed over that passes one of these limits.
MAX_SYMBOLIC_LENGTH = 120
MAX_DEPTH = 6
MAX_DIGITS = 15
MAX_EXPONENT = 12  # of a letter; of a bracket MAX_BRACKET_EXPONENT, since those are multiplied out
MAX_BRACKET_EXPONENT = 3
MAX_EXPONENT_SUM = 40
MAX_RELATION_EXPONENT_SUM = 4  # a relation may be solved, not only simplified
MAX_RELATION_LETTERS = 2
MAX_FUNCTIONS = 2
MAX_FUNCTION_EXPONENT_SUM = 2
MAX_ROOTS = 3
MAX_LETTERS = 4
TIMEOUT_SECONDS = 2

_HEAVY = re.compile(
    r"!|\*\*|\\(?:int|iint|oint|sum|prod|lim|binom|choose|tbinom|dbinom|operatorname|mod|pmod|bmod)(?![A-Za-z])"
)
_POWER = re.compile(r"(.)\s*\^\s*(?:\{([^{}]*)\}|(\\[A-Za-z]+|[^{\s]))")
_FUNCTION = re.compile(r"\\?(?:(?:arc)?(?:sin|cos|tan|cot|sec|csc)|log|ln|exp)h?(?![a-z])")
_RELATION = re.compile(r"[=<>]|\\(?:leq?|geq?|neq?|in|approx|equiv)(?![A-Za-z])")
_COMMAND = re.compile(r"\\(?:begin|end)\{[a-z]+\}|\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_FUNCTIONS = frozenset("sin cos tan cot sec csc log ln exp sqrt pi arcsin arccos arctan inf oo".split())
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textbf)\s*\{([^{}]*)\}")


def verify_math(prediction: str | None, gold: str | None) -> bool | None:
    """True if `prediction` is the answer `gold`, False if not, None where `gold` is empty or cannot be judged.

    Both are bare answers, as `final_answer` gives them. A number needs a number, exactly: 14.0, 28/2, \\frac{28}{2}
    and １４ are 14; 140, -14, "contains 14", "14 or 15" and the unfinished sum 2 + 12 are not. Words are compared
    as words. Other answers go to math-verify if both are short and harmless (see the limits above): a gold beyond the
    limits gives None unless the prediction is literally the same, a prediction beyond them is False, so that
    no unreadable answer escapes its zero. The symbolic part mostly takes milliseconds; SIGALRM ends each of its steps
    after TIMEOUT_SECONDS. Off the main thread there is no such alarm, and a symbolic answer gives None.
    """
    gold = normalise(gold or "")
    if not gold:
        return None
    prediction = normalise(prediction or "")
    gold_number = parse_number(gold)
    if gold_number is not None:
        number = parse_number(prediction)
        return number is not None and gold_number.equals(number)
    if prediction == gold:
        return True
    if _is_words(gold):
        return _bare(prediction) == _bare(gold)
    if not _is_tame(gold) or threading.current_thread() is not threading.main_thread() or not _readings(gold):
        return None
    return _is_tame(prediction) and _symbolic_equal(prediction, gold)


def _bare(text: str) -> str:
    """Casefolded, without \\text{} and without the brackets of a choice: "(A)" is "a"."""
    bare = _TEXT.sub(r"\1", text).strip()
    if len(bare) == 3 and bare[0] == "(" and bare[2] == ")" and bare[1].isalpha():
        bare = bare[1]
    return " ".join(bare.split()).casefold()


def _is_words(text: str) -> bool:
    """Whether an answer is text ("\\text{Even}", "no solution", "(A)") and not maths."""
    bare = _bare(text)
    if len(bare) > MAX_SYMBOLIC_LENGTH or not bare.replace(" ", "").replace("-", "").replace("'", "").isalpha():
        return False
    # Up to three letters without \text may be a product of variables; a lone capital is a choice.
    return "\\" in text or text[:1] == "(" or len(bare) > 3 or (len(bare) == 1 and text.isupper())


def _is_tame(text: str) -> bool:
    """Whether sympy may see `text`: short, shallow, small powers, no prose, nothing to evaluate at length."""
    if len(text) > MAX_SYMBOLIC_LENGTH or not text.isascii() or _HEAVY.search(text):
        return False
    bare = _COMMAND.sub(" ", text)
    words = {word.lower() for word in _WORD.findall(bare)} - _FUNCTIONS
    if any(len(word) > 3 or word in ("or", "and", "not") for word in words):
        return False
    if any(len(run) > MAX_DIGITS for run in re.findall(r"\d+", text)) or _depth(text) > MAX_DEPTH:
        return False
    functions, roots = len(_FUNCTION.findall(text)), text.count("sqrt")
    letters = {char for char in re.sub(r"[A-Za-z]{2,}", "", bare) if char.isalpha()}
    if functions > MAX_FUNCTIONS or roots > MAX_ROOTS or len(letters) > MAX_LETTERS:
        return False
    exponents = _exponents(text)
    if exponents is None:
        return False
    if _RELATION.search(text):
        divisions = text.count("/") + text.count("frac")
        simple = not functions and not roots and divisions <= 1 and len(letters) <= MAX_RELATION_LETTERS
        return simple and sum(exponents) <= MAX_RELATION_EXPONENT_SUM
    return sum(exponents) <= (MAX_FUNCTION_EXPONENT_SUM if functions else MAX_EXPONENT_SUM)


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char in "({[") - (char in ")}]")
        deepest = max(deepest, depth)
    return deepest


def _exponents(text: str) -> list[int] | None:
    """The size of each power, 0 for one of a number; None if one is too large, a tower or not understood."""
    powers = _POWER.findall(text)
    if len(powers) != text.count("^"):
        return None
    sizes = []
    for base, braced, single in powers:
        exponent = braced or single
        size = max((int(run) for run in re.findall(r"\d+", exponent)), default=1)
        limit = 999 if base.isdigit() else MAX_EXPONENT if base.isalpha() else MAX_BRACKET_EXPONENT
        if "^" in exponent or size > limit:
            return None
        sizes.append(0 if base.isdigit() else size)
    return sizes


@lru_cache(maxsize=4096)
def _readings(text: str) -> list[Any]:
    """math-verify's readings of `text` as sympy expressions; empty if it has none."""
    # sympy takes half a second to import; most answers are numbers and never need it.
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse
    from math_verify.errors import TimeoutException

    targets = (LatexExtractionConfig(), ExprExtractionConfig())
    try:
        return list(parse(f"${text}$", targets, "no_fallback", parsing_timeout=TIMEOUT_SECONDS))
    except (TimeoutException, RecursionError):
        return []


@lru_cache(maxsize=4096)
def _symbolic_equal(prediction: str, gold: str) -> bool:
    from math_verify import verify
    from math_verify.errors import TimeoutException

    try:
        return bool(verify(_readings(gold), _readings(prediction), timeout_seconds=TIMEOUT_SECONDS))
    except (TimeoutException, RecursionError):
        return False
