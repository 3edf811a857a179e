"""One stage of test_resume.py in a process of its own, to be stopped from outside; also under torchrun.

python tests/resume_run.py KIND BASE OUTPUT PAUSE '{"save_steps": 2, ...}'

PAUSE: seconds at the beginning of each step, so that a signal finds the training under way. OUTPUT.step then holds the
steps made so far.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import test_resume  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

from r1hf.stage import run  # noqa: E402


class Pause(TrainerCallback):
    def __init__(self, seconds: float, note: Path):
        self.seconds, self.note = seconds, note

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.seconds:
            if state.is_world_process_zero:
                self.note.write_text(f"{state.global_step}\n")
            time.sleep(self.seconds)


def main(kind: str, base: str, output: str, pause: str, settings: str) -> None:
    held = Pause(float(pause), Path(f"{output}.step"))
    test_resume.run(kind, Path(base), Path(output), held, **json.loads(settings))


if __name__ == "__main__":
    run(partial(main, *sys.argv[1:]))
