"""Rewards: for each a list of passes and a list of cheats, in every shape TRL hands over."""

import pickle
from types import SimpleNamespace

import pytest
from tables import each

from r1hf.core.errors import ConfigError, DataError
from r1hf.rewards import (
    accuracy_reward,
    build,
    format_reward,
    get_accuracy_reward,
    get_format_reward,
    get_language_consistency_reward,
    get_random_reward,
    language_consistency_reward,
    only_for,
    random_reward,
)

QUESTION = "What is 2 + 3 * 4?"
GOOD = "<think>3 * 4 = 12, 2 + 12 = 14</think> <answer>14</answer>"


def say(content, **fields):
    return [{"role": "assistant", "content": content, **fields}]


def score(reward, completion, prompt=QUESTION, **columns):
    lists = {name: [value] for name, value in columns.items()}
    return reward(prompts=[prompt], completions=[completion], completion_ids=[[1]], **lists)[0]


RIGHT = [
    GOOD,
    "<answer>14</answer>",
    "<think>a</think> <answer>\n 14.0 \n</answer>",
    "<think>a</think> <answer>The answer is 14.</answer>",
    "<think>a</think> The answer is 14.",
    "<think>a</think> \\boxed{\\frac{28}{2}}",
    "| special_token | a | special_token | Summary: 答案是 １４。",
    "<think>it may be 15</think> <answer>14</answer>",
    say(GOOD),
    say("<answer>14</answer>", reasoning_content="3 * 4 = 12"),
    say("The answer is 14.", reasoning="3 * 4 = 12"),
    [{"role": "assistant", "content": "calling"}, {"role": "tool", "content": "7"}, *say("<answer>14</answer>")],
    say([{"type": "text", "text": GOOD}]),
]
WRONG = [
    "",
    "14",
    "<think>14</think>",
    "<think>The answer is 14.</think> <answer>15</answer>",
    "<think><answer>14</answer></think> <answer>15</answer>",
    "<think>a <answer>14</answer>",
    "<think>a</think> <answer>140</answer>",
    "<think>a</think> <answer>-14</answer>",
    "<think>a</think> <answer>14 or 15</answer>",
    "<think>a</think> <answer>13, 14, 15</answer>",
    "<think>a</think> <answer>13</answer> <answer>14</answer>",
    "<think>a</think> <answer>14</answer> <answer>13</answer>",
    "<think>a</think> <answer>\\boxed{13} \\boxed{14}</answer>",
    "<think>a</think> <answer>2 + 3 * 4</answer>",
    "<think>a</think> <answer>14",
    "<think>a</think> <answer>14<answer>",
    "<think>a</think> The answer is 13. The answer is 14.",
    say(""),
    say(None),
    say("15", reasoning_content="14"),
    say("", reasoning_content="The answer is 14."),
    [{"role": "user", "content": GOOD}],
    [],
]


@each("completion", RIGHT)
def test_accuracy_passes(completion):
    assert score(accuracy_reward, completion, answer="14") == 1.0


@each("completion", WRONG)
def test_accuracy_cheats(completion):
    assert score(accuracy_reward, completion, answer="14") == 0.0


@pytest.mark.parametrize("gold", [None, "", float("nan"), "???"])
def test_accuracy_without_a_gold_answer_is_no_judgement(gold):
    assert score(accuracy_reward, GOOD, answer=gold) is None
    assert score(accuracy_reward, "", answer=gold) is None


@pytest.mark.parametrize("gold", [14, 14.0, "14", " 14 "])
def test_accuracy_takes_gold_numbers(gold):
    assert score(accuracy_reward, GOOD, answer=gold) == 1.0


def test_accuracy_after_a_prefilled_tag():
    reward = get_accuracy_reward(prefilled=True)
    assert score(reward, "3 * 4 = 12</think> <answer>14</answer>", answer="14") == 1.0
    assert score(reward, say("\n14", reasoning_content="a"), answer="14") == 1.0
    assert score(reward, "<answer>14</answer>", answer="14") == 0.0


def test_accuracy_names_the_missing_column():
    with pytest.raises(DataError, match="'answer'.*language"):
        score(accuracy_reward, GOOD, language="en")
    assert score(get_accuracy_reward(answer_column="gold"), GOOD, gold="14") == 1.0


FORMED = [
    GOOD,
    f"\n{GOOD}\n",
    "<think>\na\n\nb\n</think>\n<answer>\n14\n</answer>",
    say(GOOD),
    say(" <answer>14</answer>", reasoning_content="a"),
]
MALFORMED = [
    "",
    "<answer>14</answer>",
    "<think></think> <answer>14</answer>",
    "<think> \n </think> <answer>14</answer>",
    "<think>\u200b</think> <answer>14</answer>",
    "<think>a</think> <answer> </answer>",
    f"{GOOD} and more",
    f"{GOOD}\n{GOOD}",
    f"Sure. {GOOD}",
    "<think><think>a</think></think> <answer>14</answer>",
    "<think>a</think> so <answer>14</answer>",
    "<answer>14</answer> <think>a</think>",
    "<think>a</think> <answer>14",
    say(None),
    say(GOOD, reasoning_content="a"),
    say("<answer>14</answer>", reasoning_content="a</think><think>b"),
]


@pytest.mark.parametrize("completion", FORMED, ids=range(len(FORMED)))
def test_format_passes(completion):
    assert score(format_reward, completion) == 1.0
    assert score(get_format_reward(mode="think_only", value=0.1), completion) == 0.1


@each("completion", MALFORMED)
def test_format_cheats(completion):
    assert score(format_reward, completion) == 0.0


def test_format_after_a_prefilled_tag():
    reward = get_format_reward(prefilled=True)
    assert score(reward, "a</think> <answer>14</answer>") == 1.0
    assert score(reward, say("<answer>14</answer>", reasoning_content="a")) == 1.0
    assert score(reward, GOOD) == 0.0
    assert score(reward, "</think> <answer>14</answer>") == 0.0


def test_format_of_an_unknown_mode_fails_when_it_is_made():
    with pytest.raises(ConfigError, match="think_anwser"):
        get_format_reward(mode="think_anwser")


def think(thought, answer="14"):
    return f"<think>{thought}</think> <answer>{answer}</answer>"


@each(
    "completion, language, share",
    [
        (think("first multiply 3 * 4"), "en", 1.0),
        (think("先算乘法 3 * 4"), "zh", 1.0),
        (think("先算乘法 3 * 4", "The answer is 14."), "zh", 1.0),
        (say("14", reasoning_content="先算乘法"), "zh", 1.0),
        (think("first 先算 multiply"), "en", 0.5),
        (think("先算乘法"), "en", 0.0),
        ("<think>first multiply and", "en", 1.0),
        # Cheats: the other language in disguise.
        (think("先 $we multiply these first$"), "zh", 0.2),
        (think("先 `we multiply these first`"), "zh", 0.2),
        (think("先 \\we \\multiply \\these \\first"), "zh", 0.2),
        # Nothing to judge.
        (think("3 * 4 = 12"), "en", 1.0),
        (think(""), "en", None),
        ("<answer>first multiply</answer>", "en", None),
        ("first multiply", "en", None),
        ("", "en", None),
    ],
)
def test_language_of_the_thought(completion, language, share):
    assert score(language_consistency_reward, completion, language=language) == pytest.approx(share)


def test_language_of_everything():
    reward = get_language_consistency_reward(scope="all")
    assert score(reward, think("先算乘法", "so"), language="zh") == pytest.approx(0.8)
    assert score(reward, "先算乘法", language="zh") == 1.0
    assert score(reward, "<think></think>", language="zh") is None
    with pytest.raises(ConfigError, match="answers"):
        get_language_consistency_reward(scope="answers")


def test_a_thought_without_words_is_paid_as_one_in_the_right_words_but_no_thought_never_is():
    """A None weighs as a zero within a group: words would be worth adding to formulas."""
    reward = get_language_consistency_reward()
    assert score(reward, think("first 3 * 4 = 12"), language="en") == 1.0
    assert score(reward, think("3 * 4 = 12"), language="en") == 1.0
    assert score(reward, think(" \u200b "), language="en") is None
    assert score(reward, "<answer>14</answer>", language="en") is None


@each(
    "prompt, language",
    [
        (QUESTION, "en"),
        ("2 + 3 * 4 等于多少？", "zh"),
        ("The Assistant thinks first. User: 2 + 3 * 4 等于多少？. Assistant:", "zh"),
        ("用户：What is 2 + 3 * 4?\n助手：\n", "en"),
        ("Problem: What is 1 + 1?\nSolution: 2\n\nProblem: 2 + 3 * 4 等于多少？\nSolution:", "zh"),
        ([{"role": "system", "content": "Think in English."}, {"role": "user", "content": "等于多少？"}], "zh"),
    ],
)
def test_language_is_that_of_the_question(prompt, language):
    thoughts = {"en": think("first multiply"), "zh": think("先算乘法")}
    for spoken, completion in thoughts.items():
        expected = 1.0 if spoken == language else 0.0
        assert score(language_consistency_reward, completion, prompt) == expected
        assert score(language_consistency_reward, completion, prompt, language=None) == expected


def test_question_without_words_gives_no_target():
    assert score(language_consistency_reward, think("first multiply"), "2 + 3 * 4 = ?") is None


def batch(tasks, completions=None, **columns):
    count = len(tasks)
    completions = completions or [GOOD] * count
    return {"prompts": [QUESTION] * count, "completions": completions, "completion_ids": [[1]] * count} | (
        {"task": tasks, "answer": ["14"] * count} | columns
    )


def test_routes_give_none_to_rows_of_other_tasks():
    chosen = {"accuracy": 1, "format": 1, "random": {"tasks": ["general"], "probability": 1.0}}
    rewards = build(chosen)
    assert [reward.__name__ for reward in rewards.values()] == ["accuracy_reward", "format_reward", "random_reward"]
    rows = batch(["reasoning", "general", "reasoning"], [GOOD, "hello", "<answer>15</answer>"])
    assert [reward(**rows) for reward in rewards.values()] == [[1.0, None, 0.0], [1.0, 0.0, 0.0], [None, 1.0, None]]


def test_routed_reward_sees_only_its_rows():
    seen = {}

    def spy(prompts, completions, completion_ids=None, **columns):
        seen.update(columns, completions=completions, ids=completion_ids)
        columns["log_extra"]("kind", ["b"])
        columns["log_metric"]("share", 0.5)
        return [0.25]

    logged = []
    reward = only_for(spy, "b", ["a", "b"])
    state = SimpleNamespace(global_step=3)
    rows = batch(
        ["a", "b"], ["one", "two"], log_extra=lambda *a: logged.append(a), log_metric=lambda *a: logged.append(a)
    )
    assert reward(**rows, trainer_state=state) == [None, 0.25]
    assert seen["completions"] == ["two"] and seen["ids"] == [[1]] and seen["answer"] == ["14"]
    assert seen["trainer_state"] is state
    assert logged == [("kind", [None, "b"]), ("share", 0.5)]


def test_routed_reward_is_not_called_without_rows():
    def broken(**_):
        raise AssertionError("called")

    assert only_for(broken, "b", ["a", "b"])(**batch(["a", "a"])) == [None, None]


@pytest.mark.parametrize("task", ["reasonning", None, ""])
def test_unrouted_task_is_an_error_naming_row_and_tasks(task):
    reward = only_for(accuracy_reward, "reasoning", ["reasoning", "general"])
    with pytest.raises(DataError, match=f"row 1 .*{task!r}.*reasoning, general"):
        reward(**batch(["reasoning", task]))


def test_routing_mistakes():
    with pytest.raises(ConfigError, match="'math' is not among .*reasoning"):
        only_for(accuracy_reward, "math", ["reasoning"])
    with pytest.raises(DataError, match="column 'task'"):
        only_for(format_reward, "a", ["a"])(prompts=[""], completions=[""])
    with pytest.raises(DataError, match="short returned 0 rewards for 1"):
        reward = only_for(lambda **_: [], "a", ["a"])
        reward.reward.__name__ = "short"
        reward(**batch(["a"]))


def test_random_reward_is_fixed_by_the_text():
    completions = [f"<answer>{number}</answer>" for number in range(400)]
    rows = {"prompts": [QUESTION] * 400, "completions": completions}
    first = random_reward(**rows)
    assert first == random_reward(**rows)
    assert first == random_reward(**{name: values[::-1] for name, values in rows.items()})[::-1]
    assert set(first) == {0.0, 1.0} and 140 < sum(first) < 260
    assert first != get_random_reward(seed=1)(**rows)
    assert sum(get_random_reward(probability=0.1)(**rows)) < 80
    assert random_reward([[{"role": "user", "content": "2"}]], [say("x")]) != [None]


EVERY = [
    accuracy_reward,
    format_reward,
    language_consistency_reward,
    random_reward,
    get_accuracy_reward(prefilled=True),
    get_format_reward(mode="think_only", value=0.1),
    get_language_consistency_reward(empty=1.0),
    get_random_reward(seed=3),
    only_for(get_format_reward(), ["a"], ["a", "b"]),
]


@each("reward", EVERY, ids=lambda reward: reward.__name__)
def test_pickled_and_named(reward):
    again = pickle.loads(pickle.dumps(reward))
    rows = batch(["a", "b"], [GOOD, "nonsense"], language=["en", "en"])
    assert again(**rows) == reward(**rows)
    assert again.__name__ == reward.__name__
    assert reward.__name__.endswith("_reward")


@pytest.mark.parametrize("reward", EVERY, ids=lambda reward: reward.__name__)
def test_trl_names_and_calls_it(reward):
    name_of = pytest.importorskip("trl.trainer.utils").get_callable_name
    assert name_of(reward) == reward.__name__
    rows = batch(["a"], language=["en"], trainer_state=SimpleNamespace(), log_extra=print, log_metric=print)
    rewards = reward(**rows)
    assert len(rewards) == 1 and (rewards[0] is None or isinstance(rewards[0], float))
