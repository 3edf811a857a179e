"""The tiny world's problems: one multiplication and one addition or subtraction, in English and Chinese.

`2 + 3 * 4` has a right order (multiply first) and a tempting wrong one. The expressions are few enough to list, so
the split is exact: a fixed set of them, chosen by hash and independent of any seed, is held out. `training_problems`
never yields one of those, and every generator of training data draws from it alone.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

HELD_OUT = 544
LANGUAGES = ("en", "zh")
_QUESTIONS = {"en": "What is {}?", "zh": "{} 等于多少？"}


@dataclass(frozen=True)
class Expression:
    """`left op right` with exactly one product: `addend op b * c` or `b * c op addend`."""

    b: int
    c: int
    addend: int
    op: str
    product_first: bool

    def __str__(self) -> str:
        product = f"{self.b} * {self.c}"
        parts = (product, self.op, self.addend) if self.product_first else (self.addend, self.op, product)
        return " ".join(map(str, parts))

    @property
    def value(self) -> int:
        return self.b * self.c + (self.addend if self.op == "+" else -self.addend)

    def steps(self) -> list[str]:
        """The two lines of a right solution."""
        product = self.b * self.c
        last = f"{product} {self.op} {self.addend}" if self.product_first else f"{self.addend} + {product}"
        return [f"{self.b} * {self.c} = {product}", f"{last} = {self.value}"]

    def wrong_steps(self) -> list[str]:
        """The two lines of the wrong order: add or subtract before multiplying. Never reaches the right value."""
        if self.product_first:
            inner = self.c + self.addend if self.op == "+" else self.c - self.addend
            first, second = f"{self.c} {self.op} {self.addend} = {inner}", f"{self.b} * {inner} = {self.b * inner}"
        else:
            inner = self.addend + self.b
            first, second = f"{self.addend} + {self.b} = {inner}", f"{inner} * {self.c} = {inner * self.c}"
        return [first, second]


@dataclass(frozen=True)
class Sum:
    """A warm-up: one sum or difference, as the second step of an expression; there is no order to get wrong."""

    left: int
    op: str
    right: int

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"

    @property
    def value(self) -> int:
        return self.left + self.right if self.op == "+" else self.left - self.right

    def steps(self) -> list[str]:
        return [f"{self} = {self.value}"]

    wrong_steps = steps


@dataclass(frozen=True)
class Problem:
    """A question in one language, with its gold answer."""

    expression: Expression | Sum
    language: str

    @property
    def question(self) -> str:
        return _QUESTIONS[self.language].format(self.expression)

    @property
    def answer(self) -> str:
        return str(self.expression.value)

    def row(self) -> dict[str, str]:
        """The columns that prompts carry through every stage."""
        return {
            "question": self.question,
            "answer": self.answer,
            "language": self.language,
            "task": "reasoning",
            "id": f"{self.language}:{self.expression}",
        }


def _rank(expression: Expression) -> str:
    return hashlib.sha256(f"r1hf tiny world / {expression}".encode()).hexdigest()


@functools.cache
def expressions() -> tuple[Expression, ...]:
    """Every expression of the world, in an order given by hash."""
    found = []
    for b in range(2, 10):
        for c in range(2, 10):
            for addend in range(1, 10):
                found.append(Expression(b, c, addend, "+", product_first=False))
                found.append(Expression(b, c, addend, "+", product_first=True))
                if addend <= c:  # keeps the wrong order from going below zero
                    found.append(Expression(b, c, addend, "-", product_first=True))
    return tuple(sorted(found, key=_rank))


def held_out_expressions() -> tuple[Expression, ...]:
    return expressions()[:HELD_OUT]


def training_expressions() -> tuple[Expression, ...]:
    return expressions()[HELD_OUT:]


def held_out_problems() -> list[Problem]:
    """The evaluation set: each held-out expression once, languages in turn."""
    return [Problem(e, LANGUAGES[i % 2]) for i, e in enumerate(held_out_expressions(), 1)]


def training_problems() -> list[Problem]:
    """Every training expression in both languages."""
    return [Problem(e, language) for e in training_expressions() for language in LANGUAGES]


def sums() -> tuple[Sum, ...]:
    """The second step of every expression, each once, in an order given by hash."""
    second = (expression.steps()[1].split(" = ")[0].split() for expression in expressions())
    return tuple(dict.fromkeys(Sum(int(left), op, int(right)) for left, op, right in second))


def warm_up_problems() -> list[Problem]:
    """Every sum once, languages in turn. Without them the later stages unlearn the sums that no training expression
    needs."""
    return [Problem(one, LANGUAGES[i % 2]) for i, one in enumerate(sums())]
