"""From a stage's parsed configuration to its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.gpus import Cluster
from r1hf.models.shapes import Shape, shape_of
from r1hf.models.tensor_parallel import check_values
from r1hf.preflight.estimate import peak_memory, step_time
from r1hf.preflight.estimate.workload import OPTIMIZER_BYTES, Job, read_lora, read_sharding
from r1hf.preflight.stages import Loaded
from r1hf.trainers.batch_sizes import BatchSizes

PROMPT, MEAN = 512, 0.5  # assumed where nothing is known: tokens of a prompt, and of a mean completion to the longest
VLLM_SHARE = 0.92  # of a GPU, that vLLM takes when it has it for itself: its default


@dataclass(frozen=True)
class Given:
    """What a person knows better: tokens of the longest prompt, share of a mean completion, rows, model's shape."""

    prompt: int | None = None
    mean: float | None = None
    rows: int | None = None
    shape: str | None = None


@dataclass(frozen=True)
class StagePlan:
    """A stage's prediction; times and hours are None where they cannot be said, with the reason in `notes`."""

    name: str
    recipe: str
    job: Job
    cluster: Cluster
    memory: peak_memory.Memory
    times: step_time.Times | None
    hours: float | None
    notes: tuple[str, ...] = field(default=())

    @property
    def gpu_hours(self) -> float | None:
        """Of all devices that are taken, in use or not: as many as there are, or more where the launch starts more."""
        return None if self.hours is None else self.hours * max(self.cluster.count, self.job.processes)


def kind_of(values: Mapping[str, Any]) -> str | None:
    """What a configuration trains, by the keys that only its trainer has; None: no model is trained or sampled."""
    if "num_generations" in values:
        return "grpo"
    if "completion_only_loss" in values:
        return "sft"
    if "center_rewards_coefficient" in values:
        return "reward"
    return "sample" if "max_new_tokens" in values else None


def no_plan(values: Mapping[str, Any]) -> str:
    """Why a configuration without a kind has no plan."""
    if "teacher" in values:
        return "on-policy distillation is not planned: add the teacher's weights to an RL stage of the student's size"
    return "trains and samples no model of a known kind"


def make_job(
    values: Mapping[str, Any],
    launch: Path | None,
    processes: int,
    rows: int | None,
    given: Given,
    shape: Shape | None = None,
) -> Job:
    """A job from the resolved values of a configuration. Raises ConfigError for a model whose shape is not known."""
    kind = kind_of(values)
    if kind is None:
        raise ConfigError(no_plan(values))
    sharding = read_sharding(launch)
    shape = shape or _shape(values, given)
    if wrong := check_values(values, shape):
        raise ConfigError(wrong)
    assumed: list[str] = []
    if launch is None and processes > 1:
        assumed.append(f"{processes} processes with whole copies of the model (name a launch file with --launch)")
    common: dict[str, Any] = {"shape": shape, "processes": processes, "sharding": sharding}
    if kind == "sample":
        return _sampling(values, common, rows, given, assumed)
    common |= _training(values)
    sizes = BatchSizes.of(values, processes)
    common |= {"micro_batch": sizes.rows, "accumulation": sizes.accumulation}
    if kind != "grpo":
        most = int(values.get("max_length") or shape.context or 2048)
        mean = given.mean or MEAN
        assumed.append(f"rows of at most {most} tokens, {mean:.0%} of that in the mean")
        steps = sizes.steps(values, rows)
        if kind == "reward":
            common["micro_batch"] *= 2  # a row is a pair
        lengths = {"completion": most, "mean_completion": most * mean}
        return Job(kind=kind, steps=steps, assumed=tuple(assumed), **lengths, **common)  # type: ignore[arg-type]
    return _grpo(values, sizes, common, rows, given, assumed)


def _shape(values: Mapping[str, Any], given: Given) -> Shape:
    source = given.shape
    if source is None:
        models = values.get("model") or values.get("models")
        source = models[0] if isinstance(models, list) and models else str(models)
    return shape_of(source)


def _training(values: Mapping[str, Any]) -> dict[str, Any]:
    init = values.get("model_init_kwargs")
    init = init if isinstance(init, Mapping) else {}
    dtype = str(init.get("dtype") or init.get("torch_dtype") or "float32")
    attention = str(init.get("attn_implementation") or "")
    return {
        "weight_bytes": 2 if dtype.endswith(("bfloat16", "float16")) else 4,
        "bf16": bool(values.get("bf16")) or bool(values.get("fp16")),
        "checkpointing": bool(values.get("gradient_checkpointing")),
        "optimizer_bytes": OPTIMIZER_BYTES.get(str(values.get("optim")), 8.0),
        "lora": read_lora(values),
        "flash_attention": "flash" in attention or bool(values.get("padding_free")),
    }


def _grpo(
    values: Mapping[str, Any],
    sizes: BatchSizes,
    common: dict[str, Any],
    rows: int | None,
    given: Given,
    assumed: list[str],
) -> Job:
    prompt = given.prompt or values.get("max_prompt_length")
    if prompt is None:
        prompt = PROMPT
        assumed.append(f"prompts of at most {prompt} tokens (--prompt-tokens, or max_prompt_length in the file)")
    mean = given.mean or MEAN
    longest = int(values["max_completion_length"])
    assumed.append(f"a mean completion of {mean:.0%} of max_completion_length {longest} (--mean)")
    return Job(
        kind="grpo",
        steps=sizes.steps(values, rows),
        prompt=int(prompt),
        completion=longest,
        mean_completion=longest * mean,
        generation_batch=sizes.rows * sizes.per_generation,
        steps_per_rollout=sizes.steps_per_rollout,
        iterations=sizes.iterations,
        reference=float(values.get("beta") or 0.0) != 0.0,
        old_logps=sizes.accumulation % (sizes.per_generation * sizes.iterations) != 0 or bool(values.get("use_vllm")),
        vllm=str(values.get("vllm_mode")) if values.get("use_vllm") else None,
        vllm_share=float(values.get("vllm_gpu_memory_utilization") or 0.3),
        vllm_sleep=bool(values.get("vllm_enable_sleep_mode")),
        vllm_parallel=int(values.get("vllm_tensor_parallel_size") or 1),
        assumed=tuple(assumed),
        **common,
    )


def _sampling(
    values: Mapping[str, Any], common: dict[str, Any], rows: int | None, given: Given, assumed: list[str]
) -> Job:
    count = int(values.get("samples") or values.get("k") or 1)
    if values.get("problems"):
        rows = min(rows or int(values["problems"]), int(values["problems"]))
    rows = given.rows or rows
    if rows is None:
        assumed.append("1,000 prompts (--data-rows)")
        rows = 1000
    if "zero" in values:
        count *= 3  # cold start: two prompts to the base, one to R1-Zero
    models = values.get("models")
    count *= (len(models) if isinstance(models, list) else 1) + (values.get("base_model") is not None)
    longest, mean = int(values["max_new_tokens"]), given.mean or MEAN
    vllm, options = values.get("sampler") == "vllm", values.get("vllm") or {}
    parallel = int(options.get("tensor_parallel_size", 1)) if vllm else 1
    gpus = f"{parallel} GPU" + ("s" if parallel > 1 else "")
    assumed.append(f"vLLM in bfloat16 on {gpus}" if vllm else "transformers' generate in float32, one process")
    return Job(
        kind="sample",
        samples=rows * count,
        prompt=given.prompt or PROMPT,
        completion=longest,
        mean_completion=longest * mean,
        generation_batch=max(1, int(values.get("batch_size") or 1) // parallel),
        bf16=vllm,
        vllm="colocate" if vllm else None,
        vllm_share=float(options.get("gpu_memory_utilization", VLLM_SHARE)),
        vllm_parallel=parallel,
        assumed=tuple(assumed),
        **(common | {"processes": parallel, "sharding": "none"}),
    )


def plan_stage(
    stage: Loaded,
    values: Mapping[str, Any],
    cluster: Cluster,
    rows: int | None = None,
    given: Given | None = None,
    shape: Shape | None = None,
) -> StagePlan:
    """Memory, time and hours of one stage on `cluster`. Raises ConfigError where nothing can be said."""
    name, recipe, launch = stage.name, stage.recipe.stem, stage.launch
    job = make_job(values, launch, stage.processes, rows, given or Given(), shape)
    notes = list(job.assumed)
    if launch is not None and job.processes > cluster.count and cluster.device is not None:
        notes.append(f"{launch} starts {job.processes} processes on {cluster.count} GPUs")
    if job.kind == "sample" and job.vllm_parallel > cluster.count and cluster.device is not None:
        notes.append(f"tensor_parallel_size asks for {job.vllm_parallel} GPUs, and there are {cluster.count}")
    found = peak_memory.predict(job, cluster.device)
    if cluster.device is None:
        return StagePlan(name, recipe, job, cluster, found, None, None, (*notes, "the CPU's time is not predicted"))
    if not cluster.device.flops:
        notes.append(f"{cluster.device.name} is not among the devices whose speed is known; --gpus names one that is")
        return StagePlan(name, recipe, job, cluster, found, None, None, tuple(notes))
    times = step_time.predict(job, cluster.device)
    hours = None
    if job.kind == "sample":
        hours = times.step / 3600
    elif job.steps is None:
        notes.append("the number of rows is not known here, so neither is the number of steps: give --data-rows")
    else:
        hours = times.step * job.steps / 3600
    return StagePlan(name, recipe, job, cluster, found, times, hours, tuple(notes))


def advice(plan: StagePlan) -> list[str]:
    """What to change where a stage does not fit, the phase that is worst first."""
    if plan.memory.fits is not False:
        return []
    job, phase = plan.job, plan.memory.worst
    gib = 2**30
    lines = [f"{phase.name} needs {plan.memory.needed / gib:.1f} GiB of {(plan.memory.available or 0) / gib:.1f}"]
    if phase.name == "generation" and job.vllm is None:
        lines.append(
            f"generate fewer at once: steps_per_generation (now {job.generation_batch} completions a process), "
            "or use_vllm"
        )
    if not job.checkpointing and job.kind != "sample":
        lines.append("gradient_checkpointing: true")
    if job.micro_batch > 1:
        lines.append(
            f"per_device_train_batch_size {max(1, job.micro_batch // 2)} with gradient_accumulation_steps "
            f"{job.accumulation * 2}: the same effective batch"
        )
    if job.sharding == "none" and job.processes > 1:
        lines.append("shard over the processes: an accelerate file for ZeRO-3 or FSDP2")
    if job.lora is None and job.kind != "sample":
        lines.append("a LoRA adapter (use_peft), which has no gradients and Adam states of the whole model")
    if job.vllm == "colocate" and not job.vllm_sleep:
        lines.append("vllm_enable_sleep_mode: true, so that vLLM gives its share back while training")
    if job.optimizer_bytes >= 8 and job.lora is None and job.kind != "sample":
        lines.append("optim: adamw_8bit (2 bytes a parameter for the optimizer, not 8)")
    return lines


def total_hours(plans: Sequence[StagePlan]) -> float | None:
    """GPU-hours of all stages; None if one of them is not known."""
    known = [plan.gpu_hours for plan in plans if plan.gpu_hours is not None]
    return sum(known) if known and len(known) == len(plans) else None
