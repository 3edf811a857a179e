"""Checkpoints and logs of every other shape than a run writes: a sentence, in time, and the whole work is kept."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_resume import STEPS, cut, flip, interrupted, run

from r1hf.core.errors import StageError
from r1hf.trainers import checkpoints
from r1hf.trainers.callbacks import _logged

COMPLETE, STATE, WEIGHTS = checkpoints.COMPLETE, "trainer_state.json", "model.safetensors"


def checkpoint(directory: Path, step: int, **state: Any) -> Path:
    """As `ExactResume` leaves it, with few bytes in place of weights."""
    path = directory / f"checkpoint-{step}"
    (path / "rank" / "0").mkdir(parents=True)
    (path / WEIGHTS).write_bytes(b"w" * 100)
    (path / "rank" / "0" / "rng.pth").write_bytes(b"r")
    (path / "empty.txt").touch()
    (path / STATE).write_text(json.dumps({"global_step": step, "max_steps": 9, **state}))
    checkpoints.complete(path)
    return path


def written(name: str, content: str | bytes) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return harm


def entry(name: str, value: Any) -> Callable[[Path], None]:
    """What `complete.json` says of a file."""

    def harm(path: Path) -> None:
        files = json.loads((path / COMPLETE).read_text())["files"]
        (path / COMPLETE).write_text(json.dumps({"files": {**files, name: value}}))

    return harm


def without(name: str) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        files = json.loads((path / COMPLETE).read_text())["files"]
        (path / COMPLETE).write_text(json.dumps({"files": {key: files[key] for key in files if key != name}}))

    return harm


def replaced(name: str, make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        target = path / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        make(target)

    return harm


def state(text: str) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        (path / STATE).write_text(text)
        (path / COMPLETE).unlink()
        checkpoints.complete(path)

    return harm


HASH = "0" * 64
HARMS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (written(COMPLETE, ""), "cannot be read as JSON"),
    "binary": (written(COMPLETE, bytes(range(256))), "cannot be read as JSON"),
    "a list": (written(COMPLETE, "[]"), "is not a JSON object"),
    "a number": (written(COMPLETE, "1e999"), "is not a JSON object"),
    "null": (written(COMPLETE, "null"), "is not a JSON object"),
    "NaN": (written(COMPLETE, "NaN"), "is not a JSON object"),
    "deep": (written(COMPLETE, '{"files":' * 50_000), "nested too deep"),
    "deep lists": (written(COMPLETE, "[" * 50_000 + "]" * 50_000), "nested too deep"),
    "no files": (written(COMPLETE, "{}"), "lists no files"),
    "files empty": (written(COMPLETE, '{"files": {}}'), "lists no files"),
    "files a list": (written(COMPLETE, '{"files": ["model.safetensors"]}'), "lists no files"),
    "a pipe": (replaced(COMPLETE, os.mkfifo), "is not a regular file"),
    "a directory": (replaced(COMPLETE, Path.mkdir), "is not a regular file"),
    "a dead link": (replaced(COMPLETE, lambda path: path.symlink_to("nowhere")), "never finished"),
    "an entry of text": (entry(WEIGHTS, "100"), "not a size and a hash"),
    "an entry of NaN": (entry(WEIGHTS, {"size": float("nan"), "sha256": HASH}), "not a size and a hash"),
    "a size of text": (entry(WEIGHTS, {"size": "100", "sha256": HASH}), "not a size and a hash"),
    "a size of true": (entry(WEIGHTS, {"size": True, "sha256": HASH}), "not a size and a hash"),
    "a hash of null": (entry(WEIGHTS, {"size": 100, "sha256": None}), "not a size and a hash"),
    "a huge size": (entry(WEIGHTS, {"size": 10**400, "sha256": HASH}), "has 100 bytes"),
    "outside": (entry("../other", {"size": 1, "sha256": HASH}), "not a size and a hash"),
    "absolute": (entry("/etc/passwd", {"size": 1, "sha256": HASH}), "not a size and a hash"),
    "a NUL": (entry("a\0b", {"size": 1, "sha256": HASH}), "not a size and a hash"),
    "half a pair": (entry("a\ud800", {"size": 1, "sha256": HASH}), "not a size and a hash"),
    "too long a name": (entry("a" * 5000, {"size": 1, "sha256": HASH}), "cannot be read"),
    "a file more in the list": (entry("other.pt", {"size": 1, "sha256": HASH}), "other.pt is missing"),
    "a file less in the list": (without("empty.txt"), "empty.txt is there, which was not written with it"),
    "an adapter beside": (written("adapter_model.safetensors", "x"), "adapter_model.safetensors is there"),
    "a link beside": (lambda path: (path / "optimizer.bin").symlink_to("/etc/passwd"), "optimizer.bin is there"),
    "weights a pipe": (replaced(WEIGHTS, os.mkfifo), f"{WEIGHTS} is not a regular file"),
    "weights a directory": (replaced(WEIGHTS, Path.mkdir), f"{WEIGHTS} is"),
    "weights a link": (replaced(WEIGHTS, lambda path: path.symlink_to("/etc/passwd")), f"{WEIGHTS} is not"),
    "an empty file a pipe": (replaced("empty.txt", os.mkfifo), "empty.txt is not a regular file"),
    "a folder a file": (replaced("rank", Path.touch), "rank is there"),
    "the state a list": (state("[1]"), "is not a JSON object"),
    "the state empty": (state(""), "cannot be read as JSON"),
    "the state deep": (state("[" * 50_000), "nested too deep"),
    "a step of text": (state('{"global_step": "2", "max_steps": 9}'), "says step '2'"),
    "a step of NaN": (state('{"global_step": NaN, "max_steps": 9}'), "says step nan"),
    "another's step": (state('{"global_step": 3, "max_steps": 9}'), "says step 3"),
    "no last step": (state('{"global_step": 2}'), "says step 2 of None"),
    "a last step before": (state('{"global_step": 2, "max_steps": 1}'), "says step 2 of 1"),
}


@pytest.mark.parametrize("kind", HARMS)
def test_row_2_a_checkpoint_of_another_shape_is_named_and_the_one_before_taken(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint(tmp_path, 1)
    harm, said = HARMS[kind]
    harm(checkpoint(tmp_path, 2))
    found = checkpoints.last_whole(tmp_path)
    assert found is not None and (found.step, found.last_step) == (1, 9)
    told = capsys.readouterr().err
    assert "checkpoint-2 is passed over: " in told and said in told, told


@pytest.mark.parametrize("seed", range(40))
def test_row_2_any_change_of_the_list_is_seen(seed: int, tmp_path: Path) -> None:
    """A byte changed, cut or put in anywhere: the checkpoint is passed over, or means what it meant."""
    checkpoint(tmp_path, 1)
    path, draw = checkpoint(tmp_path, 2), random.Random(seed)
    content = bytearray((path / COMPLETE).read_bytes())
    place = draw.randrange(len(content))
    before = json.loads(content)
    match seed % 3:
        case 0:
            content[place] = draw.randrange(256)
        case 1:
            del content[place:]
        case 2:
            content[place:place] = draw.randbytes(draw.randint(1, 9))
    (path / COMPLETE).write_bytes(content)
    found = checkpoints.last_whole(tmp_path)
    assert found is not None
    if found.step == 2:
        assert json.loads(content)["files"] == before["files"]


@pytest.mark.parametrize("odd", ["checkpoint-x", "checkpoint-", "checkpoint--3", "checkpoint-4.tmp", "checkpoint-5/"])
def test_names_that_are_no_checkpoint_and_hidden_files_do_no_harm(odd: str, tmp_path: Path) -> None:
    (checkpoint(tmp_path, 1) / ".nfs0001").touch()
    (tmp_path / odd).mkdir() if odd.endswith("/") else (tmp_path / odd).touch()
    os.mkfifo(tmp_path / "checkpoint-7")
    assert checkpoints.last_whole(tmp_path).step == 1


ROWS = [{"step": 1, "loss": 2.5, "shares": [0.5, None]}, {"step": 2, "loss": None, "run": "helpful"}]
ODD_LINES = [
    *("", "null", "[]", "3", '"text"', "{}", '{"step": null}', '{"step": "2"}', '{"step": 2.0}', '{"step": true}'),
    *('{"step": 2, "loss": "low"}', '{"step": 2, "loss": NaN}', '{"step": 2, "loss": 1e999}', '{"step": 2, "run": 3}'),
    *('{"step": 2, "loss": {"a": 1}}', '{"step": 2, "x": [["deep", 1]]}', '{"step": 2, "loss": true}'),
    *(f'{{"step": 2, "loss": 1{"0" * 400}}}', f'{{"step": {"9" * 5000}}}', "[" * 50_000, '{"step": 2, "x": ' * 9999),
    *("\0\0\0\0", "\xff\xfe", '{"step": 1', "Traceback (most recent call last):"),
]


@pytest.mark.parametrize("line", ODD_LINES, ids=range(len(ODD_LINES)))
def test_a_line_that_no_run_wrote_is_dropped_and_said(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    good = [json.dumps(row) for row in ROWS]
    path.write_bytes("\n".join([good[0], line, good[1], '{"step": 3']).encode("latin-1"))
    assert _logged(path) == ROWS
    assert f"{path}: 1 of 3 lines are no rows of a run and are dropped, the first of them line 2" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_a_log_that_is_no_file_is_named_at_once(make: Callable[[Path], Any], tmp_path: Path) -> None:
    make(tmp_path / "log.jsonl")
    with pytest.raises(StageError, match="log.jsonl is not a regular file; move it away"):
        _logged(tmp_path / "log.jsonl")
    assert _logged(tmp_path / "none.jsonl") == []


@pytest.mark.slow
def test_row_2_a_run_with_a_broken_log_and_foreign_files_goes_on(tiny_base: Path, tmp_path: Path) -> None:
    saved = interrupted(tiny_base, tmp_path / "made")
    log = saved.parent / "log.jsonl"
    rows = log.read_text()
    log.write_text("\0" * 50 + "\n" + rows + "{}\n")
    (saved / "checkpoint-4" / "adapter_config.json").write_text("{}")
    metrics, logged = run("sft", tiny_base, tmp_path / "made")
    assert metrics["optimizer_steps"] == STEPS and [row["step"] for row in logged] == [2, 4, 6]
    again = interrupted(tiny_base, tmp_path / "piped")
    (again.parent / "log.jsonl").unlink()
    os.mkfifo(again.parent / "log.jsonl")
    with pytest.raises(StageError, match="log.jsonl is not a regular file"):
        run("sft", tiny_base, tmp_path / "piped")
    assert checkpoints.last_whole(again).step == 4


@pytest.mark.slow
def test_row_3_a_checkpoint_named_by_hand(tiny_base: Path, tmp_path: Path) -> None:
    """An empty or damaged one is an error, before anything is trained; the last one, or `true`, is gone on from."""
    saved = interrupted(tiny_base, tmp_path / "made")
    last, kept = saved / "checkpoint-4", tmp_path / "kept"
    shutil.copytree(tmp_path / "made.partial", kept)

    def refused(named: Any, said: str) -> None:
        with pytest.raises(StageError) as caught:
            run("sft", tiny_base, tmp_path / "made", resume_from_checkpoint=named)
        assert said in str(caught.value), caught.value

    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", saved / "checkpoint-9"):
        place.mkdir(exist_ok=True)
        with pytest.raises(Exception, match="is not a checkpoint of a trainer"):
            run("sft", tiny_base, tmp_path / "made", resume_from_checkpoint=place)
    shutil.rmtree(saved / "checkpoint-9")
    flip(last / WEIGHTS)
    refused(last, "cannot be gone on from; leave the key out to go on from the last whole one")
    for path in saved.glob("checkpoint-*"):
        cut(path / WEIGHTS)
    refused(last, "go on from the beginning, since no checkpoint is whole")
    refused("true", "go on from the beginning, since no checkpoint is whole")
    assert len(list(saved.glob("checkpoint-*"))) == 4, "nothing was given up"
    undisturbed = run("sft", tiny_base, tmp_path / "straight")
    for named in (last, "true"):
        shutil.rmtree(tmp_path / "made.partial", ignore_errors=True)
        shutil.rmtree(tmp_path / "made", ignore_errors=True)
        shutil.copytree(kept, tmp_path / "made.partial")
        assert run("sft", tiny_base, tmp_path / "made", resume_from_checkpoint=named) == undisturbed
