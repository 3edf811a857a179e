"""Batch sampling over Transformers: n completions for each prompt, with progress, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from r1hf import templates
from r1hf.grammar import opening
from r1hf.models import load_model, load_tokenizer
from r1hf.progress import Progress


@dataclass(frozen=True)
class Completion:
    """One sample. tokens: its length, the end token not counted. truncated: cut at `max_new_tokens`.

    text: the response, with the `<think>` in which a prompt ended.
    """

    text: str
    tokens: int
    truncated: bool


class Sampler:
    """Samples from one model. `batch_size` counts sequences, not prompts."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int = 256):
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size

    @classmethod
    def load(cls, source: str, batch_size: int = 256) -> Sampler:
        """From a model directory or Hub id."""
        model = load_model(source)
        if torch.cuda.is_available():
            model.to("cuda")
        return cls(model, load_tokenizer(source), batch_size)

    def chat(self, questions: Sequence[str], template: str | None = None) -> list[str]:
        """Prompts for `questions`: through the tokenizer's chat template, or a named prompt template."""
        if template is not None:
            return [templates.render(template, question) for question in questions]
        turns = [[{"role": "user", "content": question}] for question in questions]
        return self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)

    def sample(
        self,
        prompts: Sequence[str],
        n: int = 1,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        seed: int = 0,
        name: str = "sampling",
    ) -> list[list[Completion]]:
        """`n` completions of each prompt, in the order of the prompts.

        Prompts of like length share a batch, so that little is spent on padding. Top-k is off: the distribution is
        the model's own.
        """
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        flat = [i for i in order for _ in range(n)]
        results: list[list[Completion]] = [[] for _ in prompts]
        torch.manual_seed(seed)
        with Progress(name, len(flat), "sample") as progress:
            for start in range(0, len(flat), self.batch_size):
                batch = flat[start : start + self.batch_size]
                made = self._batch([prompts[i] for i in batch], temperature, top_p, max_new_tokens)
                for index, completion in zip(batch, made, strict=True):
                    whole = opening(prompts[index]) + completion.text
                    results[index].append(replace(completion, text=whole))
                progress.update(len(batch))
        return results

    @torch.inference_mode()
    def _batch(self, prompts: list[str], temperature: float, top_p: float, limit: int) -> list[Completion]:
        # A chat template writes the start token itself; the tokenizer would add a second one.
        start = self.tokenizer.bos_token
        inputs = self.tokenizer(
            prompts,
            return_tensors="pt",
            padding=True,
            add_special_tokens=start is None or not prompts[0].startswith(start),
        ).to(self.model.device)
        own = self.model.generation_config.eos_token_id
        ends = {self.tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])} - {None}
        # Fresh settings, the model's too: `generate` fills what is left open from those, and a repetition penalty of
        # the model's own would change what is measured.
        settings = self.model.generation_config = GenerationConfig(
            do_sample=True,
            temperature=temperature,
            top_p=top_p,
            top_k=0,
            max_new_tokens=limit,
            eos_token_id=sorted(ends),
            pad_token_id=self.tokenizer.pad_token_id,
        )
        output = self.model.generate(**inputs, generation_config=settings)
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        ends.add(self.tokenizer.pad_token_id)
        kept = [next((i for i, token in enumerate(row) if token in ends), len(row)) for row in rows]
        texts = self.tokenizer.batch_decode(
            [row[:length] for row, length in zip(rows, kept, strict=True)], skip_special_tokens=True
        )
        return [Completion(text, length, truncated=length == limit) for text, length in zip(texts, kept, strict=True)]
