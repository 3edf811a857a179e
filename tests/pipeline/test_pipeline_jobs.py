"""Stages side by side: which ones, how many, and that nothing else changes."""

from __future__ import annotations

import re
import signal

import pytest
from harness import Run, pulsing, slow, wait_for
from hypothesis import given
from hypothesis import strategies as st

from r1hf.pipeline import schedule
from r1hf.pipeline.schedule import Capacity, Load, makespan, startable
from r1hf.stage.locks import identity

NAMES = "abcdef"
LOADS = st.builds(Load, st.none() | st.integers(1, 4), st.none() | st.floats(1, 900), st.floats(0.5, 9))
CAPACITIES = st.builds(Capacity, st.none() | st.integers(1, 4), st.none() | st.integers(1, 4), st.floats(1, 2000))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, list[str]], dict[str, Load]]:
    links = {name: draw(st.lists(st.sampled_from(NAMES[:i]), max_size=2, unique=True)) if i else []
             for i, name in enumerate(NAMES)}  # fmt: skip
    return links, {name: draw(LOADS) for name in NAMES}


@given(graphs(), CAPACITIES)
def test_no_plan_is_faster_than_its_longest_chain_nor_slower_than_one_at_a_time(
    graph: tuple[dict[str, list[str]], dict[str, Load]], allowed: Capacity
) -> None:
    links, loads = graph
    seconds = {name: load.seconds or 0.0 for name, load in loads.items()}
    took = makespan(list(links), links, loads, allowed)
    longest = max(schedule.urgency(links, loads).values())
    assert longest - 1e-6 <= took <= sum(seconds.values()) + 1e-6
    if allowed.most == 1:
        assert took == pytest.approx(sum(seconds.values()))


@given(graphs(), CAPACITIES, st.data())
def test_what_is_started_fits_and_is_ready(
    graph: tuple[dict[str, list[str]], dict[str, Load]], allowed: Capacity, data: st.DataObject
) -> None:
    links, loads = graph
    state = {name: data.draw(st.sampled_from(["waiting", "running", "done"])) for name in links}
    waiting, running = ([name for name in links if state[name] == kind] for kind in ("waiting", "running"))
    name = startable(waiting, links, running, loads, allowed)
    if name is not None:
        assert state[name] == "waiting" and all(state[parent] == "done" for parent in links[name])
        assert not running or allowed.carries([loads[one] for one in running], loads[name])
    elif not running:
        assert all(any(state[parent] == "waiting" for parent in links[one]) for one in waiting)


def test_cores_and_memory_bound_what_runs_together() -> None:
    one, two, open_ended = Load(1, 300), Load(2, 300), Load(None, 300)
    machine = Capacity(None, 2, 1000)
    assert machine.carries([one], one) and not machine.carries([one], two) and not machine.carries([one, one], one)
    assert machine.carries([], open_ended) and not machine.carries([one], open_ended)
    assert not machine.carries([Load(1, 800)], one) and not machine.carries([one], Load(1, 800))
    assert machine.carries([one], Load(1)) and not machine.carries([Load(1, 600)], Load(1))  # unknown: half of it
    assert Capacity(2, None, 1000).carries([two], open_ended) and not Capacity(2, None, 1000).carries([one, one], one)


def test_the_machine_decides_where_no_number_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    small = [Load(1, 1.0)] * 3
    monkeypatch.setattr(schedule, "cores", lambda: 4)
    monkeypatch.setattr(schedule.shutil, "which", lambda name: None)
    assert schedule.capacity(None, small).most is None and schedule.capacity(None, small).cores == 4
    assert schedule.capacity(None, small, one_at_a_time=True).most == 1
    assert schedule.capacity(None, [Load(4, 1.0)] * 3).most == 1, "no two fit, so each has the terminal to itself"
    assert schedule.capacity(3, [Load(4, 1.0)] * 3).most == 3
    monkeypatch.setattr(schedule.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    assert schedule.capacity(None, small).most == 1 and schedule.capacity(2, small).most == 2


@pytest.mark.parametrize("launcher", ["python", "fork"])
def test_two_stages_run_at_once_and_the_results_are_those_of_one(
    run: Run, undisturbed: Run, launcher: str, capfd: pytest.CaptureFixture[str]
) -> None:
    run.graph["launch"] = launcher
    for name in ("left", "right"):
        run.config(name, text=name, beside=2)
    out = run("--jobs", "2")
    events = [(row["event"], row.get("stage")) for row in run.events()]
    assert events.index(("started", "right")) < events.index(("finished", "left"))
    assert len(pulsing(run)) == 2, "each has waited for the other"
    assert re.search(r"\n    right done in \d+ s", out)
    assert {name: result[:2] for name, result in run.results().items()} == {
        name: result[:2] for name, result in undisturbed.results().items()
    }
    assert run("--jobs", "2").count("complete and unchanged") == 4


def test_what_they_print_has_their_names_before_it(run: Run) -> None:
    for name in ("left", "right"):
        run.config(name, text=name, finish=False)
    out = run("--jobs", "2", status=2)
    for name in ("left", "right"):
        assert re.search(rf"^    {name} │ make.py: stage {name} ended without finish", out, re.MULTILINE)


def test_one_failure_lets_the_rest_finish(run: Run) -> None:
    run.config("left", text="left", exit_code=7)
    run.config("right", text="right", sleep=0.5)
    out = run("--jobs", "2", status=7)
    assert "stage left failed with exit code 7" in out and "(not run, since they wait for left: join)" in out
    assert "right done in" in out and not (run.dir / "join").exists()
    run.config("left", text="left")
    assert run.ran("--jobs", "2") == ["left", "join"]


@pytest.mark.parametrize("launcher", ["python", "fork"])
def test_stopped_it_awaits_all_that_run(run: Run, launcher: str) -> None:
    run.graph["launch"] = launcher
    run("--only", "base")
    before = pulsing(run)
    slow(run, 60)
    run.config("base", text="base")
    process = run.start("--jobs", "2")
    wait_for(lambda: len(pulsing(run) - before) == 2, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    assert process.returncode == 143
    assert not any(identity(pid) for pid in pulsing(run))
    assert sorted(path.name for path in run.dir.iterdir()) == ["base", "pipeline.jsonl"]


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", ""])
def test_a_number_of_jobs_that_is_none_is_refused(run: Run, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(f"--jobs={text}", status=2)
    assert "neither auto nor a number of stages" in out
