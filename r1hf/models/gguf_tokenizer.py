"""The tokenizer of a GGUF file: byte-level BPE with the splitting that the model was trained with."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from r1hf.core.errors import ConfigError
from r1hf.models.gguf_file import GGUF

_CONTROL, _USER, _UNUSED = 3, 4, 5  # gguf.TokenType
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
# `tokenizer.ggml.pre` -> how llama.cpp splits a text into words (its llama-vocab.cpp), as Transformers writes it.
_SPLITS: dict[str, Any] = {
    "gpt-2": lambda: pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "qwen2": lambda: _by_pattern(_WORDS % ""),
    "llama-bpe": lambda: _by_pattern(_WORDS % "{1,3}"),
}


def _by_pattern(pattern: str) -> Any:
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


_TELLING = ("a12345 b", "It's 1\n\n22", "DON'T x.y,\n z", "  a\t\tb 你好123")


def splitting(tokenizer: Any) -> str | None:
    """The name of the splitting that a tokenizer has, by what it does; None for one that is none of them."""
    own = tokenizer.backend_tokenizer.pre_tokenizer
    for name, make in _SPLITS.items():
        other = make()
        if own is not None and all(own.pre_tokenize_str(text) == other.pre_tokenize_str(text) for text in _TELLING):
            return name
    return None


def read_tokenizer(gguf: GGUF) -> PreTrainedTokenizerBase:
    """The tokenizer with the file's chat template, and its special tokens by their numbers.

    Raises ConfigError for a kind that is not byte-level BPE, and for a splitting that r1hf does not know: another one
    would give the model other tokens than it was trained with.
    """
    kind, split = gguf.get("tokenizer.ggml.model"), gguf.get("tokenizer.ggml.pre")
    if kind != "gpt2" or split not in _SPLITS:
        raise ConfigError(
            f"{gguf.path} has the tokenizer '{kind}' with the splitting '{split}', and r1hf reads 'gpt2' (byte-level "
            f"BPE) with one of {', '.join(_SPLITS)}; take the model's own repository on the Hub"
        )
    tokens, merges, kinds = (gguf.get(f"tokenizer.ggml.{key}") for key in ("tokens", "merges", "token_type"))
    if not tokens or merges is None or not kinds or len(kinds) != len(tokens):
        raise ConfigError(f"{gguf.path} has no whole vocabulary (tokens, merges, token_type); download it again")
    backend = _backend(gguf, split, tokens, merges, kinds)
    named = {key: _named(gguf, key, tokens) for key in ("bos", "eos", "padding", "unknown")}
    if gguf.get("tokenizer.ggml.add_bos_token", False) and named["bos"] is not None:
        _begin_with(backend, named["bos"], tokens.index(named["bos"]))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=named["bos"],
        eos_token=named["eos"],
        pad_token=named["padding"],
        unk_token=named["unknown"],
        model_max_length=gguf.get(f"{gguf.architecture}.context_length"),
        padding_side="left",
        clean_up_tokenization_spaces=False,  # it takes the space from before a comma
        chat_template=gguf.get("tokenizer.chat_template"),
    )


def _backend(gguf: GGUF, split: str, tokens: list[str], merges: list[str], kinds: list[int]) -> Tokenizer:
    vocabulary = {text: number for number, text in enumerate(tokens) if kinds[number] != _UNUSED}
    try:
        pairs = [(left, right) for left, right in (merge.split(" ", 1) for merge in merges)]
        backend = Tokenizer(models.BPE(vocabulary, pairs, ignore_merges=split == "llama-bpe"))
    except Exception as error:  # tokenizers raises Exception itself
        raise ConfigError(f"{gguf.path}: its merges do not fit its tokens ({str(error)[:120]})") from error
    if split == "qwen2":
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = _SPLITS[split]()
    backend.decoder = decoders.ByteLevel()
    for kind in (_CONTROL, _USER):
        added = [
            AddedToken(text, normalized=False, special=kind == _CONTROL)
            for text, found in zip(tokens, kinds, strict=True)
            if found == kind
        ]
        backend.add_special_tokens(added) if kind == _CONTROL else backend.add_tokens(added)
    return backend


def _begin_with(backend: Tokenizer, token: str, number: int) -> None:
    backend.post_processor = processors.TemplateProcessing(
        single=[token, "$A"], pair=[token, "$A", token, "$B:1"], special_tokens=[(token, number)]
    )


def _named(gguf: GGUF, key: str, tokens: list[str]) -> str | None:
    number = gguf.get(f"tokenizer.ggml.{key}_token_id")
    if number is None:
        return None
    if not 0 <= int(number) < len(tokens):
        raise ConfigError(f"{gguf.path}: its {key} token is {number}, and it has {len(tokens):,} tokens")
    return str(tokens[int(number)])
