"""Which of a prompt's good samples are kept, and how reasoning and general rows are mixed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple, TypeVar

from r1hf.data.near_duplicates import jaccard, shingles
from r1hf.models.sampling import Completion
from r1hf.text.repetition import units

Choice = Literal["first", "shortest", "diverse"]
Item = TypeVar("Item")
_SIMPLE, _ROUNDED = 12, Fraction(1, 2000)  # a third, written with three digits


def choose(samples: Sequence[Completion], most: int | None, how: Choice) -> list[int]:
    """The places of at most `most` samples (None: all), in the order of choice.

    first: as they were sampled. shortest: by tokens. diverse: the shortest, then again and again the one whose words
    are least like those of any chosen so far, so that a prompt is shown several ways to its answer.
    """
    places = list(range(len(samples)))
    if how == "shortest" or how == "diverse":
        places.sort(key=lambda place: (samples[place].tokens, place))
    if most is None or len(places) <= most:
        return places
    return (
        _spread(places, [shingles(units(sample.text)) for sample in samples], most)
        if how == "diverse"
        else places[:most]
    )


def _spread(places: list[int], ngrams: list[frozenset[tuple[str, ...]]], most: int) -> list[int]:
    chosen, left = places[:1], places[1:]
    likeness = {place: jaccard(ngrams[place], ngrams[chosen[0]]) for place in left}
    while left and len(chosen) < most:
        best = min(left, key=lambda place: likeness[place])
        chosen.append(best)
        left.remove(best)
        for place in left:
            likeness[place] = max(likeness[place], jaccard(ngrams[place], ngrams[best]))
    return chosen


class Mix(NamedTuple):
    """How many of each kind make the ratio exactly."""

    reasoning: int
    general: int


def exact(ratio: float) -> Fraction:
    """The ratio that a decimal stands for: 1/3 for 0.3333333333333333, and for 0.333."""
    simple = Fraction(ratio).limit_denominator(_SIMPLE)
    if simple and abs(simple - Fraction(ratio)) <= _ROUNDED:
        return simple
    return Fraction(ratio).limit_denominator(1000)


def exact_mix(reasoning: int, general: int, ratio: float) -> Mix:
    """The most rows of both kinds with exactly `ratio` general rows for each reasoning row (1/3: three to one).

    With too few rows for one whole unit of the ratio, the nearest there is.
    """
    part = exact(ratio)
    if not part:
        return Mix(reasoning, 0)
    whole = min(reasoning // part.denominator, general // part.numerator)
    if not whole:
        return Mix(reasoning, min(general, round(reasoning * part)))
    return Mix(whole * part.denominator, whole * part.numerator)
