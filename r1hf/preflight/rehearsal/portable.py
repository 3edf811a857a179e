"""What a rehearsal leaves out because it is the machine's: it runs on the CPU, in one process, and reaches nobody."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

# Read by Transformers and Accelerate as soon as a configuration is built; a rehearsal is one process of its own.
_LAUNCH = ("ACCELERATE_", "FSDP_", "PARALLELISM_CONFIG", "TORCHELASTIC_", "PMI_", "OMPI_COMM_", "MV2_COMM_")
_RANKS = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK", "ROLE_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
)
_DEVICE = {
    *("bf16", "fp16", "bf16_full_eval", "fp16_full_eval", "tf32", "torch_compile", "torch_compile_backend"),
    *("torch_compile_mode", "use_liger_kernel", "liger_kernel_config", "load_in_4bit", "deepspeed", "fsdp"),
    *("fsdp_config", "parallelism_config", "use_transformers_continuous_batching", "use_cpu", "num_threads"),
    *("ddp_backend", "dataloader_num_workers", "dataloader_prefetch_factor", "dataloader_persistent_workers"),
    *("activation_offloading", "probe_longest", "padding_free", "matmul_precision"),
}
_OUTSIDE = {
    *(
        "push_to_hub",
        "hub_model_id",
        "hub_strategy",
        "hub_token",
        "hub_private_repo",
        "hub_revision",
        "hub_always_push",
    ),
    *("report_to", "log_completions_hub_repo", "trackio_space_id", "run_name", "project"),
}
# What samples is Transformers, here; a judge that only servers know is not asked.
_ENGINES = {"sampler", "vllm", "openai", "ray", "servers", "workers", "judge_servers", "judge_name"}
_QUIET = {"use_cpu", "num_threads", "matmul_precision", "probe_longest"}  # nobody misses these
_OPTIMIZERS = {"adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"}


def portable(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The given values without what only the machine of the launch has, and what was left out, in words."""
    kept, untried = {}, []
    for key, value in values.items():
        left = key in _DEVICE or key in _OUTSIDE or key in _ENGINES
        if left or key == "rollout_engine" or key.startswith("vllm_"):
            if _matters(key, value):
                untried.append(f"{key}: {_short(value)}")
        else:
            kept[key] = value
    kept["num_threads"] = 1  # miniatures are too small for more, which would wait for each other
    if values.get("optim") not in (None, *_OPTIMIZERS):
        untried.append(f"optim: {kept.pop('optim')}")
    init = kept.get("model_init_kwargs")
    if isinstance(init, Mapping) and init.get("attn_implementation") not in (None, "sdpa", "eager", "grouped"):
        untried.append(f"attn_implementation: {init['attn_implementation']}")
        kept["model_init_kwargs"] = {key: value for key, value in init.items() if key != "attn_implementation"}
    return kept, untried


def _matters(key: str, value: Any) -> bool:
    """Whether leaving it out changes anything."""
    if key in _QUIET or value in (None, False, "", [], {}, "none"):
        return False
    return not (key in ("rollout_engine", "sampler") and value == "transformers")


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) < 60 else text[:57] + "…"


def leave_launcher(environment: Any = os.environ) -> tuple[int, list[str]]:
    """Forgets that `accelerate launch` or `torchrun` started this process: (processes of the launch, what it asked
    for, in words).
    """
    count = environment.get("WORLD_SIZE", "1")
    asked = []
    if environment.get("ACCELERATE_USE_DEEPSPEED") == "true":
        asked.append(f"DeepSpeed ZeRO-{environment.get('ACCELERATE_DEEPSPEED_ZERO_STAGE', '?')}")
    if environment.get("ACCELERATE_USE_FSDP") == "true":
        asked.append("FSDP")
    precision = environment.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision != "no":
        asked.append(f"mixed precision {precision}")
    for name in list(environment):
        if name in _RANKS or name.startswith(_LAUNCH):
            del environment[name]
    return int(count) if count.isdigit() else 1, asked
