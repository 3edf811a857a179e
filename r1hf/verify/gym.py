"""Tasks of reasoning-gym (extra `gym`), each scored by its own scorer, in a process of its own.

The scorers of version 0.1.25 hand answers to `eval` (n_queens, spiral_matrix, …) and to sympy, which evals too
(countdown, puzzle24, …): an answer could run any code, or never end. `r1hf.verify.gym_worker` takes both away.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from r1hf.core.environment import worker_environment
from r1hf.core.errors import ConfigError, DataError

SECONDS = 3.0  # for one answer
START_SECONDS = 180.0  # reasoning-gym imports a lot, and its data sets may read files
MAX_ANSWER = 50_000  # characters; a longer answer scores nothing
_TUPLE = "__tuple__"

GymRow = Mapping[str, Any]


def gym_rows(dataset: str, size: int, seed: int = 42, **config: Any) -> list[dict[str, Any]]:
    """`size` tasks of a reasoning-gym data set as rows: `question`, `answer`, and `gym`, which the scorer needs.

    `gym` is JSON text, since Arrow would fill up and reorder what differs from task to task, and JSON alone would
    turn tuples into lists, which some scorers (arc_agi) tell apart.
    """
    check_installed()
    import reasoning_gym

    if dataset == "composite":
        raise ConfigError("composite is a mix of data sets: call gym_rows for each of them, and mix the rows")
    made = reasoning_gym.create_dataset(dataset, size=size, seed=seed, **config)
    return [gym_row(dataset, config, entry) for entry in made]


def gym_row(dataset: str, config: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """One task of a data set as a row of `gym_rows`."""
    task = {"dataset": dataset, "config": tagged(config), "entry": tagged(entry)}
    return {"question": entry["question"], "answer": entry["answer"], "gym": json.dumps(task)}


def tagged(value: Any) -> Any:
    """JSON-ready, with tuples marked; `untagged` undoes it."""
    if isinstance(value, Mapping):
        return {str(key): tagged(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return {_TUPLE: [tagged(item) for item in value]}
    if isinstance(value, list):
        return [tagged(item) for item in value]
    if hasattr(value, "item"):  # NumPy's scalars
        return value.item()
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)  # Fraction, date


def untagged(value: Any) -> Any:
    if isinstance(value, Mapping):
        if set(value) == {_TUPLE}:
            return tuple(untagged(item) for item in value[_TUPLE])
        return {key: untagged(item) for key, item in value.items()}
    return [untagged(item) for item in value] if isinstance(value, list) else value


def verify_gym(answer: str | None, row: GymRow | str) -> bool | None:
    """Whether the task's own scorer gives the full mark; see `score_gym`."""
    score = score_gym(answer, row)
    return None if score is None else score >= 1.0 - 1e-9


def score_gym(answer: str | None, row: GymRow | str) -> float | None:
    """The mark, mostly 0.0 to 1.0, that the scorer of `row`'s task gives `answer`.

    `row` is {"dataset": name, "entry": {"question", "answer", "metadata"}, "config": {…}} or that as JSON, as in the
    column `gym` of `gym_rows`. Without "dataset" the name is the metadata's `source_dataset`. Many scorers give part
    of the mark for a wrong answer, some for one that merely contains the right one. An answer that takes more than
    SECONDS, or makes the scorer fail, gets 0.0; None where the scorer fails on the task's own answer. Raises
    ConfigError without reasoning-gym, DataError for a row that is no task of it.
    """
    task = _task(row)
    if not answer or len(answer) > MAX_ANSWER:
        return 0.0
    said = _worker.ask({**task, "answer": answer, "seconds": SECONDS})
    if "unknown" in said:
        raise DataError(f"reasoning-gym has no such task: data set {task['dataset']!r}: {said['unknown']}")
    if "fault" in said or "stopped" in said:
        own = _worker.ask({**task, "answer": task["entry"]["answer"], "seconds": SECONDS})
        return None if "fault" in own or "stopped" in own else 0.0
    return float(said["score"])


def _task(row: GymRow | str) -> dict[str, Any]:
    try:
        found = json.loads(row) if isinstance(row, str) else dict(row)
        entry = found["entry"]
        name = found.get("dataset") or untagged(entry["metadata"])["source_dataset"]
        return {"dataset": str(name), "config": tagged(found.get("config") or {}), "entry": tagged(entry)}
    except (KeyError, TypeError, ValueError) as error:
        text = repr(row)
        raise DataError(
            f"not a row of reasoning-gym ({type(error).__name__}: {error}): {text[:80]}. It needs entry (question, "
            "answer, metadata) and the name of the data set; r1hf.verify.gym.gym_rows makes such rows"
        ) from None


def check_installed() -> None:
    """Raises ConfigError where the package is missing."""
    if importlib.util.find_spec("reasoning_gym") is None:
        raise ConfigError(
            "tasks of reasoning-gym need the package reasoning-gym, r1hf's extra `gym`: make install EXTRAS=dev,gym"
        )


class _Worker:
    """One worker process for all threads; started when first asked, and again where it died."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            try:
                return self._ask(json.dumps(question).encode() + b"\n", START_SECONDS + question["seconds"])
            except BaseException:
                self.close()
                raise

    def _ask(self, line: bytes, seconds: float) -> dict[str, Any]:
        for _ in range(2):  # a worker found dead is not the question's fault
            process = self._started()
            assert process.stdin is not None
            try:
                process.stdin.write(line)
                process.stdin.flush()
            except OSError:
                self.close()
                continue
            if answer := self._line(time.monotonic() + seconds):
                return dict(json.loads(answer))
            self.close()
        raise DataError("the reasoning-gym worker died twice over one answer; is there enough memory?")

    def _started(self) -> subprocess.Popen[bytes]:
        if self.process is not None and self.process.poll() is None:
            return self.process
        check_installed()
        command = [sys.executable, "-W", "ignore", "-m", "r1hf.verify.gym_worker", str(os.getpid())]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=worker_environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"),
            bufsize=0,
        )
        if self._line(time.monotonic() + START_SECONDS) != b"ready\n":
            self.close()
            raise ConfigError(
                f"reasoning-gym does not start; `{' '.join(command[:-1])} {os.getpid()}` shows why "
                "(is r1hf's extra `gym` installed?)"
            )
        return self.process

    def _line(self, deadline: float) -> bytes:
        """One line, or less at the deadline or the end of the process."""
        assert self.process is not None and self.process.stdout is not None
        handle, text = self.process.stdout.fileno(), b""
        poll = select.poll()
        poll.register(handle, select.POLLIN | select.POLLHUP)
        while not text.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000) or not (piece := os.read(handle, 1 << 16)):
                return b""
            text += piece
        return text

    def close(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()


_worker = _Worker()


def _after_fork() -> None:
    """The worker belongs to the parent: a forked child starts its own."""
    global _worker
    _worker = _Worker()


atexit.register(lambda: _worker.close())
os.register_at_fork(after_in_child=_after_fork)
