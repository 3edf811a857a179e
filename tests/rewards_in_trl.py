"""Trains stock `trl.GRPOTrainer` with each reward and prints one line of JSON for each; run by test_rewards_in_trl.py.

The model is random and has a token for each of PHRASES, whole completions, and may write nothing else: so every reward
sees right and wrong ones from the first step, and a few steps teach the policy which to prefer.

    python tests/rewards_in_trl.py OUT [--steps N] [names]      (or under torchrun, with more than one process)
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, set_seed
from trl import GRPOConfig, GRPOTrainer

from r1hf import rewards as r1
from r1hf.commands.recipe import run as run_script

END = "<|end|>"
CODE = "<think>double it</think> <answer>\n```python\nprint(2 * int(input()))\n```\n</answer>"
PHRASES = [
    "<think>3 * 4 = 12, then add</think> <answer>14</answer>",
    "<think>先 multiply</think> <answer>15</answer>",
    "<think>a guess</think> <answer>(B)</answer>",
    "<think>the capital</think> <answer>Paris.</answer>",
    "<think>use all three</think> <answer>(1 + 2) * 3 = 9</answer>",
    CODE,
    "14 or 15, (A) or (B), Paris or London",
    "<think>round and " + "round and " * 30 + "</think> <answer>1</answer>",
]
ROW = {
    **{"answer": "14", "option": "B", "choices": ["12", "14", "16"], "capital": ["Paris"], "language": "en"},
    **{"numbers": [1, 2, 3], "target": 9, "tests": json.dumps([{"stdin": "4\n", "stdout": "8\n"}])},
}
TASKS = ("sums", "facts", "chat")
BATCH, GROUP = 16, 8


@dataclass
class Case:
    rewards: list[Callable[..., list[float | None]]]
    weights: list[float] | None = None
    length: int = 1  # phrases a completion
    columns: dict[str, Any] = field(default_factory=dict)


def cases() -> dict[str, Case]:
    capitals = r1.get_text_reward(answer_column="capital")
    routes = (
        (r1.accuracy_reward, "sums"),
        (r1.format_reward, "sums"),
        (capitals, "facts"),
        (r1.random_reward, "chat"),
    )
    found = {
        "accuracy": Case([r1.accuracy_reward]),
        "think_answer": Case([r1.format_reward]),
        "think_only": Case([r1.get_format_reward(mode="think_only", value=0.1)]),
        "language": Case([r1.language_consistency_reward]),
        "code": Case([r1.get_code_reward()]),
        "choice": Case([r1.get_choice_reward(answer_column="option")]),
        "text": Case([r1.get_text_reward(answer_column="capital")]),
        "countdown": Case([r1.countdown_reward]),
        "repetition": Case([r1.repetition_reward]),
        "overlong": Case([r1.get_overlong_reward(4, 3)], length=4),
        "random": Case([r1.random_reward]),
        "router": Case([r1.only_for(reward, task, TASKS) for reward, task in routes]),
        "guarded": Case([r1.guarded(r1.accuracy_reward, 0, 1), r1.guarded(r1.format_reward)], [1.0, 0.1]),
        "weighted": Case([r1.accuracy_reward, r1.format_reward, r1.language_consistency_reward], [1.0, 0.1, 0.2]),
    }
    if importlib.util.find_spec("reasoning_gym"):
        entry = {"question": "2 + 3 * 4 =", "answer": "14", "metadata": {"source_dataset": "chain_sum"}}
        found["gym"] = Case([r1.gym_reward], columns={"gym": json.dumps({"entry": entry})})
    return found


def make_tokenizer() -> PreTrainedTokenizerFast:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(phrase, normalized=False) for phrase in PHRASES])
    tokenizer.add_special_tokens([END])
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
    made.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    return made


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    set_seed(7)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = Qwen2Config(
        vocab_size=len(tokenizer), num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=256, **shape
    )
    return Qwen2ForCausalLM(config)


def make_rows(conversational: bool, columns: dict[str, Any]) -> Dataset:
    rows = []
    for number in range(12):
        question = f"What is 2 + 3 * 4? ({number})"
        prompt: Any = f"User: {question}\nAssistant:\n"
        if conversational:
            prompt = [{"role": "system", "content": "Think first."}, {"role": "user", "content": question}]
        rows.append({"prompt": prompt, "question": question, "task": TASKS[number % 3], **ROW, **columns})
    return Dataset.from_list(rows)


class Counted:
    """A reward that counts what it is asked and what it answers."""

    def __init__(self, reward: Callable[..., list[float | None]]):
        self.reward, self.__name__ = reward, reward.__name__
        self.asked, self.values = 0, []

    def __call__(self, completions: list[Any], **batch: Any) -> list[float | None]:
        found = self.reward(completions=completions, **batch)
        self.asked += len(completions)
        self.values += found
        return found


def run(name: str, case: Case, conversational: bool, out: Path, steps: int) -> dict[str, Any]:
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    phrases = {*range(len(tokenizer) - len(PHRASES) - 1, len(tokenizer))}
    world = int(os.environ.get("WORLD_SIZE", "1"))
    args = GRPOConfig(
        output_dir=str(out / f"{name}-{conversational}"),
        **{
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
            "report_to": "none",
            "save_strategy": "no",
        },
        **{"per_device_train_batch_size": BATCH // world, "num_generations": GROUP, "max_steps": steps, "beta": 0.0},
        **{"max_completion_length": case.length, "learning_rate": 0.03, "logging_steps": 1, "disable_tqdm": True},
        **{"reward_weights": case.weights, "lr_scheduler_type": "constant", "seed": 7},
        generation_kwargs={"suppress_tokens": sorted({*range(len(tokenizer))} - phrases)},
    )
    counted = [Counted(reward) for reward in case.rewards]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    rows = make_rows(conversational, case.columns)
    trainer = GRPOTrainer(model, reward_funcs=counted, args=args, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    after = trainer.accelerator.unwrap_model(trainer.model).state_dict()
    logs = [row for row in trainer.state.log_history if "loss" in row]
    return {
        "name": name,
        "form": "conversational" if conversational else "string",
        "processes": trainer.accelerator.num_processes,
        "steps": trainer.state.global_step,
        "changed": any(not torch.equal(before[key], after[key].cpu()) for key in before),
        "metrics": {r.__name__: [row.get(f"rewards/{r.__name__}/mean") for row in logs] for r in counted},
        "reward": [row["reward"] for row in logs],
        "asked": {r.__name__: sum(gather_object([r.asked])) for r in counted},
        "judged": {r.__name__: sum(gather_object([sum(value is not None for value in r.values)])) for r in counted},
        "gathered": {r.__name__: len(trainer._logs["rewards"][r.__name__]) for r in counted},
        "bounds": {
            r.__name__: getattr(reward, "bounds", (0.0, 1.0)) for r, reward in zip(counted, case.rewards, strict=True)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = cases()
    forms = (False, True) if os.environ.get("WORLD_SIZE", "1") == "1" else (False,)  # what is gathered is no text
    for name in options.names or found:
        for conversational in forms:
            line = run(name, found[name], conversational, options.out, options.steps)
            line = json.loads(json.dumps(line), parse_constant=lambda text: None if math.isnan(float(text)) else text)
            if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
                with (options.out / "results.jsonl").open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    run_script(main)
