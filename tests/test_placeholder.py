"""Golds that are no answers, and answers that look like them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from tables import each

from r1hf.verify.placeholder import is_placeholder

HOLES: list[Any] = [
    *[None, float("nan"), np.float32("nan"), np.datetime64("NaT"), pd.NA, pd.NaT, Decimal("NaN"), Decimal("sNaN")],
    *[[], [None], ["proof"], ["", float("nan")], {}],
    *["", "  ", "\t\n", "\u200b", "\ufeff", "-", "--", "—", "?", "???", "...", "…", "____", "[]", "()", "$$"],
    *[
        "proof",
        "Proof",
        "PROOF.",
        "ｐｒｏｏｆ",
        "(proof)",
        "**proof**",
        "a proof",
        "Proof omitted.",
        "see proof",
        "prove",
        "QED",
    ],
    *[
        r"\text{proof}",
        r"$\text{ proof }$",
        r"\boxed{\text{Not found}}",
        r"\(\mathrm{proof}\)",
        r"{\rm proof}",
        r"\boxed{}",
    ],
    *["notfound", "Not found", "not-found", "NOT_FOUND", "answer not found", "missing", "omitted", "placeholder"],
    *[
        "N/A",
        "n/a",
        "N / A",
        "n.a.",
        "NA",
        "[N/A]",
        "#N/A",
        "<NA>",
        "NaT",
        "null",
        "NULL",
        "NaN",
        "None",
        "none",
        r"\N",
    ],
    *["unknown", "Unknown.", "unspecified", "TBD", "todo", "to be determined", "not available", "not applicable"],
    *[
        "no answer",
        "No answer provided.",
        "No solution provided",
        "see solution",
        "See the solution above.",
        "As shown",
    ],
    *[
        "Answer: N/A",
        "The answer is unknown",
        "#### N/A",
        "<answer>proof</answer>",
        "your answer here",
        "Answers may vary",
    ],
    *[
        "略",
        "（略）",
        "答案略",
        "答案：略",
        "证明略",
        "見解析",
        "详见解析",
        "无",
        "暂无答案",
        "证明题",
        "如图所示",
        r"\blacksquare",
    ],
]
ANSWERS: list[Any] = [
    *[14, 14.0, 0, -3, True, False, float("inf"), Fraction(1, 2), Decimal("0.1"), np.int64(3), np.array([1, 2])],
    *[date(2023, 1, 5), datetime(2023, 1, 5), [14], ["", "14"], {"a": 1}],
    *["14", "- 1", "1/2", "...1", r"\frac{1}{2}", "(0,1)", "[1]", "x = y", "p - q", r"\pi", "N", "n", "x", "A", "(C)"],
    # These say something: no value, no element, no option.
    *["undefined", r"\text{undefined}", "no solution", "无解"],
    *["不存在", "does not exist", "DNE", r"\emptyset", "{}", r"\{\}"],
    *[r"\text{None}", r"\boxed{None}", "None of the above", "cannot be determined", "infinitely many", r"\infty"],
    *["Na", "yes", "no", "No", "true", "+", "=", "<", "*", "!", "N_A", "empty", "above", "below", "the square"],
    *[r"\text{Evelyn}", "Nathan", "80 proof", "bulletproof", "proof by contradiction", "null set", "value"],
    *["略微", "无穷", "无理数", "无数个", "证明者", "unknown x", "proof " * 40],
]  # fmt: skip


@each("gold", HOLES)
def test_a_hole_is_no_answer(gold: Any) -> None:
    assert is_placeholder(gold)


@each("gold", ANSWERS)
def test_an_answer_is_no_hole(gold: Any) -> None:
    assert not is_placeholder(gold)
