"""Random-weight miniatures: a model of the same architecture, small enough for any machine, with a tokenizer."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.foreign_code import NO_CODE
from r1hf.preflight.rehearsal.makers import Architecture

# Heads of 32 are the smallest that every attention kernel takes.
_HEADS, _HEAD, _WIDTH = 4, 32, 128
_SMALL: dict[str, int] = {
    "intermediate_size": 256,
    "moe_intermediate_size": 64,
    "shared_expert_intermediate_size": 64,
    "n_routed_experts": 8,
    "num_experts": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 64,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 16,
    "v_head_dim": 32,
    "num_mtp_layers": 0,
    "num_nextn_predict_layers": 0,
}
# Of another size or place than the miniature, or derived from what is made small.
_DROPPED = {
    *("architectures", "auto_map", "dtype", "torch_dtype", "transformers_version", "quantization_config"),
    *("_name_or_path", "layer_types", "max_window_layers", "qk_head_dim", "vocab_size", "share", "architecture"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "id2label", "label2id", "num_labels"),
}
_DEEPSEEK = ("n_group", "topk_group", "num_mtp_layers", "q_lora_rank")  # its class's defaults are of full size


def shrink(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same architecture with few layers, narrow: kind of attention, experts, bias and tied embeddings stay.

    Without a vocabulary, which is the tokenizer's. Raises ConfigError where `model_type` is missing.
    """
    config = config.get("text_config") or config
    kind = config.get("model_type")
    if not isinstance(kind, str):
        raise ConfigError("config.json names no model_type: what architecture is it?")
    small = {key: value for key, value in config.items() if key not in _DROPPED}
    for key, most in _SMALL.items():
        if isinstance(small.get(key), int) or (kind == "deepseek_v3" and key in _DEEPSEEK and key not in small):
            small[key] = min(int(small.get(key, most)), most)
    heads = int(small.get("num_attention_heads") or _HEADS)
    groups = int(small.get("num_key_value_heads") or heads)
    shared = _HEADS if groups == heads else 1 if groups == 1 else _HEADS // 2
    small |= {"num_attention_heads": _HEADS, "num_key_value_heads": shared, "hidden_size": _WIDTH}
    small["num_hidden_layers"] = min(int(small.get("num_hidden_layers") or 2), 2)
    if kind == "deepseek_v3":
        small |= {"num_key_value_heads": _HEADS}  # latent attention has no groups
        small.pop("head_dim", None)
    elif small.get("head_dim"):
        small["head_dim"] = _HEAD
    return small


@functools.cache
def tiny_tokenizer() -> Any:
    """The tiny world's tokenizer, with r1hf's chat template."""
    from r1hf.models.loading import chat_template
    from r1hf.world.corpus import vocabulary_texts
    from r1hf.world.models import train_tokenizer

    tokenizer = train_tokenizer(vocabulary_texts(42, 300), 512)
    tokenizer.chat_template = chat_template()
    return tokenizer


class Miniatures:
    """Model directories with random weights, each architecture built once; a stage gets links to the files."""

    def __init__(self, store: Path):
        self._store = store
        self._made: dict[str, tuple[Path, str, int]] = {}

    def write(
        self, place: Path, found: Architecture, source: str, tokenizer: Any = None, classifier: bool = False
    ) -> str:
        """Puts a miniature of an architecture at `place` and says what it is. tokenizer: the model's own, of
        `source`; None: the tiny world's. classifier: with one output, as the preference models.

        Raises ConfigError where transformers cannot build the architecture.
        """
        own = source if tokenizer is not None else ""
        key = json.dumps([found.config, own, classifier], sort_keys=True, default=str)
        if key not in self._made:
            stored = self._store / str(len(self._made))
            count = write_miniature(stored, found.config, tokenizer or tiny_tokenizer(), classifier)
            kind = (found.config.get("text_config") or found.config).get("model_type")
            self._made[key] = stored, f"{kind}{' classifier' if classifier else ''}", count
        stored, kind, count = self._made[key]
        shutil.copytree(stored, place, copy_function=os.link)
        return f"random weights, {kind} of {count:,} parameters ({found.origin})"


def write_miniature(directory: Path, config: Mapping[str, Any], tokenizer: Any, classifier: bool = False) -> int:
    """A model directory with random weights; returns the number of parameters. classifier: with one output, as the
    preference models. Raises ConfigError where transformers cannot build the architecture.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    small = shrink(config)
    kind = small.pop("model_type")
    make = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    try:
        built = AutoConfig.for_model(
            kind,
            **small,
            vocab_size=len(tokenizer),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **({"num_labels": 1} if classifier else {}),
        )
        model = make.from_config(built, **NO_CODE)
    except Exception as error:  # each architecture checks its own sizes in its own way
        raise ConfigError(f"no miniature of '{kind}' can be built: {type(error).__name__}: {error}") from error
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return int(model.num_parameters())
