"""Closed terminals, schedulers' warnings and locks: work is saved, nothing is left lying, real signals throughout."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_run import CPU, ROOT, answered, write

from r1hf.core.errors import StageError
from r1hf.stage.locks import STOPS, FileLock, heed_stops
from r1hf.trainers import checkpoints

MAKE = ROOT / "tests" / "dummy_recipes" / "make.py"
RESUME = ROOT / "tests" / "resume_run.py"
ENV = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[Any] | None = None) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        assert process is None or process.poll() is None, f"it ended too early: {process.returncode}"
        time.sleep(0.01)


@pytest.mark.parametrize("number", STOPS)
def test_row_6_what_asks_a_stage_to_stop_leaves_no_lock(number: signal.Signals, tmp_path: Path) -> None:
    words = [sys.executable, str(MAKE), "--output_dir", str(tmp_path / "a"), "--sleep", "30"]
    process = subprocess.Popen(words, env=ENV, stderr=subprocess.PIPE)
    wait_for((tmp_path / "a.partial" / "half.txt").exists, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 143 and b"Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_row_6_under_nohup_a_closed_terminal_changes_nothing(tmp_path: Path) -> None:
    words = ["nohup", sys.executable, str(MAKE), "--output_dir", str(tmp_path / "a"), "--sleep", "1"]
    process = subprocess.Popen(words, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    wait_for((tmp_path / "a.partial" / "half.txt").exists, process)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=300) == 0 and (tmp_path / "a" / "manifest.json").is_file()


def test_a_handler_of_ones_own_stays() -> None:
    before = {number: signal.getsignal(number) for number in STOPS}
    try:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, print)
        thread = threading.Thread(target=heed_stops)  # off the main thread it does nothing, and does not fail
        thread.start()
        thread.join()
        heed_stops()
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN and signal.getsignal(signal.SIGUSR2) is print
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def at_a_terminal(words: list[str]) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], None]]]:
    """A command as a shell starts it, with a terminal that the test can close."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        words, env=ENV, stdin=slave, stdout=slave, stderr=slave, preexec_fn=lambda: own(), start_new_session=True
    )
    os.close(slave)
    closed = threading.Event()

    def read() -> None:
        while not closed.is_set():  # a read under way would keep the terminal open
            if select.select([master], [], [], 0.02)[0]:
                os.read(master, 1 << 16)

    reader = threading.Thread(target=read, daemon=True)

    def close() -> None:
        closed.set()
        reader.join()
        os.close(master)

    reader.start()
    try:
        yield process, close
    finally:
        process.kill()
        process.wait()
        if not closed.is_set():
            close()


def own() -> None:
    """Makes the terminal that of this session, whose end the kernel tells with SIGHUP."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.slow
def test_row_6_a_closed_terminal_saves_the_training(tiny_base: Path, tmp_path: Path) -> None:
    output = tmp_path / "made"
    settings = json.dumps({"save_steps": 100, "max_steps": 40})
    words = [sys.executable, str(RESUME), "sft", str(tiny_base), str(output), "0.2", settings]
    with at_a_terminal(words) as (process, close):
        wait_for(lambda: text(tmp_path / "made.step") == "2\n", process)
        close()
        assert process.wait(timeout=300) == 143
    found = checkpoints.last_whole(tmp_path / "made.partial" / "trainer")
    assert found is not None and 2 <= found.step < 40
    assert not output.exists() and not list(tmp_path.rglob("*.lock"))


@pytest.mark.slow
def test_row_6_a_closed_terminal_saves_the_stage_of_a_pipeline(tiny_base: Path, tmp_path: Path) -> None:
    """The stage has a session of its own: the pipeline alone is told, and awaits it."""
    rows = write(tmp_path / "rows.jsonl", answered(16))
    training = {**CPU, "save_strategy": "steps", "save_steps": 20, "max_steps": 4000, "per_device_train_batch_size": 4}
    (tmp_path / "sft.yaml").write_text(
        yaml.safe_dump({**training, "num_threads": 1, "model": str(tiny_base), "data": str(rows)})
    )
    graph = tmp_path / "pipeline.yaml"
    graph.write_text(yaml.safe_dump({"seed": 7, "stages": {"sft": {"recipe": "sft", "config": "sft.yaml"}}}))
    run = tmp_path / "run"
    words = [sys.executable, str(ROOT / "recipes/pipeline.py"), "--config", str(graph), "--run_dir", str(run)]
    saved = run / "sft.partial" / "trainer"
    with at_a_terminal(words) as (process, close):
        wait_for((saved / "checkpoint-20").exists, process)
        close()
        assert process.wait(timeout=300) == 143
    found = checkpoints.last_whole(saved)
    assert found is not None and 20 < found.step < 4000 and found.step % 20, "one more than the regular ones"
    assert not list(tmp_path.rglob("*.lock"))


def text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def test_a_lock_that_many_want_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    """Each deletes it while others open it: no FileNotFoundError, and never two within."""
    inside, most, faults = [0], [0], list[BaseException]()

    def take() -> None:
        try:
            for _ in range(150):
                lock = FileLock(tmp_path / "deep" / "x.lock", "it")
                while True:
                    try:
                        lock.acquire()
                        break
                    except StageError as error:
                        assert "in use by process" in str(error)
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1
                lock.release()
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and most == [1] and not (tmp_path / "deep" / "x.lock").exists()


def test_a_lock_whose_directory_is_deleted_meanwhile_is_made_again(tmp_path: Path) -> None:
    faults = list[BaseException]()

    def take(number: int) -> None:
        lock = FileLock(tmp_path / "deep" / "deeper" / "x.lock", "it")
        for turn in range(200):
            try:
                lock.acquire()
                lock.release()
            except StageError as error:
                if "in use by process" not in str(error):
                    faults.append(error)
            except BaseException as error:
                faults.append(error)
            if turn % 3 == number:
                shutil.rmtree(tmp_path / "deep", ignore_errors=True)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)])
def test_what_is_no_lock_file_is_named(make: Callable[[Path], Any], tmp_path: Path) -> None:
    make(tmp_path / "x.lock")
    lock = FileLock(tmp_path / "x.lock", "it")
    try:
        lock.acquire()
    except StageError as error:
        assert "x.lock, the lock of it, cannot be" in str(error) or "x.lock is not a lock of r1hf" in str(error)
    else:
        lock.release()  # a pipe can be locked
