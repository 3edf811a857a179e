"""Random-weight miniatures: a model of the same architecture, small enough for any machine, with a tokenizer."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1hf.checks.foreign import NO_CODE
from r1hf.core.errors import ConfigError
from r1hf.core.files import read_object
from r1hf.models.shapes import BUILT_IN, built_in_name, config_file

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


@dataclass(frozen=True)
class Known:
    """A stage that makes models: where, by which recipe, and its YAML's values."""

    output_dir: Path
    recipe: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Architecture:
    """The content of config.json, and where it is from, in words."""

    config: Mapping[str, Any]
    origin: str


def architecture(source: str, family: Sequence[Known] = (), _seen: tuple[str, ...] = ()) -> Architecture:
    """Of a directory, a Hub id in the cache, what a stage of `family` will make, a model built in, or of the Hub.

    Raises ConfigError where none of them knows `source`.
    """
    file = config_file(source)
    if file is not None:
        config = read_object(file)
        base = config.get("base_model_name_or_path")
        return architecture(base, family, _seen) if base else Architecture(config, str(file))
    for known in family:
        own = Path(source)
        if source not in _seen and (own == known.output_dir or known.output_dir in own.parents):
            return _of_stage(own, known, family, (*_seen, source))
    name = built_in_name(source)
    if name is not None:
        return Architecture(BUILT_IN[name], f"{name}, built in")
    return Architecture(_from_hub(source), f"config.json of {source}")


def _of_stage(source: Path, known: Known, family: Sequence[Known], seen: tuple[str, ...]) -> Architecture:
    models = known.values.get("models")
    if known.recipe == "base" and isinstance(models, Mapping) and models:
        name = source.name if source != known.output_dir else next(iter(models))
        if name in models:
            shape = {"tie_word_embeddings": True, **models[name]}
            return Architecture({"model_type": shape.get("architecture"), **shape}, f"'{name}' of {known.output_dir}")
    base = known.values.get("model")
    if not isinstance(base, str):
        raise ConfigError(f"{source}: the stage {known.output_dir} names no model of which it could be made")
    return architecture(base, family, seen)


def _from_hub(source: str) -> dict[str, Any]:
    """config.json alone, some kilobytes."""
    from huggingface_hub import hf_hub_download

    repo, _, revision = source.partition("@")
    advice = f"try a known model of the same kind, --model Qwen/{next(iter(BUILT_IN))}"
    if source.count("/") != 1 or source.startswith((".", "/")) or Path(source.split("/")[0]).exists():
        raise ConfigError(f"{source}: not here, and no YAML beside makes it; run its stage first, or {advice}")
    try:
        file = hf_hub_download(repo, "config.json", revision=revision or None)
        return read_object(Path(file))
    except Exception as error:  # the Hub's client raises what it likes
        reason = " ".join(str(error).split())[:150]
        raise ConfigError(
            f"{source}: its architecture is neither here nor built in, and not to be had ({reason}); {advice}"
        ) from error


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
