"""Rollouts on disk while training runs: one complete Parquet file for every few steps.

`rollouts/step-000041.parquet` holds the rollouts of the steps from 41 on. It is written beside and then renamed, so a
reader, or a kill, never meets half a file; `pandas.read_parquet("rollouts")` reads all of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from r1hf.core.errors import DataError
from r1hf.core.files import open_plain, reason_of
from r1hf.rewards._common import completion_texts

logger = logging.getLogger(__name__)
Columns = dict[str, list[Any]]
_OUTCOMES = b"r1hf.outcomes"  # in the schema's metadata
_TYPES = {"step": "int32", "tokens": "int32", "truncated": "bool"}  # the other columns are numbers
_TYPES |= dict.fromkeys(("prompt_id", "prompt", "completion"), "string")


class RolloutLog(TrainerCallback):
    """Collects rollouts and writes them from a thread of its own, `steps` steps a file, the newest `keep` files.

    Files are complete up to each checkpoint, and a run that goes on from one first drops the rows behind it: a stopped
    run leaves the same rows as an undisturbed one. A run from the start removes what an earlier one left here.
    A file that cannot be written is a warning: training goes on. keep 0: all files. outcomes: the rewards that say
    whether an answer is right, for readers of the files.
    """

    def __init__(self, directory: Path, steps: int, keep: int, outcomes: Sequence[str] = ()):
        self.directory, self.steps, self.keep, self.outcomes = directory, steps, keep, tuple(outcomes)
        self._first = 1  # the first step of the file that is being filled
        self._rows: Columns = {}
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="rollouts")
        self._job: Future[None] | None = None
        self._dirty = self._failed = False

    def add(self, step: int, columns: Mapping[str, Sequence[Any]]) -> None:
        """The rollouts of one generation, one value a completion; `step`: the first step that trains on them."""
        first = step - (step - 1) % self.steps
        if first != self._first:
            self.flush()
            self._first, self._rows = first, {}
        count = len(next(iter(columns.values())))
        for name, values in {"step": [step] * count, **columns}.items():
            self._rows.setdefault(name, []).extend(values)
        self._dirty = True

    def flush(self, wait: bool = False) -> None:
        """Writes what has been added so far; the file is whole again later, when more has been added."""
        if self._dirty:
            self.wait()  # the lists below must not change under the writer, and files come in order
            rows = {name: list(values) for name, values in self._rows.items()}
            self._job = self._writer.submit(self._write, self._first, rows)
            self._dirty = False
        if wait:
            self.wait()

    def wait(self) -> None:
        if self._job is not None:
            self._job.result()
            self._job = None

    def _write(self, first: int, rows: Columns) -> None:
        path = self.directory / f"step-{first:06d}.parquet"
        try:
            write(path, rows, self.outcomes)
            for old in files(self.directory)[: -self.keep] if self.keep else ():
                old.unlink(missing_ok=True)
        except Exception as error:  # a log is no reason to lose the training
            if not self._failed:
                logger.warning("rollouts are not logged: %s: %s; training goes on without them", path, error)
            self._failed = True

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            self.flush(wait=True)
            self._resume(state.global_step)

    def _resume(self, step: int) -> None:
        """Drops the rows of all steps after `step`, and goes on with the file that holds it."""
        for beside in self.directory.glob(".step-*.tmp"):
            beside.unlink()
        self._first, self._rows = step + 1 - step % self.steps, {}
        for path in files(self.directory):
            first = int(path.stem.removeprefix("step-"))
            if first + self.steps <= step + 1:  # all before
                continue
            try:
                rows = read(path)
            except DataError as error:
                aside = path.with_name(f".{path.name}.damaged")
                path.replace(aside)
                logger.warning("%s; it is kept as %s, and training goes on", error, aside)
                continue
            kept = [place for place, value in enumerate(rows["step"]) if value <= step]
            if first != self._first or not kept:
                path.unlink()
            else:
                self._rows = {name: [values[place] for place in kept] for name, values in rows.items()}
                self._dirty = True
        self.flush(wait=True)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step % self.steps == 0:
            self.flush()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.flush(wait=True)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.flush(wait=True)


def columns(
    prompts: Sequence[Any],
    ids: Sequence[str],
    completions: Sequence[Any],
    rewards: Mapping[str, Sequence[float]],
    **others: Sequence[Any],
) -> Columns:
    """The columns of a batch: a conversation becomes JSON, a completion its whole text, a NaN reward null."""
    judged = {f"rewards/{name}": [None if x != x else x for x in values] for name, values in rewards.items()}
    texts = completion_texts(completions)
    made = {"prompt_id": list(ids), "prompt": [prompt_text(prompt) for prompt in prompts], "completion": texts}
    return {**made, **judged, **{name: list(values) for name, values in others.items()}}


def prompt_text(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False)


def prompt_id(row: Mapping[str, Any]) -> str:
    """The row's `id`, or a hash of its prompt where it has none."""
    if row.get("id") is not None:
        return str(row["id"])
    return hashlib.blake2b(prompt_text(row["prompt"]).encode("utf-8", "replace"), digest_size=8).hexdigest()


def files(directory: Path) -> list[Path]:
    """The finished files of a directory of rollouts, by step."""
    return sorted(directory.glob("step-*.parquet"), key=lambda path: int(path.stem.removeprefix("step-")))


def write(path: Path, rows: Columns, outcomes: Sequence[str] = ()) -> None:
    """Replaces `path` in one step."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(name, pyarrow.type_for_alias(_TYPES.get(name, "float32"))) for name in rows])
    schema = schema.with_metadata({_OUTCOMES: json.dumps([f"rewards/{name}" for name in outcomes])})
    clean = {name: _utf8(values) if _TYPES.get(name) == "string" else values for name, values in rows.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    parquet.write_table(pyarrow.table(clean, schema=schema), beside, compression="zstd")
    os.replace(beside, path)


def read(path: Path) -> Columns:
    """The columns of one file. Raises DataError where it is none that `write` makes."""
    import pyarrow
    from pyarrow import parquet

    try:
        with open_plain(path) as stream:
            table = parquet.read_table(pyarrow.PythonFile(stream, mode="r"))
        columns = table.to_pydict()
    except (OSError, ValueError, pyarrow.ArrowException) as error:  # Arrow's own for bytes that are not whole
        raise DataError(f"{path} cannot be read: {reason_of(error)}; move it away to see the others") from error
    if strange := [name for name in (*_TYPES, "reward", "advantage") if not _fits(table.schema, name)]:
        raise DataError(f"{path} is no file of rollouts (its column {strange[0]}); move it away to see the others")
    return columns


def _fits(schema: Any, name: str) -> bool:
    """Whether a column is there, of the kind of values in which it is written."""
    from pyarrow import types

    tests: dict[str, list[Any]] = {
        "string": [types.is_string, types.is_large_string],
        "int32": [types.is_integer],
        "bool": [types.is_boolean],
        "float32": [types.is_floating],
    }
    kind = _TYPES.get(name, "float32")
    return name in schema.names and any(test(schema.field(name).type) for test in tests[kind])


def outcome_columns(path: Path) -> list[str] | None:
    """The columns of rewards that say whether an answer is right; None in a file of an r1hf that did not note them.

    Raises DataError where it is no file of rollouts.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with open_plain(path) as stream:
            schema = parquet.read_schema(pyarrow.PythonFile(stream, mode="r"))
        noted = json.loads((schema.metadata or {}).get(_OUTCOMES, b"null"))
    except (OSError, ValueError, RecursionError, pyarrow.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}; move it away to see the others") from error
    return noted if isinstance(noted, list) and {*map(type, noted)} <= {str} and {*noted} <= {*schema.names} else None


def _utf8(values: list[str]) -> list[str]:
    return [value.encode("utf-8", "replace").decode() for value in values]
