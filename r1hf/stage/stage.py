"""What every recipe has around it: inputs proved, seeds set, one writer, and an output that appears whole or not.

with begin(CONFIGS, preflight, argv, __file__) as stage:  # r1hf.commands.recipe
    ...                      # write everything below stage.work
    stage.finish(metrics)
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from r1hf.core.config import Parsed, StageConfig, jsonable
from r1hf.core.errors import ConfigError, R1Error, StageError
from r1hf.core.files import read_object, sibling
from r1hf.core.redaction import redact, redact_argv
from r1hf.stage.directory import (
    REQUEST,
    StageLog,
    check_replaceable,
    clear_partial,
    own_place,
    publish,
    recover,
    stage_lock,
    sync_files,
    uninterrupted,
)
from r1hf.stage.given_inputs import stamps
from r1hf.stage.hub_inputs import pin_inputs, with_commits, with_pins
from r1hf.stage.libraries import quiet_libraries, set_matmul_precision, set_seed, set_threads
from r1hf.stage.locks import distributed_group, watch_parent
from r1hf.stage.manifest import (
    LOG,
    MANIFEST,
    Manifest,
    fingerprint,
    git_state,
    hardware,
    hash_outputs,
    input_records,
    peak_rss_mb,
    versions,
    write_manifest,
)

CHECKPOINTS = "trainer"
LOCK_WAIT = 5.0  # seconds: longer than a stage takes to notice that its pipeline is gone


class Stage:
    """One run of one stage, as a context manager.

    work: the directory to write to; it becomes `output_dir` when the block ends without an exception.
    name: the stage's name, the last part of `output_dir`.
    log: the training log.
    checkpoints: where its trainers save; not part of the output.
    resume: whether the configuration saves checkpoints (`save_strategy`), so that `work` outlives an interruption.
    resumed: True if `work` holds what an interrupted run of the same request left.

    In a distributed run every rank enters; rank 0 alone locks, verifies and publishes.
    """

    def __init__(self, parsed: Parsed, recipe: str | Path):
        parsed.check()
        self.parsed = parsed
        self.config: StageConfig = next(item for item in parsed.configs if isinstance(item, StageConfig))
        self.recipe = Path(recipe).resolve()
        self.output_dir = own_place(self.config.output_dir)
        self.name = Path(os.path.abspath(self.output_dir)).name
        self.work = sibling(self.output_dir, "partial")
        self.main_process = int(os.environ.get("RANK", "0")) == 0
        self.checkpoints = self.work / CHECKPOINTS
        self.log = StageLog(self.work / LOG, enabled=self.main_process)
        self.resume = any(_saves(config) for config in parsed.configs)
        self.resumed = False
        self._began = False
        self._lock = stage_lock(self.output_dir)
        self._metrics: dict[str, Any] | None = None
        self._notes: dict[str, dict[str, Any]] = {}
        self._inputs: dict[str, Any] = {}
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._pins: dict[str, Any] = {}
        self._git: dict[str, Any] = {}
        self._read_whole: set[str] = set()
        self._started = 0.0
        self._old_handler: Any = None

    def __enter__(self) -> Stage:
        watch_parent()
        self._started = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            self._old_handler = signal.signal(signal.SIGTERM, _on_sigterm)
        if self.main_process:
            self._lock.acquire(wait=LOCK_WAIT)
            try:
                self._prepare()
            except BaseException:
                self._discard()
                self._let_go()
                raise
        _barrier()
        if not self.main_process:
            self._pins = pin_inputs(self.parsed)
            self.resumed = self.resume and any(self.checkpoints.rglob("checkpoint-*"))  # rank 0 has cleared the rest
        set_seed(self.config.seed)
        set_threads(self.config.num_threads)
        set_matmul_precision(self.config.matmul_precision)
        quiet_libraries()
        for note in self.parsed.notes:
            self.say(f"note: {note}")
        return self

    def _prepare(self) -> None:
        recover(self.output_dir)
        check_replaceable(self.output_dir, f"{self.recipe.parent.name}/{self.recipe.name}")
        self._stamps = stamps(self.parsed)  # before they are hashed
        self._inputs = input_records(self.parsed.inputs)
        self._pins = pin_inputs(self.parsed)
        self._git = git_state(self.recipe.parent)
        asked = {"request": self.parsed.request, "inputs": self._inputs, "made_by": self._made_by()}
        note = self.work / REQUEST
        self.resumed = self.resume and not self.config.restart and self._goes_on(note, asked)
        if not self.resumed:
            clear_partial(self.work)
            self.work.mkdir(parents=True)
            self._began = True
            note.write_text(json.dumps(asked, sort_keys=True), encoding="utf-8")

    def _made_by(self) -> dict[str, str]:
        code = f"{self._git.get('revision')}{' with changes' if self._git.get('dirty') else ''}"
        return {**versions(), "code": code}

    def _goes_on(self, note: Path, asked: dict[str, Any]) -> bool:
        """Whether `work` is this request's. Raises StageError where it holds checkpoints of another."""
        before = _asked_before(note)
        if before is None:
            if not any(self.checkpoints.rglob("checkpoint-*")):
                return False
            raise StageError(
                f"{self.work} holds checkpoints, and {note.name} in it does not say for what: put the file back, move "
                "the directory away to keep them, or give them up with --restart true"
            )
        asked = json.loads(json.dumps(asked))
        if all(before.get(key) == asked[key] for key in ("request", "inputs")):
            _note_other_code(before.get("made_by", {}), asked["made_by"])
            return True
        if not any(self.checkpoints.rglob("checkpoint-*")):
            return False
        raise StageError(
            f"{self.work} holds checkpoints of a run that was asked for something else: {_changes(before, asked)}; "
            "put that back to go on from them, or give them up with --restart true"
        )

    def note(self, group: str, name: str, value: Any) -> None:
        """Keeps a result that is known before the end, such as counts of rows, for the metrics."""
        self._notes.setdefault(group, {})[name] = value

    def agreed(self, ask: Callable[..., Any]) -> Callable[..., Any]:
        """`ask`, answered by the main process for all: what looks at the clock may differ from rank to rank."""

        def answer(*asked: Any) -> Any:
            found = [ask(*asked) if self.main_process else None]
            if (group := distributed_group()) is not None:
                group.broadcast_object_list(found, src=0)
            return found[0] if self.main_process or group is not None else ask(*asked)

        return answer

    def read_whole(self, name: str) -> None:
        """Says that an input was read to its end: what is added to it from here on is for another run.

        Raises StageError where it is no longer what it was when the stage began.
        """
        if self.main_process and input_records({name: self.parsed.inputs[name]})[name] != self._inputs[name]:
            raise StageError(f"{name}: changed while it was read; repeat the same command")
        self._read_whole.add(name)

    def say(self, text: str) -> None:
        """One line on the terminal, from the main process alone."""
        if self.main_process:
            print(f"  {text}", flush=True)

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Declares the work done. `metrics` hold results only: no times, so that equal runs give equal manifests.

        Raises StageError for a metric that is NaN or infinite.
        """
        metrics = {**metrics, **self._notes}
        for name, value in _numbers(metrics):
            if not math.isfinite(value):
                raise StageError(f"stage {self.name}: the metric '{name}' is {value}: the work went wrong")
        self._metrics = jsonable(dict(metrics))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                _barrier()
                if self.main_process:
                    self._publish()
                _barrier()
        except BaseException:
            error = error or sys.exception()
            raise
        finally:
            if self.main_process and error is not None:
                self._discard()
            self._let_go()
            set_matmul_precision("highest")  # for what else this process computes

    def _publish(self) -> None:
        if self._metrics is None:
            raise StageError(f"stage {self.name} ended without finish(metrics): its work is not done")
        self._check_inputs()
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        outputs = hash_outputs(self.work, hidden=True)
        if not set(outputs) - {LOG}:
            raise StageError(f"stage {self.name} wrote no output")
        sync_files([self.work / name for name in outputs])
        manifest = Manifest(
            stage=self.name,
            recipe=f"{self.recipe.parent.name}/{self.recipe.name}",
            command=[f"{self.recipe.parent.name}/{self.recipe.name}", *redact_argv(self.parsed.argv)],
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            seconds=round(time.monotonic() - self._started, 2),
            peak_rss_mb=peak_rss_mb(),
            seed=self.config.seed,
            request=self.parsed.request,
            config=self.parsed.resolved() | with_commits(self.parsed, self._pins),
            inputs=with_pins(self._inputs, self._pins),
            outputs=outputs,
            fingerprint=fingerprint(outputs),
            metrics=redact(self._metrics),
            versions=versions(),
            git=self._git,
            hardware=hardware(),
        )
        write_manifest(self.work, manifest)
        (self.work / REQUEST).unlink(missing_ok=True)
        with uninterrupted():
            publish(self.output_dir)

    def _check_inputs(self) -> None:
        """Raises StageError where an input was replaced under way: this would be another's output than it says."""
        if stamps(self.parsed) == self._stamps:
            return
        held = {name: value for name, value in self.parsed.inputs.items() if name not in self._read_whole}
        try:
            now = input_records(held)
        except R1Error as error:
            raise StageError(f"an input was changed while the stage ran: {error}") from error
        changed = [name for name in held if now.get(name) != self._inputs[name]]
        if changed:
            raise StageError(
                f"{', '.join(changed)}: replaced while the stage ran, which may have read some of each; nothing is "
                "published, repeat the same command"
            )

    def _discard(self) -> None:
        finished = (self.work / MANIFEST).is_file()  # only its place was taken: the next run puts it there
        if self._began and not finished and not self.resume and os.environ.get("R1HF_KEEP_PARTIAL") != "1":
            shutil.rmtree(self.work, ignore_errors=True)

    def _let_go(self) -> None:
        if self.main_process:
            self._lock.release()
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None


def _asked_before(note: Path) -> dict[str, Any] | None:
    """What `.request.json` says, None where no stage wrote it so."""
    try:
        before = read_object(note)
    except (FileNotFoundError, ConfigError):
        return None
    known = all(isinstance(before.get(key, {}), dict) for key in ("request", "inputs", "made_by"))
    return before if known and "request" in before and "inputs" in before else None


def _saves(config: Any) -> bool:
    """Whether these are a trainer's arguments that save checkpoints."""
    strategy = getattr(config, "save_strategy", "no")
    return str(getattr(strategy, "value", strategy)) != "no"


def _note_other_code(before: Mapping[str, str], now: Mapping[str, str]) -> None:
    changed = [f"{name} {before.get(name)} -> {now.get(name)}" for name in now if before.get(name) != now.get(name)]
    if changed:
        print(
            f"note: other code than before the interruption ({', '.join(changed)}); "
            "from here on the run may differ from an undisturbed one",
            file=sys.stderr,
        )


def _changes(before: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """What differs between two requests, key by key: `max_steps 6 -> 8`, `the data in prompts`."""
    old, new = before.get("request", {}), asked["request"]
    changed = [
        f"{key} {old.get(key)!r} -> {new.get(key)!r}" for key in sorted({*old, *new}) if old.get(key) != new.get(key)
    ]
    read, reads = before.get("inputs", {}), asked["inputs"]
    changed += [f"the data in {key}" for key in sorted({*read, *reads}) if read.get(key) != reads.get(key)]
    return ", ".join(changed)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break the clean-up
    raise SystemExit(128 + number)


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """(dotted name, value) of every float in nested metrics."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{name}[{index}]")
    elif isinstance(value, float) or (hasattr(value, "item") and getattr(value, "shape", None) == ()):
        yield name, float(value)


def _barrier() -> None:
    """Waits for all ranks, where the recipe has started torch.distributed."""
    group = distributed_group()
    if group is not None:
        group.barrier()
