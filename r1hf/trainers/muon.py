"""Muon for the layers' matrices and AdamW for the rest, as one optimizer (Jordan et al. 2024; torch.optim.Muon)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import PreTrainedModel, TrainingArguments

MOMENTUM = 0.95


class MuonAdamW(torch.optim.Optimizer):
    """Steps `muon` and `adamw` together; a schedule sees the groups of both, each with a rate of its own."""

    def __init__(self, muon: torch.optim.Muon, adamw: torch.optim.AdamW):
        self.parts = (muon, adamw)
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._join()

    def _join(self) -> None:
        """The groups are the parts' own: what a schedule writes into one is read by its part."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = closure() if closure is not None else None
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._join()


def muon_adamw(model: PreTrainedModel, args: TrainingArguments, learning_rate: float) -> MuonAdamW:
    """Muon at `learning_rate` on the matrices within the layers, AdamW with the rate and betas of `args` on the rest.

    Embeddings, head, norms, biases and routed experts (three dimensions, which torch.optim.Muon refuses) are the rest.
    What has two dimensions decays by `args.weight_decay` times
    `args.learning_rate` a step, in both.
    """
    ends = [module for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module is not None]
    outside = {parameter for module in ends for parameter in module.parameters()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    muon = torch.optim.Muon(
        [one for one in trained if one.ndim == 2 and one not in outside],
        lr=learning_rate,
        momentum=MOMENTUM,
        weight_decay=args.weight_decay * args.learning_rate / learning_rate,
    )
    adamw = torch.optim.AdamW(
        [
            {"params": [one for one in trained if one in outside], "weight_decay": args.weight_decay},
            {"params": [one for one in trained if one.ndim != 2 and one not in outside], "weight_decay": 0.0},
        ],
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
        fused=True,
    )
    return MuonAdamW(muon, adamw)
