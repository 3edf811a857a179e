"""The fault table where it trains: killed in a save, a full disk, rewards that judge nothing, rows that do not fit."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from small_run import CPU, GRPO, ROOT, answered, run_recipe, write
from test_fault_signals import wait_for
from test_resume import check_equal, run
from test_trainers import policy_trainer, same, weights
from transformers import TrainerCallback

from r1hf.core.errors import ConfigError, DataError, StageError
from r1hf.data.rows import Row
from r1hf.pipeline import launch
from r1hf.rewards.guard import guarded
from r1hf.trainers import checkpoints
from r1hf.trainers.sft_rows import sft_dataset
from r1hf.trainers.table import table


@pytest.fixture(scope="module")
def straight(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    output = tmp_path_factory.mktemp("straight") / "made"
    return output, *run("sft", tiny_base, output)


@pytest.fixture(scope="module")
def warm() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
        patch.setenv("OMP_NUM_THREADS", "1")
        launch.warm_up(["test_resume"])
        yield


@pytest.mark.slow
@pytest.mark.parametrize("place", ["weights", "optimizer", "hashes", "rename"])
def test_row_1_killed_inside_a_save_the_checkpoint_before_is_used(
    place: str, tiny_base: Path, tmp_path: Path, straight: Any, warm: None
) -> None:
    output = tmp_path / "made"
    child = launch.fork(ROOT / "tests" / "kill_in_save_run.py", [place, str(tiny_base), str(output)])
    wait_for((tmp_path / "made.there").exists)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    saved = tmp_path / "made.partial" / "trainer"
    half = saved / checkpoints.SAVING / "checkpoint-3"
    assert half.is_dir() and (half / checkpoints.COMPLETE).exists() == (place == "rename")
    assert checkpoints.last_whole(saved).step == 2
    check_equal("sft", output, run("sft", tiny_base, output), straight)


@contextlib.contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[bool]:
    """A file system of that size in `directory`, if this user may mount one; True if it is there."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)], capture_output=True
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(directory)], check=True)


class Full(TrainerCallback):
    """Fills the disk after step 3 but for some kilobytes; without a disk of its own, no file may grow beyond them."""

    def __init__(self, disk: Path | None):
        self.disk = disk
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step != 3:
            return
        if self.disk is None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, self.before[1]))
            return
        with (self.disk / "ballast").open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(b"\0" * 4096)
        os.truncate(self.disk / "ballast", (self.disk / "ballast").stat().st_size - 20_000)

    def undo(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)
        if self.disk is not None:
            (self.disk / "ballast").unlink()


def test_row_7_a_full_disk_keeps_the_checkpoint_before(tiny_base: Path, tmp_path: Path, straight: Any) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, 16) as mounted:
        output, full = disk / "made", Full(disk if mounted else None)
        try:
            with pytest.raises(
                StageError, match="checkpoint of step 3 cannot be written.*those before it are kept"
            ) as e:
                run("sft", tiny_base, output, full, save_total_limit=1)
        finally:
            full.undo()
        assert not mounted or "No space left on device" in str(e.value)
        saved = disk / "made.partial" / "trainer"
        assert [path.name for path in saved.iterdir() if path.is_dir()] == ["checkpoint-2"]
        assert checkpoints.damage(saved / "checkpoint-2") is None
        check_equal("sft", output, run("sft", tiny_base, output, save_total_limit=1), straight)


# Rewards that judge nothing


def nothing(completions: list[Any], **_: Any) -> list[None]:
    return [None] * len(completions)


def first_questions_letters(prompts: list[str], completions: list[str], **_: Any) -> list[float | None]:
    """Judges the completions of one prompt of four, and leaves the others."""
    first = sorted(set(prompts))[0]
    return [
        float(len(set(text))) if prompt == first else None for prompt, text in zip(prompts, completions, strict=True)
    ]


STILL = {"beta": 0.0, "sync_ref_model": False, "weight_decay": 0.0}


def test_row_9_where_every_reward_is_none_nothing_is_learnt_and_it_is_counted(tiny_base: Path, tmp_path: Path) -> None:
    trainer = policy_trainer(tiny_base, tmp_path, [guarded(nothing)], **STILL)
    before = weights(trainer)
    trainer.train()
    rows = [row for row in trainer.state.log_history if "completions/unjudged" in row]
    assert trainer.state.global_step == len(rows) == 2 and same(before, weights(trainer))
    assert all(row["completions/unjudged"] == row["rewards/nothing/unjudged"] == 1.0 for row in rows)


def test_row_9_groups_that_nobody_judged_teach_nothing_beside_one_that_is_judged(
    tiny_base: Path, tmp_path: Path
) -> None:
    trainer = policy_trainer(tiny_base, tmp_path, [guarded(first_questions_letters)], max_steps=1, **STILL)
    seen: list[tuple[list[bool], list[float]]] = []
    score = trainer._generate_and_score_completions

    def spy(inputs: Any) -> Any:
        output = score(inputs)
        first = sorted({row["prompt"] for row in inputs})[0]
        seen.append(([row["prompt"] == first for row in inputs], output["advantages"].tolist()))
        return output

    trainer._generate_and_score_completions = spy
    before = weights(trainer)
    trainer.train()
    ((judged, advantages),) = seen
    assert sum(judged) == 4 and any(value for value, known in zip(advantages, judged, strict=True) if known)
    assert all(value == 0 for value, known in zip(advantages, judged, strict=True) if not known)
    assert trainer.state.log_history[0]["completions/unjudged"] == 0.75 and not same(before, weights(trainer))


@pytest.mark.slow
def test_row_9_the_stage_says_so_at_its_end(
    tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.py"
    own.write_text("def nothing(completions, **columns):\n    return [None] * len(completions)\n", encoding="utf-8")
    made = run_recipe(
        "r1_zero", model=tiny_base, prompts=tiny_base / "data" / "train.jsonl", output_dir=tmp_path / "made",
        **{**CPU, **GRPO}, rewards={f"{own}:nothing": 1.0, "format": 0.0},
    )  # fmt: skip
    warned = json.loads((made / "manifest.json").read_text())["metrics"].get("warnings", {})
    assert warned and "WARNING made" in capsys.readouterr().err


# Rows that do not fit


ODD_VALUES = [10**400, -(10**30), 1 + 2j, "half a pair \ud800", {1: 2}, object(), {"a": [1, "x"]}, 10**5000]


@pytest.mark.parametrize(
    "value", ODD_VALUES, ids=[type(value).__name__ + str(i) for i, value in enumerate(ODD_VALUES)]
)
@pytest.mark.parametrize("place", [0, 3, 6])
@pytest.mark.parametrize("column", ["answer", "level"])
def test_row_12_what_no_table_can_hold_is_named_with_row_and_column(value: Any, place: int, column: str) -> None:
    rows: list[Row] = [{**row, "level": None} for row in answered(7)]
    rows[place][column] = value
    with pytest.raises(DataError) as caught:
        table(rows)
    said = str(caught.value)
    # Of two types in one column the second is named.
    odd_first = column == "answer" and place == 0
    assert f"column '{column}'" in said and (odd_first or f"row {place + 1} of 7" in said), said


def test_what_fits_is_the_table_that_it_was() -> None:
    rows = answered(5)
    assert table(rows).to_list() == rows and table([]).to_list() == []
    assert sft_dataset(rows)[0]["completion"][0]["content"] == rows[0]["completion"]


def test_row_12_a_recipe_ends_with_a_sentence(tiny_base: Path, tmp_path: Path) -> None:
    rows = [{**row, "level": "a"} for row in answered(20)]
    rows[4]["level"] = "half a pair \ud800"
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises((DataError, ConfigError), match="rows.jsonl:5: half a character"):
        run_recipe("r1_zero", model=tiny_base, prompts=data, output_dir=tmp_path / "made", **{**CPU, **GRPO})
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
@pytest.mark.parametrize("gold", ["10" + "0" * 400, "1+2i"])
def test_row_12_odd_golds_train_without_an_error(gold: str, tiny_base: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", [{**row, "answer": gold} for row in answered(20)])
    made = run_recipe("r1_zero", model=tiny_base, prompts=rows, output_dir=tmp_path / "made", **{**CPU, **GRPO})
    assert (made / "manifest.json").is_file() and load_file(made / "model.safetensors")
