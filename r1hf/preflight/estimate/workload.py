"""What a stage asks of the machine, from its configuration and the launch file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from r1hf.core.launch import read_accelerate
from r1hf.models.shapes import Shape

Kind = Literal["grpo", "sft", "reward", "sample"]
Sharding = Literal["none", "zero1", "zero2", "zero3", "fsdp"]


@dataclass(frozen=True)
class Lora:
    """rank and the projections that get an adapter; bits of the frozen base (16, 8 or 4)."""

    rank: int
    modules: tuple[str, ...]
    bits: int = 16

    def parameters(self, shape: Shape) -> int:
        sizes = shape.linear_inputs
        used = sizes.values() if "all-linear" in self.modules else [sizes[n] for n in self.modules if n in sizes]
        return shape.layers * sum(self.rank * (into + out) for into, out in used)


@dataclass(frozen=True)
class Job:
    """One stage. Batches and tokens are per process unless said otherwise.

    micro_batch: rows of one forward pass. accumulation: of them to an optimizer step. steps: optimizer steps (None:
    not known). prompt, completion: most tokens of a row (SFT: completion is the whole row). mean_completion: for time.
    generation_batch: completions made at once by a process. steps_per_rollout: optimizer steps that one rollout feeds.
    weight_bytes: of a stored parameter. bf16: autocast. optimizer_bytes: state for each trained parameter.
    samples: completions of a sampling stage, over all processes. vllm: None, "colocate" or "server".
    """

    kind: Kind
    shape: Shape
    processes: int = 1
    sharding: Sharding = "none"
    micro_batch: int = 1
    accumulation: int = 1
    steps: int | None = None
    prompt: int = 0
    completion: int = 0
    mean_completion: float = 0.0
    generation_batch: int = 0
    steps_per_rollout: float = 1.0
    iterations: int = 1
    weight_bytes: int = 4
    bf16: bool = True
    checkpointing: bool = True
    reference: bool = False
    old_logps: bool = False
    optimizer_bytes: float = 8.0
    lora: Lora | None = None
    vllm: str | None = None
    vllm_share: float = 0.3
    vllm_sleep: bool = False
    vllm_parallel: int = 1
    samples: int = 0
    flash_attention: bool = False
    assumed: tuple[str, ...] = field(default=())

    @property
    def row(self) -> int:
        """Tokens of the longest row."""
        return self.prompt + self.completion

    @property
    def trained(self) -> int:
        """Trained parameters, over all processes."""
        return self.lora.parameters(self.shape) if self.lora else self.shape.parameters

    @property
    def shards(self) -> int:
        return self.processes if self.sharding in ("zero3", "fsdp") else 1


OPTIMIZER_BYTES = {
    "adamw_torch": 8.0,
    "adamw_torch_fused": 8.0,
    "adamw_8bit": 2.0,
    "adamw_bnb_8bit": 2.0,
    "paged_adamw_8bit": 2.0,
    "paged_adamw_32bit": 8.0,
    "adafactor": 0.1,
    "sgd": 0.0,
}


def read_sharding(file: Path | None) -> Sharding:
    """How an `accelerate` configuration file splits the model; whole copies without one.

    Raises ConfigError where it cannot be read.
    """
    if file is None:
        return "none"
    values = read_accelerate(file)
    kind = str(values.get("distributed_type", "NO")).upper()
    if kind == "FSDP":
        return "fsdp"
    if kind == "DEEPSPEED":
        inner = values.get("deepspeed_config") or {}
        stage = inner.get("zero_stage", 0) if isinstance(inner, Mapping) else 0
        by_stage: dict[str, Sharding] = {"1": "zero1", "2": "zero2", "3": "zero3"}
        return by_stage.get(str(stage), "none")
    return "none"


def read_lora(values: Mapping[str, Any]) -> Lora | None:
    """From TRL's keys (`use_peft`, `lora_r`, `lora_target_modules`, `load_in_4bit`), or None."""
    if not values.get("use_peft"):
        return None
    modules = values.get("lora_target_modules") or "q_proj v_proj"
    listed = tuple(modules.split() if isinstance(modules, str) else modules)
    bits = 4 if values.get("load_in_4bit") else 8 if values.get("load_in_8bit") else 16
    return Lora(int(values.get("lora_r") or 16), listed, bits)
