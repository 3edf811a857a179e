"""Models that FSDP2 or DeepSpeed keep in parts: gathered to be saved, and spread again when loaded.

Every process must call these functions: the weights are in all of them.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
from torch.distributed.tensor import DTensor
from transformers import Trainer

Weights = dict[str, torch.Tensor]


def whole_weights(trainer: Trainer) -> Weights | None:
    """All weights of the trainer's model where it is sharded, on the main process's CPU, as `Trainer.save_model`
    gathers them; None where each process holds them whole.
    """
    if trainer.is_fsdp_enabled:
        return trainer.accelerator.get_state_dict(trainer.model)
    if trainer.is_deepspeed_enabled:
        return trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return None


def gather(module: Any, accelerator: Any) -> Weights:
    """All weights of a further model, such as the reference; only the main process is sure to get them."""
    if _in_parts(module):
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        found: Any = get_model_state_dict(module, options=options)
        return dict(found)
    if _zero3(module):
        return dict(accelerator.get_state_dict(module))
    return dict(accelerator.unwrap_model(module).state_dict())


def spread(module: Any, accelerator: Any, weights: Weights) -> None:
    """Loads whole weights, which every process has, into a model that may be sharded."""
    if _in_parts(module):
        options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
        values: Any = weights
        set_model_state_dict(module, values, options=options)
    elif _zero3(module):
        deepspeed = importlib.import_module("deepspeed")
        for name, parameter in accelerator.unwrap_model(module).named_parameters():
            with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0), torch.no_grad():
                if accelerator.is_main_process:
                    parameter.copy_(weights[name])
    else:
        accelerator.unwrap_model(module).load_state_dict(weights)


def _in_parts(module: Any) -> bool:
    return any(isinstance(parameter, DTensor) for parameter in module.parameters())


def _zero3(module: Any) -> bool:
    return any(hasattr(parameter, "ds_id") for parameter in module.parameters())
