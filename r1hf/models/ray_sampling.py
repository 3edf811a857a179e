"""Sampling with Ray Data over vLLM (`ray.data.llm`): as many workers as there are GPUs, on as many machines."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from r1hf.core.environment import HUB_TOKENS, narrowed
from r1hf.core.errors import StageError
from r1hf.core.hardware import has_gpu
from r1hf.models.loading import load_generation_config
from r1hf.models.orphans import Watch
from r1hf.models.sampling import TOO_LONG, Ask, Completion, Limits, Sampler, end_tokens, failed
from r1hf.models.vllm_sampling import ENVIRONMENT, engine_settings

WINDOW = 200_000  # samples of one data set: its workers load the model once for them
_ROWS = 16  # that one call of a worker takes; vLLM has several calls in hand
_ERROR = "__inference_error__"
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


class RaySampler(Sampler):
    """`Sampler` over Ray Data. options: vLLM's settings. workers: engines; bundles: what each reserves, Ray's own way.

    address: of a running cluster ("auto" finds one on this machine); None starts Ray here. Each worker loads the model
    from `source`, so it must lie where all machines see it, or on the Hub. Raises StageError with Ray's reason where
    the workers do not start.
    """

    def __init__(
        self,
        source: str,
        batch_size: int = 256,
        options: dict[str, Any] | None = None,
        *,
        address: str | None = None,
        workers: int = 1,
        bundles: list[dict[str, float]] | None = None,
    ):
        super().__init__(source, batch_size)
        self.options, self.address, self.workers, self.bundles = options or {}, address, workers, bundles
        self._started = False

    @property
    def engine(self) -> str:
        import ray
        import vllm

        return f"ray {ray.__version__} vllm {vllm.__version__}"

    @functools.cached_property
    def _processor(self) -> Any:
        for name, value in {**ENVIRONMENT, **_QUIET}.items():
            os.environ.setdefault(name, value)
        import ray
        from ray.data.llm import build_processor, vLLMEngineProcessorConfig

        name, _, revision = self.source.partition("@")
        with narrowed(() if os.path.isdir(name) else HUB_TOKENS):  # its processes inherit
            if not ray.is_initialized():
                self._watch = Watch()
                self._connect()
            ray.data.DataContext.get_current().enable_progress_bars = False
            settings = engine_settings(self.batch_size, self.options)
            settings.pop("trust_remote_code", None)  # off by default; Ray takes it for itself
            settings.pop("disable_log_stats")
            # Without bundles Ray waits for a GPU.
            bundles = self.bundles or (None if has_gpu() or self.address else [{"CPU": 1}])
            config = vLLMEngineProcessorConfig(
                model_source=os.path.abspath(name) if os.path.isdir(name) else name,
                engine_kwargs={**settings, **({"revision": revision} if revision else {})},
                concurrency=self.workers,
                batch_size=_ROWS,
                placement_group_config={"bundles": bundles} if bundles else None,
                log_engine_metrics=False,  # asks for a package that ray[data] lacks
                should_continue_on_error=True,
                chat_template_stage=False,
                tokenize_stage=False,
                detokenize_stage=False,
            )
            return build_processor(config)  # a function of ours would import all this in every worker

    def _connect(self) -> None:
        """Starts Ray, or joins the cluster at `address`. Raises StageError where that does not work."""
        import ray

        own = {} if self.address else {"include_dashboard": False}  # a running cluster has its own settings
        try:
            ray.init(address=self.address, logging_level="ERROR", log_to_driver=False, **own)
        except Exception as error:  # a plain Exception where a node does not come up in time
            self._watch.close()
            where = f"Ray at {self.address} is not reached" if self.address else "Ray does not start"
            raise StageError(f"{where}: {' '.join(str(error).split())[:300]}") from error
        self._started = True

    @functools.cached_property
    def _ends(self) -> set[int]:
        own = load_generation_config(self.source)
        return end_tokens(self.tokenizer, own.eos_token_id if own else None)

    def answers(self, asks: Iterable[Ask], limits: Limits) -> Iterator[tuple[Ask, Completion]]:
        todo = iter(asks)
        while window := list(islice(todo, WINDOW)):
            import ray

            processor = self._processor
            data = ray.data.from_items([self._item(number, ask, limits) for number, ask in enumerate(window)])
            try:
                for row in processor(data).iter_rows():
                    yield window[int(row["number"])], self._completion(row)
            except ray.exceptions.RayError as error:
                why = " ".join(str(error).split())[-300:]
                raise StageError(f"Ray's workers do not run {self.source}: …{why}; its log above says more") from error

    def _item(self, number: int, ask: Ask, limits: Limits) -> dict[str, Any]:
        (ids,) = self.encode([ask.prompt])
        settings = {
            "temperature": limits.temperature,
            "top_p": limits.top_p,
            "max_tokens": limits.max_new_tokens,
            "stop_token_ids": sorted(self._ends),
            "seed": ask.seed,
        }
        return {"number": number, "prompt": ask.prompt, "tokenized_prompt": ids, "sampling_params": settings}

    def _completion(self, row: dict[str, Any]) -> Completion:
        if said := " ".join(str(row.get(_ERROR) or "").split()):
            long = "longer than" in said or "maximum" in said or "context" in said
            return failed(f"{TOO_LONG if long else 'vLLM failed'}: {said[-200:]}")
        ids = [int(token) for token in row["generated_tokens"]]
        ended = bool(ids) and ids[-1] in self._ends
        text = self.tokenizer.decode(ids[: len(ids) - ended], skip_special_tokens=True)
        return Completion(text, len(ids) - ended, truncated=not ended)

    def close(self) -> None:
        if self._started:
            import ray

            ray.shutdown()
            self._watch.close()
            self._started = False
        self.__dict__.pop("_processor", None)
