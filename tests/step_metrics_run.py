"""Trains `R1GRPOTrainer` on a toy and writes its log; run by test_step_metrics.py, also under torchrun.

python tests/step_metrics_run.py OUT '{"steps_per_generation": 2, ...}'
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import rewards_in_trl as toy
import torch
from transformers import set_seed

from r1hf.rewards import accuracy_reward, format_reward, language_consistency_reward
from r1hf.stage import run
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer

toy.PHRASES[1] = "<think>先 multiply, wait, 等等, check</think> <answer>15</answer>"
toy.PHRASES[6] = "but 14 or 15, wait"


def even_only(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float | None]:
    """Judges every second row."""
    return [1.0 if place % 2 == 0 else None for place in range(len(completions))]


def trainer(out: Path, **settings: Any) -> R1GRPOTrainer:
    tokenizer = toy.make_tokenizer()
    phrases = {*range(len(tokenizer) - len(toy.PHRASES) - 1, len(tokenizer))}
    world = int(os.environ.get("WORLD_SIZE", "1"))
    given = {
        **{"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "seed": 7},
        **{"per_device_train_batch_size": 16 // world, "num_generations": 8, "max_steps": 4, "beta": 0.0},
        **{"sync_ref_model": False, "max_completion_length": 3, "learning_rate": 0.03, "disable_tqdm": True},
        **settings,
    }
    args = R1GRPOConfig(
        output_dir=str(out),
        generation_kwargs={"suppress_tokens": sorted({*range(len(tokenizer))} - phrases)},
        **given,
    )
    set_seed(7)
    return R1GRPOTrainer(
        toy.make_model(tokenizer),
        reward_funcs=[accuracy_reward, format_reward, language_consistency_reward, even_only],
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
        (out / "log.json").write_text(json.dumps(made.state.log_history), encoding="utf-8")


if __name__ == "__main__":
    run(main)
