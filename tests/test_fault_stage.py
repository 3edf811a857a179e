"""Stages whose request was lost and whose inputs change under way: nothing is deleted, nothing wrong is published."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from r1hf.core.config import StageConfig, parse
from r1hf.core.errors import IntegrityError, R1Error, StageError
from r1hf.stage.stage import REQUEST, Stage


@dataclass(kw_only=True)
class Reads(StageConfig):
    base: str = field(default="", metadata={"input": True})
    save_strategy: str = "no"


def stage(directory: Path, name: str, base: Path | None = None, **more: Any) -> Stage:
    words = [f"--output_dir={directory / name}", *(f"--{key}={value}" for key, value in more.items())]
    return Stage(parse((Reads,), words + ([f"--base={base}"] if base else [])), __file__)


def made(directory: Path, name: str, content: str, base: Path | None = None, **more: Any) -> Path:
    with stage(directory, name, base, **more) as one:
        (one.work / "model.txt").write_text(content)
        one.finish({})
    return directory / name


NOTES = {
    "missing": None,
    "empty": "",
    "cut": '{"request": {"se',
    "a list": "[]",
    "null": "null",
    "no request": "{}",
    "a request of text": '{"request": "x", "inputs": {}}',
    "inputs a list": '{"request": {}, "inputs": []}',
    "made by a number": '{"request": {}, "inputs": {}, "made_by": 3}',
    "deep": '{"request":' * 50_000,
    "binary": "\udcff\0",
    "a pipe": os.mkfifo,
    "a directory": Path.mkdir,
}


@pytest.mark.parametrize("kind", NOTES)
def test_a_lost_request_deletes_no_checkpoint(kind: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        with stage(tmp_path, "a", save_strategy="steps") as one:
            (one.checkpoints / "checkpoint-4").mkdir(parents=True)
            raise KeyboardInterrupt
    note = one.work / REQUEST
    note.unlink()
    content: Any = NOTES[kind]
    if isinstance(content, str):
        note.write_text(content, errors="surrogateescape")
    elif content is not None:
        content(note)
    for _ in range(2):
        with pytest.raises(StageError, match="holds checkpoints, and .request.json in it does not say for what"):
            made(tmp_path, "a", "x", save_strategy="steps")
        assert (one.checkpoints / "checkpoint-4").is_dir()
    if note.is_file():
        made(tmp_path, "a", "x", save_strategy="steps", restart="true")
        return
    with pytest.raises(StageError, match="no stage made it"):  # without its mark the directory is a person's
        made(tmp_path, "a", "x", save_strategy="steps", restart="true")
    assert (one.checkpoints / "checkpoint-4").is_dir()


def test_without_checkpoints_a_lost_request_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.partial").mkdir()
    (tmp_path / "a.partial" / REQUEST).write_text("")
    made(tmp_path, "a", "x", save_strategy="steps")


def replace_by_a_rival(base: Path) -> None:
    made(base.parent, base.name, "another", seed=7)


def edit(base: Path) -> None:
    (base / "model.txt").write_text("edited")


def edit_and_set_back_the_clock(base: Path) -> None:
    before = (base / "model.txt").stat()
    (base / "model.txt").write_text("ONE"[: before.st_size])
    os.utime(base / "model.txt", ns=(before.st_atime_ns, before.st_mtime_ns))


def swap(base: Path) -> None:
    other = made(base.parent, "other", "another", seed=7)
    base.rename(base.with_name("away"))
    other.rename(base)


@pytest.mark.parametrize("change", [replace_by_a_rival, edit, edit_and_set_back_the_clock, swap, shutil.rmtree])
@pytest.mark.parametrize("foreign", [False, True], ids=["a stage's", "one's own"])
def test_an_input_that_changes_under_way_ends_the_stage(
    change: Callable[[Path], Any], foreign: bool, tmp_path: Path
) -> None:
    base = made(tmp_path, "base", "one")
    if foreign:
        (base / "manifest.json").unlink()
        if change is replace_by_a_rival:
            return  # no stage replaces what it did not make
    with pytest.raises(R1Error) as caught:
        with stage(tmp_path, "next", base) as one:
            (one.work / "model.txt").write_text("made of " + (base / "model.txt").read_text())
            change(base)
            one.finish({})
    assert isinstance(caught.value, StageError) and not isinstance(caught.value, IntegrityError)
    assert "while the stage ran" in str(caught.value) and not (tmp_path / "next").exists()


def touch(base: Path) -> None:
    os.utime(base / "model.txt")


def same_again(base: Path) -> None:
    (base / "model.txt").write_text("one")


def beside(base: Path) -> None:
    (base.parent / "new").mkdir()


@pytest.mark.parametrize("change", [touch, same_again, beside])
def test_what_leaves_the_content_as_it_is_ends_nothing(change: Callable[[Path], None], tmp_path: Path) -> None:
    base = made(tmp_path, "base", "one")
    with stage(tmp_path, "next", base) as one:
        (one.work / "model.txt").write_text("x")
        change(base)
        one.finish({})
    recorded = json.loads((tmp_path / "next" / "manifest.json").read_text())["inputs"]["base"]["fingerprint"]
    assert recorded == json.loads((base / "manifest.json").read_text())["fingerprint"]
