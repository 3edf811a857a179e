"""Attention as plain products of matrices, for a CPU: `attn_implementation: grouped`.

PyTorch's scaled_dot_product_attention on a CPU is made for long queries. For the one token of a decoding step it takes
many times as long as two batched products, and with grouped-query attention Transformers copies keys and values for
every head first. Here the heads of a group are rows of one product, and nothing is copied. The scores are written
out, so many or long rows are still left to PyTorch's own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "grouped"
SCORES = 1 << 23  # of a layer: with more they are not worth their memory, and PyTorch's own attention keeps none


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query (n, heads, new, size), key and value (n, groups, seen, size); mask of truth values or to be added, or none
    where each token sees all before it. Returns (n, new, heads, size). The softmax is taken in float32."""
    if query[..., 0].numel() * key.shape[2] > SCORES:
        named = {"scaling": scaling, "dropout": dropout}
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **named)
        return found
    rows, heads, new, size = query.shape
    groups, seen = key.shape[1:3]
    stacked = query.reshape(rows, groups, heads // groups * new, size)
    scores = torch.matmul(stacked, key.transpose(2, 3)).view(rows, groups, heads // groups, new, seen)
    scores = scores.float() * (size**-0.5 if scaling is None else scaling)
    if attention_mask is None and new > 1:
        attention_mask = torch.ones(new, seen, dtype=torch.bool, device=query.device).tril(seen - new)[None, None]
    if attention_mask is not None:
        mask = attention_mask[:, :, None, :, :seen]
        scores = (
            scores.masked_fill(~mask, torch.finfo(torch.float32).min) if mask.dtype == torch.bool else scores + mask
        )
    shares = torch.softmax(scores, dim=-1)
    if dropout:
        shares = torch.nn.functional.dropout(shares, dropout, module.training)
    shares = shares.to(value.dtype).view(rows, groups, heads // groups * new, seen)
    made = torch.matmul(shares, value).view(rows, heads, new, size)
    return made.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


@contextlib.contextmanager
def for_decoding(model: PreTrainedModel) -> Iterator[None]:
    """A model on a CPU decodes with grouped attention in place of PyTorch's own, where that is faster: with heads in
    groups, in half precision, or with float32 matrices multiplied in bfloat16."""
    text = model.config.get_text_config()
    heads = getattr(text, "num_attention_heads", 1)
    slow = getattr(text, "num_key_value_heads", heads) != heads or model.dtype != torch.float32
    with _in_place_of_sdpa(model, slow or _rounded()):
        yield


@contextlib.contextmanager
def for_training(model: PreTrainedModel) -> Iterator[None]:
    """A model on a CPU trains with grouped attention where float32 matrices are multiplied in bfloat16: PyTorch's own
    then takes four times as long."""
    with _in_place_of_sdpa(model, _rounded()):
        yield


def _rounded() -> bool:
    return torch.get_float32_matmul_precision() != "highest"


@contextlib.contextmanager
def _in_place_of_sdpa(model: PreTrainedModel, slow: bool) -> Iterator[None]:
    text = model.config.get_text_config()
    if text._attn_implementation != "sdpa" or model.device.type != "cpu" or not slow:
        yield
        return
    text._attn_implementation = NAME
    try:
        yield
    finally:
        text._attn_implementation = "sdpa"
