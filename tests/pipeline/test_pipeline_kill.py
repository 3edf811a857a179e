"""A pipeline killed or stopped at any moment loses nothing and leaves no process behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess

import pytest
from harness import Run, pulsing, slow, wait_for

from r1hf.stage.locks import identity
from r1hf.stage.manifest import MANIFEST

LAUNCHERS = pytest.mark.parametrize("launcher", ["python", "fork"])


@LAUNCHERS
def test_a_killed_pipeline_leaves_no_orphan(run: Run, launcher: str) -> None:
    run.graph["launch"] = launcher
    slow(run, 60)
    process = run.start()
    wait_for(lambda: pulsing(run), process)
    process.kill()
    process.wait()
    (child,) = pulsing(run)
    wait_for(lambda: identity(child) is None)
    assert not (run.dir / "base").exists()


@pytest.mark.parametrize(
    ("seed", "launcher", "jobs"), [(0, "python", "1"), (1, "python", "2"), (2, "fork", "2"), (3, "fork", "3")]
)
def test_killed_at_random_moments_it_ends_as_if_undisturbed(
    run: Run, undisturbed: Run, seed: int, launcher: str, jobs: str
) -> None:
    draw = random.Random(seed)
    run.graph["launch"] = launcher
    slow(run, 0.2)
    for _ in range(4):
        process = run.start("--jobs", jobs)
        try:
            process.wait(timeout=draw.uniform(0.3, 2.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    made = {name: (run.dir / name / MANIFEST).exists() for name in run.graph["stages"]}
    again = run.ran("--jobs", jobs)
    assert not {name for name in again if made[name]}  # what was complete is not repeated
    results = run.results()
    assert {name: result[:2] for name, result in results.items()} == {
        name: result[:2] for name, result in undisturbed.results().items()
    }
    assert not any(identity(pid) for pid in pulsing(run))
    assert sorted(path.name for path in run.dir.iterdir()) == ["base", "join", "left", "pipeline.jsonl", "right"]


@LAUNCHERS
def test_a_killed_stage_is_repeated_alone(run: Run, launcher: str) -> None:
    run.graph["launch"] = launcher
    slow(run, 1.5)
    run("--only", "base")
    before = pulsing(run)
    process = run.start()
    wait_for(lambda: pulsing(run) - before, process)
    (child,) = pulsing(run) - before
    os.kill(child, signal.SIGKILL)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 137 and "stage left failed with exit code 137" in out
    assert "want of memory" in out
    slow(run, 0.0)
    run()


@LAUNCHERS
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_pipeline_awaits_its_stage(run: Run, launcher: str, number: int, status: int) -> None:
    run.graph["launch"] = launcher
    slow(run, 60)
    process = run.start()
    wait_for(lambda: pulsing(run), process)
    process.send_signal(number)
    process.communicate(timeout=300)
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
    assert "4 run" in run("--list")
    process.terminate()
    process.wait(timeout=300)
    (run.dir / ".pipeline.lock").write_text("1\n")  # a dead owner's
    slow(run, 0.0)
    run()
