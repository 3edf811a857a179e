"""What each stage took: time, memory, and energy and money as far as its hardware tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r1hf.core.gpus import PRICED, listed
from r1hf.explain.report.load import RunData
from r1hf.explain.report.text import MISSING, duration, memory, number, visible

CORE_WATTS = 6.0  # of a server's processor, shared among its cores
NOTE = (
    f"Energy is an upper estimate: the time at the rated power of each GPU, or {CORE_WATTS:g} W for each core where "
    f"there is none; cooling and the rest of the machine are left out. Cost: GPU hours at round prices of {PRICED}."
)


@dataclass(frozen=True)
class Cost:
    """One row, in words. share: of the run's time, from 0 to 1."""

    stage: str
    time: str
    share: float
    memory: str
    hardware: str
    energy: str
    price: str


def costs(run: RunData) -> tuple[list[Cost], Cost | None]:
    """The finished stages, and their sum; None of nothing."""
    rows = [(stage, manifest, number(manifest.get("seconds"))) for stage, manifest in run.manifests.items()]
    total = sum(seconds or 0.0 for _, _, seconds in rows)
    if not rows:
        return [], None
    made, joules, dollars = [], list[float | None](), list[float | None]()
    for stage, manifest, seconds in rows:
        watts, price, words = _hardware(manifest)
        joules.append(None if watts is None or seconds is None else watts * seconds)
        dollars.append(None if price is None or seconds is None else price * seconds / 3600)
        own = Cost(stage, duration(seconds), (seconds or 0.0) / total if total else 0.0, _peak(manifest), words,
                   _energy(joules[-1]), _money(dollars[-1]))  # fmt: skip
        made.append(own)
    peak = max(
        (found for _, manifest, _ in rows if (found := number(manifest.get("peak_rss_mb"))) is not None), default=None
    )
    whole = Cost("together", duration(total), 1.0, memory(peak), "", _energy(_sum(joules)), _money(_sum(dollars)))
    return made, whole


def _hardware(manifest: Mapping[str, Any]) -> tuple[float | None, float | None, str]:
    """(watts, US dollars an hour, in words); None where nothing is known."""
    found = manifest.get("hardware")
    if not isinstance(found, Mapping):
        return None, None, MISSING
    gpus = [str(name) for name in found.get("gpus") or ()] if isinstance(found.get("gpus"), list) else []
    if not gpus:
        cores = number(found.get("cores"))
        words = f"{cores:g} cores" if cores else MISSING
        return (cores * CORE_WATTS if cores else None), None, words
    devices = [listed(name) for name in gpus]
    words = f"{len(gpus)} × {visible(gpus[0])}" if len(gpus) > 1 else visible(gpus[0])
    known = [device for device in devices if device is not None]
    if len(known) < len(devices):
        return None, None, words
    return sum(device.watts for device in known), sum(device.price for device in known), words


def _peak(manifest: Mapping[str, Any]) -> str:
    return memory(manifest.get("peak_rss_mb"))


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _energy(joules: float | None) -> str:
    if joules is None:
        return MISSING
    hours = joules / 3600
    return f"{hours / 1000:.1f} kWh" if hours >= 1000 else f"{hours:.1f} Wh" if hours < 10 else f"{hours:.0f} Wh"


def _money(dollars: float | None) -> str:
    return MISSING if dollars is None else f"${dollars:,.2f}" if dollars >= 0.01 else "under $0.01"
