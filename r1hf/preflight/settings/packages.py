"""The packages that a stage needs: their versions against the tested ones, and those that only some settings need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import r1hf
from r1hf.core.hardware import has_cpu_vllm
from r1hf.preflight.finding import Finding, Grade

_CHECKED = (
    *("torch", "transformers", "trl", "accelerate", "datasets", "peft", "tokenizers", "huggingface-hub"),
    *("safetensors", "vllm", "deepspeed", "bitsandbytes"),
)
_EXTRAS = {"vllm": "vllm", "bitsandbytes": "quant", **dict.fromkeys(("wandb", "tensorboard", "trackio"), "tracking")}
_TRACKERS = ("wandb", "tensorboard", "trackio")


def check_versions() -> list[Finding]:
    """Installed versions against those that r1hf was tested with, and its own requirements."""
    installed = {name: version for name in _CHECKED if (version := _version(name)) is not None}
    findings = list(_outside_requirements(installed))
    tested = _tested()
    if tested is None:
        return [*findings, Finding("skipped", "versions", "the tested set (requirements/constraints.txt) is not here")]
    other = [
        f"{name} {version} (tested {tested[name]})"
        for name, version in installed.items()
        if name in tested and version.partition("+")[0] != tested[name]
    ]
    if other:
        findings.append(Finding("warning", "versions", ", ".join(other), "make install, which takes the tested ones"))
    elif not findings:
        shown = ", ".join(
            f"{name} {installed[name]}" for name in ("torch", "transformers", "trl") if name in installed
        )
        findings.append(Finding("ok", "versions", f"{shown}, … as tested"))
    return findings


def _outside_requirements(installed: Mapping[str, str]) -> Iterable[Finding]:
    from packaging.requirements import Requirement

    for text in metadata.requires("r1hf") or [] if _version("r1hf") else []:
        need = Requirement(text)
        if need.name not in installed or (need.marker is not None and not need.marker.evaluate({"extra": ""})):
            continue
        if not need.specifier.contains(installed[need.name].partition("+")[0], prereleases=True):
            found = f"{need.name} {installed[need.name]}; r1hf needs {need.specifier}"
            yield Finding("error", "versions", found, "make install, which takes the tested one")


def check_packages(values: Mapping[str, Any], launch_text: str = "", elsewhere: bool = False) -> list[Finding]:
    """Packages that only some settings need. elsewhere: it will be launched on another machine than this."""
    grade: Grade = "warning" if elsewhere else "error"
    return [
        Finding(grade, "packages", f"{why} needs {name}, which is not installed", _install(name))
        for name, why in needed(values, launch_text)
        if _version(name) is None and not (name == "vllm" and has_cpu_vllm())
    ]


def needed(values: Mapping[str, Any], launch_text: str) -> list[tuple[str, str]]:
    """(package, why) for every optional package that the settings ask for."""
    init, trackers = values.get("model_init_kwargs"), values.get("report_to")
    attention = str(init.get("attn_implementation", "")) if isinstance(init, Mapping) else ""
    asked = {
        "vllm": ("use_vllm", bool(values.get("use_vllm"))),
        "peft": ("use_peft", bool(values.get("use_peft"))),
        "bitsandbytes": ("8 or 4 bits", _quantised(values)),
        "deepspeed": ("the launch file", "DEEPSPEED" in launch_text),
        "liger-kernel": ("use_liger_kernel", bool(values.get("use_liger_kernel"))),
        "flash-attn": (f"attn_implementation {attention}", attention.startswith("flash_attention")),
    }
    found = [(name, why) for name, (why, wanted) in asked.items() if wanted]
    named = trackers if isinstance(trackers, list) else [trackers]
    return found + [(str(name), f"report_to {name}") for name in named if name in _TRACKERS]


def _quantised(values: Mapping[str, Any]) -> bool:
    optimizer = str(values.get("optim"))
    return bool(values.get("load_in_4bit")) or "bnb" in optimizer or "8bit" in optimizer


def _install(name: str) -> str:
    """The command that brings a package into r1hf's environment, which has no pip."""
    if name in _EXTRAS:
        return f"make install EXTRAS=dev,{_EXTRAS[name]}"
    return f".uv/bin/uv pip install --python .venv/bin/python {name}"


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
