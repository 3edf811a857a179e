"""What the machine must have: room on the disk, memory, and the versions that were tested."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import r1hf
from r1hf.core.errors import ConfigError
from r1hf.models.shapes import Shape
from r1hf.preflight.estimate.gpus import GIB, Cluster, Device
from r1hf.preflight.estimate.one_stage import StagePlan, advice, kind_of
from r1hf.preflight.finding import Item

_PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "datasets",
    "peft",
    "tokenizers",
    "huggingface-hub",
    "safetensors",
)
_OPTIONAL = ("vllm", "deepspeed", "bitsandbytes")


def check_disk(values: Mapping[str, Any], shape: Shape | None, steps: int | None) -> list[Item]:
    """Checkpoints (weights and the optimizer's states) and the output against what is free at output_dir."""
    directory = Path(str(values.get("output_dir") or "."))
    place = next(path for path in (directory.resolve(), *directory.resolve().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if shape is None or kind_of(values) in (None, "sample"):
        return [Item("ok", "disk", f"{free / GIB:.1f} GiB free at {place}")]
    lora = bool(values.get("use_peft"))
    weights = 4.0 * shape.parameters
    one = weights * 0.02 if lora else 3 * weights
    count = _checkpoints(values, steps)
    needed = weights + one * count
    found = (
        f"{weights / GIB:.1f} GiB of weights and {count} checkpoint{'s' if count != 1 else ''} of {one / GIB:.1f} GiB "
        f"= {needed / GIB:.1f} GiB; {free / GIB:.1f} free at {place}"
    )
    if needed > free:
        return [Item("fail", "disk", found, "save_total_limit, another output_dir, or more room")]
    return [Item("warn" if needed > 0.8 * free else "ok", "disk", found)]


def _checkpoints(values: Mapping[str, Any], steps: int | None) -> int:
    """Most that lie there at once; one more than the limit while the next is written."""
    if values.get("save_strategy") == "no":
        return 0
    every = float(values.get("save_steps") or 500)
    made = 1 if values.get("save_strategy") == "epoch" or steps is None else max(1, round(steps / max(every, 1)))
    limit = values.get("save_total_limit")
    return min(made, int(limit) + 1) if limit else made


def here() -> Cluster:
    """The GPUs of this machine; device None without one."""
    import torch

    if not torch.cuda.is_available():
        return Cluster(1, None)
    properties = torch.cuda.get_device_properties(0)
    return Cluster(torch.cuda.device_count(), Device(properties.name, properties.total_memory, 1.0, 1.0, 0.0))


def check_memory(plan: StagePlan | ConfigError | None, use_cpu: bool) -> list[Item]:
    """The prediction of `r1hf plan` against this machine's GPU, or its memory where the stage asks for the CPU."""
    if plan is None:
        return []
    if isinstance(plan, ConfigError):
        return [Item("skip", "memory", "; ".join(plan.problems))]
    peak = f"{plan.memory.worst.name} takes {plan.memory.needed / GIB:.1f} GiB"
    if plan.cluster.device is not None and not use_cpu:
        found = f"{peak} of {plan.cluster.device.memory / GIB:.1f} on {plan.cluster.name}"
        return [Item("ok" if plan.memory.fits else "fail", "memory", found, "; ".join(advice(plan)[1:]))]
    if not use_cpu:
        return [Item("skip", "memory", f"{peak} of GPU memory (predicted for float32 on the CPU); no GPU is here")]
    free = _ram()
    if free is None:
        return [Item("ok", "memory", peak)]
    found = f"{peak}; {free / GIB:.1f} GiB are available"
    if plan.memory.needed > free:
        return [Item("fail", "memory", found, "a smaller per_device_train_batch_size, or gradient_checkpointing")]
    return [Item("ok", "memory", found)]


def _ram() -> float | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return float(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    except (OSError, StopIteration):
        return None


def check_versions() -> list[Item]:
    """Installed versions against those that r1hf was tested with, and its own requirements."""
    from packaging.requirements import Requirement

    installed = {name: version for name in (*_PACKAGES, *_OPTIONAL) if (version := _version(name)) is not None}
    items = []
    for text in metadata.requires("r1hf") or [] if _version("r1hf") else []:
        need = Requirement(text)
        if need.name in installed and (need.marker is None or need.marker.evaluate({"extra": ""})):
            if not need.specifier.contains(installed[need.name].partition("+")[0], prereleases=True):
                found = f"{need.name} {installed[need.name]}; r1hf needs {need.specifier}"
                items.append(Item("fail", "versions", found, f"pip install '{need.name}{need.specifier}'"))
    tested = _tested()
    if tested is None:
        return [*items, Item("skip", "versions", "the tested set (requirements/constraints.txt) is not here")]
    other = [
        f"{name} {version} (tested {tested[name]})"
        for name, version in installed.items()
        if name in tested and version.partition("+")[0] != tested[name]
    ]
    if other:
        items.append(Item("warn", "versions", ", ".join(other), "pip install -c requirements/constraints.txt r1hf"))
    elif not items:
        shown = ", ".join(
            f"{name} {installed[name]}" for name in ("torch", "transformers", "trl") if name in installed
        )
        items.append(Item("ok", "versions", f"{shown}, … as tested"))
    return items


def check_packages(values: Mapping[str, Any], launch_text: str = "", elsewhere: bool = False) -> list[Item]:
    """Packages that only some settings need. elsewhere: it will be launched on another machine than this."""
    from r1hf.preflight.settings.packages import needed

    return [
        Item(
            "warn" if elsewhere else "fail",
            "packages",
            f"{why} needs {name}, which is not installed",
            f"pip install {hint}",
        )
        for name, why, hint in needed(values, launch_text)
        if _version(name) is None
    ]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _tested() -> dict[str, str] | None:
    file = Path(r1hf.__file__).resolve().parent.parent / "requirements" / "constraints.txt"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    pins = [line.split(";")[0].strip().partition("==") for line in lines if "==" in line and not line.startswith("#")]
    return {name.lower(): version for name, _, version in pins}
