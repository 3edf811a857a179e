"""Where a stage may write: whatever `--output_dir` says, nothing that a person or another stage made is lost."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_run import BASE, GRPO, MODELS, ROOT, SFT, answered, arguments, as_script, run_recipe, write
from test_recipe_inputs import EVERY

import r1hf
from r1hf.core.config import parse
from r1hf.core.errors import ConfigError, StageError
from r1hf.core.files import sibling
from r1hf.core.places import output_problems
from r1hf.pipeline.command import main as pipeline
from r1hf.stage.directory import REPLACED, recover
from r1hf.stage.manifest import MANIFEST, sha256_file, verify
from r1hf.stage.stage import Stage
from r1hf.world import general

Files = dict[str, str]
STAGE = ROOT / "tests" / "dummy_recipes" / "make.py"


def contents(directory: Path) -> Files:
    return {
        str(path.relative_to(directory)): sha256_file(path) for path in sorted(directory.rglob("*")) if path.is_file()
    }


# Every recipe: an output that is, holds or lies in an input


@pytest.fixture
def world(tiny_base: Path, tmp_path: Path) -> Path:
    """A run with a base, its data, and a link to it: what a stage reads."""
    shutil.copytree(tiny_base, tmp_path / "runs" / "base")
    (tmp_path / "runs" / "link").symlink_to("base")
    write(tmp_path / "runs" / "rows.jsonl", [row | {"id": n} for n, row in enumerate(answered(40))])
    write(tmp_path / "runs" / "general.jsonl", [prompt.row() for prompt in general.training_prompts()[:20]])
    return tmp_path / "runs"


def inputs_of(name: str, world: Path) -> dict[str, Any]:
    """Inputs with which the recipe would really run; all lie in `world`."""
    base, rows = world / "base", world / "rows.jsonl"
    data = base / "data"
    return {
        "base": {"models": MODELS, **BASE},
        "sft": {"model": base, "data": rows, **SFT},
        "distill": {"model": base / "student_llama_base", "data": rows, **SFT},
        "r1_zero": {"model": base, "prompts": rows, **GRPO},
        "reasoning_rl": {"model": base, "prompts": rows, **GRPO},
        "all_scenario_rl": {
            **{"model": base, "prompts": rows, "general_prompts": world / "general.jsonl", **GRPO},
            **{"helpful_model": base, "harmless_model": base},
        },
        "cold_start": {"model": base, "zero": base, "prompts": rows, "problems": 2, "samples": 1},
        "rejection_sampling": {"model": base, "prompts": rows, "general": rows, "samples": 1},
        "reward_models": {
            "model": base,
            **{key: data / "helpful_pairs.jsonl" for key in ("helpful", "helpful_test")},
            **{key: data / "harmless.jsonl" for key in ("harmless", "harmless_test")},
        },
        "on_policy_distill": {"model": base, "teacher": base / "student_llama_base", "prompts": rows},
        "evaluate": {
            "models": json.dumps([str(base)]),
            "prompts": rows,
            "longer_prompts": None,
            "general_prompts": None,
        },
    }[name]


CONFIGURATIONS = {stage.recipe.stem: stage.config.name for stage in EVERY.values()}


@pytest.mark.parametrize("name", sorted(CONFIGURATIONS))
@pytest.mark.parametrize("place", ["base", "base/new/one", ".", "base/", "other/../base", "link", "base/data"])
def test_no_recipe_writes_over_what_it_reads(name: str, place: str, world: Path) -> None:
    if name == "base" and place in ("base", "base/", "other/../base", "link"):
        return  # made again by its own recipe
    before = contents(world.parent)
    with pytest.raises((ConfigError, StageError)) as caught:
        run_recipe(name, CONFIGURATIONS[name], **inputs_of(name, world), output_dir=f"{world}/{place}")
    told = str(caught.value)
    assert "output_dir: " in told or (name == "base" and "no stage made it" in told), told
    assert contents(world.parent) == before and not list(world.rglob("*.partial"))


def test_a_base_replaces_the_base_and_another_place_is_written(world: Path) -> None:
    run_recipe("base", models=MODELS, **BASE, output_dir=world / "base")
    before = contents(world / "base")
    run_recipe("sft", **inputs_of("sft", world), output_dir=world / "sft")
    assert verify(world / "sft") and contents(world / "base") == before


def test_as_a_person_meets_it(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(world)
    given = inputs_of("r1_zero", world) | {"output_dir": world / "base"}
    assert as_script("r1_zero", arguments("r1_zero.yaml", **given), monkeypatch) == 2
    assert "is the input model: the stage would replace it" in capsys.readouterr().err
    assert contents(world) == before


# The rule


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "work" / "model" / "part").mkdir(parents=True)
    (tmp_path / "work" / "rows.jsonl").write_text("{}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize(
    ("output", "reads", "said"),
    [
        ("model", "model", "is the input x"),
        ("./model/", "model", "is the input x"),
        ("model/part/..", "model", "is the input x"),
        ("out/../model", "../work/model", "is the input x"),
        ("model", "model/part", "holds the input x"),
        ("model", "model/part/none/yet", "holds the input x"),
        ("model/out", "model", "lies in the input x"),
        ("planned", "planned/base", "holds the input x"),
        ("planned/base", "planned/base", "is the input x"),
        ("rows.jsonl", "rows.jsonl", "is the input x"),
        ("a", "a.partial", "has its work written to a.partial"),
        ("a", "a.old/model", "has its work written to a.old"),
        ("~/model", "m", "is not the path"),
        (" ", "m", "is not the path"),
        ("a\0b", "m", "is not the path"),
        ("x" * 5000, "m", "is not the path"),
        (".", "m", "is the working directory"),
        ("..", "m", "holds the working directory"),
        ("/", "m", "is the root of the file system"),
        ("../home", "m", "is your home directory"),
        (str(ROOT), "m", "is the repository"),
        (str(ROOT.parent), "m", "holds the repository"),
        (str(Path(r1hf.__file__).parent / "out"), "m", "lies in r1hf's own code"),
    ],
)
def test_a_bad_place_is_named(place: Path, output: str, reads: str, said: str) -> None:
    assert any(said in problem for problem in output_problems(output, [("x", reads)]))


@pytest.mark.parametrize("output", ["out", "model2", "runs/model", "rows", "model.new", "../other/model"])
def test_a_place_of_its_own_is_fine(place: Path, output: str) -> None:
    assert output_problems(output, [("x", "model"), ("y", "rows.jsonl")], [("c", "config.yaml")]) == []


def test_links_do_not_hide_what_they_name(place: Path) -> None:
    (place / "alias").symlink_to("model")
    (place / "up").symlink_to(place)
    for output, reads in (("alias", "model"), ("model", "alias"), ("up/model", "model"), ("up/alias/new", "model")):
        assert output_problems(output, [("x", reads)]), (output, reads)


def test_a_file_system_without_case_hides_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another spelling is another name of the same directory, as a hard link to a file is here."""
    os.link(place / "rows.jsonl", place / "ROWS.jsonl")
    assert any("is the input" in problem for problem in output_problems("ROWS.jsonl", [("x", "rows.jsonl")]))


def test_the_configuration_and_what_it_names_are_kept(place: Path) -> None:
    from r1hf.trainers.rl import RLConfig

    (place / "mine").mkdir()
    (place / "mine" / "template.txt").write_text("{prompt}")
    (place / "mine" / "shared.yaml").write_text("seed: 1\n")
    (place / "other.yaml").write_text("extends: mine/shared.yaml\nmodel: a/b\nprompts: c/d\n")
    (place / "mine" / "run.yaml").write_text("model: a/b\nprompts: c/d\n")

    def problems(config: str, *words: str) -> list[str]:
        return [text for text in parse((RLConfig,), ["--config", config, *words]).problems if "output_dir" in text]

    assert "holds its configuration (mine/run.yaml)" in problems("mine/run.yaml", "--output_dir", "mine")[0]
    assert "holds its configuration (mine/shared.yaml)" in problems("other.yaml", "--output_dir", "mine")[0]
    template = ["--prompt_template", "{en: mine/template.txt}", "--output_dir", "mine"]
    assert any("holds prompt_template" in text for text in problems("other.yaml", *template))
    assert problems("mine/run.yaml", "--output_dir", "mine/out") == []


# What is there already


def staged(directory: Path, text: str = "x") -> Path:
    with Stage(parse((stage_config(),), ["--output_dir", str(directory)]), recipe=STAGE) as stage:
        (stage.work / "out.txt").write_text(text)
        stage.finish({})
    return directory


def stage_config() -> type:
    from r1hf.core.config import StageConfig

    return StageConfig


@pytest.mark.parametrize("name", ["notes.txt", ".git/HEAD", "sub/more/notes.txt", "trainer/mine"])
def test_files_that_came_to_a_stage_are_not_deleted_with_it(tmp_path: Path, name: str) -> None:
    directory = staged(tmp_path / "base")
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text("years of work")
    before = contents(tmp_path)
    with pytest.raises(StageError, match=f"files that its stage did not make .*: {name}; move them away"):
        staged(directory, "new")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", [".DS_Store", ".cache/huggingface/x", "__pycache__/a.pyc"])
def test_what_tools_leave_everywhere_is_no_work(tmp_path: Path, name: str) -> None:
    directory = staged(tmp_path / "base")
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text("")
    assert verify(staged(directory, "new")) and [path.name for path in tmp_path.iterdir()] == ["base"]


@pytest.mark.parametrize("name", ["base.old", "base.partial", "base.lock"])
@pytest.mark.parametrize("made", [True, False])
def test_a_persons_file_under_a_stages_names_is_kept(tmp_path: Path, name: str, made: bool) -> None:
    if made:
        staged(tmp_path / "base")
    if name == "base.lock":
        (tmp_path / name).write_text("poetry's or uv's\n")
    else:
        (tmp_path / name).mkdir()
        (tmp_path / name / "backup.txt").write_text("years of work")
    before = contents(tmp_path)
    with pytest.raises(StageError, match="move it away"):
        staged(tmp_path / "base", "new")
    assert contents(tmp_path) == before


def test_a_copy_kept_as_old_is_no_stages_to_delete(tmp_path: Path) -> None:
    shutil.copytree(staged(tmp_path / "base"), tmp_path / "base.old")
    before = contents(tmp_path)
    with pytest.raises(StageError, match=r"base.old exists, .*move it away"):
        staged(tmp_path / "base", "new")
    assert contents(tmp_path) == before


def test_the_output_of_another_recipe_is_not_replaced(tmp_path: Path) -> None:
    """`sft --output_dir runs/base` with a model from the Hub: no input, and all of the base's data."""
    staged(tmp_path / "base")
    before = contents(tmp_path)
    with pytest.raises(StageError, match="is the output of dummy_recipes/make.py, not of tests/other.py"):
        with Stage(parse((stage_config(),), ["--output_dir", str(tmp_path / "base")]), recipe="tests/other.py"):
            pass
    assert contents(tmp_path) == before


def test_a_manifest_of_another_tool_makes_no_stage(tmp_path: Path) -> None:
    for content in ('{"name": "an app"}', "no json", "[]"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / MANIFEST).write_text(content)
        with pytest.raises(StageError, match="no stage made it"):
            staged(tmp_path / "mine")
        assert (tmp_path / "mine" / MANIFEST).read_text() == content


def test_finished_work_never_replaces_a_persons_directory(tmp_path: Path) -> None:
    """A run was killed before its work got its place, and something else came there."""
    staged(tmp_path / "base").rename(tmp_path / "base.partial")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "thesis.txt").write_text("years of work")
    before = contents(tmp_path)
    for _ in range(2):
        with pytest.raises(StageError, match="no stage made it"):
            staged(tmp_path / "base", "new")
        with pytest.raises(StageError, match="no stage made it"):
            recover(tmp_path / "base")
        assert contents(tmp_path) == before


def test_a_file_that_comes_during_the_run_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = staged(tmp_path / "base")
    with Stage(parse((stage_config(),), ["--output_dir", str(directory)]), recipe=STAGE) as stage:
        (stage.work / "out.txt").write_text("new")
        (directory / "thesis.txt").write_text("years of work")
        stage.finish({})
    assert (directory / "out.txt").read_text() == "new"
    assert (tmp_path / "base.old" / "thesis.txt").read_text() == "years of work"
    assert "base.old is kept: no stage made thesis.txt" in capsys.readouterr().err
    assert not (tmp_path / "base.old" / REPLACED).exists()


def test_a_link_to_another_disk_stays_one(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "base").symlink_to("disk/real")
    for text in ("one", "two"):
        staged(tmp_path / "base", text)
        assert (tmp_path / "base").is_symlink() and (tmp_path / "disk" / "real" / "out.txt").read_text() == text
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["base", "disk", MANIFEST, "out.txt", "real"]


@pytest.mark.parametrize("path", [".", "/", "..", "a/.."])
def test_any_path_has_siblings(path: str) -> None:
    assert sibling(Path(path), "partial").name.endswith("partial")


# A pipeline


@pytest.mark.parametrize(
    ("run_dir", "said"),
    [
        (".", "is the working directory"),
        ("..", "holds the working directory"),
        ("~", None),
        ("mine", "holds the pipe"),
        ("mine/", "holds the pipe"),
    ],
)
def test_a_pipeline_needs_a_directory_of_its_own(
    place: Path, run_dir: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "mine" / "base").mkdir(parents=True)
    (place / "mine" / "base" / "p.yaml").write_text("stages: {base: {recipe: base, config: base.yaml}}\n")
    (place / "mine" / "base" / "base.yaml").write_text("models: {base: {architecture: qwen2}}\nmax_steps: 1\n")
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=said or "is not the path of a directory"):
        pipeline(ROOT / "recipes", ["--config", "mine/base/p.yaml", "--run_dir", run_dir])
    assert contents(tmp_path) == before


def test_a_pipeline_replaces_no_report_of_a_persons(place: Path) -> None:
    (place / "run").mkdir()
    (place / "run" / "report.html").write_text("mine")
    (place / "p.yaml").write_text("run_dir: run\nstages: {base: {recipe: base, config: base.yaml}}\n")
    (place / "base.yaml").write_text("models: {base: {architecture: qwen2}}\nmax_steps: 1\n")
    with pytest.raises(ConfigError, match="has a report.html that no pipeline wrote"):
        pipeline(ROOT / "recipes", ["--config", "p.yaml"])
    assert (place / "run" / "report.html").read_text() == "mine"
