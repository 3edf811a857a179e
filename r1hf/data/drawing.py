"""Samples that a stage keeps as it draws them, so that a killed stage goes on: a folder for each name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from r1hf.data.rows import Row
from r1hf.models.generation import generate
from r1hf.models.sampler_config import SamplingConfig
from r1hf.models.sampling import Completion, Limits, Sampler
from r1hf.stage.stage import Stage

# Questions, limits, seed, name -> one sample for each question, as a chat model answers it.
Asking = Callable[[Sequence[str], Limits, int, str], list[Completion]]


@dataclass(frozen=True)
class Drawing:
    """Draws for one stage. A sample with a `fault` is no answer; they are counted in the stage's metrics."""

    stage: Stage
    config: SamplingConfig

    def groups(
        self,
        sampler: Sampler,
        prompts: Sequence[str],
        n: int,
        limits: Limits,
        seed: int,
        name: str,
        rows: Sequence[Row] = (),
        *,
        empty_counts: bool = True,
    ) -> list[list[Completion]]:
        """`n` samples of each prompt, in their order. rows: those of the prompts, by whose ids messages call them.

        empty_counts: whether an empty answer counts towards `max_bad_samples`.
        """
        folder, ids = self.stage.checkpoints / name, [row.get("id") for row in rows] or None
        made = generate(
            folder, sampler, prompts, n, limits, self.config, seed=seed, ids=ids, name=name, empty_counts=empty_counts
        )
        if made.fault_counts:
            self.stage.note("no_answer", name, made.fault_counts)
        return list(made.groups())

    def asking(self, sampler: Sampler) -> Asking:
        """One sample for each question, through the model's chat template; empty ones are the caller's to judge."""

        def ask(questions: Sequence[str], limits: Limits, seed: int, name: str) -> list[Completion]:
            if not questions:
                return []
            prompts = sampler.chat(list(questions))
            found = self.groups(sampler, prompts, 1, limits, seed, name, empty_counts=False)
            return [one for (one,) in found]

        return ask
