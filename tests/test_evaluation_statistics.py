"""Intervals, comparisons and votes: against enumeration, against simulation, and at the edges."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1hf.evaluation.statistics import amount, bounds, interval, needed, paired
from r1hf.evaluation.votes import by_value, majority, pass_at_k

SHARES = st.lists(st.integers(0, 64).map(lambda right: right / 64), min_size=1, max_size=60)


def test_pass_at_k_is_what_enumeration_of_all_subsets_gives() -> None:
    draw = random.Random(0)
    for _ in range(1000):
        samples = [draw.random() < 0.4 for _ in range(draw.randint(1, 9))]
        k = draw.randint(1, len(samples))
        found = [any(chosen) for chosen in itertools.combinations(samples, k)]
        assert pass_at_k(sum(samples), len(samples), k) == pytest.approx(sum(found) / len(found))


def test_pass_at_k_of_many_samples_is_exact() -> None:
    assert pass_at_k(1, 1000, 500) == 0.5
    assert pass_at_k(0, 64, 64) == 0.0 and pass_at_k(1, 64, 64) == 1.0


@pytest.mark.parametrize("case", [(1, 4, 5), (1, 4, 0), (5, 4, 1), (-1, 4, 1)])
def test_an_undefined_pass_at_k_is_refused(case: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="not defined"):
        pass_at_k(*case)


def test_the_vote_is_what_enumeration_of_all_lots_gives() -> None:
    """The lot among tied values: every order of the values is equally likely to decide."""
    draw = random.Random(1)
    for _ in range(1000):
        values = [draw.choice([None, "a", "b", "c", "d"]) for _ in range(draw.randint(1, 9))]
        truth = {value: draw.random() < 0.4 for value in "abcd"}
        wins = []
        for order in itertools.permutations("abcd"):
            voted = max(order, key=lambda value: values.count(value))
            wins.append(truth[voted] if voted in values else False)
        vote = majority(values, [bool(value) and truth[value] for value in values])
        assert vote.right == pytest.approx(sum(wins) / len(wins))
        counts = [values.count(value) for value in "abcd" if value in values]
        assert vote.tied == counts.count(max(counts, default=0))


def test_a_vote_is_by_value_and_not_by_spelling() -> None:
    def same(a: str, b: str) -> bool:
        return float(eval(a)) == float(eval(b))

    texts = ["3", "1/2", "0.5", None, "", "3", "2/4"]
    assert by_value(texts, same) == [1, 0, 0, None, None, 1, 0] or by_value(texts, same) == [0, 1, 1, None, None, 0, 1]
    assert majority(by_value(texts, same), [False, True, True, False, False, False, True]).right == 1.0


# Intervals


@given(SHARES, st.sampled_from([1, 4, 64]))
def test_an_interval_lies_around_its_mean_and_inside_0_and_1(values: list[float], k: int) -> None:
    mean, low, high = interval(values, k)
    assert mean == pytest.approx(np.mean(values)) and 0 <= low <= mean <= high <= 1
    turned = interval([1 - value for value in values], k)
    assert (turned.low, turned.high) == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_one_sample_a_question_gives_wilsons_interval() -> None:
    """Newcombe 1998, table I: 81 of 263."""
    found = interval([1.0] * 81 + [0.0] * 182)
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=2e-4)


def test_all_right_or_all_wrong_is_not_certain() -> None:
    """However many samples there are: a question that is never solved is one question."""
    for k in (1, 64):
        assert interval([0.0] * 30, k).high == pytest.approx(0.1135, abs=1e-3)
        assert interval([1.0] * 30, k).low == pytest.approx(1 - 0.1135, abs=1e-3)


def test_samples_of_one_question_are_not_independent() -> None:
    split = [1.0] * 15 + [0.0] * 15
    assert interval(split, 64) == pytest.approx(interval(split, 1), abs=1e-3)
    alike = [0.5 + 0.06 * math.sin(i) for i in range(30)]
    wide, narrow = interval(split, 64), interval(alike, 64)
    assert narrow.high - narrow.low < (wide.high - wide.low) / 4


def test_nothing_and_one_question() -> None:
    assert set(interval([])) == {None} == set(amount([]))
    low, high = interval([0.5], 4)[1:]
    assert low < 0.1 and high > 0.9
    assert amount([3.0, 5.0]) == (4.0, None, None)


@pytest.mark.parametrize(
    ("n", "k", "p", "strength"),
    [(30, 1, 0.05, None), (30, 64, 0.01, 1.0), (100, 16, 0.97, 2.0), (500, 4, 0.3, 9.0), (30, 64, 0.5, None)],
)
def test_intervals_hold_the_truth_19_times_in_20(n: int, k: int, p: float, strength: float | None) -> None:
    rng = np.random.default_rng(3)
    held = []
    for truth in p * np.linspace(0.97, 1.03, 7):
        shape = (400, n)
        own = np.full(shape, truth) if strength is None else rng.beta(truth * strength, (1 - truth) * strength, shape)
        _, low, high = bounds(rng.binomial(k, own) / k, k)
        held.append(((low <= truth) & (truth <= high)).mean())
    assert 0.92 <= np.mean(held) <= 0.99


# Comparisons


def test_a_comparison_at_zero_is_mcnemars_test() -> None:
    """b against c questions that one model alone solves: shown where (b - c)^2 / (b + c) > 1.96^2."""
    for better, worse in itertools.product(range(12), repeat=2):
        first = [0.0] * better + [1.0] * worse + [1.0] * 40
        second = [1.0] * better + [0.0] * worse + [1.0] * 40
        found = paired(first, second)
        statistic = (better - worse) ** 2 / max(1, better + worse)
        assert found.shown is (statistic > 1.959963984540054**2)
        assert found.difference == pytest.approx((better - worse) / (40 + better + worse))
        assert found.low <= found.difference <= found.high


def test_no_difference_among_few_questions_does_not_say_that_there_is_none() -> None:
    same = paired([1.0] * 30, [1.0] * 30)
    assert not same.shown and same.low == pytest.approx(-0.1135, abs=1e-3) and same.high == -same.low
    assert paired([0.0] * 3, [1.0] * 3)[2:5] == (-1.0, 1.0, False)
    assert paired([0.0] * 30, [1.0] * 30).shown


@pytest.mark.parametrize(("n", "k", "p"), [(30, 1, 0.5), (100, 4, 0.9), (500, 16, 0.2), (10, 4, 0.5), (30, 1, 0.05)])
def test_two_equal_models_are_told_apart_one_time_in_twenty(n: int, k: int, p: float) -> None:
    rng = np.random.default_rng(7)
    own = rng.beta(2 * p, 2 * (1 - p), (2, 1500, n))
    first, second = rng.binomial(k, own) / k
    alarms = np.mean([paired(a, b).shown for a, b in zip(first, second, strict=True)])
    assert alarms <= 0.065 and (alarms >= 0.03 or n * p < 6)


def test_lists_that_do_not_pair_are_refused() -> None:
    for first, second in [([], []), ([1.0], [1.0, 0.0])]:
        with pytest.raises(ValueError, match="cannot be compared in pairs"):
            paired(first, second)


def test_what_is_needed_shows_the_difference_four_times_in_five() -> None:
    rng = np.random.default_rng(11)
    own, gain, k = rng.uniform(0.2, 0.7, 4000), 0.08, 4

    def draw(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
        chance = rng.choice(own, n)
        return rng.binomial(k, chance) / k, rng.binomial(k, chance + gain) / k

    found = needed(*draw(2000, k), k, gain)
    shown = np.mean([paired(*draw(found.questions, k)).shown for _ in range(800)])
    assert 0.74 < shown < 0.86
    few = needed(*draw(100, k), k, gain)
    assert few.samples is not None
    assert 0.7 < np.mean([paired(*draw(100, few.samples)).shown for _ in range(800)]) < 0.95


def test_more_samples_do_not_help_where_the_questions_themselves_differ() -> None:
    first, second = [1.0, 0.0] * 20, [0.0, 1.0] * 20
    found = needed(first, second, 64, 0.02)
    assert found.samples is None and found.questions > 1000 and found.smallest > 0.4
    assert needed(first, second, 1, 0.02).samples is None
    with pytest.raises(ValueError, match="none to be seen"):
        needed(first, second, 4, 0.0)
