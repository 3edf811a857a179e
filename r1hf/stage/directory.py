"""A stage's output directory: written beside, put in place in one step, mended after a kill. And its log.

`NAME.partial` is being written, `NAME.old` is what it replaces, `NAME.lock` is held by the one writer. Nothing is ever
deleted that no stage made, under whichever of these names it lies.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from r1hf.core.config import jsonable
from r1hf.core.errors import IntegrityError, StageError
from r1hf.core.files import sibling
from r1hf.core.redaction import redact
from r1hf.stage.contents import REPLACED as REPLACED
from r1hf.stage.contents import REQUEST as REQUEST
from r1hf.stage.contents import is_plain, strangers
from r1hf.stage.locks import FileLock
from r1hf.stage.manifest import LOG, MANIFEST, read_manifest, sync_directory


class StageLog:
    """Appends rows to `log.jsonl`; each is in the file when `write` returns."""

    def __init__(self, path: Path, enabled: bool = True):
        self.path = path
        self.enabled = enabled

    def write(self, row: Mapping[str, Any]) -> None:
        """One JSON line, without secrets. NaN becomes null."""
        if self.enabled:
            line = json.dumps(redact(jsonable(dict(row))), ensure_ascii=False) + "\n"
            with self._open() as stream:
                stream.write(line.encode("utf-8", "replace"))

    def _open(self) -> IO[bytes]:
        """Raises StageError where it is not a regular file: a pipe in its place would be waited for."""
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StageError(f"{self.path} cannot be written: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise StageError(f"{self.path} is not a regular file; move it away, then repeat the command to go on")
        return open(handle, "ab")

    def rewrite(self, rows: list[dict[str, Any]]) -> None:
        """Replaces the log, at once."""
        if self.enabled:
            partial = self.path.with_name(f"{LOG}.partial")
            partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            partial.replace(self.path)


def own_place(output_dir: str) -> Path:
    """The directory itself, where the path is a link or goes through `..`: what it replaces lies beside it."""
    path = Path(output_dir)
    return Path(os.path.realpath(path)) if path.is_symlink() or ".." in path.parts else path


def stage_lock(output_dir: Path) -> FileLock:
    """The lock that a stage holds while it writes `output_dir`."""
    return FileLock(sibling(output_dir, "lock"), f"the output directory {output_dir}")


def check_replaceable(output_dir: Path, recipe: str | None = None) -> None:
    """Raises StageError where `output_dir` holds what no stage made, or one of another recipe: it would be deleted."""
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return
    if not output_dir.is_dir() or not _is_stage(output_dir):
        raise StageError(
            f"{output_dir} exists and no stage made it (no {MANIFEST}); choose another --output_dir, or move it away"
        )
    made_by = _recipe_of(output_dir)
    if recipe and made_by and Path(recipe).name != Path(made_by).name:
        raise StageError(
            f"{output_dir} is the output of {made_by}, not of {recipe}, and would be replaced; "
            "choose another --output_dir, or move it away"
        )
    if strays := strange_files(output_dir):
        shown = ", ".join(strays[:5]) + (f" and {len(strays) - 5} more" if len(strays) > 5 else "")
        raise StageError(
            f"{output_dir} holds files that its stage did not make and that would be deleted with it: {shown}; "
            "move them away, or choose another --output_dir"
        )


def _is_stage(directory: Path) -> bool:
    """Whether a stage's manifest is there, if only a damaged one."""
    try:
        return read_manifest(directory) is not None
    except IntegrityError:
        if not is_plain(directory / MANIFEST):
            return False
        text = (directory / MANIFEST).read_text(encoding="utf-8", errors="replace")
        return all(f'"{key}"' in text for key in ("stage", "recipe", "request"))


def _recipe_of(directory: Path) -> str | None:
    try:
        manifest = read_manifest(directory)
    except IntegrityError:
        return None
    return manifest.recipe if manifest else None


def strange_files(directory: Path) -> list[str]:
    """Files in a stage's directory that its manifest does not list, but for what tools leave everywhere."""
    try:
        manifest = read_manifest(directory)
    except IntegrityError:
        return []  # what it listed cannot be told any more
    return strangers(directory, manifest.outputs if manifest is not None else ())


def clear_partial(partial: Path) -> None:
    """Deletes what an interrupted stage left. Raises StageError where no stage wrote it."""
    made = any((partial / name).is_file() for name in (REQUEST, MANIFEST))
    if partial.exists() and not made and (not partial.is_dir() or any(partial.iterdir())):
        raise StageError(f"{partial} exists and no stage made it; a stage would write there: move it away")
    shutil.rmtree(partial, ignore_errors=True)


def publish(output_dir: Path) -> None:
    """Puts the finished `.partial` in the place of `output_dir`; `recover` completes it after a kill.

    Raises StageError, with everything still there, where something of a person's would be deleted.
    """
    partial, old = sibling(output_dir, "partial"), sibling(output_dir, "old")
    _remove_replaced(old)
    if output_dir.exists():
        if any(output_dir.iterdir()):
            (output_dir / REPLACED).touch()
        output_dir.rename(old)
    partial.rename(output_dir)
    sync_directory(output_dir.absolute().parent)
    _remove_replaced(old)


def recover(output_dir: Path) -> None:
    """Ends a `publish` that was killed half way. Only for the holder of the stage's lock."""
    partial, old = sibling(output_dir, "partial"), sibling(output_dir, "old")
    if (partial / MANIFEST).is_file() and _is_stage(partial):  # the manifest is written last: the work was complete
        check_replaceable(output_dir)
        publish(output_dir)
    elif (old / REPLACED).is_file() and not output_dir.exists():
        old.rename(output_dir)
        (output_dir / REPLACED).unlink()
    else:
        _remove_replaced(old)


def _remove_replaced(old: Path) -> None:
    """Deletes what a stage replaced, its mark last. A file that came to it during the run is kept, with all of it."""
    if not old.exists() and not old.is_symlink():
        return
    if old.is_dir() and not any(old.iterdir()):
        old.rmdir()
        return
    if old.is_symlink() or not (old / REPLACED).is_file():
        raise StageError(f"{old} exists, where a stage puts what it replaces, and no stage made it; move it away")
    if (old / MANIFEST).is_file() and (strays := strange_files(old)):
        (old / REPLACED).unlink()
        print(f"note: {old} is kept: no stage made {', '.join(strays[:5])}; move it away", file=sys.stderr)
        return
    last = (MANIFEST, REPLACED)
    with contextlib.suppress(OSError):  # what cannot be deleted now stays marked, for the next run
        for path in sorted(old.iterdir(), key=lambda path: (path.name in last, path.name == REPLACED)):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        old.rmdir()


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
