"""Runs the graph: each stage as its own process, several at once where they do not wait for each other.

A crash loses one stage, and its memory comes back.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import queue
import shlex
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from r1hf.core.errors import ConfigError, IntegrityError, R1Error
from r1hf.core.files import sibling
from r1hf.core.graph import Graph
from r1hf.core.places import EVENTS
from r1hf.core.redaction import redact, redact_argv
from r1hf.core.secrets import mask
from r1hf.pipeline import launch
from r1hf.pipeline.decisions import Decision, Planner
from r1hf.pipeline.schedule import Capacity, startable
from r1hf.pipeline.view import duration, expected_seconds, headline, sources
from r1hf.stage.directory import recover, stage_lock
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


def refuse_many_nodes(graph: Graph, names: Iterable[str]) -> None:
    """Raises ConfigError where a stage is launched on more nodes than this one."""
    wide = {name: nodes for name in names if (nodes := graph.stages[name].launch.nodes) > 1}
    advice = "submit it with recipes/slurm, or leave it out (--until, --only)"
    if wide:
        raise ConfigError(
            [f"{name}: its launch has {nodes} nodes, and a pipeline has one: {advice}" for name, nodes in wide.items()]
        )


class Runner:
    """Runs what a planner decides; `run` returns the pipeline's exit status."""

    def __init__(self, planner: Planner, allowed: Capacity):
        self.planner = planner
        self.graph = planner.graph
        self.allowed = allowed
        self._running: dict[str, _UnderWay] = {}
        self._ended: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
        self._handled = 0
        self._failed: dict[str, int] = {}
        self._signal: int | None = None
        self._warnings: list[str] = []

    def run(self) -> int:
        """Runs all selected stages. Raises IntegrityError before the first if an output was edited."""
        decisions = self.planner.plan()
        refused = [
            f"{item.stage}: {reason}" for item in decisions if item.action == "refused" for reason in item.reasons
        ]
        if refused:
            raise IntegrityError("\n".join(dict.fromkeys(refused)))
        refuse_many_nodes(self.graph, [item.stage for item in decisions if item.action == "run"])
        self._event("start", argv=redact_argv(sys.argv), run=[one.stage for one in decisions if one.action == "run"])
        _say(headline(self.planner, decisions, self.allowed))
        clock = _Clock(self.planner, decisions, self.allowed)
        with self._forwarded_signals():
            status = self._stages(clock)
        if status != 0:
            self._event("stopped", stages=self._failed, status=status)
            return status
        status = self._report()
        for text in self._warnings:
            _say(f"WARNING {text}")
        self._event("end", status=status, seconds=clock.elapsed)
        return status

    def _stages(self, clock: _Clock) -> int:
        """All selected stages, each as soon as its inputs are complete and there is room for it.

        A stage that fails takes those with it that wait for it; the others go on.
        """
        waiting = list(self.planner.selected)
        while waiting or self._running:
            while self._signal is None and (name := self._next(waiting)) is not None:
                waiting.remove(name)
                if not self._begin(name, clock):
                    waiting = self._without_followers(name, waiting)
            if not self._running:
                break
            name, status = self._ended.get()
            if self._end(name, status, clock) != 0:
                waiting = self._without_followers(name, waiting)
        if self._signal is not None:
            return 128 + self._signal
        return next(iter(self._failed.values()), 0)

    def _next(self, waiting: list[str]) -> str | None:
        return startable(waiting, self.graph.links, list(self._running), self.planner.loads, self.allowed)

    def _without_followers(self, failed: str, waiting: list[str]) -> list[str]:
        """The stages that can still run after one that failed."""
        lost = {failed}
        for name in self.graph.stages:
            if name in waiting and lost & set(self.graph.links[name]):
                lost.add(name)
        left = [name for name in waiting if name not in lost]
        if self._signal is None and len(lost) > 1:
            _say(f"(not run, since they wait for {failed}: {', '.join(name for name in waiting if name in lost)})")
        return left

    def _begin(self, name: str, clock: _Clock) -> bool:
        """Starts a stage, or notes that it is complete. False if it cannot run."""
        self._handled += 1
        label = f"[{self._handled}/{len(self.planner.selected)}]"
        decision = self._decided(name)
        if decision is None:
            return False
        if decision.action == "done":
            _say(f"{label} {name} · complete and unchanged{_in_brackets(decision.notes)}")
            self._event("skipped", stage=name)
            self._note_warnings(name)
            clock.drop(name)
            return True
        reads = sources(self.graph.stages[name])
        left = clock.left([*self._running, name])
        _say(f"{label} {name} · {reads} → {self.graph.output_dir(name)}{_in_brackets(decision.reasons)}{left}")
        self._event("started", stage=name, reasons=list(decision.reasons))
        self._start(name)
        return True

    def _decided(self, name: str) -> Decision | None:
        try:
            decision = self.planner.decide(name)
        except IntegrityError as error:
            decision = Decision(name, "refused", (str(error),))
        if decision.action != "refused":
            return decision
        _say("\n".join(f"stage {name} cannot run: {reason}" for reason in decision.reasons))
        self._failed[name] = 2
        return None

    def _start(self, name: str) -> None:
        spec = self.graph.stages[name]
        before, started = self._stamp(name), time.monotonic()
        label = None if self.allowed.most == 1 else name
        process = (
            launch.fork(spec.recipe, self.graph.arguments(name), label)
            if spec.launch.fork
            else launch.start(self.graph.command(name), label)
        )
        self._running[name] = _UnderWay(process, before, started)
        threading.Thread(target=lambda: self._ended.put((name, process.wait())), daemon=True).start()
        if self._signal is not None:  # it came while the process was being made
            self._pass_on(signal.SIGTERM)

    def _end(self, name: str, status: int, clock: _Clock) -> int:
        """What a stage that has ended leaves behind; its status, 0 if it is complete."""
        was = self._running.pop(name)
        seconds = round(time.monotonic() - was.started, 2)
        status = status if status >= 0 else 128 - status
        if status == 0:
            status = self._finished(name, was.before, seconds)
        elif self._signal is None:
            again = shlex.join(redact_argv(self.graph.command(name)))
            killed = " (killed from outside: often for want of memory)" if status == 128 + signal.SIGKILL else ""
            _say(f"stage {name} failed with exit code {status}{killed}; mend it and repeat the same pipeline command")
            _say(f"(this stage alone: {again})")
        if status != 0:
            self._failed[name] = status
        clock.finished(name, seconds)
        return status

    def _finished(self, name: str, before: Any, seconds: float) -> int:
        self.planner.forget(name)
        manifest = self.planner.proved(name)
        if manifest is None or self._stamp(name) == before:
            _say(f"stage {name} ended without an error but wrote no {MANIFEST}: its recipe must call stage.finish()")
            return 1
        done = "done" if self.allowed.most == 1 else f"{name} done"
        _say(f"    {done} in {duration(seconds)}, peak {manifest.peak_rss_mb:.0f} MB")
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

    @contextlib.contextmanager
    def _forwarded_signals(self) -> Iterator[None]:
        """SIGTERM, Ctrl-C and a closed terminal stop what runs cleanly, a second SIGTERM or Ctrl-C at once.

        What runs is always awaited.
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
        for one in list(self._running.values()):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.process.pid, number)

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


@dataclass(frozen=True)
class _UnderWay:
    """A stage that runs: its process, its manifest of before, and when it began."""

    process: launch.Running
    before: tuple[int, int] | None
    started: float


class _Clock:
    """The time left, from what each stage took before; corrected by how this machine compares so far."""

    def __init__(self, planner: Planner, decisions: list[Decision], allowed: Capacity):
        self._started = time.monotonic()
        self._planner, self._allowed = planner, allowed
        self._left = [one.stage for one in decisions if one.action == "run"]
        self._expected = 0.0
        self._took = 0.0

    @property
    def elapsed(self) -> float:
        return round(time.monotonic() - self._started, 2)

    def finished(self, name: str, seconds: float) -> None:
        expected = self._planner.loads[name].seconds
        self.drop(name)
        if expected:
            self._expected += expected
            self._took += seconds

    def drop(self, name: str) -> None:
        if name in self._left:
            self._left.remove(name)

    def left(self, running: Sequence[str]) -> str:
        """` · about 2 min 05 s left`, nothing where no one knows. What runs counts as just begun."""
        names = [*self._left, *(name for name in running if name not in self._left)]
        seconds = expected_seconds(self._planner, names, self._allowed)
        pace = self._took / self._expected if self._expected else 1.0
        return "" if seconds is None else f" · about {duration(seconds * pace)} left"


def _in_brackets(texts: tuple[str, ...]) -> str:
    return f" ({'; '.join(texts)})" if texts else ""


def _say(text: str) -> None:
    print(text, flush=True)
