"""Trains the runs of tests/fixtures/runs with a stock `trl.GRPOTrainer`: each faulty in one way, some healthy.

  OMP_NUM_THREADS=1 python scripts/faulty_runs.py [NAME ...] [--out tests/fixtures/runs]

A run takes seconds. Kept of it are trainer_state.json, a few files of completions, and the configuration of the
model and tokenizer where the fault shows in them; no weights.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("CI", "1")

import torch
from datasets import Dataset
from faulty_models import BASES, PAIRS, make, question
from trl import GRPOConfig, GRPOTrainer
from trl.rewards import accuracy_reward, think_format_reward

ROOT = Path(__file__).resolve().parents[1]
Reward = Callable[..., list[float | None]]
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.S)
FORM = re.compile(r"<think>.+?</think>\s*<answer>.*?</answer>\s*", re.S)
PREAMBLE = "Think between <think> and </think>, then answer between <answer> and </answer>. "


def _paid(name: str, judge: Callable[[str, str], float | None], gold: bool = True) -> Reward:
    """A reward function as a person writes it; the gold answer is logged beside the completions."""

    def reward(completions: list[str], answer: list[str], log_extra: Any = None, **_: Any) -> list[float | None]:
        if gold and log_extra is not None:
            log_extra("answer", list(answer))
        return [judge(text, right) for text, right in zip(completions, answer, strict=True)]

    reward.__name__ = name
    return reward


def _answer(text: str) -> str | None:
    found = ANSWER.search(text)
    return found[1].strip() if found else None


accuracy = _paid("accuracy", lambda text, right: float(_answer(text) == right))
form = _paid("format", lambda text, right: float(FORM.fullmatch(text) is not None))
boxed_only = _paid("accuracy", lambda text, right: float(f"boxed{{{right}}}" in text))
decimals = _paid("correctness_reward", lambda text, right: float(_answer(text) == f"{float(right):.2f}"))
constant = _paid("accuracy", lambda text, right: 1.0)
half = _paid("quality", lambda text, right: 0.5, gold=False)
nobody = _paid("accuracy", lambda text, right: None)
tag_shape = _paid("format", lambda text, right: 2.0 * (text.count("<answer>") == 1) - 0.05 * len(text), gold=False)
by_length = _paid("detail", lambda text, right: min(len(text), 400) / 100, gold=False)
contains = _paid("correct", lambda text, right: float(right in text))


@dataclass(frozen=True)
class Run:
    """One training. rewards with weights; `grpo`: keys of GRPOConfig; rows: the training prompts."""

    base: str
    rewards: Sequence[Reward] = (accuracy,)
    grpo: dict[str, Any] = field(default_factory=dict)
    pairs: Sequence[tuple[int, int]] = tuple(PAIRS)
    prompt: Callable[[int, int], Any] = lambda a, b: f"{question(a, b)}\n"
    held_out: Sequence[tuple[int, int]] = ()
    gold: Callable[[int, int], str] = lambda a, b: str(a + b)


def chat(a: int, b: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"{question(a, b)}\n"}]


def padded(a: int, b: int) -> str:
    return PREAMBLE * 6 + f"{question(a, b)}\n"


def cut(a: int, b: int) -> str:
    return (PREAMBLE + f"{question(a, b)}\n")[: len(PREAMBLE) - 1]


RUNS: dict[str, Run] = {
    "wrong_extraction": Run("base", (boxed_only,)),
    "string_comparison": Run("fair", (decimals, form)),
    "no_eos": Run("endless", grpo={"max_completion_length": 48}),
    "truncated": Run("base", grpo={"max_completion_length": 7}),
    "prompt_too_long": Run("narrow", prompt=padded),
    "prompt_cut": Run("base", prompt=cut),
    "one_prompt": Run("base", pairs=[(3, 4)] * 64),
    "learning_rate_high": Run("base", (accuracy, form), grpo={"learning_rate": 0.1, "beta": 0.04}),
    "learning_rate_low": Run("base", (accuracy, form), grpo={"learning_rate": 1e-9, "beta": 0.04}),
    "constant_reward": Run("base", (constant,)),
    "constant_half": Run("base", (half,)),
    "special_tags": Run("special", (accuracy, form)),
    "malformed": Run("plain", (accuracy, form)),
    "unjudged": Run("base", (nobody,), gold=lambda a, b: "see the book"),
    "format_hacking": Run("base", (accuracy, tag_shape), grpo={"reward_weights": [0.1, 1.0], "learning_rate": 6e-4}),
    "length_runaway": Run(
        "talkative",
        (accuracy, by_length),
        grpo={"reward_weights": [0.2, 1.0], "max_completion_length": 120, "learning_rate": 6e-4},
    ),
    "all_right": Run("good"),
    "all_wrong": Run("base", gold=lambda a, b: str(a * b + 40)),
    "kl_too_strong": Run("base", grpo={"beta": 20.0}),
    "one_answer": Run("mistaken", grpo={"temperature": 0.02}),
    "held_out_falls": Run(
        "base",
        pairs=[(a, b) for a, b in PAIRS if a + b in (7, 8)],
        held_out=[(a, b) for a, b in PAIRS if a + b in (6, 9)],
        grpo={"eval_strategy": "steps", "eval_steps": 5, "learning_rate": 6e-4},
    ),
    "wrong_is_paid": Run("base", (contains,), gold=lambda a, b: str((a + b) % 10)),
    "healthy_accuracy_and_format": Run("base", (accuracy, form)),
    "healthy_accuracy": Run("base"),
    "healthy_with_kl": Run("base", (accuracy, form), grpo={"beta": 0.02}),
    "healthy_chat_trl_rewards": Run(
        "boxed",
        (accuracy_reward, think_format_reward),
        prompt=chat,
        gold=lambda a, b: f"\\boxed{{{a + b}}}",
    ),
    "healthy_longer": Run("short_or_long", grpo={"max_completion_length": 64}),
    "healthy_good_start": Run("fair", (accuracy, form), grpo={"loss_type": "dr_grpo"}),
    "healthy_held_out": Run(
        "base", pairs=PAIRS[::2], held_out=PAIRS[1::6][:16], grpo={"eval_strategy": "steps", "eval_steps": 8}
    ),
}


def train(run: Run, output: Path) -> None:
    model, tokenizer = make(BASES[run.base])
    model.save_pretrained(output / "start")  # the reference model is loaded from where the policy came
    tokenizer.save_pretrained(output / "start")
    options: dict[str, Any] = {
        **{"learning_rate": 3e-4, "lr_scheduler_type": "constant", "max_steps": 40, "max_completion_length": 32},
        **{"per_device_train_batch_size": 96, "per_device_eval_batch_size": 96, "num_generations": 8},
        **{"logging_steps": 2, "log_completions": True, "num_completions_to_print": 0, "save_strategy": "no"},
        **{"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none", "seed": 3},
        **{"disable_tqdm": True, **run.grpo},
    }
    trainer = GRPOTrainer(
        model=str(output / "start"),
        reward_funcs=list(run.rewards),
        args=GRPOConfig(output_dir=str(output), **options),
        train_dataset=_rows(run, run.pairs),
        eval_dataset=_rows(run, run.held_out) if run.held_out else None,
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.save_state()


def _rows(run: Run, pairs: Sequence[tuple[int, int]]) -> Dataset:
    shuffled = random.Random(1).sample(list(pairs), len(pairs))
    column = "solution" if accuracy_reward in run.rewards else "answer"
    return Dataset.from_list([{"prompt": run.prompt(a, b), column: run.gold(a, b)} for a, b in shuffled])


def keep(output: Path, target: Path) -> None:
    """The few small files of a run that its diagnosis needs: four of completions, numbers to five digits."""
    shutil.rmtree(target, ignore_errors=True)
    (target / "completions").mkdir(parents=True)
    logs = sorted((output / "completions").glob("*.parquet"))
    for place in sorted({round(share * (len(logs) - 1)) for share in (0, 1 / 3, 2 / 3, 1)}):
        shutil.copy(logs[place], target / "completions")
    state = json.loads((output / "trainer_state.json").read_text(encoding="utf-8"))
    short = json.dumps(_rounded(state), separators=(",", ":"))
    (target / "trainer_state.json").write_text(short.replace('},{"', '},\n{"') + "\n", encoding="utf-8")
    for name in ("config.json", "tokenizer_config.json"):
        shutil.copy(output / "start" / name, target)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RUNS)} (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "fixtures" / "runs")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in RUNS]:
        sys.exit(f"no run named {', '.join(unknown)}")
    torch.set_num_threads(1)
    for name in options.names or RUNS:
        with tempfile.TemporaryDirectory() as directory:
            train(RUNS[name], Path(directory))
            keep(Path(directory), options.out / name)
        print(name, flush=True)


if __name__ == "__main__":
    main()
