"""The text of a gold answer, whatever a data set holds it as, and which rows have none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from fractions import Fraction
from typing import Any

from r1hf.verify.extract import gold_answer
from r1hf.verify.math import verify_math_batch
from r1hf.verify.placeholder import is_placeholder

# Rows of other tasks are judged by something else: tests, a scorer, a preference model.
GOLD_TASKS = (None, "reasoning", "math", "maths")
_DIGITS = 4300  # what Python turns into text
_LONG = f"a number of more than {_DIGITS:,} digits; write it as text"
_OTHER = "0.5772156649"  # an answer that no row has


def gold_text(value: Any) -> str | None:
    """The text of a gold answer: 14 of 14.0, ["14"] and Decimal("14.00"), `\\infty` of infinity, True of a truth
    value, 2023-01-05 of a date. None where there is none (`is_placeholder`).

    Raises ValueError for what is not one answer: several in a list, a mapping, bytes.
    """
    if isinstance(value, str):
        return None if _says_nothing(value) else value
    if hasattr(value, "tolist"):  # NumPy's arrays, and its scalars, of which float32 would show binary digits
        value = (
            float(str(value)) if getattr(value, "shape", None) == () and value.dtype.kind == "f" else value.tolist()
        )
    if isinstance(value, list | tuple) and len(value) == 1:
        inner = value
        while isinstance(inner, list | tuple) and len(inner) == 1:  # however deep
            inner = inner[0]
        return gold_text(inner)
    if is_placeholder(value):
        return None
    if isinstance(value, list | tuple):
        raise ValueError(f"a list of {len(value)}, and one answer is compared")
    if isinstance(value, float | Decimal):
        return _number(value)
    if isinstance(value, bool | int | Fraction):
        try:
            return str(value)
        except ValueError:
            raise ValueError(_LONG) from None
    if isinstance(value, date | time):
        return value.isoformat().removesuffix("T00:00:00")
    raise ValueError("neither text nor a number")


def _says_nothing(text: str) -> bool:
    """A placeholder, or a worked solution that ends in one."""
    if is_placeholder(text):
        return True
    found = gold_answer(text)
    return found is not None and found != text and is_placeholder(rf"\boxed{{{found}}}")


def _number(value: float | Decimal) -> str:
    """Written out: no 14.0, no 1e+16, which a comparison of texts would take for other answers."""
    if value.is_infinite() if isinstance(value, Decimal) else math.isinf(value):  # 1E+9999 is no infinity
        return r"\infty" if value > 0 else r"-\infty"
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    if abs(exact.adjusted()) > _DIGITS or len(exact.as_tuple().digits) > _DIGITS:
        raise ValueError(_LONG)
    if exact == exact.to_integral_value():
        return str(int(exact))
    return format(exact, "f").rstrip("0")


def lacks_gold(answer: Any, task: Any = None, choices: Any = None) -> bool:
    """Whether a row cannot be judged: its task asks for a gold answer, and `answer` is a hole or a placeholder that is
    none of the row's own `choices`."""
    if task not in GOLD_TASKS:
        return False
    try:
        return gold_text(answer) is None and not (
            isinstance(answer, str) and answer.strip() and _among(answer, choices)
        )
    except ValueError:
        return False  # an answer, and one at fault


def _among(answer: str, choices: Any) -> bool:
    options = choices.get("text", choices.values()) if isinstance(choices, Mapping) else choices
    return isinstance(options, Sequence | type({}.values())) and answer in [str(option) for option in options]


def unjudged(golds: Sequence[str]) -> list[bool]:
    """Of each gold, whether nobody can tell another answer from it: "{", 1/0, a list with an open bracket."""
    return [verdict is None for verdict in verify_math_batch([_OTHER] * len(golds), golds)]
