"""Batch sampling over vLLM, in a process of its own beside this one: for models that `generate` takes days for."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from r1hf.core.environment import HUB_TOKENS, narrowed
from r1hf.core.errors import StageError
from r1hf.core.foreign_code import NO_CODE
from r1hf.core.hardware import has_gpu
from r1hf.models.orphans import Watch
from r1hf.models.sampling import TOO_LONG, Ask, Completion, Limits, Sampler, end_tokens, failed

# What the tests and a laptop need; with a GPU vLLM's own settings hold.
ON_CPU = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**30}
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_WORKER_MULTIPROCESSING_METHOD": "spawn",  # this process has threads by now, and perhaps a CUDA context
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_CI_ENV": "1",
}
AHEAD = 2  # batches that vLLM is given: it never waits for more


def engine_settings(batch_size: int, options: dict[str, Any]) -> dict[str, Any]:
    """Settings of vLLM's engine, those of a person last."""
    # generation_config "vllm": a repetition penalty of the model's own would change what is measured.
    given = {"max_num_seqs": batch_size, "generation_config": "vllm", "disable_log_stats": True, **NO_CODE}
    return given | ({"dtype": "bfloat16"} if has_gpu() else ON_CPU) | options


class VllmSampler(Sampler):
    """`Sampler` over vLLM's offline engine. `batch_size`: sequences that it runs at once.

    Samples do not depend on `batch_size` or on the other prompts, but for rounding. `answers` raises StageError with
    vLLM's own reason where it cannot hold the model.
    """

    def __init__(self, source: str, batch_size: int = 256, **options: Any):
        super().__init__(source, batch_size)
        self.options = options

    @property
    def engine(self) -> str:
        import vllm

        return f"vllm {vllm.__version__}"

    @functools.cached_property
    def _llm(self) -> Any:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from vllm import LLM

        name, _, revision = self.source.partition("@")
        given = engine_settings(self.batch_size, self.options)
        self._watch = Watch()
        try:
            with narrowed(() if os.path.isdir(name) else HUB_TOKENS):  # its engine is a process that inherits
                return LLM(model=name, tokenizer=name, revision=revision or None, **given)
        except Exception as error:
            self._watch.close()
            why = " ".join(str(error).split())
            raise StageError(f"vLLM does not start with {self.source}: {why}; its log above says more") from error

    @functools.cached_property
    def _ends(self) -> set[int]:
        return end_tokens(self.tokenizer, self._llm.model_config.try_get_generation_config().get("eos_token_id"))

    def answers(self, asks: Iterable[Ask], limits: Limits) -> Iterator[tuple[Ask, Completion]]:
        todo, waiting, given = iter(asks), dict[str, Ask](), 0
        while True:
            new = list(islice(todo, AHEAD * self.batch_size - len(waiting)))
            for ask in new:
                given += 1
                if (wrong := self._add(f"{given}", ask, limits)) is None:
                    waiting[str(given)] = ask
                else:
                    yield ask, wrong
            if not waiting and not new:
                return
            for output in self._llm.llm_engine.step() if waiting else ():
                if output.finished:
                    yield waiting.pop(output.request_id), self._completion(output.outputs[0])

    def _add(self, name: str, ask: Ask, limits: Limits) -> Completion | None:
        """Gives vLLM a prompt; a failed sample where it is too long."""
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        (ids,) = self.encode([ask.prompt])
        context = self._llm.model_config.max_model_len
        if len(ids) >= context:
            return failed(f"{TOO_LONG}: it leaves no room in the context of {context} tokens")
        settings = SamplingParams(
            temperature=limits.temperature,
            top_p=limits.top_p,
            max_tokens=min(limits.max_new_tokens, context - len(ids)),
            stop_token_ids=sorted(self._ends),
            seed=ask.seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        self._llm.llm_engine.add_request(name, TokensPrompt(prompt_token_ids=ids), settings)
        return None

    def _completion(self, output: Any) -> Completion:
        ids = list(output.token_ids)
        if ids and ids[-1] in self._ends:
            ids.pop()
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return Completion(text, len(ids), truncated=output.finish_reason == "length")

    def close(self) -> None:
        if (llm := self.__dict__.pop("_llm", None)) is not None:
            llm.llm_engine.engine_core.shutdown()
            self._watch.close()
