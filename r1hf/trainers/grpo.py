"""GRPO as DeepSeek-R1 used it (arXiv 2501.12948v2, sections 2.1 and 3): TRL's trainer with the paper's values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from r1hf.data.rows import Row
from r1hf.trainers.adapters import AdapterReference
from r1hf.trainers.batches import BatchConfig
from r1hf.trainers.engine import EngineConfig, WithEngine
from r1hf.trainers.memory import MemoryConfig
from r1hf.trainers.memory_batches import PolicyMemory
from r1hf.trainers.nonfinite import FiniteSteps
from r1hf.trainers.presets import with_presets
from r1hf.trainers.resume import ExactResume
from r1hf.trainers.step_metrics import Measured, MeasuredConfig, MeasuredState
from r1hf.trainers.work_saving import WorkSaving, WorkSavingConfig


@with_presets
@dataclass
class R1GRPOConfig(EngineConfig, WorkSavingConfig, MeasuredConfig, MemoryConfig, BatchConfig):
    """`GRPOConfig` with the published settings where TRL's defaults are others. Each is set, none is inherited.

    The reference follows the policy every 400 steps (`sync_ref_model`, mixup 1.0), the KL term is the plain k3
    estimator, the loss averages over each completion's own tokens and then over the group, advantages are divided by
    the group's standard deviation. Epsilon is the paper's 10 of reasoning RL; it published none for R1-Zero. Clipping
    at 1 - 10 never binds, so only tokens with advantage > 0 and ratio > 11 are clipped. Batch sizes and lengths are
    left to the machine at hand; `preset: r1` sets those too (`r1hf.trainers.presets`).
    """

    preset: Literal["none", "r1", "dapo", "dr_grpo", "gspo", "cispo"] = field(
        default="none", metadata={"help": "published settings by name; keys that are given win over it"}
    )

    learning_rate: float = field(default=3e-6, metadata={"help": "peak learning rate (paper: 3e-6)"})
    lr_scheduler_type: str = field(default="constant", metadata={"help": "schedule (unpublished; constant)"})
    beta: float = field(default=0.001, metadata={"help": "weight of the KL term (paper: 0.001)"})
    epsilon: float = field(default=10.0, metadata={"help": "clip range of the ratio (paper: 10)"})
    num_generations: int = field(default=16, metadata={"help": "completions a prompt, the group (paper: 16)"})
    num_iterations: int = field(default=1, metadata={"help": "passes over each rollout batch (paper: 1)"})
    loss_type: str = field(default="grpo", metadata={"help": "how token losses are averaged"})
    importance_sampling_level: str = field(default="token", metadata={"help": "ratio per token or sequence"})
    scale_rewards: str = field(default="group", metadata={"help": "what advantages are divided by"})
    use_bias_correction_kl: bool = field(default=False, metadata={"help": "False: the paper's plain k3 estimator"})
    sync_ref_model: bool = field(default=True, metadata={"help": "reference := policy every ref_model_sync_steps"})
    ref_model_sync_steps: int = field(default=400, metadata={"help": "steps between syncs (paper: 400)"})
    ref_model_mixup_alpha: float = field(default=1.0, metadata={"help": "1.0: the reference becomes the policy"})
    temperature: float = field(default=1.0, metadata={"help": "sampling temperature (paper: 1; last stage 0.7)"})
    report_to: str | list[str] | None = field(default="none", metadata={"help": "trackers, e.g. wandb"})
    logging_steps: float = field(default=1, metadata={"help": "steps between rows of log.jsonl"})


class R1GRPOTrainer(ExactResume, WithEngine, AdapterReference, FiniteSteps, PolicyMemory, WorkSaving, Measured):
    """TRL's `GRPOTrainer`, resumed exactly, with what `WorkSavingConfig` spares and `MeasuredConfig` logs."""

    _tag_names = ["trl", "grpo", "r1hf"]

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.stateful["measured"] = MeasuredState(self)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        self.measure(inputs, output)
        return output


def check_prompt_count(problems: list[str], key: str, rows: Sequence[Row], args: R1GRPOConfig | None) -> None:
    """Adds a problem where `rows` are fewer than one generation batch: TRL would train on nothing, silently."""
    if not rows or args is None or not args.generation_batch_size or not args.num_generations:
        return
    needed = args.generation_batch_size // args.num_generations
    if len(rows) < needed:
        problems.append(
            f"{key}: {len(rows)} prompts are fewer than one generation batch needs ({needed} = generation_batch_size "
            f"{args.generation_batch_size} / num_generations {args.num_generations}); give more prompts or a smaller "
            "batch"
        )
