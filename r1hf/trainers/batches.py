"""The arithmetic of GRPO's batches: rollouts, minibatches, micro-batches, processes.

    generation_batch_size = per_device_train_batch_size x processes x steps_per_generation       (completions)
    optimizer batch       = per_device_train_batch_size x processes x gradient_accumulation_steps

TRL's `steps_per_generation` counts micro-batches, not optimizer steps. `optimizer_batch_size` and `minibatches` say
the same in the papers' words, whatever the number of processes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from accelerate.utils import get_int_from_env
from trl import GRPOConfig

from r1hf.core.errors import ConfigError

_PLANNED = "R1HF_PLANNED_PROCESSES"  # a check before the launch: how many there will be
_WORLD = (_PLANNED, "WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")  # as accelerate reads it


@dataclass
class BatchConfig(GRPOConfig):
    """Batch sizes in the papers' words. Raises ConfigError with the arithmetic written out where it does not fit."""

    optimizer_batch_size: int | None = field(
        default=None,
        metadata={"help": "completions of an optimizer step, over all processes; sets gradient_accumulation_steps"},
    )
    minibatches: int | None = field(
        default=None, metadata={"help": "optimizer steps that share one generation; sets generation_batch_size"}
    )

    def __post_init__(self) -> None:
        problems = self._batches(get_int_from_env(_WORLD, 1))
        if problems:
            raise ConfigError(problems)
        super().__post_init__()
        problem = _reference_problem(self)
        if problem:
            raise ConfigError(problem)

    def _batches(self, processes: int) -> list[str]:
        """Sets TRL's values from ours; what is wrong with them, and with TRL's own."""
        micro = self.per_device_train_batch_size * processes
        shown = f"per_device_train_batch_size {self.per_device_train_batch_size} x {_count(processes)} = {micro}"
        problems = []
        if micro < 1:
            return [f"per_device_train_batch_size: {self.per_device_train_batch_size} is below 1"]
        for name in ("optimizer_batch_size", "minibatches", "generation_batch_size", "steps_per_generation"):
            value = getattr(self, name)
            if value is not None and value < 1:
                return [f"{name}: {value} is below 1"]
        if self.num_generations < 2:
            return [f"num_generations: {self.num_generations}; a group needs at least 2 completions to compare"]
        if self.optimizer_batch_size is not None:
            problems += self._accumulate(micro, shown)
        problems += self._generate(micro, shown)
        return problems

    def _accumulate(self, micro: int, shown: str) -> list[str]:
        assert self.optimizer_batch_size is not None
        steps, rest = divmod(self.optimizer_batch_size, micro)
        if rest:
            wanted = f"optimizer_batch_size {self.optimizer_batch_size}"
            return [
                f"optimizer_batch_size: an optimizer step needs whole micro-batches, but {shown} completions and "
                f"{wanted} / {micro} = {self.optimizer_batch_size / micro:.2f}; "
                f"{_fitting('optimizer_batch_size', self.optimizer_batch_size, micro)} would fit"
            ]
        if self.gradient_accumulation_steps not in (1, steps):
            return [
                f"gradient_accumulation_steps: {self.gradient_accumulation_steps} contradicts optimizer_batch_size "
                f"{self.optimizer_batch_size} / ({shown}) = {steps}; give one of the two"
            ]
        self.gradient_accumulation_steps: int = steps
        return []

    def _generate(self, micro: int, shown: str) -> list[str]:
        given = [
            name
            for name in ("generation_batch_size", "steps_per_generation", "minibatches")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            said = " and ".join(f"{name} {getattr(self, name)}" for name in given)
            return [f"{given[0]}: {said} say how many completions one generation makes; give one of them"]
        if self.minibatches is not None:
            self.steps_per_generation = self.minibatches * self.gradient_accumulation_steps
        size, text = self.generation_batch_size, f"generation_batch_size {self.generation_batch_size}"
        if size is None:
            steps = self.steps_per_generation or self.gradient_accumulation_steps
            size = micro * steps
            text = f"a generation of {shown} x {steps} micro-batches = {size} completions"
        problems = []
        if size % micro:
            problems.append(
                f"generation_batch_size: {size} completions do not split into whole micro-batches: {shown}, and "
                f"{size} / {micro} = {size / micro:.2f}; {_fitting('generation_batch_size', size, micro)} would fit"
            )
        if size % self.num_generations:
            problems.append(
                f"num_generations: {text} holds no whole number of groups: {size} / num_generations "
                f"{self.num_generations} = {size / self.num_generations:.2f}; "
                f"{_fitting('', size, math.lcm(self.num_generations, micro))} completions would fit"
            )
        return problems


def _reference_problem(args: GRPOConfig) -> str | None:
    """The reference model's log-probabilities are computed when rollouts are made: a sync in between acts late."""
    if not args.sync_ref_model or 0 < args.max_steps < args.ref_model_sync_steps:
        return None
    cycle, accumulated = args.steps_per_generation * args.num_iterations, args.gradient_accumulation_steps
    unit = cycle // math.gcd(cycle, accumulated)
    if args.ref_model_sync_steps % unit == 0:
        return None
    return (
        f"ref_model_sync_steps: {args.ref_model_sync_steps} falls inside a generation cycle, and the new reference "
        f"would act only after it. A cycle is steps_per_generation {args.steps_per_generation} x num_iterations "
        f"{args.num_iterations} = {cycle} micro-batches, a step {accumulated}, so both end together every {unit} "
        f"steps; {_fitting('ref_model_sync_steps', args.ref_model_sync_steps, unit)} would fit"
    )


def _fitting(name: str, value: int, unit: int) -> str:
    """The multiples of `unit` around `value`."""
    below = value // unit * unit
    return f"{name} {' or '.join(str(fit) for fit in (below, below + unit) if fit > 0)}".strip()


def _count(processes: int) -> str:
    return f"{processes} process{'es' if processes > 1 else ''}"
