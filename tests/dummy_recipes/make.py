"""A real stage without torch: its files depend on its text, its seed and the files that it reads."""

import hashlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from r1hf.commands.recipe import run
from r1hf.core.config import Parsed, StageConfig, parse
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage


@dataclass
class MakeConfig(StageConfig):
    model: str | None = field(default=None, metadata={"input": True, "help": "one directory"})
    models: list[str] | None = field(default=None, metadata={"input": True, "help": "several directories"})
    text: str = ""
    comment: str = ""
    sleep: float = 0.0
    beside: int = 0
    forbidden: bool = False
    exit_code: int = 0
    finish: bool = True


CONFIGS = (MakeConfig,)


def preflight(parsed: Parsed) -> None:
    (config,) = parsed.configs
    if config is not None and config.forbidden:
        parsed.problems.append("forbidden: this recipe refuses it")


def main(
    argv: list[str] | None = None, recipe: str = __file__, more: Callable[[Path], None] = lambda work: None
) -> None:
    parsed = parse(CONFIGS, argv)
    (config,) = parsed.configs
    preflight(parsed)
    preflight_inputs(parsed)
    parsed.check()
    with Stage(parsed, recipe=recipe) as stage:
        (stage.work / "half.txt").write_text("begun")
        idle(config.sleep, config.beside)
        if config.exit_code:
            raise SystemExit(config.exit_code)
        read = [item.read_bytes() for _, path in parsed.input_paths for item in sorted(Path(path).rglob("*.txt"))]
        digest = hashlib.sha256(b"\0".join([config.text.encode(), *read])).hexdigest()
        (stage.work / "out.txt").write_text(f"{digest} {random.random()}\n")
        (stage.work / "sub").mkdir()
        (stage.work / "sub" / "part.txt").write_text(config.text)
        if more is not None:
            more(stage.work)
        stage.log.write({"step": 1, "loss": 0.5, "time": time.time()})
        if config.comment.startswith("warn: "):
            stage.note("warnings", "said", config.comment.removeprefix("warn: "))
        if config.finish:
            stage.finish({"digest": digest, "score": 0.25})


def idle(seconds: float, beside: int = 0) -> None:
    """Sleeps, and says so in a file outside the run directory: only a live process goes on.

    beside: not before so many processes have been busy, itself included.
    """
    end, last = time.monotonic() + seconds, time.monotonic() + 300
    while time.monotonic() < end or len(busy()) < beside:
        if time.monotonic() > max(end, last):
            raise SystemExit("nothing else ran")
        if "PULSE" in os.environ:
            with open(os.environ["PULSE"], "a") as stream:
                stream.write(f"{os.getpid()}\n")
        time.sleep(0.02)


def busy() -> set[str]:
    path = Path(os.environ.get("PULSE", ""))
    return set(path.read_text().split()) if path.is_file() else set()


if __name__ == "__main__":
    run(main)
