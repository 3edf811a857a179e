"""A cache of keys and values that is written in place: Transformers' own is copied whole for every new token."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

SPARE = 64  # places that a layer is given beyond what it holds


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """`DynamicLayer` in a larger tensor, of which `keys` and `values` are the front part; both may be replaced."""

    _written: tuple[torch.Tensor, torch.Tensor] | None = None
    _room: tuple[torch.Tensor, torch.Tensor]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        length = self.keys.shape[-2]
        end = length + key_states.shape[-2]
        ours = self._written is not None and self.keys is self._written[0] and self.values is self._written[1]
        if not ours or end > self._room[0].shape[-2]:
            self._room = (_roomier(self.keys, end + SPARE), _roomier(self.values, end + SPARE))
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, length:end] = new
        self.keys, self.values = self._written = (self._room[0][:, :, :end], self._room[1][:, :, :end])
        return self.keys, self.values


def _roomier(held: torch.Tensor, length: int) -> torch.Tensor:
    made = held.new_empty(*held.shape[:2], length, held.shape[-1])
    made[:, :, : held.shape[2]] = held
    return made


def growing_cache(config: PretrainedConfig) -> DynamicCache:
    """A cache for a model whose layers all see the whole text."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() for _ in cache.layers]
    return cache
