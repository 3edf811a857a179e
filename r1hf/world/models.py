"""Tokenizer and model shapes of the tiny world: ordinary Transformers classes, only small."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, Qwen2Tokenizer

from r1hf.text.grammar import TAGS

_TAG = re.compile("|".join(map(re.escape, TAGS)))


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Qwen2Tokenizer:
    """A byte-level BPE tokenizer trained on `texts`, at most `vocab_size` tokens, each tag one token.

    It keeps Qwen2's own pre-tokenizer (digits one by one). With another, `AutoTokenizer` would load a Qwen2 model's
    tokenizer back as `Qwen2Tokenizer` and silently give other ids than those trained on (transformers 5). The tags are
    added as ordinary tokens: special ones would vanish when TRL decodes completions for the rewards.
    """
    # Cut at the tags as encoding will be, or words would be merged with a tag's bracket.
    pieces = (piece for text in texts for piece in _TAG.split(text))
    tokenizer = Qwen2Tokenizer().train_new_from_iterator(pieces, vocab_size=vocab_size - len(TAGS))
    tokenizer.add_tokens(list(TAGS), special_tokens=False)
    tokenizer.model_max_length = 1024
    return tokenizer


def build_model(architecture: str, tokenizer: Qwen2Tokenizer, shape: dict[str, Any]) -> PreTrainedModel:
    """A randomly initialised causal model, e.g. of architecture "qwen2" or "llama"."""
    config = AutoConfig.for_model(
        architecture,
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        max_position_embeddings=1024,
        **shape,
    )
    return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
