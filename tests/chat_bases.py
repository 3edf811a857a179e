"""Tokenizers like those of Qwen and Llama 3 bases, trained here: pre-tokenizers, special and start tokens as theirs.

Neither has `<think>` as a token, so a tag's bracket can merge with what follows it, as in the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AddedToken,
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
)

from r1hf.models.loading import save_model
from r1hf.world import corpus

ARCHITECTURES = {"qwen": "qwen2", "llama": "llama"}
SHAPE = {
    **{"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"num_key_value_heads": 1, "max_position_embeddings": 1024, "tie_word_embeddings": True},
}
# Llama 3's own pattern.
_PIECES = "|".join(
    (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    )
)
_LLAMA = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


def _texts() -> Iterator[str]:
    """What makes a tag's bracket and line breaks merge with their neighbours."""
    yield from corpus.vocabulary_texts(0, 300)
    for tail in ("\n", "\n\n", "(", ".", "=", " ", "\n\n\n"):
        yield from (f"<think>{tail}two</think>{tail}<answer>{tail}x",) * 60
        yield from (f"assistant\n{tail}user\n\n{tail}a",) * 60


def qwen_base() -> PreTrainedTokenizerBase:
    """As Qwen2.5's: NFC, digits one by one, ends documents with <|endoftext|>, knows the tokens of ChatML."""
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(_texts(), vocab_size=700)
    tokenizer.add_tokens(
        [AddedToken(name, special=True) for name in ("<|im_start|>", "<|im_end|>")], special_tokens=True
    )
    tokenizer.model_max_length = 1024
    tokenizer.chat_template = None
    return tokenizer


def llama_base() -> PreTrainedTokenizerBase:
    """As Llama 3's: three digits a token, <|begin_of_text|> put in front of every text, no token to pad with."""
    core = Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(Regex(_PIECES), behavior="isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        _texts(), trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    )
    core.add_special_tokens([AddedToken(name, special=True) for name in _LLAMA])
    start = ("<|begin_of_text|>", core.token_to_id("<|begin_of_text|>"))
    core.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(f"{start[0]} $A", special_tokens=[start]),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<|begin_of_text|>",
        eos_token="<|end_of_text|>",
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


BASES = {"qwen": qwen_base, "llama": llama_base}


def save(tokenizer: PreTrainedTokenizerBase, family: str, directory: Path) -> Path:
    """The tokenizer beside a model of its architecture, with random weights: the same each time."""
    import torch

    torch.manual_seed(7)
    config = AutoConfig.for_model(
        ARCHITECTURES[family],
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **SHAPE,
    )
    save_model(AutoModelForCausalLM.from_config(config), tokenizer, directory)
    return directory
