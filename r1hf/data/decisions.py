"""What people decided about a stage's rows: one append-only file for each reviewer, in `NAME.review` beside the stage.

A line is one decision, written and synced before the page goes on: a kill costs at most the one that was being made.
A row is named by what it says (`key_of`), so that decisions outlive a stage that is made again with the same rows.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from r1hf.core.errors import ConfigError, DataError, StageError
from r1hf.core.files import open_plain, parse_json, sibling
from r1hf.stage.locks import FileLock

KINDS = ("accept", "edit", "reject")
UNDO = "undo"
_REVIEWER = re.compile(r"\w[\w.-]{0,39}")
_KEY = re.compile(r"[0-9a-f]{16}")


class Decision(NamedTuple):
    """kind: one of `KINDS`. text: the new completion of an edit."""

    key: str
    kind: str
    text: str | None = None


Decided = dict[str, Decision]  # key -> what one reviewer decided last


def key_of(question: str, completion: str) -> str:
    """The name of a row: 16 hexadecimal digits made of its question and its completion."""
    said = json.dumps([question, completion.strip()], ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def folder_of(stage: Path) -> Path:
    """Where the decisions about a stage's rows are: `runs/mine/cold_start.review`."""
    return sibling(stage, "review")


def files_of(stage: Path) -> list[Path]:
    """The files of all reviewers, by name."""
    folder = folder_of(stage)
    return sorted(path for path in folder.glob("*.jsonl") if path.name[0] != ".") if folder.is_dir() else []


def check_reviewer(name: str) -> str:
    """Raises ConfigError for a name that is no file name everywhere."""
    if not _REVIEWER.fullmatch(name):
        raise ConfigError(f"--reviewer {name!r}: write up to 40 letters, digits, _ . or -, a letter or digit first")
    return name


def read(path: Path) -> tuple[list[Decision], int]:
    """(the decisions that were not undone, in their order; the bytes of whole lines).

    A last line without its end is what a kill left of a decision, and is not one. Raises DataError that names every
    other line that is none.
    """
    try:
        with open_plain(path) as stream:
            data = stream.read()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    whole = data.rfind(b"\n") + 1
    stack: list[Decision] = []
    wrong = []
    for number, line in enumerate(data[:whole].split(b"\n"), 1):
        if line.strip():
            try:
                _play(stack, _decision(line))
            except ValueError as error:
                wrong.append(f"{path}:{number}: {error}")
    if wrong:
        more = f"\n  and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise DataError("\n  ".join([*wrong[:5]]) + f"{more}\n  mend or delete these lines; the others are kept")
    return stack, whole


def _decision(line: bytes) -> Decision:
    try:
        row = parse_json(line.decode("utf-8"))
    except ValueError:
        raise ValueError(f"not JSON in UTF-8: {line[:60]!r}") from None
    if not isinstance(row, dict):
        raise ValueError(f"no decision: {line[:60]!r}")
    key, kind, text = (row.get(name) for name in ("key", "decision", "completion"))
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError(f"key is {key!r:.40}, not 16 hexadecimal digits")
    if kind not in (*KINDS, UNDO):
        raise ValueError(f"decision is {kind!r:.40}, not one of {', '.join((*KINDS, UNDO))}")
    if (kind == "edit") != isinstance(text, str):
        raise ValueError("an edit has a completion, and nothing else has")
    return Decision(key, str(kind), text)


def _play(stack: list[Decision], one: Decision) -> None:
    if one.kind != UNDO:
        stack.append(one)
    elif stack and stack[-1].key == one.key:
        stack.pop()
    else:
        raise ValueError(f"undoes a decision about {one.key}, which is not the last one before it")


def latest(stack: Iterable[Decision]) -> Decided:
    return {one.key: one for one in stack}


def decided_by_all(stage: Path) -> dict[str, Decided]:
    """What each reviewer of a stage has decided. Raises DataError."""
    return {path.stem: latest(read(path)[0]) for path in files_of(stage)}


class Journal:
    """One reviewer's decisions, to be read and added to by one process at a time.

    Raises StageError where another process has them, and DataError where the file holds what is none.
    """

    def __init__(self, stage: Path, reviewer: str):
        folder = folder_of(stage)
        self.path = folder / f"{check_reviewer(reviewer)}.jsonl"
        self._lock = FileLock(folder / f".{reviewer}.lock", f"the review by {reviewer}, {self.path},")
        self._lock.acquire()
        try:
            self.stack, whole = read(self.path)
            if self.path.exists() and self.path.stat().st_size > whole:
                os.truncate(self.path, whole)  # else the next decision would stand in the same line
        except BaseException:
            self.close()
            raise
        self.decided = latest(self.stack)

    def decide(self, decision: Decision) -> bool:
        """Keeps a decision; False where it is what was decided already. Raises StageError where it cannot be kept."""
        if self.decided.get(decision.key) == decision:
            return False
        self._append(decision)
        self.stack.append(decision)
        self.decided[decision.key] = decision
        return True

    def undo(self) -> Decision | None:
        """Takes the last decision back, and returns it."""
        if not self.stack:
            return None
        last = self.stack[-1]
        self._append(Decision(last.key, UNDO))
        self.stack.pop()
        before = next((one for one in reversed(self.stack) if one.key == last.key), None)
        if before is None:
            del self.decided[last.key]
        else:
            self.decided[last.key] = before
        return last

    def _append(self, one: Decision) -> None:
        row: dict[str, Any] = {"key": one.key, "decision": one.kind}
        row |= {} if one.text is None else {"completion": one.text}
        row["time"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        size = os.fstat(handle).st_size
        try:
            if os.write(handle, line) < len(line):
                raise OSError(None, "the disk is full")
            os.fsync(handle)
        except OSError as error:
            os.ftruncate(handle, size)
            raise StageError(f"the decision is not kept: {self.path}: {error.strerror or error}") from error
        finally:
            os.close(handle)

    def close(self) -> None:
        self._lock.release()
