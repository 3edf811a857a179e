"""The arithmetic of batches: one place for the trainer's own check, for what a person is told, and for estimates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BatchSizes:
    """rows: of one forward pass of a process (GRPO: completions). accumulation: micro-batches of an optimizer step.
    group: completions a prompt (1: rows are no groups). per_generation: micro-batches of one generation, each trained
    on `iterations` times.
    """

    rows: int
    processes: int = 1
    accumulation: int = 1
    group: int = 1
    per_generation: int = 1
    iterations: int = 1

    @classmethod
    def of(cls, values: Mapping[str, Any], processes: int) -> BatchSizes:
        """From a trainer's resolved values, TRL's names."""
        rows = int(values["per_device_train_batch_size"])
        accumulation = int(values.get("gradient_accumulation_steps") or 1)
        per_generation = int(values.get("steps_per_generation") or accumulation)
        if values.get("generation_batch_size"):
            per_generation = max(1, int(values["generation_batch_size"]) // max(1, rows * processes))
        return cls(
            rows,
            processes,
            accumulation,
            int(values.get("num_generations") or 1),
            per_generation,
            int(values.get("num_iterations") or 1),
        )

    @property
    def micro(self) -> int:
        """Rows of one forward pass, over all processes."""
        return self.rows * self.processes

    @property
    def step(self) -> int:
        """Rows, or completions, of an optimizer step."""
        return self.micro * self.accumulation

    @property
    def generation(self) -> int:
        """Completions that are made at once, over all processes."""
        return self.micro * self.per_generation

    @property
    def steps_per_rollout(self) -> float:
        """Optimizer steps that one generation feeds."""
        return self.per_generation * self.iterations / self.accumulation

    def epoch(self, rows: int) -> float:
        """Optimizer steps of one pass over `rows` rows of data."""
        return rows * self.group * self.iterations / self.step

    def steps(self, values: Mapping[str, Any], rows: int | None) -> int | None:
        """Optimizer steps of the run; None where neither `max_steps` nor the number of rows says."""
        most = int(values.get("max_steps") or -1)
        if most > 0:
            return most
        epochs = float(values.get("num_train_epochs") or 0)
        return None if rows is None else max(1, round(self.epoch(rows) * epochs))
