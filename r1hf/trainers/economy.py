"""Three ways to do less work for the same step of GRPO. Each is off unless asked for.

compact_generation: a prompt is read once for its whole group, and finished completions leave the batch.
share_prompts: a group's log-probabilities come from one row, its prompt read once, without padding in between.
skip_zero_advantage: completions without advantage are left out of forward and backward pass; without a KL term and an
entropy bonus their gradient is exactly zero.

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
from r1hf.trainers.decoding import sample
from r1hf.trainers.packed import pack_groups

PER_ROW = ("grpo", "dr_grpo", "sapo", "luspo")  # loss types that divide by the number of rows at hand
_SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


@dataclass
class EconomyConfig(GRPOConfig):
    """The keys of this module. Raises ConfigError where one of them would not be exact."""

    compact_generation: bool = field(
        default=False, metadata={"help": "sample without padding and finished rows (no vLLM, plain sampling only)"}
    )
    share_prompts: bool = field(
        default=False, metadata={"help": "one forward row for each prompt's group; for short completions"}
    )
    skip_zero_advantage: bool = field(
        default=False, metadata={"help": "leave completions without advantage out of forward and backward (beta 0)"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        problems = [*_generation_problems(self), *_skip_problems(self)]
        if problems:
            raise ConfigError(problems)


def _generation_problems(args: EconomyConfig) -> list[str]:
    if not args.compact_generation:
        return []
    plain = {"top_p": (1.0,), "top_k": (0, -1), "min_p": (None, 0.0), "repetition_penalty": (1.0,)}
    changed = [f"{name} {getattr(args, name)}" for name, off in plain.items() if getattr(args, name) not in off]
    changed += [
        name
        for name in ("generation_kwargs", "use_vllm", "use_transformers_continuous_batching")
        if getattr(args, name, None)
    ]
    return [f"compact_generation: draws from the model's own distribution only; not with {name}" for name in changed]


def _skip_problems(args: EconomyConfig) -> list[str]:
    if not args.skip_zero_advantage:
        return []
    reasons = {
        f"beta {args.beta}: the KL term has a gradient without advantage too": args.beta != 0.0,
        f"entropy_coef {args.entropy_coef}: so has the entropy bonus": args.entropy_coef != 0.0,
        "use_adaptive_entropy: so has the entropy bonus": args.use_adaptive_entropy,
        "top_entropy_quantile: the quantile is over all rows": args.top_entropy_quantile < 1.0,
    }
    return [f"skip_zero_advantage: not with {reason}" for reason, holds in reasons.items() if holds]


class Economy(GRPOTrainer):
    """`GRPOTrainer` that heeds `EconomyConfig`. Text models only."""

    args: EconomyConfig

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        wanted = [name for name in ("compact_generation", "share_prompts") if getattr(self.args, name)]
        if wanted and self.accelerator.distributed_type in _SHARDED:
            kind = self.accelerator.distributed_type.value
            raise ConfigError([f"{name}: needs the whole model on each device, not {kind}" for name in wanted])
        if self.args.share_prompts and (reason := _unshareable(self.model.config)):
            raise ConfigError([f"share_prompts: {reason}"])

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


def _unshareable(config: Any) -> str | None:
    """Why a model's groups cannot share a row, or None."""
    text = config.get_text_config()
    if text._attn_implementation not in ("sdpa", "eager"):
        return f"needs a mask of its own, which {text._attn_implementation} attention does not take; use sdpa"
    if any(kind != "full_attention" for kind in getattr(text, "layer_types", None) or []):
        return f"{text.model_type} has layers without full attention"
    return None
