"""Token blocks for pretraining."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from r1hf.core.errors import DataError


def pack(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, block_size: int) -> Dataset:
    """Documents, each ended by the end-of-text token, joined to blocks of `block_size` tokens.

    Each block begins with a document, as a prompt does: a model that only ever saw a document after the end of another
    answers worse where there is none before. What of a block's last document goes beyond its end is dropped.

    Raises DataError where there is not one whole block.
    """
    blocks: list[list[int]] = []
    block: list[int] = []
    documents = iter(texts)
    while group := list(islice(documents, 4096)):
        for ids in tokenizer(group)["input_ids"]:
            block += [*ids, tokenizer.eos_token_id]
            if len(block) >= block_size:
                blocks.append(block[:block_size])
                block = []
    if not blocks:
        raise DataError(f"{len(block)} tokens do not fill one block of {block_size}; give more text")
    return Dataset.from_dict({"input_ids": blocks, "labels": blocks})
