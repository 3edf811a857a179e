"""A training that is given so many seconds of processor time, so that other work on the machine does not count."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import Trainer, TrainerCallback

from r1hf.data.rows import Row
from r1hf.evaluation import judge, mean_and_error
from r1hf.models.transformers_sampling import TransformersSampler

Score = tuple[float | None, float | None]


def pass_at_1(
    model: Any, tokenizer: Any, rows: Sequence[Row], prompts: Sequence[str], samples: int, tokens: int
) -> Score:
    """pass@1 at temperature 1.0 and its standard error over problems. Leaves model and random states alone."""
    cpu, old, training = torch.get_rng_state(), model.generation_config, model.training
    model.eval()
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        groups = TransformersSampler(model, 544, tokenizer).sample(prompts, samples, max_new_tokens=tokens, seed=1)
    right = [[float(bool(judge(row, one).correct)) for one in group] for row, group in zip(rows, groups, strict=True)]
    model.generation_config = old
    model.train(training)
    torch.set_rng_state(cpu)
    return mean_and_error(right)


class ProcessorClock(TrainerCallback):
    """Evaluates every `every` seconds and at the end, with the clock standing still, and stops after `seconds`.

    score: (model, whether it is the last time) -> pass@1 and its error.
    """

    def __init__(self, seconds: float, every: float, score: Callable[[Any, bool], Score]):
        self.seconds, self.every, self.score = seconds, every, score
        self.curve: list[dict[str, float | None]] = []
        self.paused, self.next = 0.0, every
        self.start: float | None = None

    def elapsed(self) -> float:
        return 0.0 if self.start is None else time.process_time() - self.start - self.paused

    def rate(self, step: int) -> float:
        """A factor for the learning rate that falls linearly to zero over the budget."""
        return max(0.0, 1 - self.elapsed() / self.seconds)

    def attach(self, trainer: Trainer) -> None:
        """Takes over the end and the learning rate of a trainer with a constant rate and steps without end."""
        trainer.add_callback(self)
        trainer.create_optimizer()
        trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, self.rate)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kw: Any) -> None:
        self.start = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kw: Any) -> None:
        now = self.elapsed()
        if now >= self.next or now >= self.seconds:
            begun = time.process_time()
            mean, error = self.score(model, now >= self.seconds)
            self.curve.append({"seconds": now, "step": state.global_step, "pass_at_1": mean, "error": error})
            self.paused += time.process_time() - begun
            while self.next <= now:
                self.next += self.every
        if now >= self.seconds:
            control.should_training_stop = True
