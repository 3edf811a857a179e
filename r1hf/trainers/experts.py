"""The load of each expert, and DeepSeek-V3's balancing without an auxiliary loss (arXiv 2412.19437, section 2.1.2).

Works on every model whose routers return the experts they chose, or logits to choose the top k of: DeepSeek-V3,
Mixtral, Qwen-MoE and others of Transformers. Dense models get no hook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

BIAS = "e_score_correction_bias"


def routers(model: nn.Module) -> dict[str, nn.Module]:
    """{name: module} of the modules that choose experts: those that have `top_k` and `num_experts`, and a weight."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(getattr(module, "top_k", None), int)
        and isinstance(getattr(module, "num_experts", None), int)
        and isinstance(getattr(module, "weight", None), torch.Tensor)
    }


class ExpertLoad(TrainerCallback):
    """Counts the tokens that each expert gets in training forwards, logs their shares, and moves the biases.

    Every log row gets, for each layer with experts, `experts/LAYER/load` (list of shares, sum 1) and `experts/LAYER/
    imbalance` (largest share over the mean; 1 is even), over the forwards with gradients since the last row: all
    micro-batches of a step, not generation. Padding that the model's input mask shows is left out, also where the
    mask is boolean and of four dimensions, (rows, 1, width, width): there padding is what sees itself alone and
    nobody else sees.

    speed: V3's gamma. After each optimizer step the bias of an expert with more than the mean load of that step falls
    by it, of one with less rises by it. 0: the biases stay. They are buffers, saved with the weights; Transformers
    never changes them itself.
    """

    def __init__(self, model: nn.Module, speed: float = 0.0):
        self.speed = speed
        self.routers = routers(model)
        sizes = {name: int(module.num_experts) for name, module in self.routers.items()}  # type: ignore[arg-type]
        self._step = {name: torch.zeros(size) for name, size in sizes.items()}
        self._logged = {name: torch.zeros(size) for name, size in sizes.items()}
        self._mask: torch.Tensor | None = None
        self._handles: list[Any] = []
        if self.routers:
            self._handles.append(model.register_forward_pre_hook(self._see_mask, with_kwargs=True))
        for name, module in self.routers.items():
            self._handles.append(module.register_forward_hook(self._counter(name)))

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The counts of the log row under way, for a checkpoint between two rows."""
        return {name: load.clone() for name, load in self._logged.items()}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        self._logged |= {name: load.cpu() for name, load in state.items() if name in self._logged}

    def close(self) -> None:
        """Takes the hooks off the model."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _see_mask(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._mask = _real_tokens(kwargs.get("attention_mask"))

    def _counter(self, name: str) -> Any:
        def count(module: Any, args: Any, output: Any) -> None:
            if not (module.training and torch.is_grad_enabled()):
                return
            chosen = _chosen(output, module.top_k)
            if chosen is None:
                return
            mask = self._mask
            if mask is not None and mask.numel() == len(chosen):
                chosen = chosen[mask.reshape(-1).bool().to(chosen.device)]
            self._step[name] += torch.bincount(chosen.reshape(-1), minlength=module.num_experts).float().cpu()

        return count

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        for name, module in self.routers.items():
            load = _summed(self._step[name])
            self._logged[name] += load
            bias = getattr(module, BIAS, None)
            if self.speed and bias is not None and load.sum():
                with torch.no_grad():
                    bias += self.speed * torch.sign(load.mean() - load).to(bias)
            self._step[name] = torch.zeros_like(load)

    def values(self) -> dict[str, Any]:
        """What a log row gets; starts the next row's counts."""
        row: dict[str, Any] = {}
        for name, load in self._logged.items():
            if load.sum():
                share = load / load.sum()
                layer = _layer(name)
                row[f"experts/{layer}/load"] = [round(value, 5) for value in share.tolist()]
                row[f"experts/{layer}/imbalance"] = float(share.max() * len(share))
            self._logged[name] = torch.zeros_like(load)
        return row


def _chosen(output: Any, top_k: int) -> torch.Tensor | None:
    """[tokens, k] indices from a router's output: those it returns, else the top k of its logits."""
    parts = output if isinstance(output, tuple) else (output,)
    tensors = [part for part in parts if isinstance(part, torch.Tensor)]
    for part in tensors:
        if not part.is_floating_point() and part.dim() == 2:
            return part.detach()
    return tensors[0].detach().flatten(0, -2).topk(top_k, dim=-1).indices if tensors else None


def _real_tokens(mask: Any) -> torch.Tensor | None:
    """(rows, width) where the tokens are no padding, from a model's attention mask; None where it does not tell."""
    if not isinstance(mask, torch.Tensor) or mask.dim() == 2:
        return mask
    if mask.dim() != 4 or mask.dtype != torch.bool:
        return None
    seen = mask[:, 0]
    return (seen.sum(dim=1) > 1) | (seen.sum(dim=2) > 1)


def _layer(name: str) -> str:
    numbers = [part for part in name.split(".") if part.isdigit()]
    return f"layer_{numbers[0]}" if numbers else name


def _summed(load: torch.Tensor) -> torch.Tensor:
    """Over all processes: each must move its biases alike."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        load = load.to(device)
        distributed.all_reduce(load)
    return load.cpu()
