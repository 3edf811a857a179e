"""Rewards for choices, texts, Countdown and reasoning-gym: passes and cheats as whole completions, in every shape."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import json
import multiprocessing
import pickle

import pytest
from tables import each

from r1hf import rewards as r1
from r1hf.core.errors import ConfigError, DataError

GYM = importlib.util.find_spec("reasoning_gym") is not None
needs_gym = pytest.mark.skipif(not GYM, reason="the extra `gym` is not installed")


def say(content, **fields):
    return [{"role": "assistant", "content": content, **fields}]


def score(reward, completion, **columns):
    lists = {name: [value] for name, value in columns.items()}
    return reward(prompts=["?"], completions=[completion], completion_ids=[[1]], **lists)[0]


CASES = {
    "choice": (r1.choice_reward, {"answer": "B", "choices": ["London", "Paris", "Rome"]}, "B", "C", "A or B"),
    "text": (r1.text_reward, {"answer": "Paris"}, "Paris", "Rome", "Paris or Rome"),
    "countdown": (r1.countdown_reward, {"numbers": [1, 2, 3], "target": 9}, "(1+2)*3", "1+2+3", "(1+2)*3, 3*(2+1)"),
    "accuracy": (r1.accuracy_reward, {"answer": "14"}, "14", "15", "14 or 15"),
}
PASSES = [
    "<think>a</think> <answer>{right}</answer>",
    "<think>it may be {wrong}</think> <answer>{right}</answer>",
    "<think>a</think> <answer>\n{right}\n</answer>\n",
    "<think>a</think> \\boxed{{{right}}}",
    "<think>a</think> The answer is {right}.",
    "| special_token | a | special_token | Summary: {right}",
    say("<think>a</think> <answer>{right}</answer>"),
    say("<answer>{right}</answer>", reasoning_content="a"),
    say("{right}", reasoning="a"),
    say("{right}", thinking="a"),
    say([{"type": "text", "text": "<think>a</think> <answer>{right}"}, {"type": "text", "text": "</answer>"}]),
    [*say("calling", tool_calls=[]), {"role": "tool", "content": "{wrong}"}, *say("<answer>{right}</answer>")],
]
CHEATS = [
    "",
    "{right}",
    "<think>{right}</think>",
    "<think>a</think> <answer>{wrong}</answer>",
    "<think>{right}</think> <answer>{wrong}</answer>",
    "<think>a</think> <answer>{hedge}</answer>",
    "<think>a</think> <answer>{right}",
    "<think>a</think> <answer></answer> {right}",
    "<think>a</think> <answer>{right}</answer> <answer>{wrong}</answer>",
    "<think>a</think> <answer>{wrong}</answer> <answer>{right}</answer>",
    "<think>a</think> <answer>\\boxed{{{right}}} \\boxed{{{wrong}}}</answer>",
    "<think>The answer is {right}",
    say(""),
    say(None),
    say("{wrong}", reasoning_content="{right}"),
    say("", reasoning_content="The answer is {right}."),
    [{"role": "user", "content": "<answer>{right}</answer>"}],
    [{"role": "tool", "content": "<answer>{right}</answer>"}],
    [],
]


def filled(template, name):
    _, _, right, wrong, hedge = CASES[name]

    def write(value):
        if isinstance(value, str):
            return value.format(right=right, wrong=wrong, hedge=hedge)
        if isinstance(value, list):
            return [write(item) for item in value]
        return {key: write(item) for key, item in value.items()} if isinstance(value, dict) else value

    return write(template)


@each("template", PASSES)
@each("name", CASES)
def test_passes(name, template):
    reward, columns, *_ = CASES[name]
    assert score(reward, filled(template, name), **columns) == 1.0


@each("template", CHEATS)
@each("name", CASES)
def test_cheats(name, template):
    reward, columns, *_ = CASES[name]
    assert score(reward, filled(template, name), **columns) == 0.0


@pytest.mark.parametrize("name", CASES)
def test_after_a_prefilled_tag(name):
    reward, columns, right, wrong, _ = CASES[name]
    prefilled = {
        "choice": r1.get_choice_reward,
        "text": r1.get_text_reward,
        "countdown": r1.get_countdown_reward,
        "accuracy": r1.get_accuracy_reward,
    }[name](prefilled=True)
    assert score(prefilled, f"a</think> <answer>{right}</answer>", **columns) == 1.0
    assert score(prefilled, say(f"\n{right}", reasoning_content="a"), **columns) == 1.0
    assert score(prefilled, f"{right}</think> <answer>{wrong}</answer>", **columns) == 0.0
    assert score(prefilled, f"<answer>{right}</answer>", **columns) == 0.0


@pytest.mark.parametrize("gold", [None, float("nan"), ""])
def test_no_gold_is_no_judgement(gold):
    for completion in ("", "<think>a</think> <answer>B</answer>"):
        assert score(r1.choice_reward, completion, answer=gold) is None
        assert score(r1.text_reward, completion, answer=gold) is None
        assert score(r1.countdown_reward, completion, numbers=[1], target=gold) is None
        assert score(r1.countdown_reward, completion, numbers=None, target=1) is None


def test_columns_that_are_missing_are_named():
    with pytest.raises(DataError, match="choice_reward needs the column 'answer'.*choices"):
        score(r1.choice_reward, "B", choices=["a"])
    with pytest.raises(DataError, match="countdown_reward needs the column 'numbers'.*nums, target"):
        score(r1.countdown_reward, "1", nums=[1], target=1)
    tiny_zero = r1.get_countdown_reward(numbers_column="nums", use_all=False)
    assert score(tiny_zero, "<think>a</think> <answer>1 + 2</answer>", nums=[1, 2, 3], target=3) == 1.0
    with pytest.raises(DataError, match="gym_reward needs the column 'gym'"):
        score(r1.gym_reward, "1", answer="1")


def test_golds_in_other_forms():
    answer = "<think>a</think> <answer>(B) Paris</answer>"
    for gold in (1, "B", "(B)", "Paris", "B. Paris", "Because of that \\boxed{B}", "It is so.\n#### B"):
        assert score(r1.choice_reward, answer, answer=gold, choices=["London", "Paris"]) == 1.0
    assert score(r1.choice_reward, "<think>a</think> <answer>C, A</answer>", answer="A, C") == 1.0
    assert score(r1.text_reward, "<think>a</think> <answer>NYC</answer>", answer=["New York", "NYC"]) == 1.0
    assert score(r1.text_reward, "<think>a</think> <answer>7</answer>", answer=7) == 1.0
    exact = r1.get_text_reward(exact=True)
    assert score(exact, "<think>a</think> <answer>nyc</answer>", answer="NYC") == 0.0


@needs_gym
def test_gym_tasks_through_their_own_scorers():
    from r1hf.verify.gym import gym_rows, score_gym

    for name in ("chain_sum", "arc_agi", "knights_knaves", "bitwise_arithmetic", "n_queens", "simple_integration"):
        for row in gym_rows(name, 2):
            own = f"<think>a</think> <answer>{row['answer']}</answer>"
            assert score(r1.gym_reward, own, gym=row["gym"]) == 1.0
            assert score(r1.gym_reward, "<think>a</think> <answer>nonsense</answer>", gym=row["gym"]) == 0.0
            entry = json.loads(row["gym"])["entry"]
            if name == "chain_sum":
                assert score(r1.gym_reward, own, metadata=entry["metadata"], answer=row["answer"]) == 1.0
    (row,) = gym_rows("chain_sum", 1)
    hedge = f"<think>a</think> <answer>{row['answer']} {row['answer']}</answer>"
    assert 0 < score(r1.get_gym_reward(partial=True), hedge, gym=row["gym"]) < 1
    assert score(r1.gym_reward, hedge, gym=row["gym"]) == 0.0
    with pytest.raises(DataError, match="no_such_task"):
        score_gym("1", {"dataset": "no_such_task", "entry": {"answer": "1", "metadata": {}}})


@needs_gym
@pytest.mark.parametrize("task", ["countdown", "puzzle24", "n_queens", "spiral_matrix", "simple_integration"])
def test_gym_answers_that_are_code_do_nothing(task, tmp_path):
    from r1hf.verify.gym import gym_rows, score_gym

    (row,) = gym_rows(task, 1)
    made = tmp_path / "made"
    call = f"__import__('pathlib').Path({str(made)!r}).touch()"
    for answer in (
        call,
        f"[{call}]",
        "9**9**9**9",
        "().__class__.__base__.__subclasses__()",
        "(" * 3000,
        "preview(x)",
    ):
        assert score_gym(answer, row["gym"]) < 0.1
    assert not made.exists()
    assert score_gym(row["answer"], row["gym"]) == 1.0


@pytest.mark.skipif(GYM, reason="the extra `gym` is installed")
def test_gym_without_the_package_names_the_extra():
    task = {"entry": {"question": "", "answer": "1", "metadata": {"source_dataset": "chain_sum"}}}
    with pytest.raises(ConfigError, match="extra `gym`"):
        score(r1.gym_reward, "<think>a</think> <answer>1</answer>", gym=json.dumps(task))


def test_gym_rows_are_checked():
    from r1hf.verify.gym import score_gym, tagged, untagged

    for row in ("{}", "no json", {"entry": None}, {"entry": {"metadata": {}}}, "[]"):
        with pytest.raises(DataError, match="not a row of reasoning-gym"):
            score_gym("1", row)
    value = {"a": ((1, 2), [3, {"b": (4,)}]), "c": "()"}
    assert untagged(json.loads(json.dumps(tagged(value)))) == value


EVERY = [
    *(r1.choice_reward, r1.text_reward, r1.countdown_reward, r1.repetition_reward, r1.format_reward, r1.random_reward),
    *(r1.accuracy_reward, r1.language_consistency_reward, r1.get_overlong_reward(8, 4)),
    *(
        r1.guarded(r1.text_reward),
        r1.only_for(r1.text_reward, "t", ["t"]),
        r1.guarded(r1.only_for(r1.choice_reward, "t", "t")),
    ),
]
BATCH = {
    "prompts": ["?"] * 2,
    "completions": ["<think>so</think> <answer>B</answer>", say("<answer>C</answer>", reasoning_content="so")],
    "completion_ids": [[1] * 5, [1] * 9],
    **{"answer": ["B", "B"], "numbers": [[1], [1]], "target": [1, 1], "language": ["en", "en"], "task": ["t", "t"]},
}


def call(reward):
    return reward(**BATCH)


def test_rewards_cross_to_a_spawned_process():
    for reward in EVERY:
        assert pickle.loads(pickle.dumps(reward))(**BATCH) == reward(**BATCH)
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert list(pool.map(call, EVERY)) == [call(reward) for reward in EVERY]


def test_names_differ_and_end_alike():
    names = [
        getattr(r1, name).__name__ for name in r1.__all__ if name.endswith("_reward") and not name.startswith("get_")
    ]
    assert len(names) == len(set(names)) >= 9 and all(name.endswith("_reward") for name in names)
    factories = [name for name in r1.__all__ if name.startswith("get_")]
    assert all(callable(getattr(r1, name)) for name in factories) and len(factories) >= 11
    assert all(hasattr(r1, name) for name in r1.__all__)
