"""Runs the graph: each stage as its own process, so a crash loses one stage and its memory comes back."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from r1hf.checks.secrets import mask
from r1hf.core.config import redact, redact_argv
from r1hf.core.errors import IntegrityError, R1Error
from r1hf.pipeline import launch
from r1hf.pipeline.graph import FORK, Graph
from r1hf.pipeline.plan import EVENTS, Decision, Planner
from r1hf.pipeline.view import duration, headline, sources
from r1hf.stage.directory import recover, sibling, stage_lock
from r1hf.stage.locks import FileLock, heed_stops
from r1hf.stage.manifest import MANIFEST
from r1hf.stage.stage import LOCK_WAIT


def run_lock(run_dir: Path) -> FileLock:
    """The lock of one pipeline on its run directory."""
    return FileLock(run_dir / ".pipeline.lock", f"the run directory {run_dir}")


def recover_stages(graph: Graph) -> None:
    """Ends what a killed run left half published. Waits for a stage of that run to notice and stop."""
    for name in graph.stages:
        directory = graph.output_dir(name)
        if any(sibling(directory, ending).exists() for ending in ("partial", "old")):
            lock = stage_lock(directory)
            lock.acquire(wait=LOCK_WAIT)
            try:
                recover(directory)
            finally:
                lock.release()


class Runner:
    """Runs what a planner decides; `run` returns the pipeline's exit status."""

    def __init__(self, planner: Planner):
        self.planner = planner
        self.graph = planner.graph
        self._child: launch.Running | None = None
        self._signal: int | None = None
        self._warnings: list[str] = []

    def run(self) -> int:
        """Runs all selected stages in order. Raises IntegrityError before the first if an output was edited."""
        decisions = self.planner.plan()
        refused = [
            f"{item.stage}: {reason}" for item in decisions if item.action == "refused" for reason in item.reasons
        ]
        if refused:
            raise IntegrityError("\n".join(dict.fromkeys(refused)))
        self._event("start", argv=redact_argv(sys.argv), run=[one.stage for one in decisions if one.action == "run"])
        _say(headline(self.planner, decisions))
        clock = _Clock(self.planner, decisions)
        with self._forwarded_signals():
            for number, name in enumerate(self.planner.selected, start=1):
                status = self._stage(name, f"[{number}/{len(self.planner.selected)}]", clock)
                if status != 0:
                    self._event("stopped", stage=name, status=status)
                    return status
        status = self._report()
        for text in self._warnings:
            _say(f"WARNING {text}")
        self._event("end", status=status, seconds=clock.elapsed)
        return status

    def _stage(self, name: str, label: str, clock: _Clock) -> int:
        if self._signal is not None:
            return 128 + self._signal
        decision = self.planner.decide(name)
        if decision.action == "refused":
            raise IntegrityError("\n".join(decision.reasons))
        if decision.action == "done":
            _say(f"{label} {name} · complete and unchanged{_in_brackets(decision.notes)}")
            self._event("skipped", stage=name)
            self._note_warnings(name)
            clock.drop(name)
            return 0
        reads = sources(self.graph.stages[name])
        _say(f"{label} {name} · {reads} → {self.graph.output_dir(name)}{_in_brackets(decision.reasons)}{clock.left()}")
        self._event("started", stage=name, reasons=list(decision.reasons))
        before, started = self._stamp(name), time.monotonic()
        status = self._process(name)
        seconds = round(time.monotonic() - started, 2)
        if status == 0:
            status = self._finished(name, before, seconds)
        elif self._signal is None:
            again = shlex.join(redact_argv(self.graph.command(name)))
            killed = " (killed from outside: often for want of memory)" if status == 128 + signal.SIGKILL else ""
            _say(f"stage {name} failed with exit code {status}{killed}; mend it and repeat the same pipeline command")
            _say(f"(this stage alone: {again})")
        clock.finished(name, seconds)
        return 128 + self._signal if self._signal is not None else status

    def _finished(self, name: str, before: Any, seconds: float) -> int:
        self.planner.forget(name)
        manifest = self.planner.proved(name)
        if manifest is None or self._stamp(name) == before:
            _say(f"stage {name} ended without an error but wrote no {MANIFEST}: its recipe must call stage.finish()")
            return 1
        _say(f"    done in {duration(seconds)}, peak {manifest.peak_rss_mb:.0f} MB")
        self._event(
            "finished",
            stage=name,
            seconds=seconds,
            peak_rss_mb=manifest.peak_rss_mb,
            fingerprint=manifest.fingerprint,
        )
        self._note_warnings(name)
        return 0

    def _note_warnings(self, name: str) -> None:
        """Keeps what a stage that ended well says against itself, for the end, where it is seen."""
        manifest = self.planner.proved(name)
        warnings = manifest.metrics.get("warnings") if manifest is not None else None
        if isinstance(warnings, dict):
            self._warnings += [f"{name}: {text}" for text in warnings.values()]

    def _stamp(self, name: str) -> tuple[int, int] | None:
        """Tells a manifest written in this run from the one before."""
        try:
            stat = (self.graph.output_dir(name) / MANIFEST).stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def _process(self, name: str) -> int:
        spec = self.graph.stages[name]
        self._child = (
            launch.fork(spec.recipe, self.graph.arguments(name))
            if spec.launcher == FORK
            else launch.start(self.graph.command(name))
        )
        try:
            if self._signal is not None:  # it came while the process was being made
                self._pass_on(signal.SIGTERM)
            status = self._child.wait()
        finally:
            self._child = None
        return status if status >= 0 else 128 - status

    @contextlib.contextmanager
    def _forwarded_signals(self) -> Iterator[None]:
        """SIGTERM, Ctrl-C and a closed terminal stop the running stage cleanly, a second SIGTERM or Ctrl-C at once.

        The stage is always awaited.
        """

        def stop(number: int, frame: FrameType | None) -> None:
            self._pass_on(signal.SIGTERM if self._signal is None else signal.SIGKILL)
            self._signal = number

        heed_stops()
        old = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int) -> None:
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    def _event(self, event: str, **details: Any) -> None:
        row = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **details}
        with (self.graph.run_dir / EVENTS).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(redact(row), ensure_ascii=False) + "\n")

    def _report(self) -> int:
        """Writes the report once an evaluation is complete; its failure leaves the finished stages as they are."""
        evaluated = [name for name, spec in self.graph.stages.items() if spec.recipe.stem == "evaluate"]
        if not any(self.planner.proved(name) for name in evaluated) or not importlib.util.find_spec(
            "r1hf.explain.report"
        ):
            return 0
        try:
            importlib.import_module("r1hf.explain.report").write_report(self.graph.run_dir, self.graph.links)
        except Exception as error:
            if not isinstance(error, R1Error):
                print(mask(traceback.format_exc()), end="", file=sys.stderr)
            _say(mask(f"the report failed: {type(error).__name__}: {error}"))
            _say("all stages are complete; repeat the same command to write the report again")
            return 1
        return 0


class _Clock:
    """The time left, from what each stage took before; corrected by how this machine compares so far."""

    def __init__(self, planner: Planner, decisions: list[Decision]):
        self._started = time.monotonic()
        self._left = {one.stage: planner.seconds(one.stage) for one in decisions if one.action == "run"}
        self._expected = 0.0
        self._took = 0.0

    @property
    def elapsed(self) -> float:
        return round(time.monotonic() - self._started, 2)

    def finished(self, name: str, seconds: float) -> None:
        expected = self._left.pop(name, None)
        if expected:
            self._expected += expected
            self._took += seconds

    def drop(self, name: str) -> None:
        self._left.pop(name, None)

    def left(self) -> str:
        known = [seconds for seconds in self._left.values() if seconds is not None]
        if not known or len(known) < len(self._left):
            return ""
        pace = self._took / self._expected if self._expected else 1.0
        return f" · about {duration(sum(known) * pace)} left"


def _in_brackets(texts: tuple[str, ...]) -> str:
    return f" ({'; '.join(texts)})" if texts else ""


def _say(text: str) -> None:
    print(text, flush=True)
