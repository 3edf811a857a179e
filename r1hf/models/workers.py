"""More workers for one request: one for each GPU of this machine, beside the stage that asks.

python -m r1hf.models.workers FOLDER     # what each of them runs; `r1hf work` is the command for other machines
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from r1hf.core.errors import R1Error
from r1hf.core.secrets import mask
from r1hf.models.sampler_config import SamplingConfig
from r1hf.stage.locks import PARENT_VARIABLE, identity, watch_parent

_WAIT = 10.0  # seconds for a worker to end by itself


def count_of(config: SamplingConfig) -> int:
    """How many engines sample side by side on this machine."""
    if config.sampler not in ("transformers", "vllm"):
        return 1  # servers and Ray have workers of their own
    return config.workers or max(1, torch.cuda.device_count() // parts_of(config))


def parts_of(config: SamplingConfig) -> int:
    """The GPUs of one engine."""
    return max(1, int(config.vllm.get("tensor_parallel_size", 1)) * int(config.vllm.get("pipeline_parallel_size", 1)))


@contextlib.contextmanager
def beside(folder: Path, config: SamplingConfig) -> Iterator[None]:
    """Starts the other workers of a request; they end with it, and with this process."""
    started = [_start(folder, number, parts_of(config)) for number in range(1, count_of(config))]
    try:
        yield
    finally:
        for number, process in enumerate(started, 1):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_WAIT if sys.exception() is None else 0)
            if process.poll() is None:  # it loads, or works on a shard that is not wanted any more
                process.terminate()
                process.wait()
            elif code := process.returncode:
                print(f"  note: worker {number} ended with status {code}; the others did its part", flush=True)


def _start(folder: Path, number: int, parts: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, PARENT_VARIABLE: str(identity(os.getpid()))}
    if seen := torch.cuda.device_count():
        named = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(seen)))
        own = named.split(",")[number * parts : (number + 1) * parts]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(own)
    return subprocess.Popen([sys.executable, "-m", "r1hf.models.workers", str(folder)], env=environment)


def main() -> None:
    from r1hf.models.generation import join

    watch_parent()
    try:
        join(Path(sys.argv[1]))
    except R1Error as error:
        print(mask(f"worker: {error}"), file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
