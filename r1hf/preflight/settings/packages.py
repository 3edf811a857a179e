"""Which optional packages a configuration needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def needed(values: Mapping[str, Any], launch_text: str) -> list[tuple[str, str, str]]:
    """(package, why, what to install) for every optional package that the settings ask for."""
    found = []
    if values.get("use_vllm"):
        found.append(("vllm", "use_vllm", "'r1hf[vllm]'"))
    if values.get("use_peft"):
        found.append(("peft", "use_peft", "peft"))
    if values.get("load_in_4bit") or "bnb" in str(values.get("optim")) or "8bit" in str(values.get("optim")):
        found.append(("bitsandbytes", "8 or 4 bits", "bitsandbytes"))
    if "DEEPSPEED" in launch_text:
        found.append(("deepspeed", "the launch file", "deepspeed"))
    if values.get("use_liger_kernel"):
        found.append(("liger-kernel", "use_liger_kernel", "liger-kernel"))
    init = values.get("model_init_kwargs")
    if isinstance(init, Mapping) and str(init.get("attn_implementation", "")).startswith("flash_attention"):
        found.append(("flash-attn", f"attn_implementation {init['attn_implementation']}", "flash-attn"))
    trackers = values.get("report_to")
    for tracker in trackers if isinstance(trackers, list) else [trackers]:
        if tracker in ("wandb", "tensorboard", "trackio"):
            found.append((str(tracker), f"report_to {tracker}", str(tracker)))
    return found
