"""Trainers that are built but make no step: a recipe goes its whole way, and nothing is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from r1hf.core.errors import StageError


@dataclass
class Builder:
    """Builds trainers in place of training them. built: a line for each."""

    built: list[str] = field(default_factory=list)

    def build(self, trainer: Any) -> None:
        """All of a trainer's training but the steps: its first batch, its optimizer and its schedule.

        Raises StageError where the rows fill no batch; what Transformers or TRL raise passes through.
        """
        if next(iter(trainer.get_train_dataloader()), None) is None:
            raise StageError(f"{type(trainer).__name__}: the rows do not fill one batch")
        trainer.create_optimizer_and_scheduler(num_training_steps=max(10, trainer.args.max_steps))
        parameters = [(item.numel(), item.requires_grad) for item in trainer.model.parameters()]
        total, trained = sum(n for n, _ in parameters), sum(n for n, used in parameters if used)
        share = "" if total == trained else f", {trained:,} of them trained"
        schedule = getattr(trainer.args.lr_scheduler_type, "value", trainer.args.lr_scheduler_type)
        self.built.append(
            f"{type(trainer).__name__} ({total:,} parameters{share}; {type(trainer.optimizer).__name__}, {schedule})"
        )


_current: Builder | None = None


def builder() -> Builder | None:
    """What builds trainers where they are not to train; None: this is the real thing."""
    return _current


@contextlib.contextmanager
def building() -> Iterator[Builder]:
    """Within it nothing trains."""
    global _current
    before, _current = _current, Builder()
    try:
        yield _current
    finally:
        _current = before
