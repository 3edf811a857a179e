"""Rollouts on disk: complete files only, the rows of every step once, whatever stops the run."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas
import pytest
from small_run import ROOT
from transformers import TrainerControl, TrainerState, TrainingArguments

from r1hf.commands.main import main
from r1hf.trainers import rollouts
from r1hf.trainers.rollouts import RolloutLog


def batch(step: int, count: int = 4) -> rollouts.Columns:
    return rollouts.columns(
        [[{"role": "user", "content": f"question {step} \ud800"}]] * count,
        [f"id {step}"] * count,
        [[{"role": "assistant", "content": f"answer {place}"}] for place in range(count)],
        {"accuracy_reward": [1.0, 0.0, float("nan"), 1.0][:count]},
        reward=[1.0, 0.0, None, 1.0][:count],
        advantage=[0.5, -0.5, 0.0, 0.0][:count],
        tokens=[3] * count,
        truncated=[False] * count,
    )


def at(log: RolloutLog, event: str, step: int, tmp_path: Path) -> None:
    state = TrainerState(global_step=step)
    getattr(log, event)(TrainingArguments(str(tmp_path), use_cpu=True), state, TrainerControl())


def run(directory: Path, tmp_path: Path, start: int, stop: int, saved: int = 0, end: bool = True, **more: Any) -> None:
    """Steps `start` + 1 to `stop`; a checkpoint after step `saved`."""
    log = RolloutLog(directory, **{"steps": 3, "keep": 0, "outcomes": ["accuracy_reward"], **more})
    at(log, "on_train_begin", start, tmp_path)
    for step in range(start + 1, stop + 1):
        log.add(step, batch(step))
        at(log, "on_step_end", step, tmp_path)
        if step == saved:
            at(log, "on_save", step, tmp_path)
    if end:
        at(log, "on_train_end", stop, tmp_path)
    log.wait()


def test_pandas_reads_the_directory(tmp_path: Path) -> None:
    run(tmp_path / "rollouts", tmp_path, 0, 7)
    found = pandas.read_parquet(tmp_path / "rollouts")
    assert list(found["step"]) == [step for step in range(1, 8) for _ in range(4)]
    assert [path.name for path in rollouts.files(tmp_path / "rollouts")] == [
        f"step-{first:06d}.parquet" for first in (1, 4, 7)
    ]
    first = found.iloc[:4]
    assert list(first["rewards/accuracy_reward"].isna()) == [False, False, True, False]
    assert list(first["completion"]) == [f"answer {place}" for place in range(4)]
    assert set(first["prompt"]) == {'[{"role": "user", "content": "question 1 ?"}]'}
    assert set(found.dtypes.astype(str)[["advantage", "reward"]]) == {"float32"}


@pytest.mark.parametrize("saved", [2, 3, 4, 6])
def test_a_stopped_run_leaves_the_rows_of_an_undisturbed_one(tmp_path: Path, saved: int) -> None:
    run(tmp_path / "whole", tmp_path, 0, 8)
    run(tmp_path / "stopped", tmp_path, 0, 7, saved=saved, end=False)
    run(tmp_path / "stopped", tmp_path, saved, 8)
    names = [[path.name for path in rollouts.files(tmp_path / name)] for name in ("whole", "stopped")]
    assert names[0] == names[1]
    for name in names[0]:
        assert rollouts.read(tmp_path / "whole" / name) == rollouts.read(tmp_path / "stopped" / name)


def test_a_run_from_the_start_leaves_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    run(tmp_path / "rollouts", tmp_path, 0, 9)
    run(tmp_path / "rollouts", tmp_path, 0, 2)
    assert set(pandas.read_parquet(tmp_path / "rollouts")["step"]) == {1, 2}


def test_old_files_are_removed(tmp_path: Path) -> None:
    run(tmp_path / "rollouts", tmp_path, 0, 12, keep=2)
    assert set(pandas.read_parquet(tmp_path / "rollouts")["step"]) == {7, 8, 9, 10, 11, 12}


def test_a_disk_that_refuses_is_a_warning_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "rollouts").write_text("a file where the directory should be")
    with caplog.at_level(logging.WARNING):
        run(tmp_path / "rollouts", tmp_path, 0, 9)
    assert len(caplog.records) == 1 and "training goes on without them" in caplog.text


def test_the_id_is_the_rows_own_or_the_same_for_the_same_prompt() -> None:
    conversation = [{"role": "user", "content": "Why?"}]
    assert rollouts.prompt_id({"id": 7, "prompt": "Why?"}) == "7"
    assert rollouts.prompt_id({"prompt": "Why?"}) == rollouts.prompt_id({"prompt": "Why?", "id": None})
    assert len({rollouts.prompt_id({"prompt": prompt}) for prompt in ("Why?", "How?", conversation)}) == 3


@pytest.mark.parametrize(
    ("words", "shown", "last"),
    [
        ([], [0, 1, 2, 3], "4 of 4 rollouts that fit, of 4 in step last"),
        (["--wrong"], [1], "1 of 1 rollouts that fit, of 4 in step last"),
        (["--right", "--limit", "1"], [0], "1 of 2 rollouts that fit, of 4 in step last"),
        (["--reward", "accuracy<1", "--step", "5"], [1], "1 of 1 rollouts that fit, of 4 in step 5"),
        (["--step", "all", "--reward", "accuracy>=1", "--limit", "2"], [0, 3], "2 of 14 rollouts that fit, of 28"),
    ],
)
def test_the_command_shows_what_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], shown: list[int], last: str
) -> None:
    run(tmp_path / "stage.partial" / "rollouts", tmp_path, 0, 7)
    assert main(["rollouts", str(tmp_path / "stage"), *words]) == 0
    said = capsys.readouterr().out
    assert [place for place in range(4) if f"answered: answer {place}" in said] == shown
    assert last in said and ("question 5" in said) is ("5" in words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reward", "format<1"], "--reward 'format<1': is not NAME<X (or <=, >, >=, =) with one of rewards/acc"),
        (["--step", "x"], "--step: 'x' is not a step"),
        (["--step", "40"], "has no rollouts of step 40"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    run(tmp_path / "rollouts", tmp_path, 0, 2)
    assert main(["rollouts", str(tmp_path), *words]) == 1
    assert message in capsys.readouterr().err
    assert main(["rollouts", str(tmp_path / "nothing")]) == 1
    assert "has no rollouts: give the directory of an RL stage" in capsys.readouterr().err


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_rollouts import batch
from r1hf.trainers.rollouts import RolloutLog
log = RolloutLog(Path(sys.argv[1]), 1, 5)
step = 0
while True:
    step += 1
    log.add(step, batch(step, 4))
    log.flush(wait=True)
    print(step, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_files_only(tmp_path: Path) -> None:
    for moment in range(4):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert writer.stdout is not None
        for _ in range(20):
            writer.stdout.readline()
        time.sleep(0.003 * moment)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        found = pandas.read_parquet(tmp_path)
        assert set(found.groupby("step").size()) == {4} and found["step"].nunique() >= 5


def test_files_that_do_not_note_their_outcome_are_refused_with_a_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As an earlier version left them."""
    run(tmp_path / "rollouts", tmp_path, 0, 3)
    (path,) = rollouts.files(tmp_path / "rollouts")
    pandas.read_parquet(path).to_parquet(path)
    assert main(["rollouts", str(tmp_path), "--wrong"]) == 1
    assert "use --reward 'NAME<1' with one of rewards/accuracy_reward" in capsys.readouterr().err
    assert main(["rollouts", str(tmp_path), "--reward", "accuracy<1"]) == 0
