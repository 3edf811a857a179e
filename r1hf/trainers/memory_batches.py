"""What GRPO, SFT and pairwise reward models know of their batches, for `r1hf.trainers.memory`."""

from __future__ import annotations

from typing import Any

import torch

from r1hf.trainers.memory import FitsMemory, rows_between
from r1hf.trainers.work_saving import PER_ROW


class PolicyMemory(FitsMemory):
    """GRPO: parts are rows of the micro-batch; groups, advantages and the generation batch are not touched."""

    def rows_of(self, inputs: Any) -> int:
        return len(inputs["completion_ids"])

    def part_of(self, inputs: Any, start: int, stop: int) -> dict[str, Any]:
        return rows_between(inputs, len(inputs["completion_ids"]), start, stop)

    def weight_of(self, inputs: Any, part: Any, num_items: Any) -> float:
        if self.loss_type in PER_ROW:
            return len(part["completion_ids"]) / len(inputs["completion_ids"])
        if self.loss_type == "bnpo":
            counts = [float((batch["completion_mask"] * batch.get("tool_mask", 1)).sum()) for batch in (part, inputs)]
            return counts[0] / max(1.0, counts[1])
        return 1.0  # divided by the number of tokens of the whole generation batch

    def unsplittable(self, inputs: Any) -> str | None:
        if getattr(self, "_entropy_bonus_enabled", False):
            return "the entropy bonus averages over all tokens at once"
        if self.top_entropy_quantile < 1.0:
            return "top_entropy_quantile is a quantile over all rows"
        return super().unsplittable(inputs)

    def longest_batch(self, rows: int) -> dict[str, Any]:
        """The longest prompt, and completions of full length, in groups of different prompts as training has them."""
        prompts = sorted(self.train_dataset["prompt"], key=lambda prompt: len(str(prompt)))[-8:]
        longest = max(self._tokenize_prompts(prompts)[0], key=len)
        prompt = torch.stack([torch.tensor(list(longest)).roll(row // self.num_generations) for row in range(rows)])
        completion = prompt[:, -1:].repeat(1, self.max_completion_length)
        return {
            "prompt_ids": prompt,
            "input_ids": torch.cat([prompt, completion], dim=1),
            "completion_ids": completion,
            "completion_mask": torch.ones_like(completion),
        }

    def probe_loss(self, inputs: Any) -> torch.Tensor:
        ids = inputs["input_ids"]
        logps, _, _ = self._get_per_token_logps_and_entropies(
            self.model, ids, torch.ones_like(ids), self.max_completion_length, compute_entropy=True
        )
        return logps.mean()


class PairMemory(FitsMemory):
    """Pairwise reward models: TRL puts the chosen rows first and their rejected partners behind them."""

    def rows_of(self, inputs: Any) -> int:
        return len(inputs["input_ids"]) // 2

    def part_of(self, inputs: Any, start: int, stop: int) -> dict[str, Any]:
        pairs = self.rows_of(inputs)
        rows = torch.tensor([*range(start, stop), *range(pairs + start, pairs + stop)])
        part = {}
        for name, value in inputs.items():
            if isinstance(value, torch.Tensor) and value.dim():
                value = value[rows.to(value.device)] if len(value) == 2 * pairs else value[start:stop]
            part[name] = value
        return part


class TunedMemory(FitsMemory):
    """SFT: TRL's forward pass builds no logits."""

    def probe_loss(self, inputs: Any) -> torch.Tensor:
        output = self.model(**{**inputs, "use_cache": False}, fused_lm_head=True)
        return -output.log_probs.sum()
