"""How people ask for a bare expression: the signs they type, the spaces they leave out, and the words around it."""

from __future__ import annotations

import functools
import random
import re

from r1hf.world.words import Split, as_typed, in_words, lines, marked, texts

# How often an expression stands in signs alone, in words, or (two numbers) as "the sum of 2 and 3".
_TOLD, _NAMED, _USUAL = 0.12, 0.1, 0.4
_TIMES = {"*": 0.5, "×": 0.2, "x": 0.14, "X": 0.03, "·": 0.05, "∗": 0.02, "✕": 0.01, "⋅": 0.02}
_MINUS = {"-": 0.86, "−": 0.07, "–": 0.05, "－": 0.02}
_FULL_WIDTH = str.maketrans({**{chr(n): chr(n + 0xFEE0) for n in map(ord, "0123456789()+-=")}, "*": "×"})
_MOST_IN_WORDS = 3  # numbers of an expression that somebody writes in words


def _pick(weights: dict[str, float], rng: random.Random) -> str:
    return rng.choices(list(weights), weights=list(weights.values()))[0]


@functools.cache
def _wordings(language: str) -> Split:
    return marked(lines(texts("wordings", language)["ask"]))


def written(expression: str, language: str, rng: random.Random) -> str:
    """The expression in other signs and spaces: `2+3×4`, `( 2 + 3 ) * 4`, in Chinese also `２＋３`."""
    if language == "zh" and rng.random() < 0.06:
        return expression.replace(" ", "").translate(_FULL_WIDTH)
    if rng.random() < 0.03:
        expression = expression.replace(" * (", "(")  # 2(3 + 4)
    text = expression.replace("*", _pick(_TIMES, rng)).replace("-", _pick(_MINUS, rng))
    draw = rng.random()
    if draw < 0.42:
        return text.replace(" ", "")
    if draw < 0.48:
        return "".join(part for part in re.split("( )", text) if part != " " or rng.random() < 0.5)
    if draw < 0.52:
        return text.replace("(", "( ").replace(")", " )")
    if language == "zh" and draw < 0.56:
        return text.replace("(", "（").replace(")", "）")
    return text


def _in_words(expression: str, language: str, rng: random.Random) -> str:
    """`two plus three`, `2加3`: signs as words, and the numbers often too."""
    signs = texts("wordings", language)["signs" if rng.random() < 0.8 else "more_signs"]
    gap = " " if language == "en" else ""
    words = rng.random() < 0.6
    parts = [signs.get(part) or (in_words(int(part), language) if words else part) for part in expression.split()]
    if words and language == "zh" and parts[0] == "二" and rng.random() < 0.3:
        parts[0] = "两"
    return gap.join(parts)


def _named(expression: str, language: str, kind: str, rng: random.Random) -> str:
    """Of two numbers: `the sum of 2 and 3`; with `kind` "do ", `Add 2 and 3.`"""
    left, sign, right = expression.split()
    if rng.random() < 0.3:
        left, right = in_words(int(left), language), in_words(int(right), language)
    template = rng.choice(lines(texts("wordings", language)[f"{kind}a {sign} b"]))
    return template.format(a=left, b=right)


def _ask(expression: str, language: str, held_out: bool, rng: random.Random) -> str:
    numbers = len(re.findall(r"\d+", expression))
    draw = rng.random()
    usual = lines(texts("wordings", language)["usual"])
    wordings = _wordings(language).half(held_out)
    if not held_out and rng.random() < _USUAL:
        wordings = tuple(usual)
    if numbers == 2 and draw < _NAMED / 2 and not held_out:
        return as_typed(_named(expression, language, "do ", rng), language, rng, polite=False)
    if numbers == 2 and draw < _NAMED:
        said = _named(expression, language, "", rng)
    elif numbers <= _MOST_IN_WORDS and "(" not in expression and draw < _NAMED + _TOLD:
        said = _in_words(expression, language, rng)
    else:
        said = written(expression, language, rng)
    return as_typed(rng.choice(wordings).replace("{e}", said), language, rng)


def ask(expression: str, language: str, rng: random.Random) -> str:
    """A question for `expression`, such as `2 + 3 * 4`, in one of the wordings for training."""
    return _ask(expression, language, False, rng)


def held_out_ask(expression: str, language: str, rng: random.Random) -> str:
    """The same in a wording that no training question has."""
    return _ask(expression, language, True, rng)
