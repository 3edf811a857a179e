"""Sample for a stage that runs elsewhere: on another GPU, or on another machine that sees the same files.

  r1hf work runs/mine/rejection_sampling      until that stage has its samples

Takes the stage's own settings, claims shards that nobody works on, and ends when the stage does. Start as many as
there are GPUs, each with its own CUDA_VISIBLE_DEVICES; the others go on with what one that is killed had in work.
Exit status: 0 the stage has ended, 1 there is none.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

EVERY = 1.0  # seconds between two looks for work


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", help="the stage's output directory")


def folders(partial: Path, name: str) -> list[Path]:
    """The folders below `partial` that hold a file of this name. The stage deletes and renames while we look."""
    try:
        return sorted(path.parent for path in partial.rglob(name))
    except FileNotFoundError:
        return []


def run(arguments: argparse.Namespace) -> int:
    from r1hf.core.errors import StageError
    from r1hf.core.files import sibling
    from r1hf.models.generation import LEDGER, join

    place = Path(str(arguments.stage).rstrip("/").removesuffix(".partial"))
    partial, done = sibling(place, "partial"), set[Path]()
    if not partial.is_dir():
        raise StageError(f"no stage is at work in {place}: start it first, then workers beside it")
    while partial.is_dir():
        new = [folder for folder in folders(partial, LEDGER) if folder not in done]
        for folder in new:
            try:
                join(folder)
            except (FileNotFoundError, StageError):
                if folder.is_dir():
                    raise
            done.add(folder)
        if not new:
            time.sleep(EVERY)
    return 0
