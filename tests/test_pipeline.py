"""The pipeline with real processes: what it skips, redoes and refuses, and that a kill at any moment costs nothing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from r1hf import stage
from r1hf.manifest import MANIFEST, read_manifest, verify
from r1hf.pipeline import command
from r1hf.pipeline.graph import load_graph, topological
from r1hf.pipeline.view import duration
from r1hf.process import identity

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "tests" / "dummy_recipes"
STARTER = f"""
import sys
from functools import partial
from pathlib import Path
from r1hf.pipeline.command import main
from r1hf.stage import run
run(partial(main, Path({str(RECIPES)!r})))
"""


class Run:
    """A run directory with a graph of four stages: base → left, base/sub → right, [left, right/sub] → join."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.dir = folder / "runs"
        self.pulse = folder / "pulse"
        for name in ("base", "left", "right", "join"):
            self.config(name, text=name)
        self.graph: dict[str, Any] = {
            "run_dir": str(self.dir),
            "seed": 1,
            "stages": {
                "base": {"recipe": "make", "config": "base.yaml"},
                "left": {"recipe": "make", "config": "left.yaml", "inputs": {"model": "base"}},
                "right": {"recipe": "make", "config": "right.yaml", "inputs": {"model": "base/sub"}},
                "join": {"recipe": "make", "config": "join.yaml", "inputs": {"models": ["left", "right/sub"]}},
            },
        }

    def config(self, name: str, **values: Any) -> None:
        (self.folder / f"{name}.yaml").write_text(yaml.safe_dump(values))

    def write(self) -> Path:
        path = self.folder / "pipeline.yaml"
        path.write_text(yaml.safe_dump(self.graph, sort_keys=False))
        return path

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Starts the pipeline as its own process, to be killed."""
        return subprocess.Popen(
            [sys.executable, "-c", STARTER, "--config", str(self.write()), *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __call__(self, *argv: str, status: int = 0) -> str:
        """Runs the pipeline here, its stages as processes; returns what it printed."""
        path = self.write()
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            with pytest.raises(SystemExit) as stopped:
                stage.run(partial(command.main, RECIPES, ["--config", str(path), *argv]))
        assert (stopped.value.code or 0) == status, printed.getvalue()
        return printed.getvalue()

    def ran(self, *argv: str) -> list[str]:
        """The stages that a run really ran."""
        before = len(self.events())
        self(*argv)
        return [row["stage"] for row in self.events()[before:] if row["event"] == "finished"]

    def events(self) -> list[dict[str, Any]]:
        path = self.dir / "pipeline.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def results(self) -> dict[str, Any]:
        manifests = {name: verify(self.dir / name) for name in self.graph["stages"]}
        return {name: (one.metrics, one.fingerprint, one.request) for name, one in manifests.items()}


@pytest.fixture(scope="module", autouse=True)
def found() -> Iterator[None]:
    """Stages find this checkout, and no pipeline around the tests is theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.delenv("R1HF_PIPELINE_PID", raising=False)
        yield


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    run = Run(tmp_path)
    monkeypatch.setenv("PULSE", str(run.pulse))
    return run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, found: None) -> Run:
    run = Run(tmp_path_factory.mktemp("undisturbed"))
    run()
    return run


@pytest.fixture
def complete(run: Run, undisturbed: Run) -> Run:
    """A run that is complete: a run directory can be copied."""
    shutil.copytree(undisturbed.dir, run.dir)
    return run


def test_a_first_run_then_nothing_to_do(run: Run) -> None:
    out = run()
    assert re.search(r"\[2/4\] left · base → \S+/runs/left \(not made yet\)\n +done in \d+ s, peak \d+ MB", out)
    assert "[4/4] join · left, right/sub →" in out
    before = run.results()
    out = run()
    assert out.count("complete and unchanged") == 4
    assert run.results() == before
    assert read_manifest(run.dir / "left").inputs["model"]["fingerprint"] == before["base"][1]  # type: ignore[union-attr]
    assert sorted(path.name for path in run.dir.iterdir()) == ["base", "join", "left", "pipeline.jsonl", "right"]
    assert [row["event"] for row in run.events()[-2:]] == ["skipped", "end"]


def test_a_changed_yaml_redoes_the_stage_and_what_follows(complete: Run) -> None:
    complete.config("base", text="other")
    plan = complete("--dry-run")
    assert re.search(r"1 run +base +text: base → other", plan)
    assert re.search(r"4 run +join +← left, right/sub +after left, right", plan)
    assert complete.ran() == ["base", "left", "right", "join"]
    complete.config("right", text="other")
    assert complete.ran() == ["right", "join"]
    complete.config("join", text="other", sleep=0.0)
    assert complete.ran() == ["join"]
    assert complete.ran("--set", "left.text=x") == ["left", "join"]
    assert complete.ran("--seed", "2") == ["base", "left", "right", "join"]


def test_what_follows_is_skipped_when_the_output_comes_out_the_same(complete: Run) -> None:
    complete.config("base", text="base", comment="no effect on the files")
    assert complete.ran() == ["base"]
    assert complete.ran("--force", "base", "left") == ["base", "left"]
    # `right` reads base/sub, which holds the text alone, and not what the seed changes.
    assert complete.ran("--set", "base.seed=9", "--set", "base.comment=x") == ["base", "left", "join"]


def test_a_changed_outside_input_redoes_the_stage(run: Run) -> None:
    outside = run.folder / "outside"
    outside.mkdir()
    (outside / "rows.txt").write_text("1")
    run.config("base", text="base", model=str(outside))
    run()
    (outside / "rows.txt").write_text("2")
    assert re.search(r"run +base +input model changed", run("--dry-run"))
    assert run.ran() == ["base", "left", "join"]


def test_a_run_directory_can_be_moved(complete: Run) -> None:
    complete.dir.rename(complete.folder / "moved")
    assert complete("--run_dir", str(complete.folder / "moved")).count("complete and unchanged") == 4


@pytest.mark.parametrize("name", ["out.txt", "sub/part.txt", "log.jsonl"])
def test_one_edited_byte_is_refused_by_name(complete: Run, name: str) -> None:
    path = complete.dir / "base" / name
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    out = complete(status=2)
    assert f"base: {path} was changed" in out and "--force base" in out and "Traceback" not in out
    assert f"left: {path} was changed" in complete("--only", "left", status=2)
    complete("--only", "join")  # it reads neither the stage nor what was edited
    plan = complete("--dry-run", status=2)
    assert re.search(r"1 refused +base", plan) and re.search(r"2 refused +left .*needs 'base', which is refused", plan)
    assert complete.ran("--force", "base") == ["base"]
    path.unlink()
    assert f"{path} is missing" in complete(status=2)
    path.write_bytes(bytes(content))


def test_selection(run: Run) -> None:
    assert run.ran("--until", "left") == ["base", "left"]
    out = run("--only", "join", status=2)
    assert "needs 'right', which is not complete and not among the stages to run" in out
    assert run.ran("--from", "right", "--until", "right") == ["right"]
    assert run.ran("--only", "join,left") == ["join"]
    assert run.ran("--force", "--from", "right") == ["right", "join"]
    assert run.ran("--only", "left", "--force") == ["left"]
    out = run("--from", "rigth", "--only", "x", "--force", "y", "--set", "z.a=1", "--set", "nonsense", status=2)
    assert "5 problems" in out
    assert "--from: no stage 'rigth'; did you mean 'right'?" in out
    assert "not among the selected" in run("--only", "left", "--force", "base", status=2)
    assert "leave no stage" in run("--from", "join", "--until", "base", status=2)


def test_a_dry_run_touches_nothing(run: Run) -> None:
    plan = run("--dry-run")
    assert plan.splitlines()[0] == f"{run.dir} · seed 1 · 4 stages: 0 done, 4 run"
    assert not run.dir.exists()
    run.graph["stages"]["base"]["seconds"] = 90
    for name in ("left", "right", "join"):
        run.graph["stages"][name]["seconds"] = 10
    assert "about 2 min 00 s" in run("--dry-run")


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
        "extra: unknown key 'input'; did you mean 'inputs'?",
        "broken.py cannot be imported: ModuleNotFoundError",
        "odd: inputs: make.py reads no 'modell'; did you mean 'model'?",
        "odd: inputs: make.py reads no 'seed'",
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
        ({"run_dir": "r", "launcher": {"slurm": "x"}, "stages": {"a": {}}}, "launcher: {'slurm': 'x'} is neither"),
        ({"run_dir": "r", "launcher": {"accelerate": "x"}, "stages": {"a": {}}}, "x does not exist"),
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


def test_a_failing_stage_stops_the_pipeline_with_its_status(run: Run) -> None:
    run.config("left", text="left", exit_code=7)
    out = run(status=7)
    assert "stage left failed with exit code 7" in out
    command = re.search(r"this stage alone: (.*)\)", out)
    assert command is not None and "make.py --config" in command[1] and "--model" in command[1]
    assert sorted(path.name for path in run.dir.iterdir()) == ["base", "pipeline.jsonl"]
    run.config("left", text="left")
    assert run.ran() == ["left", "right", "join"]


@pytest.mark.parametrize("before", [False, True])
def test_a_stage_that_writes_no_manifest_is_an_error(
    run: Run, before: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    if before:
        run("--until", "left")
    run.graph["stages"]["left"]["recipe"] = "silent"
    assert "stage left ended without an error but wrote no manifest.json" in run(status=1)
    run.graph["stages"]["left"]["recipe"] = "make"
    run.config("left", text="left", finish=False)
    run(status=2)
    assert "without finish(metrics)" in capfd.readouterr().err


def wait_for(condition: Any, process: subprocess.Popen[str] | None = None, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


def pulsing(run: Run) -> set[int]:
    """The stage processes that were ever busy."""
    return {int(line) for line in run.pulse.read_text().split()} if run.pulse.exists() else set()


def slow(run: Run, sleep: float) -> None:
    for name in run.graph["stages"]:
        run.config(name, text=name, sleep=sleep)


def test_a_killed_pipeline_leaves_no_orphan(run: Run) -> None:
    slow(run, 60)
    process = run.start()
    wait_for(lambda: pulsing(run), process)
    process.kill()
    process.wait()
    (child,) = pulsing(run)
    wait_for(lambda: identity(child) is None, seconds=10)
    assert not (run.dir / "base").exists()


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random_moments_it_ends_as_if_undisturbed(run: Run, undisturbed: Run, seed: int) -> None:
    draw = random.Random(seed)
    slow(run, 0.2)
    for _ in range(4):
        process = run.start()
        try:
            process.wait(timeout=draw.uniform(0.3, 2.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    made = {name: (run.dir / name / MANIFEST).exists() for name in run.graph["stages"]}
    again = run.ran()
    assert not {name for name in again if made[name]}  # what was complete is not repeated
    results = run.results()
    assert {name: result[:2] for name, result in results.items()} == {
        name: result[:2] for name, result in undisturbed.results().items()
    }
    assert not any(identity(pid) for pid in pulsing(run))
    assert sorted(path.name for path in run.dir.iterdir()) == ["base", "join", "left", "pipeline.jsonl", "right"]


def test_a_killed_stage_is_repeated_alone(run: Run) -> None:
    slow(run, 1.5)
    run("--only", "base")
    before = pulsing(run)
    process = run.start()
    wait_for(lambda: pulsing(run) - before, process)
    (child,) = pulsing(run) - before
    os.kill(child, signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 137 and "stage left failed with exit code 137" in out
    assert "want of memory" in out
    slow(run, 0.0)
    run()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_pipeline_awaits_its_stage(run: Run, number: int, status: int) -> None:
    slow(run, 60)
    process = run.start()
    wait_for(lambda: pulsing(run), process)
    process.send_signal(number)
    process.communicate(timeout=20)
    (child,) = pulsing(run)
    assert process.returncode == status
    assert identity(child) is None
    assert [path.name for path in run.dir.iterdir()] == ["pipeline.jsonl"]


def test_two_pipelines_refuse_each_other(run: Run) -> None:
    slow(run, 60)
    process = run.start()
    wait_for(lambda: pulsing(run), process)
    assert f"is in use by process {process.pid}" in run(status=2)
    assert process.poll() is None
    assert "4 run" in run("--dry-run")
    process.terminate()
    process.wait(timeout=20)
    (run.dir / ".pipeline.lock").write_text("1\n")  # a dead owner's
    slow(run, 0.0)
    run()


def test_another_revision_is_a_note_and_no_reason(complete: Run) -> None:
    path = complete.dir / "base" / MANIFEST
    content = json.loads(path.read_text())
    content["versions"]["python"] = "3.0.1"
    path.write_text(json.dumps(content))
    assert re.search(r"1 done +base +note: made with python 3.0.1, now 3\.\d+", complete("--dry-run"))
    assert complete.ran() == []


def test_the_time_left_is_told_once_it_is_known(complete: Run) -> None:
    out = complete("--force")
    assert "left\n" in out and re.search(r"\[1/4\] base .* · about \d+ s left", out)


def test_the_report_is_written_after_an_evaluation(run: Run) -> None:
    run.graph["stages"]["evaluate"] = {"recipe": "evaluate", "config": "join.yaml", "inputs": {"models": ["base"]}}
    run("--until", "join")
    assert not (run.dir / "summary.json").exists()
    out = run()
    summary = json.loads((run.dir / "summary.json").read_text())
    assert summary["stages"]["base"]["pass_at_1"] == 0.5
    assert (run.dir / "report.html").stat().st_size > 1000 and "base" in out
    (run.dir / "report.html").unlink()
    (run.dir / "report.html").mkdir()
    out = run(status=1)
    assert "the report failed" in out and "all stages are complete" in out


def test_an_accelerate_launch(run: Run, tmp_path: Path) -> None:
    (tmp_path / "accelerate.yaml").write_text("num_processes: 4\n")
    run.graph["launcher"] = {"accelerate": "accelerate.yaml"}
    run.graph["stages"]["join"]["launcher"] = "python"
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(run.graph))
    graph, problems = load_graph(tmp_path / "pipeline.yaml", RECIPES, seed=3, sets=["join.text=a b"])
    assert problems == []
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(tmp_path / "accelerate.yaml")]
    assert graph.command("left")[:6] == [*launch, str(RECIPES / "make.py")]
    assert graph.command("join") == [
        *(sys.executable, str(RECIPES / "make.py"), "--config", str(tmp_path / "join.yaml")),
        *("--output_dir", str(run.dir / "join"), "--seed", "3"),
        *("--models", json.dumps([str(run.dir / "left"), str(run.dir / "right" / "sub")]), "--text=a b"),
    ]


def test_durations() -> None:
    assert [duration(x) for x in (0.4, 59, 60, 250, 7500)] == ["0 s", "59 s", "1 min 00 s", "4 min 10 s", "2 h 05 min"]
