"""Log-probabilities of a group with its prompt read once and no padding between its completions.

The completions of one prompt stand behind it in one row; a mask lets each see the prompt and itself:

    prompt without its last token | last, a1, a2 | last, b1, b2, b3 | ...
    labels:                         a1, a2, a3     b1, b2, b3, b4
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Packed:
    """One row for each prompt. ids, positions, labels: (rows, width); mask: (rows, 1, width, width), True = visible.

    row, column: (batch, completion) where in the rows each completion token's label stands.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    mask: torch.Tensor
    row: torch.Tensor
    column: torch.Tensor


def pack_groups(input_ids: torch.Tensor, attention_mask: torch.Tensor, completion_length: int) -> Packed:
    """Packs TRL's left-padded prompts and right-padded completions, (batch, prompt + completion)."""
    device = input_ids.device
    prompt_width = input_ids.shape[1] - completion_length
    real = attention_mask.bool()
    prompts = input_ids[:, :prompt_width].masked_fill(~real[:, :prompt_width], -1)
    unique, group = torch.unique(prompts, dim=0, return_inverse=True)
    prompt_length = (unique >= 0).sum(dim=1)  # (groups,)
    length = real[:, prompt_width:].sum(dim=1)  # (batch,)

    # Each completion's place in its row: the lengths of those before it in the same group.
    same = group[:, None] == group[None, :]
    before = (same & torch.ones_like(same).tril(-1)).long() @ length
    start = prompt_length[group] - 1 + before
    total = torch.zeros(len(unique), dtype=torch.long, device=device).index_add_(0, group, length)
    width = int((prompt_length - 1 + total).max())

    ids = torch.zeros(len(unique), width, dtype=torch.long, device=device)
    positions, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    segment = torch.full_like(ids, -1)  # -1 padding, 0 prompt, n the n-th completion
    shared = torch.arange(width, device=device) < (prompt_length - 1)[:, None]
    source = (prompt_width - prompt_length)[:, None] + torch.arange(width, device=device)
    ids = torch.where(shared, unique.gather(1, source.clamp(max=prompt_width - 1)), ids)
    positions = torch.where(shared, torch.arange(width, device=device), positions)
    segment = segment.masked_fill(shared, 0)

    offset = torch.arange(completion_length, device=device)
    inside = offset < length[:, None]  # (batch, completion)
    column = (start[:, None] + offset).clamp(max=width - 1)
    row = group[:, None].expand_as(column)
    at = (row[inside], column[inside])
    ids[at] = input_ids[:, prompt_width - 1 : -1][inside]
    labels[at] = input_ids[:, prompt_width:][inside]
    positions[at] = ((prompt_length - 1)[group][:, None] + offset)[inside]
    segment[at] = (torch.arange(len(group), device=device) + 1)[:, None].expand_as(column)[inside]

    visible = (segment[:, None, :] == segment[:, :, None]) | (segment[:, None, :] == 0)
    visible &= torch.ones(width, width, dtype=torch.bool, device=device).tril()
    visible &= (segment >= 0)[:, :, None]
    visible |= torch.eye(width, dtype=torch.bool, device=device)  # padding sees itself alone: no empty softmax
    return Packed(ids, positions, labels, visible[:, None], row, column)
