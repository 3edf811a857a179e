"""Decoding in a batch that stays full: a finished row leaves it, and the next prompt takes its place.

`generate` carries finished rows along until the last one of a batch has ended; where lengths differ tenfold that is
most of the work. Each row draws from random numbers of its own, so what is drawn does not depend on its neighbours,
but for rounding.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache, PreTrainedModel

from r1hf.models.grouped_attention import NAME, for_decoding

FRONT = 512  # tokens that nearly always hold the nucleus
REFILL = 0.85  # the cache is copied when this share of the places or fewer is taken


class Row(NamedTuple):
    """A prompt's tokens, the seed of what follows, and the most tokens of it. key: whatever the caller knows it by."""

    key: Any
    prompt: tuple[int, ...]
    seed: int
    most: int


@dataclass
class _Running:
    row: Row
    made: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.row.seed).random


class _Batch(NamedTuple):
    """rows: in the order of the cache's rows. seen (n, length): which cached places are real. position (n, 1): of the
    last token. logits (n, vocabulary): of the next one."""

    rows: list[_Running]
    cache: DynamicCache
    seen: torch.Tensor
    position: torch.Tensor
    logits: torch.Tensor


Pick = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@torch.inference_mode()
def decode(
    model: PreTrainedModel, rows: Iterator[Row], size: int, ends: set[int], temperature: float, top_p: float
) -> Iterator[tuple[Row, list[int], bool]]:
    """(row, tokens without the end token, whether it ended) of each row, as it is finished. size: rows at once."""
    batch: _Batch | None = None
    while True:
        taken = len(batch.rows) if batch else 0
        if taken <= REFILL * size and (new := list(islice(rows, size - taken))):
            fresh = _read(model, new)
            batch = _joined(batch, fresh) if batch else fresh
        if batch is None:
            return
        tokens = _drawn(batch, temperature, top_p)
        left = []
        for place, (running, token) in enumerate(zip(batch.rows, tokens, strict=True)):
            ended = token in ends
            if not ended:
                running.made.append(token)
            if ended or len(running.made) >= running.row.most:
                yield running.row, running.made, ended
            else:
                left.append(place)
        batch = _step(model, _kept(batch, left), [tokens[place] for place in left]) if left else None


def _drawn(batch: _Batch, temperature: float, top_p: float) -> list[int]:
    uniform = torch.tensor([running.draw() for running in batch.rows], dtype=torch.float64)
    found: list[int] = pick(batch.logits, uniform.to(batch.logits.device), temperature, top_p).tolist()
    return found


def pick(logits: torch.Tensor, uniform: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """A token for each row of `logits` (n, vocabulary) by a number of `uniform` (n), between 0 and 1, as its draw."""
    if not temperature:
        return logits.argmax(dim=-1)
    shares, order = torch.softmax(logits.float() / temperature, dim=-1), None
    if top_p < 1:
        shares, order = _front(shares, top_p)
        before = shares.cumsum(dim=-1) - shares
        before[:, 0] = 0
        shares = shares.masked_fill(before >= top_p, 0)
    edges = shares.double().cumsum(dim=-1)
    place = torch.searchsorted(edges, (uniform * edges[:, -1])[:, None], right=True).clamp(max=edges.shape[1] - 1)
    return (place if order is None else order.gather(1, place)).squeeze(1)


def _front(shares: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest tokens' shares, falling, and their places: FRONT of them where they hold `top_p` in every row, for
    the sorting of a whole vocabulary takes longer than the model."""
    if shares.shape[1] > FRONT:
        front, order = shares.topk(FRONT, dim=-1)
        if bool((front.sum(dim=-1) >= top_p).all()):
            return front, order
    return shares.sort(dim=-1, descending=True, stable=True)


def read_prompts(
    model: PreTrainedModel, prompts: Sequence[tuple[int, ...]]
) -> tuple[DynamicCache, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(cache, which of its places are real, last position (n, 1), logits of the next token) for each prompt; one that
    comes several times is read once."""
    unique: dict[tuple[int, ...], int] = {}
    which = [unique.setdefault(prompt, len(unique)) for prompt in prompts]
    ids, real = left_padded(list(unique), model.device)
    position = (real.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    length = ids.shape[1]
    causal = real[:, None, None, :] & torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
    causal |= torch.eye(length, dtype=torch.bool, device=ids.device)  # padding sees itself: no empty softmax
    with for_decoding(model):
        logits = model(
            input_ids=ids, attention_mask=causal, position_ids=position, past_key_values=cache, logits_to_keep=1
        ).logits[:, -1]
    index = torch.tensor(which, device=ids.device)
    cache.batch_select_indices(index)
    return cache, real[index], position[index, -1:], logits[index]


def _read(model: PreTrainedModel, rows: Sequence[Row]) -> _Batch:
    return _Batch([_Running(row) for row in rows], *read_prompts(model, [row.prompt for row in rows]))


def _step(model: PreTrainedModel, batch: _Batch, tokens: list[int]) -> _Batch:
    seen = torch.cat([batch.seen, batch.seen.new_ones(len(tokens), 1)], dim=1)
    position = batch.position + 1
    with for_decoding(model):
        logits = model(
            input_ids=torch.tensor(tokens, device=seen.device)[:, None],
            attention_mask=seen[:, None, None, :],
            position_ids=position,
            past_key_values=batch.cache,
        ).logits[:, -1]
    return batch._replace(seen=seen, position=position, logits=logits)


def _kept(batch: _Batch, left: list[int]) -> _Batch:
    """The batch with the rows of these places alone, and without leading places that none of them has."""
    if len(left) == len(batch.rows):
        return batch
    index = torch.tensor(left, device=batch.seen.device)
    seen = batch.seen[index]
    empty = int(seen.any(dim=0).int().argmax())
    for layer in batch.cache.layers:
        layer.keys, layer.values = layer.keys[index, :, empty:], layer.values[index, :, empty:]
    rows = [batch.rows[place] for place in left]
    return _Batch(rows, batch.cache, seen[:, empty:], batch.position[index], batch.logits[index])


def _joined(first: _Batch, second: _Batch) -> _Batch:
    """One batch of two, the shorter padded on the left."""
    length = max(first.seen.shape[1], second.seen.shape[1])
    for one, other in zip(first.cache.layers, second.cache.layers, strict=True):
        one.keys = torch.cat([_padded(one.keys, length, 2), _padded(other.keys, length, 2)])
        one.values = torch.cat([_padded(one.values, length, 2), _padded(other.values, length, 2)])
    return _Batch(
        first.rows + second.rows,
        first.cache,
        torch.cat([_padded(first.seen, length, 1), _padded(second.seen, length, 1)]),
        torch.cat([first.position, second.position]),
        torch.cat([first.logits, second.logits]),
    )


def _padded(values: torch.Tensor, length: int, dim: int) -> torch.Tensor:
    """`values` with zeros before them along `dim`, up to `length`."""
    missing = length - values.shape[dim]
    if not missing:
        return values
    shape = [*values.shape]
    shape[dim] = missing
    return torch.cat([values.new_zeros(shape), values], dim=dim)


def left_padded(prompts: Sequence[Sequence[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (n, longest) and which of them are real."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), width, dtype=torch.long)
    real = torch.zeros(len(prompts), width, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        real[row, width - len(prompt) :] = True
    return ids.to(device), real.to(device)


def unshareable(model: Any) -> list[str]:
    """Why a model cannot be given a mask of several rows' own, made here for all its layers."""
    text = model.config.get_text_config()
    reasons = []
    if text._attn_implementation not in (
        "sdpa",
        NAME,
    ):  # eager adds a mask to the scores, and this one holds truth values
        reasons.append(f"needs a mask of its own, which {text._attn_implementation} attention does not take; use sdpa")
    kinds = getattr(text, "layer_types", None) or (["sliding"] if getattr(text, "sliding_window", None) else [])
    if any(kind != "full_attention" for kind in kinds):
        reasons.append(f"{text.model_type} has layers without full attention")
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if getattr(text, "alibi", False) or "position_ids" not in inspect.signature(base.forward).parameters:
        reasons.append(f"{text.model_type} takes no positions of its tokens")
    return reasons
