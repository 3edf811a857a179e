"""A Llama or Qwen2 of a few thousand weights as a GGUF file, by the writer that llama.cpp's own tools use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (  # SmolLM2's, with its own system prompt
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LAYERS, HIDDEN, HEADS, GROUPS, MLP, CONTEXT = 2, 64, 4, 2, 96, 512


@cache
def vocabulary() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tokens and merges of a byte-level BPE that splits digits one by one, the special tokens first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = ["It 's a dog , and the answer is 46 .\n\n\n", "<think>\nwhy ?\n</think>\n<answer>\n46\n</answer>"] * 20
    tokenizer.train_from_iterator(texts, trainer)
    content = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(content["vocab"], key=content["vocab"].__getitem__)
    return tuple(tokens), tuple(" ".join(pair) for pair in content["merges"])


@cache
def small_model(architecture: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(vocabulary()[0]),
        hidden_size=HIDDEN,
        intermediate_size=MLP,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=GROUPS,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
    )
    model = AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def header(architecture: str) -> dict[str, Any]:
    """The keys of the header but for the architecture, as llama.cpp's converter writes them."""
    tokens, merges = vocabulary()
    return {
        "general.license": "apache-2.0",
        f"{architecture}.context_length": CONTEXT,
        f"{architecture}.block_count": LAYERS,
        f"{architecture}.embedding_length": HIDDEN,
        f"{architecture}.feed_forward_length": MLP,
        f"{architecture}.attention.head_count": HEADS,
        f"{architecture}.attention.head_count_kv": GROUPS,
        f"{architecture}.attention.layer_norm_rms_epsilon": 1e-5,
        f"{architecture}.rope.freq_base": 100_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm" if architecture == "llama" else "qwen2",
        "tokenizer.ggml.tokens": list(tokens),
        "tokenizer.ggml.token_type": [3 if token in SPECIAL else 1 for token in tokens],
        "tokenizer.ggml.merges": list(merges),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


def tensors(architecture: str) -> dict[str, np.ndarray]:
    """The weights by llama.cpp's names. In a Llama's heads it pairs neighbours where Transformers pairs halves."""
    model = small_model(architecture)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], LAYERS)
    found = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        other, weights = str(names.get_name(name, (".weight", ".bias"))), value.numpy()
        if architecture == "llama" and (".attn_q." in other or ".attn_k." in other):
            heads = HEADS if ".attn_q." in other else GROUPS
            turned = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
            weights = turned.swapaxes(1, 2).reshape(weights.shape)
        found[other] = weights
    return found


def write_gguf(
    path: Path,
    architecture: str = "llama",
    changed: Mapping[str, Any] | None = None,
    weights: Mapping[str, np.ndarray | None] | None = None,
    called: str | None = None,
    quantised: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
) -> Path:
    """Writes the file. changed: keys of the header with other values; None leaves one out. weights: the same of
    tensors. called: the architecture that the file says it has. quantised: of the matrices."""
    writer = gguf.GGUFWriter(path, called or architecture)
    for key, value in {**header(architecture), **(changed or {})}.items():
        if value is None:
            continue
        kinds = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
        kinds.get(type(value), writer.add_array)(key, value)
    for name, value in {**tensors(architecture), **(weights or {})}.items():
        if value is None:
            continue
        kind = quantised if value.ndim > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
