"""What a device offers: memory, arithmetic, bandwidth, rated power, and an assumed price."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from r1hf.core.errors import ConfigError
from r1hf.core.yamlfile import nearest

GIB = 2**30
PRICED = "2026-11"  # when the prices were assumed; they are round figures, not offers


@dataclass(frozen=True)
class Device:
    """memory in bytes; flops: dense bf16 with float32 accumulation, a second; bandwidth in bytes a second.

    price: US dollars an hour, assumed. watts: the board's rated power. These, memory, arithmetic and bandwidth are the
    vendor's published figures, the price is not. Of a device that nobody listed all but memory is 0.
    """

    name: str
    memory: float
    flops: float
    bandwidth: float
    price: float
    watts: float = 0.0


def _gpu(name: str, gib: float, tflops: float, gb_per_second: float, price: float, watts: float) -> Device:
    return Device(name, gib * GIB, tflops * 1e12, gb_per_second * 1e9, price, watts)


DEVICES = {
    device.name: device
    for device in (
        _gpu("H200", 140, 989, 4800, 3.5, 700),
        _gpu("H100", 79, 989, 3350, 2.5, 700),
        _gpu("H800", 79, 989, 3350, 2.0, 700),
        _gpu("A100-80", 79, 312, 2039, 1.6, 400),
        _gpu("A100-40", 39.5, 312, 1555, 1.2, 400),
        _gpu("L4", 22.5, 121, 300, 0.7, 72),
        _gpu("RTX4090", 23.5, 165, 1008, 0.4, 450),
        _gpu("RTX3090", 23.5, 71, 936, 0.25, 350),
        _gpu("A10", 22.5, 125, 600, 0.75, 150),
    )
}


@dataclass(frozen=True)
class Cluster:
    """`count` equal devices; device None: the CPU of this machine, whose time is not predicted."""

    count: int
    device: Device | None

    @property
    def name(self) -> str:
        return "CPU" if self.device is None else f"{self.count}x{self.device.name}"


def parse_gpus(text: str) -> Cluster:
    """`8xH100`, `A100-40`, `cpu`. Raises ConfigError."""
    if text.strip().lower() == "cpu":
        return Cluster(1, None)
    found = re.fullmatch(r"(?:(\d+)\s*[xX*]\s*)?([\w\- ]+)", text.strip())
    name = _plain(found[2]) if found else ""
    known = {_plain(key): device for key, device in DEVICES.items()}
    aliases = {"A100": "A100-80", "A10080GB": "A100-80", "A10040GB": "A100-40", "4090": "RTX4090", "3090": "RTX3090"}
    if name in aliases:
        name = _plain(aliases[name])
    if found is None or name not in known or found[1] == "0":
        raise ConfigError(f"--gpus {text}: write 8xH100 or cpu; {nearest(text, list(DEVICES))}")
    return Cluster(int(found[1] or 1), known[name])


def here() -> Cluster:
    """The GPUs of this machine; device None without one. Of a device that is not listed only the memory is known."""
    import torch

    if not torch.cuda.is_available():
        return Cluster(1, None)
    found = torch.cuda.get_device_properties(0)
    device = listed(found.name) or Device(found.name, 0.0, 0.0, 0.0, 0.0)
    return Cluster(torch.cuda.device_count(), replace(device, memory=float(found.total_memory)))


def listed(name: str) -> Device | None:
    """The device that a driver's name means, `NVIDIA H100 80GB HBM3`; None of one that is not in the table."""
    return next((device for device in DEVICES.values() if _plain(device.name) in _plain(name)), None)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())
