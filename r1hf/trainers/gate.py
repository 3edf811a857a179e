"""A gate for groups in which the rewards that judge the outcome see no difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from trl import GRPOConfig, GRPOTrainer

from r1hf.core.errors import ConfigError
from r1hf.trainers.outcome import OUTCOMES, RIGHT

_SAME = 1e-6


@dataclass
class GateConfig(GRPOConfig):
    """The keys of this module.

    `gate: outcome` zeroes the advantages of every group in which the outcome reward is the same for all completions
    (all right or all wrong), so that format, language and length alone move nothing there. Divided by their own
    standard deviation, such terms else become as large as a difference between right and wrong. Evidence: verl-recipe
    pull request 125 (GSM8K, Qwen2.5-1.5B, a reward shaped by length, three seeds, one author): exact match .753 with
    the gate on the outcome, .102 without a gate, .037 with a gate on the spread of the total; the start had .715.

    A group without any judged outcome (general prompts) is never gated; rows whose outcome is None are left out of the
    comparison. The KL term stays. Off by default: the paper has no gate, and a model that is always wrong because it
    is always malformed would never learn the format.
    """

    gate: Literal["none", "outcome"] = field(
        default="none", metadata={"help": "outcome: no advantage where all completions of a group are equally right"}
    )
    outcome_rewards: list[str] | None = field(
        default=None,
        metadata={"help": f"rewards that say whether an answer is right, by the start of their name ({OUTCOMES})"},
    )


def places(names: Sequence[str], wanted: Sequence[str] | None = None) -> list[int]:
    """Columns of the rewards that judge the outcome."""
    return [place for place, name in enumerate(names) if name.startswith(tuple(wanted or OUTCOMES))]


def flat_groups(outcomes: torch.Tensor, group: int) -> torch.Tensor:
    """Groups whose judged outcomes are all the same. outcomes: (batch, rewards), NaN unjudged; gives (batch / group,).

    False for a group in which nothing is judged.
    """
    grouped = outcomes.reshape(-1, group, outcomes.shape[1])
    known = ~grouped.isnan()
    lowest = grouped.masked_fill(~known, torch.inf).amin(dim=1)
    highest = grouped.masked_fill(~known, -torch.inf).amax(dim=1)
    return known.any(dim=1).any(dim=1) & (highest - lowest < _SAME).all(dim=1)  # unjudged: -inf, below


def pass_rates(outcomes: torch.Tensor, group: int) -> list[float | None]:
    """The share of right completions (every judged outcome at its full 1) in each group; None where none is judged."""
    known = ~outcomes.isnan()
    right = ((outcomes >= RIGHT) | ~known).all(dim=1) & known.any(dim=1)
    judged = known.any(dim=1).reshape(-1, group).sum(dim=1).tolist()
    rights = right.reshape(-1, group).sum(dim=1).tolist()
    return [passed / count if count else None for passed, count in zip(rights, judged, strict=True)]


class Gated(GRPOTrainer):
    """`GRPOTrainer` that heeds `GateConfig`; a subclass calls `gate` when the advantages are there.

    _last_rewards: what `_calculate_rewards` gave last, (batch of all processes, rewards), NaN where unjudged.
    """

    args: GateConfig

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self._last_rewards: torch.Tensor | None = None
        self._outcome_places = places(self.reward_func_names, self.args.outcome_rewards)
        paid = [place for place in self._outcome_places if self.reward_weights[place] != 0]
        if self.args.gate == "outcome" and not paid:
            raise ConfigError(f"gate: {no_outcome(self)}")
        self._gate_places = paid

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[Any]
    ) -> torch.Tensor:
        self._last_rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        return self._last_rewards

    def gate(self, output: dict[str, Any]) -> None:
        """Zeroes this process's advantages in the groups that the outcome does not divide; training only."""
        if self.args.gate == "none" or not self.model.training or self._last_rewards is None:
            return
        flat = flat_groups(self._last_rewards[:, self._gate_places], self.num_generations)
        self._metrics["train"]["groups/gated"].append(flat.float().mean().item())
        rows = len(output["advantages"])
        start = self.accelerator.process_index * rows
        gated = flat.repeat_interleave(self.num_generations)[start : start + rows]
        output["advantages"] = output["advantages"].masked_fill(
            gated if output["advantages"].dim() == 1 else gated[:, None], 0.0
        )


def no_outcome(trainer: GRPOTrainer) -> str:
    """Why a trainer has no outcome to go by."""
    wanted = trainer.args.outcome_rewards or OUTCOMES
    return (
        f"none of the rewards that are paid ({', '.join(trainer.reward_func_names)}) says whether an answer is right; "
        f"looked for names that start with {', '.join(wanted)}; set outcome_rewards"
    )
