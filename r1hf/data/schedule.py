"""Which prompt comes when: reasoning alone at first, general prompts in the last steps."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from trl import GRPOConfig

from r1hf.core.errors import ConfigError
from r1hf.data.rows import Row


def prompts_per_step(args: GRPOConfig) -> int:
    """Different prompts that one optimizer step of GRPO uses, over all processes."""
    prompts = args.generation_batch_size // args.num_generations * args.gradient_accumulation_steps
    steps = args.steps_per_generation * args.num_iterations
    if prompts % steps:
        raise ConfigError("steps_per_generation x num_iterations: an optimizer step uses no whole number of prompts")
    return prompts // steps


def schedule(
    reasoning: Sequence[Row],
    general: Sequence[Row],
    *,
    steps: int,
    last: int,
    per_step: int,
    share: float,
    seed: int,
) -> list[Row]:
    """`steps` x `per_step` rows in the order of use; in the `last` steps `share` of each step's rows are general.

    The paper's last stage: 1,700 steps, general data and preference rewards in the last 400.
    """
    rng = random.Random(seed)
    draw, draw_general = _endless(reasoning, rng), _endless(general, rng)
    rows: list[Row] = []
    for step in range(steps):
        done = max(0, step - max(0, steps - last))
        count = round(per_step * share * (done + 1)) - round(per_step * share * done) if step >= steps - last else 0
        batch = [*islice(draw, per_step - count), *islice(draw_general, count)]
        rng.shuffle(batch)
        rows += batch
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _endless(rows: Sequence[Row], rng: random.Random) -> Iterator[Row]:
    while True:
        yield from rng.sample(list(rows), len(rows))
