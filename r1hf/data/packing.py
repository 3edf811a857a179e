"""Token blocks for pretraining."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from r1hf.core.errors import DataError


def pack(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, block_size: int) -> Dataset:
    """Documents joined by the end-of-text token and cut into blocks of `block_size` tokens; the rest is dropped.

    Raises DataError where there is not one whole block.
    """
    stream: list[int] = []
    documents = iter(texts)
    while group := list(islice(documents, 4096)):
        for ids in tokenizer(group)["input_ids"]:
            stream += ids
            stream.append(tokenizer.eos_token_id)
    blocks = [stream[i : i + block_size] for i in range(0, len(stream) - block_size + 1, block_size)]
    if not blocks:
        raise DataError(f"{len(stream)} tokens do not fill one block of {block_size}; give more text")
    return Dataset.from_dict({"input_ids": blocks, "labels": blocks})
