"""Batch sampling over vLLM, in a process of its own beside this one: for models that `generate` takes days for."""

from __future__ import annotations

import functools
import io
import os
import random
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from r1hf.core.environment import HUB_TOKENS, narrowed
from r1hf.core.errors import StageError
from r1hf.core.foreign_code import NO_CODE
from r1hf.core.hardware import has_gpu
from r1hf.core.progress import Progress
from r1hf.models.loading import load_tokenizer
from r1hf.models.sampling import Completion, Limits, Sampler, end_tokens

# What the tests and a laptop need; with a GPU vLLM's own settings hold.
ON_CPU = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**30}
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn",  # this process has threads by now, and perhaps a CUDA context
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_CI_ENV": "1",
}


class VllmSampler(Sampler):
    """`Sampler` over vLLM's offline engine. `batch_size`: sequences that it runs at once.

    Samples do not depend on `batch_size` or on the other prompts, but for rounding. Raises StageError with vLLM's own
    reason where it cannot hold the model.
    """

    def __init__(self, source: str, batch_size: int = 256, **options: Any):
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm import LLM

        name, _, revision = source.partition("@")
        self.tokenizer, self.batch_size = load_tokenizer(source), batch_size
        # generation_config "vllm": a repetition penalty of the model's own would change what is measured.
        given = {"max_num_seqs": batch_size, "generation_config": "vllm", "disable_log_stats": True, **NO_CODE}
        given |= {"dtype": "bfloat16"} if has_gpu() else ON_CPU
        try:
            with narrowed(() if os.path.isdir(name) else HUB_TOKENS):  # its engine is a process that inherits
                self._engine = LLM(model=name, tokenizer=name, revision=revision or None, **{**given, **options})
        except Exception as error:
            why = " ".join(str(error).split())
            raise StageError(f"vLLM does not start with {source}: {why}; its log above says more") from error
        own = self._engine.model_config.try_get_generation_config().get("eos_token_id")
        self._ends = end_tokens(self.tokenizer, own)

    def _sample(
        self, prompts: Sequence[str], n: int, limits: Limits, seed: int, progress: Progress
    ) -> list[list[Completion]]:
        from vllm import SamplingParams, TokensPrompt

        seeds = random.Random(seed)
        settings = [
            SamplingParams(
                n=n,
                temperature=limits.temperature,
                top_p=limits.top_p,
                max_tokens=limits.max_new_tokens,
                stop_token_ids=sorted(self._ends),
                seed=seeds.getrandbits(31),
            )
            for _ in prompts
        ]
        bar: Any = functools.partial(_Silent, progress)
        given = [TokensPrompt(prompt_token_ids=row) for row in self.encode(list(prompts))]
        made = self._engine.generate(given, settings, use_tqdm=bar)
        return [
            [self._completion(output) for output in sorted(answer.outputs, key=lambda output: output.index)]
            for answer in made
        ]

    def _completion(self, output: Any) -> Completion:
        ids = list(output.token_ids)
        if ids and ids[-1] in self._ends:
            ids.pop()
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return Completion(text, len(ids), truncated=output.finish_reason == "length")

    def close(self) -> None:
        self._engine.llm_engine.engine_core.shutdown()


class _Silent(tqdm):
    """vLLM's bar, shown as the stage's own progress."""

    def __init__(self, progress: Progress, *arguments: Any, **named: Any):
        self._progress = progress
        super().__init__(*arguments, **{**named, "file": io.StringIO()})

    def update(self, n: float | None = 1) -> bool | None:
        self._progress.update(int(n or 0))
        return super().update(n)
