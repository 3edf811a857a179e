"""What the stages of a check cost together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r1hf.core.gpus import PRICED
from r1hf.preflight.estimate.one_stage import StagePlan, total_hours


@dataclass(frozen=True)
class Total:
    """Of all stages that could be estimated. price: dollars a GPU-hour, and where it is from; None on a CPU."""

    stages: tuple[StagePlan, ...]
    price: float | None
    priced: str

    @property
    def gpu_hours(self) -> float | None:
        return total_hours(self.stages)

    def cost(self, hours: float | None) -> float | None:
        return None if hours is None or self.price is None else hours * self.price


def total_of(stages: Sequence[StagePlan], price: float | None = None) -> Total:
    """price: as a person gave it; without one it is assumed for the device."""
    if price is not None:
        return Total(tuple(stages), price, "given")
    prices = [stage.cluster.device.price for stage in stages if stage.cluster.device is not None]
    return Total(tuple(stages), prices[0] if prices else None, f"assumed, {PRICED}")
