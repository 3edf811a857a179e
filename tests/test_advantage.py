"""Group-relative advantages: properties and bad input; `test_replay.py` holds them against TRL's own."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import each

from r1hf.core.errors import ConfigError, DataError
from r1hf.trainers.advantage import group_advantages

groups = st.lists(st.floats(-10, 10).map(lambda reward: round(reward, 3)), min_size=2, max_size=16)


@given(groups, st.sampled_from(["sample", "population", "none", 0.5]))
def test_centred_and_in_order(rewards, std):
    advantages = group_advantages(rewards, std=std)
    assert sum(advantages) == pytest.approx(0, abs=1e-6)
    ranked = sorted(range(len(rewards)), key=rewards.__getitem__)
    assert all(advantages[low] <= advantages[high] for low, high in zip(ranked, ranked[1:], strict=False))


@given(groups.filter(lambda rewards: max(rewards) > min(rewards)))
def test_unit_spread(rewards):
    assert statistics.stdev(group_advantages(rewards)) == pytest.approx(1)
    assert statistics.pstdev(group_advantages(rewards, std="population")) == pytest.approx(1)


@pytest.mark.parametrize("std", ["sample", "population", "none", 0.5])
def test_equal_rewards_teach_nothing(std):
    assert group_advantages([0.1] * 7, std=std) == [0.0] * 7
    assert group_advantages([3.0], std=std) == [0.0]
    assert group_advantages([], std=std) == []


@each("std", ["stdev", 0, -1.0, float("nan"), True, None])
def test_unknown_scale(std):
    with pytest.raises(ConfigError, match="std"):
        group_advantages([1.0, 2.0], std=std)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rewards_that_are_not_finite(bad):
    with pytest.raises(DataError, match="reward 1"):
        group_advantages([1.0, bad])
