"""The router: each reward sees its rows, None for the others, and a row nobody pays stops the run."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import each

from r1hf.core.errors import DataError
from r1hf.rewards import (
    RewardError,
    accuracy_reward,
    format_reward,
    get_format_reward,
    guarded,
    only_for,
    text_reward,
)

KNOWN = ("math", "text", "chat")


class Recorder:
    __name__ = "recorder_reward"

    def __init__(self):
        self.calls = []

    def __call__(self, prompts, completions, completion_ids=None, **columns):
        self.calls.append((prompts, completions, completion_ids, columns))
        return [float(prompt) for prompt in prompts]


@given(st.lists(st.sampled_from(KNOWN), min_size=1, max_size=12), st.sets(st.sampled_from(KNOWN), min_size=1))
def test_every_row_keeps_its_place_and_its_columns(tasks, chosen):
    recorder = Recorder()
    count = len(tasks)
    rows = [str(number) for number in range(count)]
    state = SimpleNamespace(global_step=1)
    found = only_for(recorder, sorted(chosen), KNOWN)(
        prompts=rows,
        completions=rows,
        completion_ids=[[n] for n in range(count)],
        task=tasks,
        answer=rows,
        trainer_state=state,
    )
    assert found == [float(row) if task in chosen else None for row, task in zip(rows, tasks, strict=True)]
    own = [row for row, task in zip(rows, tasks, strict=True) if task in chosen]
    for prompts, completions, ids, columns in recorder.calls:
        assert prompts == completions == columns["answer"] == own and ids == [[int(row)] for row in own]
        assert columns["task"] == [task for task in tasks if task in chosen] and columns["trainer_state"] is state
    assert len(recorder.calls) == bool(own)


@each("task", ["maths", "Math", "math ", None, 1, float("nan"), ["math"], ""])
def test_an_unrouted_row_stops_every_reward(task):
    for one, own in ((accuracy_reward, "math"), (text_reward, "text"), (format_reward, "text")):
        reward = only_for(one, own, KNOWN)
        with pytest.raises(
            DataError, match="row 1 of the batch has task .*no reward is routed to; known: math, text, chat"
        ):
            reward(prompts=["?"] * 3, completions=["a"] * 3, task=["math", task, "chat"], answer=["1"] * 3)


def test_a_near_miss_is_suggested():
    with pytest.raises(DataError, match="did you mean 'math'"):
        only_for(format_reward, "math", KNOWN)(prompts=["?"], completions=["a"], task=["mth"])


def test_a_reward_may_be_called_otherwise():
    named = only_for(get_format_reward(mode="think_only"), "math", KNOWN, name="loose_format")
    assert named.__name__ == pickle.loads(pickle.dumps(named)).__name__ == "loose_format"


def test_another_column_and_a_missing_one():
    reward = only_for(format_reward, "math", KNOWN, column="kind")
    good = "<think>a</think> <answer>1</answer>"
    assert reward(prompts=["?"] * 2, completions=[good] * 2, kind=["math", "chat"]) == [1.0, None]
    with pytest.raises(DataError, match="format_reward needs the column 'kind'"):
        reward(prompts=["?"], completions=[good], task=["math"])
    with pytest.raises(DataError, match="has 2 values for 1 completions"):
        reward(prompts=["?"], completions=[good], kind=["math", "math"])


def test_a_guard_outside_names_the_row_of_the_batch():
    def nan_reward(prompts, **_):
        return [float("nan") if prompt == "bad" else 0.0 for prompt in prompts]

    rows = {"prompts": ["a", "b", "bad"], "completions": ["x"] * 3, "task": ["chat", "math", "math"]}
    with pytest.raises(RewardError, match="'nan_reward' returned nan for row 2"):
        guarded(only_for(nan_reward, "math", KNOWN))(**rows)
    with pytest.raises(RewardError, match="'nan_reward' returned nan for row 1"):
        only_for(guarded(nan_reward), "math", KNOWN)(**rows)
