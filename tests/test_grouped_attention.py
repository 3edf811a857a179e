"""Attention as plain products gives what PyTorch's own gives."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from tables import each
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from r1hf.models.grouped_attention import NAME, for_decoding


def small(heads: int = 6, groups: int = 2) -> LlamaForCausalLM:
    torch.manual_seed(0)
    shape: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "vocab_size": 50}
    config = LlamaConfig(num_attention_heads=heads, num_key_value_heads=groups, attn_implementation="sdpa", **shape)
    return LlamaForCausalLM(config).eval()


def masks(kind: str, rows: int, length: int) -> torch.Tensor | None:
    if kind == "none":
        return None
    real = torch.ones(rows, length, dtype=torch.bool)
    real[0, :3] = False
    if kind == "padding":
        return real.long()
    causal = real[:, None, None, :] & torch.ones(length, length, dtype=torch.bool).tril()
    return causal | torch.eye(length, dtype=torch.bool)


@each("kind, groups", [(kind, groups) for kind in ("none", "padding", "own") for groups in (1, 2, 6)])
def test_logits_and_gradients_are_those_of_sdpa(kind: str, groups: int) -> None:
    model = small(groups=groups)
    ids, found = torch.randint(50, (2, 9)), []
    for attention in ("sdpa", NAME):
        model.config._attn_implementation = attention
        model.zero_grad()
        logits = model(ids, attention_mask=masks(kind, 2, 9)).logits[:, 3:]
        logits.square().mean().backward()
        found.append((logits.detach(), model.model.layers[0].self_attn.k_proj.weight.grad.clone()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_token_after_cached_ones_is_that_of_sdpa() -> None:
    model, found = small(), []
    ids = torch.randint(50, (3, 12))
    for attention in (contextlib.nullcontext(), for_decoding(model)):
        cache = DynamicCache(config=model.config)
        model(ids[:, :9], past_key_values=cache)
        with attention:
            found.append(torch.cat([model(ids[:, i : i + 1], past_key_values=cache).logits for i in range(9, 12)], 1))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_a_model_of_another_attention_keeps_it() -> None:
    model = small()
    model.config._attn_implementation = "eager"
    with for_decoding(model):
        assert model.config._attn_implementation == "eager"
    model.config._attn_implementation = "sdpa"
    with pytest.raises(RuntimeError), for_decoding(model):
        raise RuntimeError
    assert model.config._attn_implementation == "sdpa"
