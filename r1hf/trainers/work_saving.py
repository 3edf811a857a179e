"""Three ways to do less work for the same step of GRPO. Each is on wherever it is exact, unless set to false.

compact_generation: a prompt is read once for its whole group, and finished completions leave the batch.
share_prompts: a group's log-probabilities come from one row, its prompt read once, without padding in between.
skip_zero_advantage: completions without advantage are left out of forward and backward pass; without a KL term and an
entropy bonus their gradient is exactly zero. A KL term moves them too (beta (1 - pi_ref / pi) a token, unless the
policy is the reference), and nothing short of their forward and backward pass gives that: with beta it stays off.

The first samples from the same distribution as `generate` (other random numbers), the other two give the same gradient
up to rounding. All are for short completions and whole models: nothing for vLLM, FSDP or ZeRO-3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import DistributedType
from trl import GRPOConfig, GRPOTrainer
from trl.models import unwrap_model_for_generation

from r1hf.core.errors import ConfigError
from r1hf.models.refill import unshareable
from r1hf.trainers.decoding import sample
from r1hf.trainers.packed import pack_groups

PER_ROW = ("grpo", "dr_grpo", "sapo", "luspo")  # loss types that divide by the number of rows at hand
_OF_THE_MODEL = ("compact_generation", "share_prompts")
SHARED_TOKENS = 2048  # of a group's completions: the mask of its row has the square of that
_SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


@dataclass
class WorkSavingConfig(GRPOConfig):
    """The keys of this module: None is on where it is exact. Raises ConfigError where a key is set true and is not.

    What the settings rule out is False afterwards; what depends on the model and the machine the trainer decides.
    """

    compact_generation: bool | None = field(
        default=None, metadata={"help": "sample without padding and finished rows; none: where sampling is plain"}
    )
    share_prompts: bool | None = field(
        default=None,
        metadata={"help": f"one forward row for each prompt's group; none: up to {SHARED_TOKENS} tokens a group"},
    )
    skip_zero_advantage: bool | None = field(
        default=None,
        metadata={"help": "leave completions without advantage out of forward and backward; none: where beta is 0"},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.use_vllm:
            self.compact_generation = False  # vLLM leaves out the same by itself
        reasons = {"compact_generation": _generation_problems(self), "skip_zero_advantage": _skip_problems(self)}
        _settle(self, reasons)
        if self.share_prompts is None and self.num_generations * self.max_completion_length > SHARED_TOKENS:
            self.share_prompts = False


def _settle(args: WorkSavingConfig, reasons: dict[str, list[str]]) -> None:
    """False for each key that is unset and has a reason. Raises ConfigError for those that are set true."""
    problems = [f"{key}: {reason}" for key, found in reasons.items() if getattr(args, key) for reason in found]
    if problems:
        raise ConfigError(problems)
    for key, found in reasons.items():
        if found:
            setattr(args, key, False)


def _generation_problems(args: WorkSavingConfig) -> list[str]:
    plain = {"top_p": (1.0,), "top_k": (0, -1), "min_p": (None, 0.0), "repetition_penalty": (1.0,)}
    changed = [f"{name} {getattr(args, name)}" for name, off in plain.items() if getattr(args, name) not in off]
    others = ("generation_kwargs", "cache_implementation", "use_transformers_continuous_batching")
    changed += [name for name in others if getattr(args, name, None)]
    return [f"draws from the model's own distribution only; not with {name}" for name in changed]


def _skip_problems(args: WorkSavingConfig) -> list[str]:
    reasons = {
        f"beta {args.beta}: the KL term has a gradient without advantage too": args.beta != 0.0,
        f"entropy_coef {args.entropy_coef}: so has the entropy bonus": args.entropy_coef != 0.0,
        "use_adaptive_entropy: so has the entropy bonus": args.use_adaptive_entropy,
        "top_entropy_quantile: the quantile is over all rows": args.top_entropy_quantile < 1.0,
    }
    return [f"not with {reason}" for reason, holds in reasons.items() if holds]


class WorkSaving(GRPOTrainer):
    """`GRPOTrainer` that heeds `WorkSavingConfig`. Text models only."""

    args: WorkSavingConfig

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        reasons = unshareable(self.model)
        if self.accelerator.distributed_type in _SHARDED:
            reasons.append(f"needs the whole model on each device, not {self.accelerator.distributed_type.value}")
        _settle(self.args, dict.fromkeys(_OF_THE_MODEL, reasons))
        for name in (*_OF_THE_MODEL, "skip_zero_advantage"):
            setattr(self.args, name, getattr(self.args, name) is not False)

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, *rest: Any, **named: Any
    ) -> Any:
        if not self.args.compact_generation or multimodal_fields:
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, *rest, **named
            )
        with (
            unwrap_model_for_generation(
                self.model_wrapped,
                self.accelerator,
                gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
            ) as model,
            self.accelerator.autocast(),
        ):
            completions = sample(
                model,
                prompt_ids,
                max_new_tokens=self.max_completion_length,
                ends=self.eos_token_ids,
                temperature=self.temperature,
            )
        return completions, None

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        compute_aux_loss: bool = False,
        **multimodal: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        if not self.args.share_prompts or compute_aux_loss or any(x is not None for x in multimodal.values()):
            return super()._get_per_token_logps_and_entropies(
                model,
                input_ids,
                attention_mask,
                logits_to_keep,
                batch_size,
                compute_entropy,
                compute_aux_loss,
                **multimodal,
            )
        logps, entropies = [], []
        for rows in torch.arange(len(input_ids), device=input_ids.device).split(batch_size or len(input_ids)):
            packed = pack_groups(input_ids[rows], attention_mask[rows], logits_to_keep)
            with self.accelerator.autocast():
                output = model(
                    input_ids=packed.ids,
                    attention_mask=packed.mask,
                    position_ids=packed.positions,
                    shift_labels=packed.labels,
                    fused_lm_head=True,
                )
            logps.append(output.log_probs[packed.row, packed.column])
            if compute_entropy:
                entropies.append(output.entropy[packed.row, packed.column])
        return torch.cat(logps), torch.cat(entropies) if compute_entropy else None, None

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        if not self.args.skip_zero_advantage or not self.model.training or "pixel_values" in inputs:
            return super()._compute_loss(model, inputs)
        rows, weight = self._with_advantage(inputs)
        return super()._compute_loss(model, rows) * weight

    def _with_advantage(self, inputs: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """The rows with an advantage, and what the loss over them must be multiplied by to be that over all rows.

        Every process keeps as many rows as the one with most: TRL gathers one figure for each row.
        """
        signal = inputs["advantages"] != 0
        total = len(signal)
        count = self.accelerator.gather(signal.sum()).max().clamp(min=1)
        kept = signal.long().argsort(descending=True, stable=True)[: int(count)].sort().values
        self._metrics["train"]["rows_trained"].append(len(kept) / total)
        if len(kept) == total:
            return inputs, 1.0
        mask = inputs["completion_mask"]
        longest = max(1, int(mask[kept].sum(dim=1).max()))
        rows = {}
        for name, value in inputs.items():
            if isinstance(value, torch.Tensor) and value.dim() and len(value) == total:
                value = value[kept]
                if value.dim() == 2 and value.shape[1] == mask.shape[1] and not name.startswith("prompt"):
                    value = value[:, :longest]
            rows[name] = value
        if self.loss_type in PER_ROW:
            return rows, len(kept) / total
        if self.loss_type == "bnpo":
            return rows, float(rows["completion_mask"].sum() / mask.sum().clamp(min=1))
        return rows, 1.0  # divided by the number of tokens of the whole generation batch
