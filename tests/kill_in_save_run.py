"""One stage of test_resume.py whose third checkpoint is written slowly at one place, to be killed there.

python tests/kill_in_save_run.py PLACE BASE OUTPUT

OUTPUT.there appears when the place is reached. PLACE: weights (half of the file is written), optimizer (likewise),
hashes (all files are there, complete.json is not), rename (whole, and not yet in its place).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import test_resume  # noqa: E402
import torch  # noqa: E402
from transformers import modeling_utils  # noqa: E402

from r1hf.commands.recipe import run  # noqa: E402
from r1hf.trainers import checkpoints  # noqa: E402

STEP = "checkpoint-3"


def half(path: Path, there: Path) -> None:
    """The file as it is when half of it has been written, for as long as it takes to be killed."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    wait(there)
    path.write_bytes(content)


def wait(there: Path) -> None:
    there.touch()
    time.sleep(120)


def slowly(write: Callable[..., Any], position: int, name: str, there: Path) -> Callable[..., Any]:
    """`write(..., path, ...)`, in two halves where the path is that of the file `name` of the third checkpoint."""

    def call(*arguments: Any, **named: Any) -> Any:
        result = write(*arguments, **named)
        path = Path(str(arguments[position])) if len(arguments) > position else Path()
        if path.name == name and STEP in path.parts:
            half(path, there)
        return result

    return call


def main(place: str, base: str, output: str) -> None:
    there = Path(f"{output}.there")
    if place == "weights":
        modeling_utils.safe_save_file = slowly(modeling_utils.safe_save_file, 1, "model.safetensors", there)
    elif place == "optimizer":
        torch.save = slowly(torch.save, 1, "optimizer.pt", there)
    elif place == "hashes":
        complete = checkpoints.complete
        checkpoints.complete = lambda path: wait(there) if path.name == STEP else complete(path)
    elif place == "rename":
        publish = checkpoints.publish
        checkpoints.publish = lambda saved, *more: wait(there) if saved.name == STEP else publish(saved, *more)
    test_resume.run("sft", Path(base), Path(output))


if __name__ == "__main__":
    run(partial(main, *sys.argv[1:]))
