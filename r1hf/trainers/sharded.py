"""Models that FSDP or DeepSpeed keep in parts."""

from __future__ import annotations

import torch
from transformers import Trainer


def whole_weights(trainer: Trainer) -> dict[str, torch.Tensor] | None:
    """All weights of a sharded model, on the main process's CPU, as `Trainer.save_model` gathers them; None where each
    process holds them whole. Every process must call it: `save_pretrained` on one alone would write its own part.
    """
    if trainer.is_fsdp_enabled:
        return trainer.accelerator.get_state_dict(trainer.model)
    if trainer.is_deepspeed_enabled:
        return trainer.accelerator.get_state_dict(trainer.model_wrapped)
    return None
