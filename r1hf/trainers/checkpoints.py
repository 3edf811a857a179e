"""Checkpoints that are whole or not there: written aside, listed with their hashes, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from r1hf.manifest import sync_directory

COMPLETE = "complete.json"  # sizes and SHA-256 of a checkpoint's files, written last
SAVING = "saving"  # where the next checkpoint is written
_NAME = re.compile(r"^checkpoint-(\d+)$")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk. `step` and `last_step` are optimizer steps: made, and planned in all."""

    path: Path
    step: int
    last_step: int


def complete(path: Path) -> None:
    """Hashes the files of a freshly written checkpoint and writes `complete.json`, all of it synced to disk."""
    files = {}
    for file in sorted(item for item in path.rglob("*") if item.is_file() and item.name != COMPLETE):
        files[str(file.relative_to(path))] = {"size": file.stat().st_size, "sha256": _hash(file)}
        _sync(file)
    partial = path / f"{COMPLETE}.partial"
    partial.write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")
    _sync(partial)
    partial.rename(path / COMPLETE)
    sync_directory(path)


def damage(path: Path) -> str | None:
    """What is wrong with the checkpoint in `path`, naming the file; None if it is whole."""
    try:
        files = json.loads((path / COMPLETE).read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        return f"it was never finished (no {COMPLETE})"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{COMPLETE} cannot be read ({error})"
    for name, wanted in files.items():
        file = path / name
        try:
            size = file.stat().st_size
            if size != wanted["size"]:
                return f"{name} has {size:,} bytes and not {wanted['size']:,}"
            if _hash(file) != wanted["sha256"]:
                return f"{name} has other content than was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
    return None


def last_whole(directory: Path) -> Checkpoint | None:
    """The newest checkpoint in `directory` that is whole. Damaged ones are named on stderr and passed over."""
    for _, path in sorted(_found(directory), reverse=True):
        wrong = damage(path)
        if wrong is None:
            state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            return Checkpoint(path, state["global_step"], state["max_steps"])
        if os.environ.get("RANK", "0") == "0":
            print(f"  checkpoint {path} is passed over: {wrong}", file=sys.stderr)
    return None


def publish(saved: Path, directory: Path, keep: int | None) -> None:
    """Moves a complete checkpoint into `directory` and removes all but the newest `keep` (None: all stay)."""
    target = directory / saved.name
    shutil.rmtree(target, ignore_errors=True)  # a damaged one of the same step
    saved.rename(target)
    sync_directory(directory)
    if keep is not None and keep > 0:
        for _, path in sorted(_found(directory))[:-keep]:
            shutil.rmtree(path, ignore_errors=True)


def is_write_error(error: Exception) -> bool:
    """Whether it says that a file cannot be written; torch and safetensors word a full disk each in its own way."""
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError)
    return bool(re.search(r"os error \d+|I/O error|PytorchStreamWriter|inline_container|file write", str(error)))


def _found(directory: Path) -> Iterator[tuple[int, Path]]:
    for path in directory.iterdir() if directory.is_dir() else ():
        match = _NAME.match(path.name)
        if match and path.is_dir():
            yield int(match[1]), path


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
