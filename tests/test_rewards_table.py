"""The key `rewards`: one table, functions of one's own, weights and options, all checked before a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_run import CPU, GRPO, ROOT, answered, arguments, log, manifest, recipe, run_recipe, write

from r1hf.core.config import parse
from r1hf.core.errors import ConfigError
from r1hf.rewards.declared import declared
from r1hf.rewards.guard import guarded
from r1hf.rewards.table import TABLE, build, from_options, weights_of

OWN = """
def brevity(completions, **columns):
    return [1 / (1 + len(text if isinstance(text, str) else text[-1]["content"])) for text in completions]

brevity.bounds = (0.0, 1.0)

def judge(completions, answer, **columns):
    return [float(gold in str(text)) for gold, text in zip(answer, completions)]

judge.outcome = True

class Longer:
    def __init__(self, most=10):
        self.most = most
        self.__name__ = "longer"

    def __call__(self, completions, **columns):
        return [min(1.0, len(str(text)) / self.most) for text in completions]

def accuracy_reward(completions, **columns):
    return [0.0] * len(completions)

def narrow(completions):
    return [0.0] * len(completions)

def nan(completions, **columns):
    return [float("nan")] * len(completions)

def stranger(completions, **columns):
    return columns["no_such_column"]

number = 3
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "my_rewards.py"
    path.write_text(OWN, encoding="utf-8")
    return path


def problems(directory: Path, rewards: Any, **given: Any) -> list[str]:
    """What the preflight of R1-Zero says of rewards, in a configuration in `directory`."""
    rows = [{key: row[key] for key in ("question", "answer", "language", "task")} for row in answered(16)]
    config = directory / "mine.yaml"
    values = {
        "model": "org/model",
        "output_dir": str(directory / "out"),
        "rewards": rewards,
        "prompt_template": "plain_en",
    }
    values |= {"prompts": str(write(directory / "rows.jsonl", rows)), **CPU, **GRPO, **given}
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    found = parse(recipe("r1_zero").CONFIGS, ["--config", str(config)])
    recipe("r1_zero").preflight(found)
    return found.problems


@pytest.mark.parametrize(
    "rewards",
    [
        {"accuracy": 1},
        {"accuracy": 1, "format": 0.1, "language": 0.2},
        {"accuracy": {"weight": 0.5, "tasks": ["reasoning"]}, "format": {"mode": "think_only"}},
        {"accuracy": 1, "format": -1},
        {"accuracy": 1, "my_rewards.py:brevity": 0.1, "my_rewards.py:Longer": {"weight": 0, "most": 5}},
        {"my_rewards.py:judge": 1, "code": 0},  # an outcome of one's own that says nothing of tasks judges them all
    ],
    ids=str,
)
def test_what_is_sound_passes(rewards: dict[str, Any], own: Path) -> None:
    assert problems(own.parent, rewards) == []
    assert weights_of({"a": 1, "b": {"mode": "x"}, "c": {"weight": 0.5}}) == {"a": 1.0, "b": 1.0, "c": 0.5}


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        ({"acuracy": 1}, "unknown reward 'acuracy'; did you mean 'accuracy'"),
        ({"helpful": 1}, "unknown reward 'helpful'"),
        ({"accuracy": 0, "format": 0}, "every reward counts 0"),
        ({}, "every reward counts 0"),
        ({"accuracy": "much"}, "accuracy: 'much' is no weight"),
        ({"accuracy": True}, "accuracy: True is no weight"),
        ({"accuracy": float("inf")}, "accuracy counts inf"),
        ({"accuracy": {"weight": None}}, "accuracy: None is no weight"),
        ({"format": {"mod": "think_only"}}, "rewards.format.mod: unknown key; did you mean 'mode'"),
        ({"format": {"mode": "thinking"}}, "rewards.format.mode: 'thinking'"),
        ({"overlong": 1, "accuracy": 1}, "rewards.overlong.max_completion_len: must be given"),
        ({"accuracy": {"tasks": "math"}}, "rewards.accuracy.tasks: 'math' is no list"),
        ({"choice": 1}, "task 'reasoning' is judged by no reward of this run; accuracy does"),
        ({"your_rewards.py:brevity": 1}, "there is no file your_rewards.py"),
        ({"my_rewards.py:brevty": 1}, "has no 'brevty'; did you mean 'brevity'"),
        ({"my_rewards.py:number": 1}, "is 3, which is no function"),
        ({"my_rewards.py:narrow": 1}, "must take **columns"),
        ({"my_rewards.py:nan": 1}, "returned nan for row 0"),
        ({"my_rewards.py:stranger": 1}, "raised KeyError: 'no_such_column'"),
        ({"my_rewards.py:brevity": {"most": 3}}, "is a function and takes no options"),
        ({"my_rewards.py:Longer": {"least": 3}}, "cannot be made with {'least': 3}"),
        ({"accuracy": 1, "my_rewards.py:accuracy_reward": 1}, "are all called accuracy_reward"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_before_the_run(rewards: dict[str, Any], said: str, own: Path) -> None:
    found = problems(own.parent, rewards)
    assert len([text for text in found if said in text]) == 1, found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:", "line 1: SyntaxError"),
        ("\nimport no_such_module", "line 2: ModuleNotFoundError"),
        ("exit(1)", "SystemExit"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    (found,) = problems(tmp_path, {"accuracy": 1, "mine.py:f": 1})
    assert said in found


GONE = ("weights", "format_mode", "code", "gate", "difficulty_sampling", "difficulty_wrong", "outcome_rewards")


@pytest.mark.parametrize("key", GONE)
def test_a_key_of_an_earlier_version_says_where_it_went(key: str, tmp_path: Path) -> None:
    found = problems(tmp_path, {"accuracy": 1}, **{key: {"accuracy": 1}})
    assert len(found) == 1 and (f"{key}: is now" in found[0] or f"{key}: is gone" in found[0])


def test_an_old_key_in_a_graph_is_named_with_its_place(tmp_path: Path) -> None:
    graph = tmp_path / "old.yaml"
    stage = {"config": str(ROOT / "recipes/configs/tiny/r1_zero.yaml"), "set": {"weights": {"accuracy": 1.0}}}
    graph.write_text(yaml.safe_dump({"run_dir": "runs/old", "stages": {"zero": stage}}), encoding="utf-8")
    found = parse(recipe("r1_zero").CONFIGS, ["--config", str(graph), "--stage", "zero"]).problems
    assert any(f"{graph}:" in text and "weights: is now rewards" in text for text in found), found


def test_all_that_is_wrong_is_said_together() -> None:
    with pytest.raises(ConfigError) as caught:
        build({"acuracy": 1, "format": {"mode": "x", "valeu": 1}, "choice": "a"})
    assert len(caught.value.problems) == 3


def test_each_declares_what_it_is() -> None:
    given = {"overlong": {"max_completion_len": 8, "soft_punish_cache": 4}}
    said = {name: declared(guarded(from_options(name, given.get(name, {})))) for name in TABLE if name != "gym"}
    outcomes = {"accuracy", "choice", "code", "countdown", "text"}
    assert (
        {name for name, one in said.items() if one.outcome} == outcomes == {n for n, one in said.items() if one.tasks}
    )
    assert all(one.bounds for one in said.values())
    assert {one.aspect for one in said.values()} >= {"format", "language", "length", "repetition", None}


def test_one_reward_brings_no_other() -> None:
    code = "import sys; from r1hf.rewards.table import build; build({'format': 1, 'accuracy': 1}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    far = ("r1hf.rewards.", "r1hf.sandbox", "torch", "trl")
    loaded = {name for name in done.stdout.split() if name.startswith(far)}
    wanted = {"_common", "accuracy", "declared", "format", "own", "question", "routing", "table"}
    assert loaded == {f"r1hf.rewards.{name}" for name in wanted}


def test_a_function_of_ones_own_trains_and_is_part_of_the_request(tiny_base: Path, own: Path) -> None:
    rewards = {f"{own}:judge": 1.0, f"{own}:brevity": 0.1}
    prompts = tiny_base / "data" / "train.jsonl"
    out = run_recipe(
        "r1_zero", model=tiny_base, prompts=prompts, output_dir=own.parent / "out", rewards=rewards, **GRPO
    )
    row = next(row for row in log(out) if "reward" in row)
    assert {"rewards/judge/mean", "rewards/brevity/mean", "completions/mean_length_wrong"} <= set(row)
    read = manifest(out)["inputs"]["rewards"]
    assert str(own) in str(read), read


@pytest.mark.parametrize("way", ["its own file", "a file that it extends", "the graph", "the command line"])
def test_a_function_of_ones_own_lies_beside_what_names_it(way: str, own: Path) -> None:
    chosen, tiny = {"my_rewards.py:judge": 1.0}, str(ROOT / "recipes/configs/tiny/r1_zero.yaml")
    (own.parent / "stages").mkdir()
    stage = own.parent / ("stages" if way == "a file that it extends" else ".") / "zero.yaml"
    base, graph = own.parent / "base.yaml", own.parent / "graph.yaml"
    base.write_text(yaml.safe_dump({"extends": tiny, "rewards": chosen}), encoding="utf-8")
    text = {"extends": "../base.yaml"} if stage.parent != own.parent else {"extends": tiny}
    stage.write_text(yaml.safe_dump(text | ({"rewards": chosen} if way == "its own file" else {})), encoding="utf-8")
    zero = {"config": tiny, "set": {"rewards": chosen}}
    graph.write_text(yaml.safe_dump({"run_dir": "runs/x", "stages": {"zero": zero}}), encoding="utf-8")
    words = ["--config", str(graph), "--stage", "zero"] if way == "the graph" else ["--config", str(stage)]
    words += ["--rewards={my_rewards.py:judge: 1.0}"] if way == "the command line" else []
    found = parse(recipe("r1_zero").CONFIGS, [*words, "--output_dir=o", "--model=org/m", "--prompts=org/p"])
    recipe("r1_zero").preflight(found)
    assert [text for text in found.problems if text.startswith("rewards")] == []
    assert [Path(path).resolve() for path in found.inputs["rewards"]] == [own]


def test_the_command_line_replaces_the_rewards(tmp_path: Path) -> None:
    found = parse(recipe("r1_zero").CONFIGS, arguments("r1_zero.yaml", rewards={"accuracy": 2}))
    assert found.configs[0].weights == {"accuracy": 2.0}
