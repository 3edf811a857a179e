"""The graph: what is wrong in it or in any stage's configuration is found before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import RECIPES, ROOT, Run
from hypothesis import given
from hypothesis import strategies as st

from r1hf.core.given import said
from r1hf.core.graph import load_graph, topological


def test_problems_of_all_stages_come_together_before_anything_runs(run: Run) -> None:
    run.config("base", txt="x")
    run.config("left", text="x", sleep="long")
    run.config("right", forbidden=True)
    run.config("join", text="x", model="nowhere/at/all")
    run.graph["stages"]["extra"] = {"recipe": "nothing", "config": "none.yaml", "input": {}}
    run.graph["stages"]["broken"] = {"recipe": "broken", "config": "base.yaml"}
    run.graph["stages"]["odd"] = {"recipe": "make", "config": "base.yaml", "inputs": {"modell": "bas", "seed": "base"}}
    run.graph["sed"] = 3
    out = run(status=2)
    for expected in (
        "unknown key 'sed'; did you mean 'seed'?",
        f"base: {run.folder}/base.yaml:1: unknown key 'txt'; did you mean 'text'?",
        "left: ",
        "sleep: 'long' is not a number",
        "right: forbidden: this recipe refuses it",
        "join: model: nowhere/at/all does not exist",
        "extra: the recipe ",
        "extra: the config ",
        "unknown key 'input'; did you mean 'inputs'?",
        "broken.py cannot be imported: ModuleNotFoundError",
        "inputs: the recipe reads no 'modell'; did you mean 'model'?",
        "inputs: the recipe reads no 'seed'",
        "odd: inputs: no stage 'bas'; did you mean 'base'?",
    ):
        assert expected in out
    assert "Traceback" not in out and not run.dir.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"stages": {"a": {"recipe": "make", "config": "base.yaml"}}}, "run_dir is missing"),
        ({"run_dir": "r"}, "no stages"),
        ({"run_dir": "r", "stages": {}}, "no stages"),
        ({"run_dir": "r", "stages": []}, "stages: [] is not a mapping"),
        ({"run_dir": "r", "stages": {"a": None}}, "a: None is not a mapping"),
        ({"run_dir": "r", "stages": {"a/b": {}}}, "letters, digits"),
        ({"run_dir": "r", "stages": {"a": {}}}, "a: recipe is missing"),
        ({"run_dir": "r", "seed": True, "stages": {"a": {}}}, "seed: True is not a whole number"),
        (
            {"run_dir": "r", "launch": {"slurm": "x"}, "stages": {"a": {}}},
            "launch: unknown key 'slurm'; there are: accelerate, processes, nodes",
        ),
        ({"run_dir": "r", "launch": {"accelerate": "x"}, "stages": {"a": {}}}, "there is no file"),
        (
            {"run_dir": "r", "stages": {"a": {"recipe": "make", "config": "base.yaml", "inputs": {"model": 3}}}},
            "3 is not",
        ),
    ],
)
def test_bad_graphs(run: Run, content: dict[str, Any], expected: str) -> None:
    run.graph = content
    _, problems = load_graph(run.write(), RECIPES)
    assert expected in "\n".join(problems)


def test_cycles_are_named(run: Run) -> None:
    run.graph["stages"]["base"]["inputs"] = {"model": "join"}
    assert "the stages base → join → left → base wait for each other" in run(status=2)
    run.graph["stages"]["base"]["inputs"] = {"model": "base"}
    assert "the stages base → base wait for each other" in run(status=2)


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=3)))
def test_topological_order(parents: dict[str, list[str]]) -> None:
    order, cycle = topological(parents)
    assert (order, cycle) == topological(dict(parents))
    place = {name: number for number, name in enumerate(order)}
    assert all(place[one] < place[name] for name in order for one in parents[name] if one in parents)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(after in parents[before] for before, after in zip(cycle, cycle[1:], strict=False))
    else:
        assert set(order) == set(parents)


def test_the_order_is_as_written_where_it_may_be() -> None:
    assert topological({"c": ["b"], "a": [], "b": []})[0] == ["a", "b", "c"]
    assert topological({"base": [], "z": ["base"], "a": ["base"]})[0] == ["base", "z", "a"]


def test_an_accelerate_launch(run: Run, tmp_path: Path) -> None:
    (tmp_path / "accelerate.yaml").write_text("num_processes: 4\n")
    run.graph["launch"] = {"accelerate": "accelerate.yaml"}
    run.graph["stages"]["join"]["launch"] = "python"
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(run.graph))
    graph, problems = load_graph(tmp_path / "pipeline.yaml", RECIPES, seed=3, sets=["join.text=a b"])
    assert problems == []
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(tmp_path / "accelerate.yaml")]
    assert graph.command("left")[:6] == [*launch, str(RECIPES / "make.py")]
    assert graph.command("join") == [
        *(sys.executable, str(RECIPES / "make.py"), "--config", str(tmp_path / "pipeline.yaml"), "--stage", "join"),
        *("--seed", "3", "--text=a b"),
    ]
    told = said(graph.arguments("join"))
    assert not told.problems and told.inputs == {"models": ["left", "right"]}
    assert {key: given.value for key, given in told.values.items()} == {
        **{"text": "a b", "seed": 3, "output_dir": str(run.dir / "join")},
        "models": [str(run.dir / "left"), str(run.dir / "right" / "sub")],
    }


def test_a_file_adds_stages_to_one_that_it_extends(tmp_path: Path) -> None:
    tiny = ROOT / "recipes" / "configs" / "tiny"
    small, problems = load_graph(tiny / "pipeline.yaml", ROOT / "recipes")
    large, more = load_graph(tiny / "distillation.yaml", ROOT / "recipes")
    assert problems == more == [] and set(small.stages) < set(large.stages)
    assert {n: s for n, s in small.stages.items() if n != "evaluate"}.items() <= large.stages.items()
    added = set(large.stages) - set(small.stages)
    assert added == {f"student_{name}" for name in
                     ("qwen_on_policy", "llama_own_base", "llama_own", "llama_own_on_policy")}  # fmt: skip
    assert set(small.stages["evaluate"].inputs["models"]) < set(large.stages["evaluate"].inputs["models"])
