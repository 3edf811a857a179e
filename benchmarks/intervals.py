"""How often the 95% intervals of r1hf.evaluation.statistics hold the truth, and how often a comparison cries wolf.

    python benchmarks/intervals.py            # three minutes on one core; prints the tables of docs/evaluation.md

Questions have their own chance of being solved, drawn from a beta distribution of mean p; `alike` says how far two
samples of one question agree (the intraclass correlation: 0 all questions are equally hard, 1 each is always or never
solved). p is moved a little (by up to 0.24 of log-odds), as counts of a few hits make coverage jump at single p.
"""

from __future__ import annotations

import argparse
import itertools
from typing import Any

import numpy as np

from r1hf.evaluation.statistics import Z, bounds, paired

QUESTIONS = (30, 100, 500, 2000)
SAMPLES = (1, 4, 16, 64)
CHANCES = (0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.99)
ALIKE = (0.0, 0.1, 0.3, 0.6, 1.0)
STEPS = 5


def shares(rng: np.random.Generator, p: float, alike: float, shape: tuple[int, ...]) -> Any:
    """Each question's own chance."""
    if alike == 0:
        return np.full(shape, p)
    if alike == 1:
        return (rng.random(shape) < p).astype(float)
    strength = 1 / alike - 1
    return rng.beta(p * strength, (1 - p) * strength, shape)


def moved(p: float) -> list[float]:
    """p and its neighbours."""
    logits = np.log(p / (1 - p)) + 0.3 * np.linspace(-0.8, 0.8, STEPS)
    return [float(value) for value in 1 / (1 + np.exp(-logits))]


def coverage(rng: np.random.Generator, n: int, k: int, p: float, alike: float, draws: int) -> tuple[float, float]:
    """The share of intervals that hold p: r1hf's, and mean ± 1.96 standard errors."""
    held, plain = [], []
    for truth in moved(p):
        values = rng.binomial(k, shares(rng, truth, alike, (draws, n))) / k
        mean, low, high = bounds(values, k)
        held.append(((low <= truth) & (truth <= high)).mean())
        half = Z * values.std(-1, ddof=1) / np.sqrt(n)
        plain.append((abs(mean - truth) <= half).mean())
    return float(np.mean(held)), float(np.mean(plain))


def alarms(rng: np.random.Generator, n: int, k: int, p: float, alike: float, own: float, draws: int) -> float:
    """How often two models of equal chances are called different. own: how far each has its own hard questions."""
    common = shares(rng, p, alike, (draws, n))
    apart = rng.random((draws, n)) < own
    chances = [np.where(apart, shares(rng, p, alike, (draws, n)), common) for _ in range(2)]
    values = [rng.binomial(k, chance) / k for chance in chances]
    return sum(paired(a, b).shown for a, b in zip(*values, strict=True)) / draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400, help="evaluations simulated for each cell and neighbour")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    cells: dict[tuple[int, int, float, float], tuple[float, float]] = {}
    print("| n | k | p | lowest | mean | highest | mean ± 1.96 errors, lowest |\n|--:|--:|--:|--:|--:|--:|--:|")
    for n, k, p in itertools.product(QUESTIONS, SAMPLES, CHANCES):
        draws = options.draws if n < 2000 else options.draws // 2
        found = []
        for alike in ALIKE if k > 1 else ALIKE[:1]:
            cells[n, k, p, alike] = coverage(rng, n, k, p, alike, draws)
            found.append(cells[n, k, p, alike])
        own, plain = np.array(found).T
        row = [own.min(), own.mean(), own.max(), plain.min()]
        print(f"| {n} | {k} | {p} | " + " | ".join(f"{100 * value:.1f}" for value in row) + " |", flush=True)
    own = np.array([held for held, _ in cells.values()])
    inside = ((own >= 0.93) & (own <= 0.97)).mean()
    print(
        f"\n{len(own)} cells: mean {100 * own.mean():.1f}, lowest {100 * own.min():.1f}, "
        f"highest {100 * own.max():.1f}; "
        f"{100 * inside:.0f}% of cells between 93 and 97, {100 * (own > 0.97).mean():.0f}% above\n"
    )
    print("| n | k | p | questions of their own | false alarms |\n|--:|--:|--:|--:|--:|")
    every = []
    for n, k, p, apart in itertools.product((10, 30, 100, 500), (1, 4, 16, 64), (0.05, 0.2, 0.5, 0.9), (0.2, 1.0)):
        rate = alarms(rng, n, k, p, 0.3, apart, 5 * options.draws)
        every.append(rate)
        print(f"| {n} | {k} | {p} | {apart} | {100 * rate:.1f} |", flush=True)
    rates = np.array(every)
    print(f"\n{len(rates)} cells: mean {100 * rates.mean():.1f}, highest {100 * rates.max():.1f}")


if __name__ == "__main__":
    main()
