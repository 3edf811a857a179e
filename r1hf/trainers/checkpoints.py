"""Checkpoints that are whole or not there: written aside, listed with their hashes, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_object
from r1hf.stage.manifest import sync_directory

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
        files[file.relative_to(path).as_posix()] = {"size": file.stat().st_size, "sha256": _hash(file)}
        _sync(file)
    partial = path / f"{COMPLETE}.partial"
    partial.write_text(json.dumps({"files": files}, indent=1), encoding="utf-8")
    _sync(partial)
    partial.rename(path / COMPLETE)
    sync_directory(path)


def damage(path: Path) -> str | None:
    """What is wrong with the checkpoint in `path`, naming the file; None if it is whole."""
    try:
        files = _listed(path)
        strange = sorted(set(_inside(path)) - files.keys() - {COMPLETE})
    except FileNotFoundError:
        return f"it was never finished (no {COMPLETE})"
    except (ConfigError, OSError, ValueError) as error:
        return " ".join(error.problems) if isinstance(error, ConfigError) else str(error)
    if strange:  # Transformers would load an adapter, or another optimizer, that lies there
        return f"{strange[0]} is there, which was not written with it"
    for name, wanted in files.items():
        if wrong := _changed(path / name, wanted):
            return f"{name} {wrong}"
    return None


def _listed(path: Path) -> dict[str, dict[str, Any]]:
    """name -> size and hash, as `complete` wrote them. Raises ValueError or ConfigError for anything else."""
    files = read_object(path / COMPLETE).get("files")
    if not isinstance(files, dict) or not files:
        raise ValueError(f"{COMPLETE} lists no files")
    for name, wanted in files.items():
        known = isinstance(wanted, dict) and type(wanted.get("size")) is int and type(wanted.get("sha256")) is str
        if (
            not known
            or not name.isprintable()
            or PurePosixPath(name).is_absolute()
            or ".." in PurePosixPath(name).parts
        ):
            raise ValueError(f"{COMPLETE} cannot be read (what it says of {name[:80]!r} is not a size and a hash)")
    return files


def _inside(path: Path) -> Iterator[str]:
    """Names of what lies in a checkpoint; hidden files are the file system's, such as `.nfs0001`."""
    for file in path.rglob("*"):
        if not file.name.startswith(".") and (file.is_symlink() or not file.is_dir()):
            yield file.relative_to(path).as_posix()


def _changed(file: Path, wanted: dict[str, Any]) -> str | None:
    try:
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode):
            return "is not a regular file"
        if found.st_size != wanted["size"]:
            return f"has {found.st_size:,} bytes and not {wanted['size']:,}"
        return None if _hash(file) == wanted["sha256"] else "has other content than was written"
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        return f"cannot be read ({error})"


def last_whole(directory: Path) -> Checkpoint | None:
    """The newest checkpoint in `directory` that is whole. Damaged ones are named on stderr and passed over."""
    for step, path in sorted(_found(directory), reverse=True):
        wrong = damage(path)
        if wrong is None:
            try:
                return _read(path, step)
            except (ConfigError, FileNotFoundError, ValueError) as error:
                wrong = " ".join(error.problems) if isinstance(error, ConfigError) else str(error)
        if os.environ.get("RANK", "0") == "0":
            print(f"  checkpoint {path} is passed over: {wrong}", file=sys.stderr)
    return None


def _read(path: Path, step: int) -> Checkpoint:
    """Raises ValueError where the trainer's state is not that of `step`."""
    state = read_object(path / "trainer_state.json")
    made, last = state.get("global_step"), state.get("max_steps")
    if type(made) is not int or type(last) is not int or made != step or last < made:
        raise ValueError(f"trainer_state.json says step {made!r:.40} of {last!r:.40}, which is not that of its name")
    return Checkpoint(path, made, last)


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
