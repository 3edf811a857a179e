"""Shapes agree with what transformers builds, parameter by parameter."""

from __future__ import annotations

import json

import pytest
import torch
from tables import each
from transformers import AutoConfig, AutoModelForCausalLM

from r1hf.core.errors import ConfigError
from r1hf.core.gpus import parse_gpus
from r1hf.models.shapes import BUILT_IN, built_in, from_config, shape_of

SMALL = {
    "num_hidden_layers": 3,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 70,
}
DEEPSEEK = {
    "model_type": "deepseek_v3",
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 6,
    "n_group": 2,
    "topk_group": 1,
}
VARIANTS = {
    "llama": {"model_type": "llama"},
    "llama, biases, own head size": {
        "model_type": "llama",
        "attention_bias": True,
        "mlp_bias": True,
        "head_dim": 16,
        "tie_word_embeddings": True,
    },
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
    "mistral": {"model_type": "mistral"},
    "deepseek_v3": DEEPSEEK | {"q_lora_rank": 12},
    "deepseek_v3 without a query rank": DEEPSEEK | {"q_lora_rank": None},
}


def counted(config: dict) -> int:
    config = dict(config)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(config.pop("model_type"), **config))
    return sum(parameter.numel() for parameter in model.parameters())


@each("name", list(VARIANTS))
def test_small_shapes_have_the_parameters_that_transformers_builds(name):
    config = SMALL | VARIANTS[name]
    assert from_config(config, name).parameters == counted(config)


@pytest.mark.parametrize("name", ["Qwen2.5-0.5B", "Qwen2.5-1.5B", "Qwen2.5-7B", "Llama-3.1-8B"])
def test_built_in_shapes_have_the_parameters_that_transformers_builds(name):
    assert built_in(f"org/{name}").parameters == counted(BUILT_IN[name])


def test_deepseek_v3_has_the_published_sizes():
    shape = built_in("deepseek-ai/DeepSeek-V3-Base")
    assert shape.parameters == pytest.approx(671e9, rel=0.001)
    assert shape.active_parameters == pytest.approx(37e9, rel=0.02)  # published: 37 billion


def test_shape_of_a_directory_and_of_its_adapter(tmp_path):
    config = SMALL | VARIANTS["qwen2"]
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(tmp_path / "model")})
    )
    assert shape_of(str(tmp_path / "adapter")) == shape_of(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read as JSON"),
        ('{"model_type": "mamba"}', "model_type 'mamba' is not planned for"),
        ('{"model_type": "llama", "hidden_size": 8}', "has no num_hidden_layers"),
        (json.dumps(SMALL | {"model_type": "deepseek_v3"}), "n_routed_experts"),
    ],
)
def test_a_configuration_without_a_shape_is_named(tmp_path, content, said):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=said):
        shape_of(str(tmp_path))


def test_an_unknown_model_needs_a_known_one():
    with pytest.raises(ConfigError, match="--shape"):
        shape_of("nobody/has-this-model")


@pytest.mark.parametrize(
    ("text", "count", "name"),
    [("8xH100", 8, "H100"), ("A100", 1, "A100-80"), ("2x rtx 4090", 2, "RTX4090"), ("a100-40gb", 1, "A100-40")],
)
def test_gpus_are_read(text, count, name):
    cluster = parse_gpus(text)
    assert (cluster.count, cluster.device.name) == (count, name)


@pytest.mark.parametrize("text", ["8xH1000", "0xH100", "", "x"])
def test_strange_gpus_are_refused(text):
    with pytest.raises(ConfigError, match="--gpus"):
        parse_gpus(text)
