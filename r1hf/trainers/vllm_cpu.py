"""Rollouts by vLLM on a CPU, in the trainer's own process, in the place of TRL's `VLLMGeneration`.

TRL's class gives vLLM new weights through `load_weights`, which fails on weights that are packed for a CPU. vLLM's own
`reload_weights` takes them, tensor by tensor from the policy, without a file in between.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy
import torch
from accelerate.utils import is_peft_model
from safetensors.torch import save_file
from trl.generation.vllm_generation import VLLMGeneration
from trl.trainer import grpo_trainer

from r1hf.core.errors import DataError, StageError
from r1hf.core.foreign_code import NO_CODE
from r1hf.models.sampling import TOO_LONG, end_tokens

KV_CACHE = 2**30  # bytes; VLLM_CPU_KVCACHE_SPACE counts in GiB and wins
BLOCK = 32  # tokens; vLLM shares whole blocks of a prompt, and its 128 on a CPU are longer than many prompts
# vLLM looks for its kernels in every module; an object in this one (numba's) takes any name and breaks the search.
_ANSWERS_TO_ALL = "llvmlite.binding.ffi"
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the trainer's threads are vLLM's
}


class CpuRollouts(VLLMGeneration):
    """vLLM's engine in this process: the trainer's threads, random numbers and stop tokens are its own.

    `options` are settings of vLLM's engine that win over those here. Raises StageError where vLLM cannot hold the
    policy, and DataError for a prompt that leaves no room in its context.
    """

    options: dict[str, Any] = {}
    generation_kwargs: dict[str, Any]
    llm: Any = None

    def _init_vllm(self) -> None:
        logging.getLogger("vllm").setLevel(os.environ.get("VLLM_LOGGING_LEVEL", "ERROR"))
        ends = end_tokens(self.processing_class, self.model.generation_config.eos_token_id)
        # vLLM's own end token is left out: it reads it from files, and the trainer's is the one that counts.
        own = {"stop_token_ids": sorted(ends), "ignore_eos": True, "detokenize": False}
        self.generation_kwargs = own | self.generation_kwargs
        self._open()

    def _open(self) -> None:
        from vllm import LLM

        given = {
            **{
                "dtype": _dtype(self.model, self.accelerator),
                "enforce_eager": True,
                "kv_cache_memory_bytes": KV_CACHE,
            },
            **{"max_model_len": self.max_model_length or -1, "max_num_seqs": self.max_num_seqs, "block_size": BLOCK},
            **{"model_impl": self.model_impl, "generation_config": "vllm", "disable_log_stats": True, **NO_CODE},
            "use_tqdm_on_load": False,
            "logprobs_mode": "processed_logprobs",  # after temperature, as the trainer's
        }
        settings = given | self.options
        with tempfile.TemporaryDirectory() as directory, _kept():
            self._write(directory, settings["dtype"])
            os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
            try:
                self.llm = LLM(model=directory, **settings)
            except Exception as error:
                why = " ".join(str(error).split())
                raise StageError(f"rollout_engine: vLLM does not start with this policy: {why}") from error
        self._eager = settings["enforce_eager"]

    def _write(self, directory: str, dtype: str) -> None:
        """The policy as it is in memory, for vLLM to start from: its source may be other weights by now."""
        self.model.config.save_pretrained(directory)
        self.processing_class.save_pretrained(directory)
        width = getattr(torch, dtype, self.model.dtype)
        weights = {name: weight.to(width).contiguous() for name, weight in self._iter_named_params()}
        save_file(weights, os.path.join(directory, "model.safetensors"), {"format": "pt"})

    def close(self) -> None:
        """Gives vLLM's memory back; the next generation opens it anew."""
        if self.llm is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        self.llm.llm_engine.engine_core.shutdown()
        self.llm = None
        cleanup_dist_env_and_memory()

    @torch.no_grad()
    def sync_weights(self) -> None:
        if self.llm is None:
            self._open()
        self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": self._iter_named_params()})
        self.llm.apply_model(_pack_head)
        self.llm.reset_prefix_cache()

    def _iter_named_params(self) -> Iterator[tuple[str, torch.Tensor]]:
        """The policy's weights under vLLM's names; an adapter's are added to a copy.

        TRL merges it into the base and takes it out again, which leaves rounding in a base of few bits at every step.
        """
        if not is_peft_model(self.model):
            yield from super()._iter_named_params()
            return
        for name, parameter in self.model.named_parameters():
            if self.model.prefix in name or "original_module" in name:
                continue
            plain = name.removeprefix("base_model.model.").replace("modules_to_save.default.", "")
            if "modules_to_save." in plain:  # of the reference
                continue
            weight = parameter.data
            if ".base_layer." in plain:
                layer = self.model.get_submodule(name.rpartition(".base_layer.")[0])
                if plain.endswith(".weight"):
                    weight = (weight + layer.get_delta_weight("default")).to(weight.dtype)
                plain = plain.replace(".base_layer", "")
            yield plain, weight

    def generate(self, prompts: Sequence[Sequence[int]], *arguments: Any, **named: Any) -> tuple:
        if self.llm is None:
            self.sync_weights()
        self.llm.reset_prefix_cache()  # what was asked before would change rounding, and a resumed run lacks it
        room = self.llm.llm_engine.model_config.max_model_len
        longest = max(map(len, prompts), default=0)
        if longest >= room:
            raise DataError(
                f"{TOO_LONG}: one of {longest} tokens leaves no room in vLLM's context of {room}; set "
                "max_prompt_length, or raise vllm_max_model_length or VLLM_CPU_KVCACHE_SPACE"
            )
        # Small kernels that vLLM compiles would need a C++ compiler, and minutes, for nothing here.
        with torch.compiler.set_stance("force_eager" if self._eager else "default"):
            return super().generate(prompts, *arguments, **named)


def _pack_head(model: torch.nn.Module) -> None:
    """A head that is tied to the embeddings has no weights of its own to load, and vLLM would keep its packed copy."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    for module in model.modules():
        if isinstance(module, ParallelLMHead):
            module.quant_method.process_weights_after_loading(module)


def _dtype(model: Any, accelerator: Any) -> str:
    """bfloat16, unless the policy computes in float32 throughout."""
    half = model.dtype == torch.bfloat16 or accelerator.mixed_precision == "bf16"
    return "bfloat16" if half else "float32"


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """What vLLM's start changes in a process and does not put back: random states, variables for children, threads."""
    states = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    environment, set_threads, threads = dict(os.environ), torch.set_num_threads, torch.get_num_threads()
    hidden = sys.modules.pop(_ANSWERS_TO_ALL, None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names in vLLM that torch has deprecated
            yield
    finally:
        random.setstate(states[0])
        numpy.random.set_state(states[1])
        torch.set_rng_state(states[2])
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads = set_threads
        torch.set_num_threads(threads)
        if hidden is not None:
            sys.modules[_ANSWERS_TO_ALL] = hidden


@contextlib.contextmanager
def cpu_rollouts(options: dict[str, Any]) -> Iterator[None]:
    """Within it, TRL's trainer makes its rollouts with `CpuRollouts`."""
    original = grpo_trainer.VLLMGeneration
    grpo_trainer.VLLMGeneration = type("CpuRollouts", (CpuRollouts,), {"options": options})
    try:
        yield
    finally:
        grpo_trainer.VLLMGeneration = original
