"""A stage's output directory: written beside, put in place in one step, mended after a kill. And its log.

`NAME.partial` is being written, `NAME.old` is what it replaces, `NAME.lock` is held by the one writer.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from r1hf.config import jsonable
from r1hf.manifest import LOG, MANIFEST, sync_directory
from r1hf.process import FileLock


class StageLog:
    """Appends rows to `log.jsonl`; each is in the file when `write` returns."""

    def __init__(self, path: Path, enabled: bool = True):
        self.path = path
        self.enabled = enabled

    def write(self, row: Mapping[str, Any]) -> None:
        """One JSON line. NaN becomes null."""
        if self.enabled:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(jsonable(dict(row)), ensure_ascii=False) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """All rows so far; a last line that a kill cut short is no row."""
        if not self.path.is_file():
            return []
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def rewrite(self, rows: list[dict[str, Any]]) -> None:
        """Replaces the log, at once."""
        if self.enabled:
            partial = self.path.with_name(f"{LOG}.partial")
            partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            partial.replace(self.path)


def sibling(output_dir: Path, ending: str) -> Path:
    """`runs/tiny/base.partial` beside `runs/tiny/base`."""
    return output_dir.with_name(f"{output_dir.name}.{ending}")


def stage_lock(output_dir: Path) -> FileLock:
    """The lock that a stage holds while it writes `output_dir`."""
    return FileLock(sibling(output_dir, "lock"), f"the output directory {output_dir}")


def publish(output_dir: Path) -> None:
    """Puts the finished `.partial` in the place of `output_dir`; `recover` completes it after a kill."""
    partial, old = sibling(output_dir, "partial"), sibling(output_dir, "old")
    shutil.rmtree(old, ignore_errors=True)
    if output_dir.exists():
        output_dir.rename(old)
    partial.rename(output_dir)
    sync_directory(output_dir.absolute().parent)
    shutil.rmtree(old, ignore_errors=True)


def recover(output_dir: Path) -> None:
    """Ends a `publish` that was killed half way. Only for the holder of the stage's lock."""
    partial, old = sibling(output_dir, "partial"), sibling(output_dir, "old")
    if (partial / MANIFEST).is_file():  # the manifest is written last: the work was complete
        publish(output_dir)
    elif old.exists() and not output_dir.exists():
        old.rename(output_dir)
    else:
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignores SIGTERM and Ctrl-C for the moment in which finished work is put in place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def sync_files(paths: list[Path]) -> None:
    for path in paths:
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
