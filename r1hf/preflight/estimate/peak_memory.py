"""Peak memory of each phase of a step, on one device.

Counted are the tensors that TRL 1.16 and transformers 5.17 keep: what each layer saves for its backward pass under
bf16 autocast or in float32, the tile of logits that the fused LM head makes ([4096, 32768], never [rows, tokens,
vocabulary]), and the cache of `generate`. benchmarks/plan.py compares it with what a step takes.
"""

from __future__ import annotations

from dataclasses import dataclass

from r1hf.core.gpus import GIB, Device
from r1hf.preflight.estimate.workload import Job

TILE_TOKENS, TILE_VOCAB = 4096, 32768  # trl.kernels.chunked_logprob.TOKEN_CHUNK_SIZE, _CHUNKED_LOGPROB_CHUNK_SIZE
# Assumed: what the driver, cuBLAS and NCCL take beside tensors, and the allocator's loss to fragments.
CONTEXT_BYTES, FRAGMENTS = 0.9 * GIB, 0.05
_FLOAT = 4
_HALF = 2


@dataclass(frozen=True)
class Phase:
    """A phase and its parts in bytes, per device."""

    name: str
    parts: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Memory:
    """All phases of a stage. overhead: beside tensors. available: of the device, None where it is not known."""

    phases: tuple[Phase, ...]
    overhead: float
    available: float | None

    @property
    def peak(self) -> float:
        """Bytes of the worst phase, without overhead."""
        return max(phase.total for phase in self.phases)

    @property
    def worst(self) -> Phase:
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def needed(self) -> float:
        """Bytes of the device that must be free: tensors, fragments, context."""
        return self.peak * (1 + (FRAGMENTS if self.overhead else 0)) + self.overhead

    @property
    def fits(self) -> bool | None:
        return None if self.available is None else self.needed <= self.available


def predict(job: Job, device: Device | None) -> Memory:
    """Memory of every phase of `job` on `device`; None is the CPU, where nothing but tensors is counted."""
    cuda = device is not None
    phases: list[Phase] = []
    awake = job.vllm == "colocate" and not job.vllm_sleep and device is not None
    if job.kind in ("grpo", "sample"):
        phases.append(_generation(job, device))
    if job.kind == "grpo" and (job.reference or job.old_logps):
        phases.append(_scoring(job, cuda))
    if job.kind != "sample":
        phases += [_backward(job, cuda), _optimizer(job)]
    if awake:
        assert device is not None
        phases = [Phase(one.name, one.parts | {"vLLM": job.vllm_share * device.memory}) for one in phases]
    return Memory(tuple(phases), CONTEXT_BYTES if cuda else 0.0, device.memory if device else None)


def _width(job: Job) -> int:
    """Bytes of an activation of a linear layer."""
    return _HALF if job.bf16 or job.weight_bytes == _HALF else _FLOAT


def _deepspeed(job: Job) -> bool:
    return job.sharding.startswith("zero")


def states(job: Job) -> dict[str, float]:
    """What stays from step to step: weights, gradients apart, and the optimizer's states."""
    whole, trained = job.shape.parameters, job.trained
    parts: dict[str, float] = {}
    if job.kind == "sample":
        return {"weights": float(whole * job.weight_bytes)}
    if job.lora:
        parts["weights"] = whole * _frozen_bytes(job) / job.shards
        parts["adapter"] = trained * _FLOAT / job.shards
        over = job.processes if _deepspeed(job) or job.shards > 1 else 1
    elif _deepspeed(job) and job.bf16:
        over = job.processes
        parts["weights"] = whole * _HALF / job.shards
        parts["float32 master"] = whole * _FLOAT / over
    else:
        over = job.processes if job.sharding != "none" else 1
        parts["weights"] = whole * job.weight_bytes / job.shards
    parts["optimizer"] = trained * job.optimizer_bytes / over
    if job.reference and not job.lora:
        width = _HALF if _deepspeed(job) and job.bf16 else job.weight_bytes
        parts["reference"] = whole * width / job.shards
    return parts


def _frozen_bytes(job: Job) -> float:
    return {4: 0.56, 8: 1.06}.get(job.lora.bits if job.lora else 16, job.weight_bytes)  # with scales of the blocks


def gradient_bytes(job: Job) -> float:
    """Gradients of the trained parameters at the end of a backward pass."""
    if _deepspeed(job) and not job.lora:
        over = job.processes if job.sharding in ("zero2", "zero3") else 1
        return job.trained * (_FLOAT if job.accumulation > 1 else _HALF) / over
    return job.trained * job.weight_bytes / job.shards if not job.lora else job.trained * _FLOAT / job.shards


def _gathered(job: Job) -> float:
    """What sharding gathers: the largest layer, and the next one ahead of it, and embedding and head."""
    if job.shards == 1:
        return 0.0
    return _width(job) * (2.0 * job.shape.layer_parameters + job.shape.embedding_parameters)


def layer_bytes(job: Job) -> float:
    """What one token leaves in one layer for the backward pass.

    Two norms keep their input and their normalised input in float32 and what the projections read; attention keeps
    queries, keys, values (repeated to all heads where there is a mask) and its output; the MLP its four inner tensors.
    """
    shape, width = job.shape, _width(job)
    keys = shape.query_width if not job.flash_attention else shape.kv_heads * shape.head_dim
    values = shape.value_width if not job.flash_attention else shape.kv_heads * shape.head_dim
    norms = 2 * shape.hidden * (2 * _FLOAT + width)
    attention = width * (shape.query_width + keys + values + shape.value_width) + _FLOAT * shape.heads
    mlp = 4 * width * shape.active_intermediate
    if shape.experts:
        mlp += 2 * width * shape.hidden * shape.experts_per_token  # each expert's input and output
    adapters = 0.0
    if job.lora:
        sizes = shape.linear_inputs
        chosen = sizes if "all-linear" in job.lora.modules else {n: sizes[n] for n in job.lora.modules if n in sizes}
        adapters = sum(width * job.lora.rank + width * into for into, _ in chosen.values())
    return norms + attention + mlp + adapters


def activations(job: Job) -> tuple[dict[str, float], float]:
    """What a micro-batch leaves for its backward pass, and the transient of the layer that is at work in it."""
    shape, tokens = job.shape, job.micro_batch * job.row
    one = tokens * layer_bytes(job)
    # Gradients on the way back through one layer: of the MLP's inner tensors and of the residual stream.
    back = tokens * (_width(job) * 2 * shape.active_intermediate + 2 * _FLOAT * shape.hidden)
    saved = {} if job.flash_attention else {"attention mask": float(job.micro_batch * job.row * job.row)}
    if job.checkpointing:
        return saved | {"layer inputs": tokens * shape.layers * shape.hidden * float(_FLOAT)}, one + back
    return saved | {"activations": one * shape.layers}, back


def head_bytes(job: Job, cuda: bool, backward: bool) -> float:
    """The fused LM head: one tile of logits, and on the way back the gradients of hidden states and head."""
    if job.kind == "reward":
        return 0.0  # one figure a row
    shape, width = job.shape, _width(job)
    scored = job.micro_batch * (job.row if not cuda else job.completion)
    rows = min(scored, TILE_TOKENS)
    columns = TILE_VOCAB if cuda else min(TILE_VOCAB, shape.vocab)
    tile = float(rows * columns * width)
    if not cuda:  # folded by torch operations, which hold this many float32 tiles at once (_backward_tile)
        tile += rows * columns * _FLOAT * (7.25 if backward else 3.0)
    hidden = scored * shape.hidden * (_FLOAT + width)
    head = TILE_VOCAB * shape.hidden * width if width == _HALF else 0
    if not backward:
        return tile + hidden + head
    trains_head = job.lora is None
    return tile + hidden + head + scored * shape.hidden * _FLOAT + shape.vocab * shape.hidden * _FLOAT * trains_head


def _autocast_copy(job: Job) -> float:
    """bf16 copies of float32 weights that autocast keeps while a forward pass lasts."""
    if not job.bf16 or job.weight_bytes == _HALF or job.shards > 1 or _deepspeed(job):
        return 0.0
    embedding = job.shape.vocab * job.shape.hidden  # looked up, not multiplied; the head is cast tile by tile
    inner = job.shape.parameters - embedding * (1 if job.shape.tied else 2)
    if job.lora and job.checkpointing:
        return float(_HALF * job.shape.layer_parameters)
    return float(_HALF * inner)


def _backward(job: Job, cuda: bool) -> Phase:
    """The worst of three moments: the logits' gradient, the last layer's, and the first layer's.

    Gradients come as activations go, unless earlier micro-batches have left theirs.
    """
    fixed = states(job) | _optional("bf16 copies of weights", _autocast_copy(job))
    fixed |= _optional("gathered layers", _gathered(job))
    saved, transient = activations(job)
    whole = gradient_bytes(job)
    first = {"gradients": whole} if job.accumulation > 1 else {}
    head_grad = job.shape.vocab * job.shape.hidden * float(_FLOAT) * (job.lora is None) / job.shards
    moments = [
        first | saved | {"LM head": head_bytes(job, cuda, backward=True)},
        {"gradients": head_grad} | first | saved | {"layer at work": transient},
        {"gradients": whole, "layer at work": transient},
    ]
    return Phase("forward and backward", fixed | max(moments, key=lambda parts: sum(parts.values())))


def _optional(name: str, value: float) -> dict[str, float]:
    return {name: value} if value else {}


def _optimizer(job: Job) -> Phase:
    return Phase("optimizer step", states(job) | {"gradients": gradient_bytes(job)})


def _scoring(job: Job, cuda: bool) -> Phase:
    """Log-probabilities of the reference, or of the policy that sampled, without gradients."""
    shape, tokens = job.shape, job.micro_batch * job.row
    layer = tokens * (2 * _FLOAT * shape.hidden + _width(job) * (2 * shape.active_intermediate + shape.query_width))
    parts = states(job) | _optional("gathered layers", _gathered(job))
    mask = {} if job.flash_attention else {"attention mask": float(tokens * job.row)}
    return Phase("reference", parts | mask | {"one layer": layer, "LM head": head_bytes(job, cuda, backward=False)})


def _generation(job: Job, device: Device | None) -> Phase:
    """`generate` reads float32 weights outside autocast, so its cache has the weights' type."""
    share = job.vllm_share * device.memory if device else 0.0
    if job.vllm and job.kind == "sample":
        return Phase("generation", {"vLLM": share})
    parts = states(job)
    if job.vllm == "server":
        return Phase("generation", parts)
    if job.vllm == "colocate":
        return Phase("generation", parts | {"vLLM": share})
    shape, batch = job.shape, job.generation_batch
    width = _HALF if job.weight_bytes == _HALF or (_deepspeed(job) and job.bf16) else _FLOAT
    per_token = shape.cache_elements() * width
    parts["KV cache"] = float(batch * job.row * per_token)
    # A step concatenates one layer's keys to a new tensor before the old one goes, and repeats them to all heads.
    repeated = shape.query_width + shape.value_width
    parts["cache transient"] = float(batch * job.row * width * (shape.cache_width / 2 + repeated))
    parts["logits"] = float(3 * _FLOAT * batch * shape.vocab)
    if job.shards > 1 or job.sharding == "zero3":
        parts["gathered model"] = float(shape.parameters * width)
    return Phase("generation", parts)
