"""Sampling with Transformers, in this process: a batch that stays full, or `generate` where a model needs it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import torch
import transformers
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from r1hf.models.loading import load_model
from r1hf.models.refill import Row, decode, unshareable
from r1hf.models.sampling import TOO_LONG, Ask, Completion, Limits, Sampler, end_tokens, failed


class TransformersSampler(Sampler):
    """`Sampler` over a model in this process. The same asks give the same samples to the bit on the same machine;
    among other asks, but for rounding."""

    streams = False
    shard_batches = 4

    def __init__(
        self,
        source: str | PreTrainedModel,
        batch_size: int = 256,
        tokenizer: PreTrainedTokenizerBase | None = None,
        dtype: str = "float32",
    ):
        self.dtype = dtype
        if isinstance(source, str):
            super().__init__(source, batch_size, tokenizer)
        else:
            super().__init__(source.name_or_path, batch_size, tokenizer)
            self.model = source

    @functools.cached_property
    def model(self) -> PreTrainedModel:
        model = load_model(self.source, self.dtype)
        if torch.cuda.is_available():
            model.to("cuda")
        return model

    @property
    def engine(self) -> str:
        return f"transformers {transformers.__version__} torch {torch.__version__}"

    def close(self) -> None:
        self.__dict__.pop("model", None)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def answers(self, asks: Iterable[Ask], limits: Limits) -> Iterator[tuple[Ask, Completion]]:
        given = list(asks)
        if not given:
            return
        context = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        rows = []
        for ask, ids in zip(given, self.encode([ask.prompt for ask in given]), strict=True):
            if context and len(ids) >= context:
                yield ask, failed(f"{TOO_LONG}: it leaves no room in the context of {context} tokens")
                continue
            most = min(limits.max_new_tokens, context - len(ids) if context else limits.max_new_tokens)
            rows.append(Row(ask, tuple(ids), ask.seed, most))
        rows.sort(key=lambda row: len(row.prompt))  # prompts of like length are read together
        ends = end_tokens(self.tokenizer, self.model.generation_config.eos_token_id)
        plain = not unshareable(self.model)
        made = self._refilled(rows, limits, ends) if plain else self._generated(rows, limits, ends)
        for row, tokens, ended in made:
            text = self.tokenizer.decode(tokens, skip_special_tokens=True)
            yield row.key, Completion(text, len(tokens), truncated=not ended)

    def _refilled(self, rows: list[Row], limits: Limits, ends: set[int]) -> Iterator[tuple[Row, list[int], bool]]:
        return decode(self.model, iter(rows), self.batch_size, ends, limits.temperature, limits.top_p)

    @torch.inference_mode()
    def _generated(self, rows: list[Row], limits: Limits, ends: set[int]) -> Iterator[tuple[Row, list[int], bool]]:
        """Batches of a fixed size: for models whose layers do not all see the whole text, or know no positions."""
        drawn = {"do_sample": True, "temperature": limits.temperature, "top_p": limits.top_p, "top_k": 0}
        own = self.model.generation_config
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            # Fresh settings, the model's too: `generate` fills what is left open from those, and a repetition penalty
            # of the model's own would change what is measured.
            settings = self.model.generation_config = GenerationConfig(
                **(drawn if limits.temperature else {"do_sample": False}),
                max_new_tokens=max(row.most for row in batch),
                eos_token_id=sorted(ends),
                pad_token_id=self.tokenizer.pad_token_id,
            )
            torch.manual_seed(batch[0].seed)
            inputs = self.tokenizer.pad({"input_ids": [list(row.prompt) for row in batch]}, return_tensors="pt")
            inputs = inputs.to(self.model.device)
            output = self.model.generate(**inputs, generation_config=settings)
            self.model.generation_config = own
            for row, tokens in zip(batch, output[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
                length = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
                kept = min(length, row.most)
                yield row, tokens[:kept], length < len(tokens) and length < row.most
