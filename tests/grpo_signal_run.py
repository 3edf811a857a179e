"""Trains `R1GRPOTrainer` on a toy and writes log, advantages and the prompts of each generation.

Run by test_grpo_gate.py and test_grpo_difficulty.py, also under torchrun:

python tests/grpo_signal_run.py OUT '{"gate": "outcome", ...}'
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import rewards_in_trl as toy
import torch
from accelerate.utils import gather_object
from transformers import set_seed

from r1hf.rewards import format_reward
from r1hf.stage import run
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer

GROUP = 4


def number(row: dict[str, Any]) -> int:
    return int(row["question"].split("(")[1].rstrip(")"))


def accuracy(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
    """Prompts 0, 4, 8 are always right, 1, 5, 9 always wrong, 2, 6, 10 go by the text, 3, 7, 11 have no judge."""
    values: list[float | None] = []
    for question, text in zip(columns["question"], completions, strict=True):
        kind = number({"question": question}) % 4
        values.append((1.0, 0.0, float(len(text) % 2), None)[kind])
    return values


class Watched(R1GRPOTrainer):
    """Keeps, for each generation, the prompts, rewards and advantages of all processes."""

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.seen: list[dict[str, Any]] = []

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        output = super()._generate_and_score_completions(inputs)
        assert self._last_rewards is not None
        self.seen.append(
            {
                "prompts": gather_object([number(row) for row in inputs]),
                "advantages": gather_object(output["advantages"].tolist()),
                "rewards": [[None if x != x else x for x in row] for row in self._last_rewards.tolist()],
            }
        )
        return output


def trainer(out: Path, **settings: Any) -> Watched:
    tokenizer = toy.make_tokenizer()
    phrases = {*range(len(tokenizer) - len(toy.PHRASES) - 1, len(tokenizer))}
    world = int(os.environ.get("WORLD_SIZE", "1"))
    given = {
        **{"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "seed": 7},
        **{"per_device_train_batch_size": 16 // world, "num_generations": GROUP, "max_steps": 6, "beta": 0.0},
        **{"sync_ref_model": False, "max_completion_length": 2, "learning_rate": 0.01, "disable_tqdm": True},
        **{"log_rollouts": False, **settings},
    }
    args = R1GRPOConfig(
        output_dir=str(out),
        generation_kwargs={"suppress_tokens": sorted({*range(len(tokenizer))} - phrases)},
        **given,
    )
    set_seed(7)
    return Watched(
        toy.make_model(tokenizer),
        reward_funcs=[accuracy, format_reward],
        args=args,
        train_dataset=toy.make_rows(False, {}),
        processing_class=tokenizer,
    )


def main() -> None:
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    made = trainer(out, **json.loads(sys.argv[2]))
    made.train()
    if made.accelerator.is_main_process:
        report = {"log": made.state.log_history, "seen": made.seen}
        (out / "report.json").write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    run(main)
