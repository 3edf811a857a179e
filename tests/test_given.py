"""What a stage is given: its file, the graph that it is a stage of, the command line. Which wins; what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from small_run import CONFIGS, ROOT, recipe

from r1hf.commands.main import main
from r1hf.core.config import StageConfig, parse
from r1hf.core.errors import ConfigError
from r1hf.core.given import Said, is_dry, said, set_words
from r1hf.core.graph import load_graph
from r1hf.core.launch import Launch, read_launch
from r1hf.pipeline.check import read_stage, stage_job
from r1hf.pipeline.resolved import resolved

GRAPH = """\
run_dir: out
seed: 5
launch: fork
stages:
  first: {config: first.yaml}
  second:
    config: second.yaml
    set: {rate: 2}
    inputs:
      model: first/model
  third: {config: [second.yaml, more.yaml], inputs: {model: second}, launch: python}
  one: {config: shared.yaml, inputs: {model: first}}
  two: {config: shared.yaml, inputs: {model: second}}
"""
FILES = {
    "first": "recipe: sft\nrate: 1\n",
    "second": "recipe: sft\nrate: 1\ntext: a\n",
    "more": "text: b\n",
    "shared": "recipe: sft\n",
    "alone": "recipe: sft\noutput_dir: x\n",
}


@dataclass(kw_only=True)
class Config(StageConfig):
    model: str = field(metadata={"input": True})
    rate: float = 1.0
    text: str = ""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a graph and its files."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, pipeline=GRAPH, **FILES)
    return tmp_path


def written(directory: Path, **files: str) -> None:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")


def values(told: Said) -> dict[str, Any]:
    return {key: given.value for key, given in told.values.items()}


@pytest.mark.parametrize(
    ("words", "stage", "expected"),
    [
        ("--config first.yaml", "first", {"rate": 1, "output_dir": "out/first", "seed": 5}),
        (
            "--config second.yaml",
            "second",
            {"rate": 2, "text": "a", "model": "out/first/model", "output_dir": "out/second", "seed": 5},
        ),
        (
            "--config pipeline.yaml --stage third",
            "third",
            {"rate": 1, "text": "b", "model": "out/second", "output_dir": "out/third", "seed": 5},
        ),
        ("--config shared.yaml --stage two", "two", {"model": "out/second", "output_dir": "out/two", "seed": 5}),
        ("--config shared.yaml --model m --output_dir o", None, {"model": "m", "output_dir": "o"}),
        ("--config alone.yaml --seed 7", None, {"output_dir": "x", "seed": 7}),
        (
            "--config second.yaml --run_dir else --model m --seed=9 --rate 3",
            "second",
            {"rate": 3, "text": "a", "model": "m", "output_dir": "else/second", "seed": 9},
        ),
    ],
)
def test_the_layers(place: Path, words: str, stage: str | None, expected: dict[str, Any]) -> None:
    told = said(words.split())
    assert not told.problems and told.stage == stage and values(told) == expected


def test_by_hand_and_in_the_graph_a_stage_is_asked_for_the_same(place: Path) -> None:
    graph, problems = load_graph("pipeline.yaml", ROOT / "recipes")
    assert not problems
    for name in ("first", "second"):
        by_hand, run = (parse((Config,), words) for words in (["--config", f"{name}.yaml"], graph.arguments(name)))
        assert (by_hand.request, by_hand.inputs) == (run.request, run.inputs)


def test_each_value_has_the_file_and_line_that_it_came_from(place: Path) -> None:
    written(place, second="extends: more.yaml\nrecipe: sft\n\nrate: 1\n")
    told = said(["--config", "second.yaml", "--num_threads=2"])
    assert {key: given.where for key, given in told.values.items()} == {
        **{"text": "more.yaml:1", "rate": "pipeline.yaml:8", "model": "pipeline.yaml:10"},
        **{"output_dir": "pipeline.yaml:1", "seed": "pipeline.yaml:2", "num_threads": "command line"},
    }
    assert {key: given.where for key, given in told.about.items()} == {
        "recipe": "second.yaml:2",
        "launch": "pipeline.yaml:3",
    }


@pytest.mark.parametrize(
    ("files", "words", "expected"),
    [
        ({}, "--config pipeline.yaml", "say which of its stages with --stage NAME; there are: first, second"),
        ({}, "--config pipeline.yaml --stage secnd", "no stage 'secnd'; did you mean 'second'?"),
        ({}, "--config first.yaml --stage second", "--stage second: first.yaml is not the file of that stage in"),
        ({}, "--stage second", "--stage second: of which graph? add --config"),
        ({}, "--config alone.yaml --run_dir r --model m", "--run_dir r: only for a stage of a graph"),
        ({}, "--config nowhere.yaml --output_dir o --model m", "nowhere.yaml: cannot be read"),
        (
            {"second": "model: elsewhere\n"},
            "--config second.yaml",
            "second.yaml:1: model: 'elsewhere' here, and 'out/fi",
        ),
        ({"second": "seed: 6\n"}, "--config second.yaml", "second.yaml:1: seed: 6 here, and 5 by the graph"),
        (
            {"first": "output_dir: o\n"},
            "--config pipeline.yaml --stage first",
            "output_dir: 'o' here, and 'out/first'",
        ),
        (
            {"second": "launch: {nodes: 0}\n"},
            "--config second.yaml",
            "second.yaml:1: launch: nodes: 0 is not a number",
        ),
        (
            {"pipeline": "run_dir: r\nstages: {second: {config: second.yaml, sett: {}}}\n"},
            "--config second.yaml",
            "pipeline.yaml:2: unknown key 'sett'; did you mean 'set'?",
        ),
        (
            {"pipeline": "stages: {second: {config: second.yaml}}\n"},
            "--config second.yaml",
            "pipeline.yaml: run_dir is missing",
        ),
        (
            {"pipeline": "run_dir: r\nstages: {second: {config: second.yaml, inputs: {rate: a}, set: {rate: 1}}}\n"},
            "--config second.yaml",
            "set: rate is among the inputs too; keep one",
        ),
    ],
)
def test_what_is_refused(place: Path, files: dict[str, str], words: str, expected: str) -> None:
    written(place, **files)
    assert any(expected in text for text in parse((Config,), words.split()).problems), parse(
        (Config,), words.split()
    ).problems


def test_what_a_file_repeats_of_the_graph_is_no_conflict_and_the_command_line_settles_one(place: Path) -> None:
    written(place, second="model: out/first/model\nseed: 6\n")
    assert not said(["--config", "second.yaml", "--seed", "8"]).problems


def test_a_file_of_several_stages_says_what_it_needs(place: Path) -> None:
    problems = parse((Config,), ["--config", "shared.yaml"]).problems
    assert len(problems) == 3 and "model is missing" in problems[1]
    assert problems[2].endswith("name one with --config pipeline.yaml --stage one")
    assert "is the only file of no stage in pipeline.yaml" in parse((Config,), ["--config", "more.yaml"]).problems[-1]
    assert not parse((Config,), ["--config", "shared.yaml", "--model=m", "--output_dir=o"]).problems


def test_a_graph_that_is_broken_stands_in_nobodys_way_who_does_not_need_it(place: Path) -> None:
    written(place, pipeline="stages: [\n")
    assert not parse((Config,), ["--config", "alone.yaml", "--model", "m"]).problems


def test_a_graph_that_extends_another_changes_its_stages_key_by_key(place: Path) -> None:
    (place / "lora").mkdir()
    written(
        place / "lora",
        pipeline="extends: ../pipeline.yaml\nrun_dir: other\nmore_stages:\n  second: {set: {rate: 3}}\n",
    )
    told = said(["--config", "lora/pipeline.yaml", "--stage", "second"])
    assert not told.problems
    assert values(told) == {
        "rate": 3,
        "text": "a",
        "model": "other/first/model",
        "output_dir": "other/second",
        "seed": 5,
    }
    assert told.values["rate"].where == "lora/pipeline.yaml:4" and told.values["model"].where == "pipeline.yaml:10"


def test_set_and_dry_run() -> None:
    assert set_words(["a=1", "b-c=x=y"]) == ["--a=1", "--b-c=x=y"]
    with pytest.raises(ConfigError, match="2 problems(.|\n)*--set =1: write KEY=VALUE(.|\n)*--set weights"):
        set_words(["a=1", "=1", "weights"])
    for words, expected in {
        "--dry_run": True,
        "--dry-run=no": False,
        "--x 1 --dry-run true": True,
        "--x": False,
    }.items():
        assert is_dry(words.split()) is expected


# `launch:`


@pytest.mark.parametrize(
    ("value", "processes", "start"),
    [
        (None, 1, []),
        ("python", 1, []),
        ("fork", 1, []),
        ({"accelerate": "eight.yaml"}, 8, ["--config_file", "eight.yaml"]),
        ({"accelerate": "eight.yaml", "processes": 4}, 4, ["--config_file", "eight.yaml", "--num_processes", "4"]),
        ({"accelerate": "eight.yaml", "nodes": 3}, 24, ["--config_file", "eight.yaml"]),
        ({"processes": 2}, 2, ["--num_processes", "2"]),
    ],
)
def test_launches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, processes: int, start: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, eight="num_processes: 8\n")
    problems: list[str] = []
    launch = read_launch(value, Path(), "x.yaml:1", problems)
    assert not problems and launch.processes == processes and launch.fork == (value == "fork")
    assert launch.start()[1:] == (["-m", "accelerate.commands.launch", *start] if start else [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("slurm", "'slurm' is not one of python, fork and {accelerate: FILE}"),
        ({}, "{} is not one of python"),
        (8, "8 is not one of"),
        ({"proceses": 8}, "unknown key 'proceses'; did you mean 'processes'?"),
        ({"processes": "8"}, "processes: '8' is not a number of processes"),
        ({"processes": True}, "processes: True is not a number"),
        ({"nodes": -1}, "nodes: -1 is not a number of nodes"),
        ({"accelerate": "none.yaml"}, "there is no file none.yaml"),
        ({"accelerate": 3}, "3 is not a file"),
        ({"processes": 9, "nodes": 2}, "9 processes cannot be shared evenly by 2 nodes"),
    ],
)
def test_launches_that_are_refused(value: Any, expected: str) -> None:
    problems: list[str] = []
    assert read_launch(value, Path(), "x.yaml:1", problems).nodes >= 1
    assert len(problems) == 1 and problems[0].startswith("x.yaml:1: launch: ") and expected in problems[0]


def test_the_nearest_launch_wins_and_a_comment_launches_nothing(place: Path) -> None:
    written(
        place, eight="num_processes: 8\n", first="# accelerate launch --num_processes 4 recipes/sft.py\nrecipe: sft\n"
    )
    written(place, second="recipe: sft\nlaunch: {accelerate: eight.yaml}\n")
    found = {
        name: said(["--config", "pipeline.yaml", "--stage", name]).launch for name in ("first", "second", "third")
    }
    assert found == {"first": Launch(fork=True), "second": Launch(Path("eight.yaml"), 8), "third": Launch()}
    graph, _ = load_graph("pipeline.yaml", ROOT / "recipes")
    assert {name: graph.stages[name].launch for name in found} == found


# `r1hf check --resolved`


def test_every_value_that_a_stage_gets_with_its_origin() -> None:
    words = ["--config", str(CONFIGS / "pipeline.yaml"), "--stage", "student_qwen_direct_rl", "--learning_rate=1e-4"]
    _, parsed, _ = read_stage(stage_job(ROOT / "recipes" / "r1_zero.py", words, planned=["model", "prompts"]))
    assert parsed is not None
    found = resolved(parsed)
    final = parsed.resolved()
    assert {key: origin.value for key, origin in found.items()} == final
    for key, (file, text) in {
        "max_steps": ("tiny/pipeline.yaml", "max_steps: 60"),
        "model": ("tiny/pipeline.yaml", "inputs: {model: student_qwen_base"),
        "num_generations": ("tiny/r1_zero.yaml", "num_generations: 8"),
        "seed": ("tiny/pipeline.yaml", "seed: 42"),
        "beta": ("r1hf/trainers/grpo.py", "beta: "),
        "max_prompt_length": ("r1hf/trainers/rl.py", "max_prompt_length: "),
    }.items():
        path, _, number = found[key].where.rpartition(":")
        assert path.endswith(file), found[key]
        assert text in (ROOT / path).read_text(encoding="utf-8").splitlines()[int(number) - 1]
    assert (found["learning_rate"].value, found["learning_rate"].where) == (1e-4, "command line")
    assert found["generation_batch_size"].kind == "worked out" and found["beta"].kind == "default"
    assert found["weight_decay"].where.startswith("transformers/training_args.py:")


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    graph = str(CONFIGS.parent / "qwen2.5-0.5b" / "lora" / "pipeline.yaml")
    assert main(["check", graph, "--resolved", "--stages", "sft1", "--set", "sft1.max_length=99"]) == 0
    said = capsys.readouterr().out
    lines = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert "99" in lines["max_length"] and lines["max_length"].endswith("command line")
    assert lines["lora_r"].split()[1] == "64" and "lora/sft.yaml:3" in lines["lora_r"]
    assert lines["data"].split()[1] == "runs/qwen2.5-0.5b-lora/cold_start/data.jsonl"
    assert "qwen2.5-0.5b/sft.yaml" in lines["recipe"] and "1 process" in lines["launch"]
    assert main(["check", graph, "--resolved", "--stages", "sft1", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["stages"]["sft1"]["values"]
    assert values["use_peft"] == {"value": True, "where": values["use_peft"]["where"], "kind": "given"}
    assert (
        main(["check", graph, "--resolved", "--stages", "sft9"]) == 2 and "no stage 'sft9'" in capsys.readouterr().err
    )
    own = tmp_path / "sft.yaml"
    own.write_text("model: Qwen/Qwen2.5-0.5B\nhub_token: hf_0123456789abcdefghij\n", encoding="utf-8")
    assert main(["check", str(own), "--resolved", "--set", "learning_rate=fast"]) == 1
    said = capsys.readouterr().out
    assert "learning_rate: 'fast' is not a number" in said and "output_dir is missing" in said and "hf_0" not in said


def test_a_recipe_started_with_a_graph_and_a_stage_that_is_there_lacks_only_its_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        recipe("sft").main(["--config", str(CONFIGS / "pipeline.yaml"), "--stage", "sft2", "--run_dir", "mine"])
    assert [text.split(": ")[0] for text in caught.value.problems] == ["model", "data"]
    assert "--run_dir mine --until rejection_sampling" in caught.value.problems[1]
