"""Time of each phase of a step: arithmetic for training, memory bandwidth and launch overhead for decoding.

Every constant here is an assumption, and is printed with the plan. Nothing was measured on a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from r1hf.core.gpus import Device
from r1hf.preflight.estimate.workload import Job


@dataclass(frozen=True)
class Assumed:
    """mfu: share of the peak arithmetic that a pass over long rows reaches. bandwidth: share of the peak that reading
    weights and cache reaches. hf_layer, vllm_layer: seconds that one layer takes a decoding step at least.
    """

    mfu: float = 0.35
    decode_mfu: float = 0.30
    bandwidth: float = 0.60
    hf_layer: float = 1.0e-3
    vllm_layer: float = 4.0e-5

    def lines(self) -> list[str]:
        texts = {
            "mfu": "training and prefill reach {:.0%} of the peak bf16 arithmetic (a third of it in float32)",
            "decode_mfu": "decoding reaches at most {:.0%} of it",
            "bandwidth": "decoding reads weights and cache at {:.0%} of the peak bandwidth",
            "hf_layer": "`generate` takes at least {:.1e} s a layer and token (Python and kernel launches)",
            "vllm_layer": "vLLM takes at least {:.1e} s a layer and token",
        }
        return [texts[item.name].format(getattr(self, item.name)) for item in fields(self)]


@dataclass(frozen=True)
class Times:
    """Seconds of the parts of one optimizer step (rollouts spread over the steps that they feed)."""

    generation: float
    scoring: float
    training: float

    @property
    def step(self) -> float:
        return self.generation + self.scoring + self.training


def forward_flops(job: Job, tokens: float, row: float) -> float:
    """Of `tokens` tokens in rows of `row`: 2 a parameter, and attention over half a row."""
    shape = job.shape
    attention = shape.layers * (shape.query_width + shape.value_width) * row
    return tokens * (2.0 * shape.active_parameters + attention)


def training_factor(job: Job) -> float:
    """Passes worth of forward arithmetic: forward 1, gradients of inputs 1 and of weights 1, recomputation 1."""
    return 1.0 + 1.0 + (0.0 if job.lora else 1.0) + (1.0 if job.checkpointing else 0.0)


def predict(job: Job, device: Device, assumed: Assumed | None = None) -> Times:
    """Of one optimizer step of `job`, or of the whole of a sampling stage."""
    assumed = assumed or Assumed()
    speed = device.flops * assumed.mfu * (1.0 if job.bf16 else 1 / 3)
    mean_row = job.prompt + job.mean_completion if job.kind == "grpo" else job.mean_completion or job.row
    if job.kind == "sample":
        batches = job.samples / max(1, job.generation_batch * job.processes)
        return Times(batches * _decode(job, device, assumed), 0.0, 0.0)
    rows = job.micro_batch * job.accumulation
    forward = forward_flops(job, rows * mean_row, mean_row) / speed
    training = training_factor(job) * forward
    if job.kind != "grpo":
        return Times(0.0, 0.0, training)
    scoring = forward * (float(job.reference) + float(job.old_logps)) / job.iterations
    generation = _decode(job, device, assumed) / max(job.steps_per_rollout, 1e-9)
    return Times(generation, scoring, training)


def _decode(job: Job, device: Device, assumed: Assumed) -> float:
    """One rollout of a process: prefill, then a step a token, of the longest (HF) or a mean completion (vLLM)."""
    shape, batch = job.shape, job.generation_batch
    vllm = job.vllm is not None
    width = 2 if vllm or job.weight_bytes == 2 or job.sharding.startswith("zero") else 4
    # `generate` goes on until the longest row of the batch has ended; vLLM fills the place of a row that has.
    steps = job.mean_completion if vllm else job.completion
    parallel = job.vllm_parallel if vllm else 1
    batch = batch * parallel
    seen = batch * (shape.experts_per_token if shape.experts else 0)
    weights = shape.active_parameters
    if shape.experts:  # a large batch meets every expert
        weights = round(weights + (shape.parameters - weights) * min(1.0, seen / shape.experts))
    context = job.prompt + steps / 2
    read = weights * width + batch * context * shape.cache_elements(latent=vllm) * width
    rate = device.bandwidth * assumed.bandwidth * parallel
    flops = (
        batch
        * forward_flops(job, 1.0, 2 * context)
        / (device.flops * assumed.decode_mfu * parallel * (1.0 if width == 2 else 0.2))
    )
    floor = shape.layers * (assumed.vllm_layer if vllm else assumed.hf_layer)
    prefill = forward_flops(job, batch * job.prompt, job.prompt) / (device.flops * assumed.mfu * parallel)
    return prefill + steps * max(read / rate, flops, floor)
