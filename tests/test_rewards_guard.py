"""Reward code that breaks is named and stops the run; what is right passes unchanged."""

from __future__ import annotations

import functools
import math
import pickle
import threading

import numpy
import pytest
import torch
from tables import each

from r1hf.core.errors import ConfigError, DataError, R1Error
from r1hf.rewards import (
    RewardError,
    accuracy_reward,
    format_reward,
    get_format_reward,
    get_overlong_reward,
    get_repetition_reward,
    guarded,
    only_for,
)

ROWS = {
    "prompts": ["q"] * 3,
    "completions": ["one", "two", [{"role": "assistant", "content": "three"}]],
    "completion_ids": [[1], [2], [3]],
    "answer": ["1", "2", "3"],
}


def gives(*values):
    def made_reward(prompts, completions, completion_ids=None, **columns):
        return list(values)

    return made_reward


@pytest.mark.parametrize(
    "values",
    [
        (0.0, 0.5, 1.0),
        (None, 1, True),
        (None, None, None),
        (numpy.float32(0.5), numpy.int64(1), torch.tensor(0.25)),
    ],
)
def test_rewards_pass_as_plain_numbers(values):
    found = guarded(gives(*values), low=0, high=1)(**ROWS)
    assert found == [None if value is None else float(value) for value in values]
    assert all(value is None or type(value) is float for value in found)


def test_arrays_pass():
    assert guarded(lambda **_: numpy.array([0.0, 0.5, 1.0]))(**ROWS) == [0.0, 0.5, 1.0]
    assert guarded(lambda **_: torch.tensor([0.0, 0.5, 1.0]))(**ROWS) == [0.0, 0.5, 1.0]


@each(
    "value, fault",
    [
        (float("nan"), "nan for row 1 .*no finite number"),
        (math.inf, "inf for row 1 .*no finite number"),
        (torch.tensor(float("nan")), "row 1 .*no finite number"),
        (2.0, "2.0 for row 1 .*outside its range, 0 to 1"),
        (-0.1, "-0.1 for row 1 .*outside its range"),
        ("0.5", "'0.5' for row 1 .*no number"),
        (1 + 1j, "row 1 .*no number"),
        ([1.0], r"\[1.0\] for row 1 .*no number"),
        ({}, "row 1 .*no number"),
        (torch.tensor([1.0, 2.0]), "row 1 .*no number"),
        (10**400, "row 1 .*no number"),
    ],
)
def test_row_10_a_value_that_is_no_reward_is_named(value, fault):
    with pytest.raises(RewardError, match=f"(?s)reward 'made_reward' returned .*{fault}.*'two'") as caught:
        guarded(gives(0.0, value, 1.0), low=0, high=1)(**ROWS)
    assert caught.value.function == "made_reward" and caught.value.row == 1
    assert caught.value.value is value


@each(
    "result, fault",
    [
        ([], "0 rewards for 3"),
        ([0.0] * 4, "4 rewards for 3"),
        (None, "None, which is no list"),
        (1.0, "1.0, which is no list"),
        ("abc", "3 rewards for 3"),
        ({1: 1, 2: 2, 3: 3}, "3 rewards for 3"),
        (torch.tensor(1.0), "no list"),
    ],
)
def test_a_result_that_is_no_list_of_rewards(result, fault):
    def whole_reward(**_):
        return result

    with pytest.raises(RewardError, match=f"'whole_reward' returned .*{fault}"):
        guarded(whole_reward)(**ROWS)


def divides_reward(prompts, completions, completion_ids=None, log_metric=None, **columns):
    log_metric("share", 0.5)
    return [1 / (completion != "two") for completion in completions]


def test_code_that_raises_is_named_with_its_row():
    logged = []
    with pytest.raises(RewardError, match="'divides_reward' raised ZeroDivisionError: .*row 1 .*'two'") as caught:
        guarded(divides_reward)(**ROWS, log_metric=lambda *values: logged.append(values))
    assert caught.value.row == 1 and isinstance(caught.value.__cause__, ZeroDivisionError)
    assert logged == [("share", 0.5)]


def test_code_that_raises_for_the_batch_as_a_whole_has_no_row():
    def whole_reward(completions, **_):
        if len(completions) > 1:
            raise RuntimeError("too many")
        return [0.0]

    with pytest.raises(RewardError, match="'whole_reward' raised RuntimeError: too many") as caught:
        guarded(whole_reward)(**ROWS)
    assert caught.value.row is None


def test_errors_for_people_pass_and_interrupts_too():
    with pytest.raises(DataError, match="needs the column 'answer'"):
        guarded(accuracy_reward)(prompts=["q"], completions=["a"])

    def interrupted(**_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(interrupted)(**ROWS)


def test_the_range_is_the_declared_one():
    assert guarded(format_reward).bounds == (0.0, 1.0)
    assert guarded(get_format_reward(value=-0.5)).bounds == (-0.5, 0.0)
    assert guarded(get_repetition_reward(max_penalty=-2.0)).bounds == (-2.0, 0.0)
    assert guarded(get_overlong_reward(100, 20)).bounds == (-1.0, 0.0)
    assert guarded(only_for(format_reward, "a", "a")).bounds == (0.0, 1.0)
    assert guarded(gives()).bounds is None
    assert guarded(gives(1e30, -1e30, None))(**ROWS) == [1e30, -1e30, None]
    with pytest.raises(RewardError, match="-1.0 for row 0 .*outside its range, 0 to any"):
        guarded(gives(-1.0, 1e30, None), low=0)(**ROWS)


def test_a_declaration_that_is_broken_is_caught():
    class Liar:
        __name__ = "liar_reward"
        bounds = (0.0, 1.0)

        def __call__(self, completions, **_):
            return [2.0] * len(completions)

    with pytest.raises(RewardError, match="'liar_reward' returned 2.0 for row 0"):
        guarded(Liar())(**ROWS)


async def async_reward(**_):
    return [0.0]


class AsyncReward:
    async def __call__(self, **_):
        return [0.0]


@pytest.mark.parametrize("reward", [async_reward, AsyncReward()])
def test_async_rewards_are_awaited(reward):
    assert guarded(reward)(prompts=["p"], completions=["c"]) == [0.0]


@pytest.mark.parametrize("reward", [None, 1.0, "accuracy", AsyncReward])
def test_what_cannot_be_guarded_is_refused(reward):
    with pytest.raises(ConfigError, match="reward"):
        guarded(reward)


def test_names_and_nesting():
    assert guarded(gives()).__name__ == "made_reward"
    assert guarded(functools.partial(accuracy_reward, x=1)).__name__ == "accuracy_reward"
    once = guarded(format_reward)
    assert guarded(once) is once
    assert guarded(only_for(once, "a", ["a"])).__name__ == "format_reward"
    with pytest.raises(ConfigError, match="range 1 to 0 is empty"):
        guarded(format_reward, low=1, high=0)


def test_pickles_with_its_errors():
    reward = pickle.loads(pickle.dumps(guarded(format_reward, 0, 1)))
    assert reward(**ROWS) == [0.0, 0.0, 0.0] and reward.__name__ == "format_reward"
    with pytest.raises(RewardError) as caught:
        guarded(gives(None, "x", None))(**ROWS)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and isinstance(again, R1Error)
    assert (again.function, again.row, again.value) == ("made_reward", 1, "x")


def test_works_off_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(guarded(format_reward)(**ROWS)))
    thread.start()
    thread.join()
    assert found == [[0.0, 0.0, 0.0]]
