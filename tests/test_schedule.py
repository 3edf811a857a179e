"""The order in which prompts are used, and how many TRL uses in a step."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl import GRPOConfig, GRPOTrainer

from r1hf.core.errors import R1Error
from r1hf.data.schedule import prompts_per_step, schedule

REASONING = [{"id": f"r{n}", "task": "reasoning", "answer": n} for n in range(23)]
GENERAL = [{"id": f"g{n}", "task": "helpful", "reference": n} for n in range(7)]
PLANS = st.fixed_dictionaries(
    {
        "steps": st.integers(1, 30),
        "last": st.integers(0, 40),
        "per_step": st.integers(1, 12),
        "share": st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
        "seed": st.integers(0, 2**32),
    }
)


@given(PLANS)
def test_general_prompts_come_in_the_last_steps_with_their_exact_share(plan: dict[str, Any]) -> None:
    rows = schedule(REASONING, GENERAL, **plan)
    size, first = plan["per_step"], plan["steps"] - plan["last"]
    assert len(rows) == plan["steps"] * size
    for step in range(plan["steps"]):
        general = sum(row["task"] == "helpful" for row in rows[: (step + 1) * size])
        late_steps = max(0, step + 1 - max(0, first))
        assert general == round(size * plan["share"] * late_steps), "the share is exact over the late steps so far"


@given(PLANS)
def test_every_prompt_is_used_before_any_repeats(plan: dict[str, Any]) -> None:
    rows = schedule(REASONING, GENERAL, **plan)
    for pool in (REASONING, GENERAL):
        names = [row["id"] for row in rows if row["id"][0] == pool[0]["id"][0]]
        counts = Counter(names)
        assert not counts or max(counts.values()) - min(counts[row["id"]] for row in pool) <= 1


@given(PLANS)
def test_the_same_seed_gives_the_same_order_and_equal_columns(plan: dict[str, Any]) -> None:
    rows = schedule(REASONING, GENERAL, **plan)
    assert rows == schedule(REASONING, GENERAL, **plan)
    assert len({tuple(row) for row in rows}) == 1
    assert all(row.get("answer") is None for row in rows if row["task"] == "helpful")


def test_another_seed_gives_another_order() -> None:
    plan = {"steps": 10, "last": 5, "per_step": 4, "share": 0.5}
    assert schedule(REASONING, GENERAL, **plan, seed=1) != schedule(REASONING, GENERAL, **plan, seed=2)


def test_a_share_above_zero_always_brings_general_prompts() -> None:
    """One prompt a step, half of them general: over the last steps there must be some, or an error."""
    try:
        rows = schedule(REASONING, GENERAL, steps=20, last=10, per_step=1, share=0.5, seed=0)
    except R1Error:
        return
    assert 0 < sum(row["task"] == "helpful" for row in rows) < 10


def grpo_config(tmp_path: Path, **settings: Any) -> GRPOConfig:
    defaults = {"per_device_train_batch_size": 8, "num_generations": 4, "use_cpu": True, "bf16": False}
    return GRPOConfig(output_dir=str(tmp_path), report_to="none", shuffle_dataset=False, **{**defaults, **settings})


def prompts_used(args: GRPOConfig, steps: int) -> set[int]:
    """The different prompts that TRL's own sampler hands out in the first `steps` optimizer steps."""
    trainer = object.__new__(GRPOTrainer)
    trainer.__dict__.update(
        args=args, num_generations=args.num_generations, num_iterations=args.num_iterations, shuffle_dataset=False
    )
    # Each micro-batch takes a whole generation batch from the loader, but only the first of every
    # `steps_per_generation * num_iterations` of them is generated from.
    batch, every = args.generation_batch_size, args.steps_per_generation * args.num_iterations
    indices = iter(trainer._get_train_sampler(range(10_000)))
    used: set[int] = set()
    for micro in range(steps * args.gradient_accumulation_steps):
        taken = list(islice(indices, batch))
        if micro % every == 0:
            used |= set(taken)
    return used


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_generations": 8},
        {"gradient_accumulation_steps": 4},
        {"gradient_accumulation_steps": 2, "steps_per_generation": 4},
        {"gradient_accumulation_steps": 1, "steps_per_generation": 4},
        {"gradient_accumulation_steps": 4, "generation_batch_size": 64},
        {"gradient_accumulation_steps": 4, "steps_per_generation": 2},
        {"gradient_accumulation_steps": 4, "steps_per_generation": 1},
        {"num_iterations": 2},
        {"gradient_accumulation_steps": 2, "steps_per_generation": 4, "num_iterations": 2},
    ],
    ids=str,
)
def test_the_prompts_of_a_step_are_those_that_trl_uses(tmp_path: Path, settings: dict[str, int]) -> None:
    """Wrong here, and the general prompts of the last steps come too early, or never."""
    args = grpo_config(tmp_path, **settings)
    steps = 16
    assert prompts_per_step(args) * steps == len(prompts_used(args, steps))
