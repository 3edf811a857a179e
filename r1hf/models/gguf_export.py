"""A model as a GGUF file, which llama.cpp and all that is built on it load: weights, tokenizer, chat template.

Written by llama.cpp's own Python package (names of tensors, quantisation), as its `convert_hf_to_gguf.py` does.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from r1hf.core.errors import ConfigError
from r1hf.core.foreign_code import WEIGHTS
from r1hf.models.gguf_file import ARCHITECTURES, permuted, permuted_heads, reading, tensor_names
from r1hf.models.gguf_tokenizer import read_tokenizer, splitting
from r1hf.models.loading import load_tokenizer, loading
from r1hf.text.chat_templates import begins_text
from r1hf.text.renderer import render_safely
from r1hf.text.round_trips import CONVERSATION, TEXTS, rendered

DTYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
_NORMAL, _CONTROL, _USER, _UNUSED = 1, 3, 4, 5  # gguf.TokenType
_BLOCK = 32  # weights of a row that Q8_0 quantises together
_TRAINED = re.compile(r"\{%(-?)\s*(end)?generation\s*(-?)%\}")


def export(source: str, path: Path, dtype: str = "f16", about: Mapping[str, str | None] | None = None) -> int:
    """Writes the model of a directory to `path`, reads it back, and returns its size in bytes.

    dtype: of the matrices, a key of `DTYPES`; vectors stay in float32. about: licence, base_model (a Hub id), name.
    Raises ConfigError: an architecture, tokenizer or position scaling that the file could not hold.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError("writing a GGUF file needs the package gguf: pip install 'r1hf[gguf]'")
    _refuse_adapter(source)
    tokenizer = load_tokenizer(source)
    with loading(source):
        model = AutoModelForCausalLM.from_pretrained(source, dtype="auto", **WEIGHTS)
    _check_config(source, model.config)
    split = splitting(tokenizer)
    if split is None:
        raise ConfigError(
            f"{source} splits text into words in a way that r1hf has no name of llama.cpp's for; its tokens would be "
            "others there"
        )
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write(beside, model, tokenizer, split, dtype, about or {})
        _check_written(beside, tokenizer)
        size = beside.stat().st_size
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return size


def _refuse_adapter(source: str) -> None:
    directory = Path(source)
    if (directory / "adapter_config.json").exists() and not (directory / "config.json").exists():
        raise ConfigError(f"{source} is an adapter alone; make it with --export both, or give a merged model")


def _check_config(source: str, config: Any) -> None:
    """What a GGUF file of these architectures has no key for, and llama.cpp would compute in another way."""
    wrong = []
    if config.model_type not in ARCHITECTURES:
        wrong.append(f"its architecture is {config.model_type}, and r1hf writes {' and '.join(ARCHITECTURES)}")
    kind = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    if kind != "default":
        wrong.append(f"its positions are scaled ({kind})")
    if getattr(config, "use_sliding_window", False):
        wrong.append("it attends in a sliding window")
    if getattr(config, "hidden_act", "silu") != "silu":
        wrong.append(f"its activation is {config.hidden_act}")
    if wrong:
        raise ConfigError(f"{source} cannot be written as a GGUF file: {'; '.join(wrong)}; serve it with r1hf serve")


def _write(
    path: Path, model: PreTrainedModel, tokenizer: Any, split: str, dtype: str, about: Mapping[str, str | None]
) -> None:
    import gguf

    config: Any = model.config
    writer = gguf.GGUFWriter(path, config.model_type)
    try:
        _about(writer, about)
        writer.add_file_type(int(_file_type(dtype)))
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        _sizes(writer, config, model.get_input_embeddings().weight.shape[0])
        _vocabulary(writer, tokenizer, split, model.get_input_embeddings().weight.shape[0])
        state = model.state_dict()
        for name, other in tensor_names(config, model).items():
            heads = permuted_heads(other, config)
            _tensor(writer, other, permuted(state[name], heads) if heads else state[name], dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _file_type(dtype: str) -> Any:
    from gguf import LlamaFileType

    return {name: LlamaFileType[f"{'ALL' if name == 'f32' else 'MOSTLY'}_{kind}"] for name, kind in DTYPES.items()}[
        dtype
    ]


def _about(writer: Any, about: Mapping[str, str | None]) -> None:
    writer.add_type("model")
    if about.get("name"):
        writer.add_name(about["name"])
    if about.get("licence"):
        writer.add_license(about["licence"])
    if base := about.get("base_model"):
        organisation, _, name = base.partition("/")
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, name)
        writer.add_base_model_organization(0, organisation)
        writer.add_base_model_repo_url(0, f"https://huggingface.co/{base}")


def _sizes(writer: Any, config: Any, rows: int) -> None:
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_vocab_size(rows)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _vocabulary(writer: Any, tokenizer: Any, split: str, rows: int) -> None:
    content = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    added = tokenizer.added_tokens_decoder
    names = tokenizer.convert_ids_to_tokens(list(range(min(len(tokenizer), rows))))
    tokens, kinds = [], []
    for number in range(rows):
        known = names[number] if number < len(names) else None
        tokens.append(str(added[number]) if number in added else known or f"[PAD{number}]")
        special = _CONTROL if number in added and added[number].special else _USER
        kinds.append(special if number in added else _NORMAL if known else _UNUSED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in content["merges"]])
    for key in ("bos", "eos", "pad", "unk"):
        if (number := getattr(tokenizer, f"{key}_token_id")) is not None:
            getattr(writer, f"add_{key}_token_id")(number)
    writer.add_add_bos_token(begins_text(tokenizer))
    if tokenizer.chat_template:
        writer.add_chat_template(plain_template(tokenizer.chat_template))


def plain_template(template: str) -> str:
    """A chat template without the marks of what is trained on, which only Transformers knows; it writes the same."""
    return _TRAINED.sub(lambda mark: f"{{%{mark[1]} {'endif' if mark[2] else 'if true'} {mark[3]}%}}", template)


def _tensor(writer: Any, name: str, values: torch.Tensor, dtype: str) -> None:
    import gguf

    kind = gguf.GGMLQuantizationType[DTYPES[dtype]]
    if values.ndim < 2:
        kind = gguf.GGMLQuantizationType.F32  # norms and biases, as llama.cpp keeps them
    elif dtype == "q8_0" and values.shape[-1] % _BLOCK:
        kind = gguf.GGMLQuantizationType.F16
    writer.add_tensor(name, gguf.quants.quantize(values.float().numpy(), kind), raw_dtype=kind)


def _check_written(path: Path, tokenizer: Any) -> None:
    """The file is read again: the same tokens and the same conversation, or it is not kept. Raises ConfigError."""
    with reading(path) as written:
        again = read_tokenizer(written)
        written.config()
    texts = list(TEXTS)
    if tokenizer.chat_template:
        texts.append(rendered(tokenizer))
        values = {"bos_token": tokenizer.bos_token or "", "eos_token": tokenizer.eos_token or ""}
        own, plain = (
            render_safely(template, CONVERSATION[:1], **values)
            for template in (tokenizer.chat_template, again.chat_template)
        )
        if own != plain:
            raise ConfigError(f"the chat template writes another prompt in a GGUF file: {plain[:80]!r}")
    if any(again.encode(text) != tokenizer.encode(text) for text in texts):
        raise ConfigError("the tokenizer gives other tokens when it is read back from the GGUF file; nothing is kept")
