"""Trains SFT and GRPO on a toy and writes their logs and weights; one process, or two with half the rows each.

torchrun --nproc_per_node 2 tests/two_processes_run.py BASE OUT

Every process of GRPO has random numbers of its own, so sampled rollouts are others with two of them. Here each
completion is sampled with a seed of its own (prompt, place in the group, step), from the policy as it is: equal
policies then give equal rollouts, however rows are spread. One generation is one optimizer step: TRL shuffles the rows
of a generation within a process.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import save_file
from small_run import CPU, answered

from r1hf.commands.recipe import run
from r1hf.models.loading import load_tokenizer
from r1hf.stage.libraries import quiet_libraries, set_seed
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer
from r1hf.trainers.rl import prompt_rows
from r1hf.trainers.sft import R1SFTConfig, R1SFTTrainer
from r1hf.trainers.sft_rows import sft_dataset

WORLD = int(os.environ.get("WORLD_SIZE", "1"))
SHARED = {**CPU, "max_steps": 6, "gradient_accumulation_steps": 2, "logging_steps": 1, "learning_rate": 1e-3}
SFT = {"per_device_train_batch_size": 4 // WORLD}
GRPO = {
    **{"per_device_train_batch_size": 16 // WORLD, "num_generations": 4, "max_completion_length": 12},
    **{"beta": 0.1, "sync_ref_model": True, "ref_model_sync_steps": 3, "log_rollouts": False},
}


def by_vowels(completions: list[str], **_: Any) -> list[float]:
    return [float(sum(text.count(vowel) for vowel in "aeiou")) for text in completions]


class SeededRows(R1GRPOTrainer):
    """Samples each completion alone, with a seed that does not depend on the process."""

    def _generate_single_turn(self, prompt_ids: list[Any], *arguments: Any, **named: Any) -> Any:
        made: list[Any] = []
        with torch.random.fork_rng([]):
            for place, prompt in enumerate(prompt_ids):
                name = f"{list(prompt)} {place % self.num_generations} {self.state.global_step}"
                torch.manual_seed(zlib.crc32(name.encode()))
                made += super()._generate_single_turn([prompt], *arguments, **named)[0]
        return made, None


def train(kind: str, base: str, directory: Path) -> None:
    set_seed(7)
    given = {**SHARED, **(SFT if kind == "sft" else GRPO), "output_dir": str(directory)}
    if kind == "sft":
        trainer: Any = R1SFTTrainer(
            model=base,
            args=R1SFTConfig(**given),
            train_dataset=sft_dataset(answered(64)),
            processing_class=load_tokenizer(base),
        )
    else:
        trainer = SeededRows(
            model=base,
            reward_funcs=[by_vowels],
            args=R1GRPOConfig(**given),
            train_dataset=Dataset.from_list(prompt_rows(answered(64), "plain_en")),
            processing_class=load_tokenizer(base),
        )
    trainer.train()
    if trainer.accelerator.is_main_process:
        directory.mkdir(parents=True, exist_ok=True)
        rows = [row for row in trainer.state.log_history if "loss" in row]
        (directory / "log.json").write_text(json.dumps(rows), encoding="utf-8")
        weights = trainer.accelerator.unwrap_model(trainer.model).state_dict()
        save_file({name: tensor.clone() for name, tensor in weights.items()}, directory / "weights.safetensors")


def main(base: str, out: str) -> None:
    torch.set_num_threads(1)
    quiet_libraries()
    for kind in ("sft", "grpo"):
        train(kind, base, Path(out, kind))


if __name__ == "__main__":
    run(partial(main, *sys.argv[1:]))
