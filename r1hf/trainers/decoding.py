"""Sampling without waste: each prompt is read once, and a finished completion leaves the batch.

`generate` reads a prompt once for every completion and carries finished rows along until the last one ends. With
short prompts, groups of one prompt and completions of uneven length, that is most of the work.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from r1hf.models.grouped_attention import for_decoding
from r1hf.models.refill import read_prompts

SHRINK = 0.85  # the cache is copied when this share of the rows or fewer is still running


@torch.no_grad()
def sample(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    ends: Sequence[int],
    temperature: float = 1.0,
) -> list[list[int]]:
    """One completion for each prompt (repeat a prompt for more), from the model's own distribution.

    A completion includes its end token. Random numbers come from torch's global generator of the model's device.
    """
    device = model.device
    cache, seen, position, logits = read_prompts(model, [tuple(prompt) for prompt in prompts])
    running = torch.arange(len(prompts), device=device)  # rows of the batch -> prompts
    made = torch.full((len(prompts), max_new_tokens), -1, dtype=torch.long, device=device)
    end_ids = torch.tensor(list(ends), device=device)
    alive = torch.ones(len(prompts), dtype=torch.bool, device=device)
    for step in range(max_new_tokens):
        token = _drawn(logits, temperature)
        made[running[alive], step] = token[alive]
        alive &= ~torch.isin(token, end_ids)
        left = int(alive.sum())
        if left == 0 or step == max_new_tokens - 1:
            break
        if left <= SHRINK * len(alive):
            keep = alive.nonzero().squeeze(1)
            cache.batch_select_indices(keep)
            token, seen, position, running, alive = token[keep], seen[keep], position[keep], running[keep], alive[keep]
        seen = torch.cat([seen, seen.new_ones(len(seen), 1)], dim=1)
        position = position + 1
        with for_decoding(model):
            logits = model(
                input_ids=token[:, None],
                attention_mask=seen[:, None, None, :],
                position_ids=position,
                past_key_values=cache,
            ).logits[:, -1]
    lengths = (made >= 0).sum(dim=1).tolist()
    return [row[:length] for row, length in zip(made.tolist(), lengths, strict=True)]


def _drawn(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """A token for each row of logits. The argmax of p / Exp(1) is a draw from p, and faster than `multinomial`."""
    probabilities = torch.softmax(logits.float() / temperature, dim=-1)
    return (probabilities / torch.empty_like(probabilities).exponential_()).argmax(dim=-1)
