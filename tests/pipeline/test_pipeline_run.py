"""What the pipeline skips, redoes and refuses."""

from __future__ import annotations

import json
import re

import pytest
from harness import Run

from r1hf.pipeline.view import duration
from r1hf.stage.manifest import read_manifest, write_manifest


def test_a_first_run_then_nothing_to_do(run: Run) -> None:
    out = run()
    assert re.search(r"\[2/4\] left · base → \S+/runs/left \(not made yet\)\n +done in \d+ s, peak \d+ MB", out)
    assert "[4/4] join · left, right →" in out
    before = run.results()
    out = run()
    assert out.count("complete and unchanged") == 4
    assert run.results() == before
    assert read_manifest(run.dir / "left").inputs["model"]["fingerprint"] == before["base"][1]  # type: ignore[union-attr]
    assert sorted(path.name for path in run.dir.iterdir()) == ["base", "join", "left", "pipeline.jsonl", "right"]
    assert [row["event"] for row in run.events()[-2:]] == ["skipped", "end"]


def test_what_a_stage_says_against_itself_is_said_again_at_the_end(run: Run) -> None:
    run.config("left", text="left", comment="warn: nothing was learnt")
    for _ in range(2):  # also where the stage is complete already
        assert run().splitlines()[-1] == "WARNING left: nothing was learnt"
    run.config("left", text="left")
    assert "WARNING" not in run()


def test_a_changed_yaml_redoes_the_stage_and_what_follows(complete: Run) -> None:
    complete.config("base", text="other")
    plan = complete("--list")
    assert re.search(r"1 run +base +text: base → other", plan)
    assert re.search(r"4 run +join +← left, right +after left, right", plan)
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
    assert re.search(r"run +base +input model changed", run("--list"))
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
    plan = complete("--list", status=2)
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
    wrong = [word for text in ("z.a=1", "nonsense", "left.model=x", "base.output_dir=x") for word in ("--set", text)]
    out = run("--from", "rigth", "--only", "x", "--force", "y", *wrong, status=2)
    assert "7 problems" in out and "--set left.model=x: the graph itself gives 'model'" in out
    assert "--from: no stage 'rigth'; did you mean 'right'?" in out
    assert "not among the selected" in run("--only", "left", "--force", "base", status=2)
    assert "leave no stage" in run("--from", "join", "--until", "base", status=2)


def test_listing_touches_nothing(run: Run) -> None:
    plan = run("--list")
    assert plan.splitlines()[0] == f"{run.dir} · seed 1 · 4 stages: 0 done, 4 run"
    assert not run.dir.exists()
    run.graph["stages"]["base"]["seconds"] = 90
    for name in ("left", "right", "join"):
        run.graph["stages"][name]["seconds"] = 10
    assert "about 2 min 00 s" in run("--list")


def test_a_failing_stage_takes_those_that_wait_for_it_with_it(run: Run) -> None:
    run.config("left", text="left", exit_code=7)
    out = run(status=7)
    assert "stage left failed with exit code 7" in out and "(not run, since they wait for left: join)" in out
    command = re.search(r"this stage alone: (.*)\)", out)
    assert command is not None and "make.py --config" in command[1] and "--stage left" in command[1]
    assert sorted(path.name for path in run.dir.iterdir()) == ["base", "pipeline.jsonl", "right"]
    run.config("left", text="left")
    assert run.ran() == ["left", "join"]


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
    run.graph["launch"] = "python"  # a fork writes where the process that it comes from did
    run(status=2)
    assert "without finish(metrics)" in capfd.readouterr().err


def test_another_revision_is_a_note_and_no_reason(complete: Run) -> None:
    manifest = read_manifest(complete.dir / "base")
    assert manifest is not None
    manifest.versions["python"] = "3.0.1"
    write_manifest(complete.dir / "base", manifest)
    assert re.search(r"1 done +base +note: made with python 3.0.1, now 3\.\d+", complete("--list"))
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


def test_durations() -> None:
    assert [duration(x) for x in (0.4, 59, 60, 250, 7500)] == ["0 s", "59 s", "1 min 00 s", "4 min 10 s", "2 h 05 min"]
