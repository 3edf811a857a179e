"""Distillation of the tiny world's students, at equal processor time: fine-tuning, on-policy, and direct RL.

  python benchmarks/distillation.py --run runs/tiny --student runs/tiny/student_qwen_base --seeds 42 7 1

`--run` is a trained tiny run: its R1 is the teacher, its mix is what is fine-tuned on, its training problems are the
prompts. For each seed, from the student's base: SFT for S seconds (`--sft`); SFT for S + B; SFT for S and then
distillation on the student's own text for B (`--more`), by one vocabulary or across tokenizers as the two allow; and
RL on the base for S + B. Each training is a process of its own on one thread and counts its own processor time; the
learning rate falls linearly to zero over its budget. pass@1: held-out problems, four samples each at temperature 1.0.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COMMON: dict[str, Any] = {
    **{"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "report_to": "none"},
    **{"disable_tqdm": True, "logging_steps": 10, "adam_beta2": 0.95, "optim": "adamw_torch_fused"},
    **{"max_steps": 100_000, "lr_scheduler_type": "constant"},
}
LENGTH = 64  # tokens of a completion, in training and in evaluation
SETTINGS: dict[str, dict[str, Any]] = {
    "sft": {"learning_rate": 3e-3, "per_device_train_batch_size": 64, "max_length": 192},
    "on_policy": {"learning_rate": 3e-4, "per_device_train_batch_size": 64, "max_completion_length": LENGTH},
    "rl": {
        **{"learning_rate": 3e-4, "per_device_train_batch_size": 128, "num_generations": 8, "beta": 0.0},
        **{"max_completion_length": LENGTH, "sync_ref_model": False, "log_rollouts": False, "step_metrics": False},
    },
}


def make_trainer(kind: str, model: str, run: Path, tokenizer: Any, args: dict[str, Any], seed: int) -> Any:
    """The trainer of a recipe, without a stage around it."""
    from datasets import Dataset

    from r1hf.data.rows import load_rows
    from r1hf.trainers.rl import prompt_rows, shuffled

    rows = load_rows(str(run / "rejection_sampling/data.jsonl" if kind == "sft" else run / "base/data/train.jsonl"))
    rows = shuffled(rows, seed)
    if kind == "sft":
        from r1hf.trainers.sft import R1SFTConfig, R1SFTTrainer
        from r1hf.trainers.sft_rows import sft_dataset

        config = R1SFTConfig(**args, model_init_kwargs={"dtype": "float32"})
        return R1SFTTrainer(model=model, args=config, train_dataset=sft_dataset(rows), processing_class=tokenizer)
    if kind == "rl":
        from r1hf.rewards import accuracy_reward, format_reward
        from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer

        template = {"en": "r1_zero_short_en", "zh": "r1_zero_short_zh"}
        return R1GRPOTrainer(
            model=model,
            reward_funcs=[accuracy_reward, format_reward],
            args=R1GRPOConfig(**args, model_init_kwargs={"dtype": "float32"}),
            train_dataset=Dataset.from_list(prompt_rows(rows, template)),
            processing_class=tokenizer,
        )
    from r1hf.models.loading import load_tokenizer
    from r1hf.trainers import on_policy_distillation as distil
    from r1hf.trainers.on_policy import R1OnPolicyConfig

    stage = distil.OnPolicyStageConfig(output_dir="", model=model, teacher=str(run / "r1"), prompts="")
    method = distil.choose(stage, tokenizer, load_tokenizer(stage.teacher))
    return distil.make_trainer(stage, R1OnPolicyConfig(**args), rows, tokenizer, method)


def one(options: argparse.Namespace) -> None:
    """One training, or with 0 seconds none, and its pass@1, as JSON."""
    import torch

    torch.set_num_threads(1)
    from clock import ProcessorClock, pass_at_1
    from transformers.trainer_callback import PrinterCallback

    from r1hf.data.rows import load_rows
    from r1hf.models.loading import load_model, load_tokenizer, save_model
    from r1hf.stage.libraries import quiet_libraries, set_seed

    quiet_libraries()
    run, tokenizer = Path(options.run), load_tokenizer(options.model)
    held_out = load_rows(str(run / "base/data/held_out.jsonl"))
    turns = [[{"role": "user", "content": row["question"]}] for row in held_out]
    prompts = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)

    def score(model: Any, last: bool) -> Any:
        return pass_at_1(model, tokenizer, held_out, prompts, options.samples if last else 1, LENGTH)

    set_seed(options.seed)
    if not options.seconds:
        mean, error = score(load_model(options.model), True)
        print(json.dumps({"seconds": 0, "step": 0, "pass_at_1": mean, "error": error}))
        return
    clock = ProcessorClock(options.seconds, options.every or options.seconds, score)
    with tempfile.TemporaryDirectory() as directory:
        args = {**COMMON, **SETTINGS[options.kind], **json.loads(options.set)}
        args |= {"output_dir": directory, "seed": options.seed}
        trainer = make_trainer(options.kind, options.model, run, tokenizer, args, options.seed)
        trainer.remove_callback(PrinterCallback)
        clock.attach(trainer)
        trainer.train()
    if options.save:
        save_model(trainer.model, tokenizer, Path(options.save))
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    print(json.dumps({**clock.curve[-1], "curve": clock.curve, "losses": losses[:: max(1, len(losses) // 10)]}))


def run(
    options: argparse.Namespace, kind: str, model: str, seconds: float, seed: int, save: str = "", **more: Any
) -> dict[str, Any]:
    """One training in its own process; its result, also appended to `--out`."""
    words = [f"--run={options.run}", f"--model={model}", f"--seconds={seconds}", f"--seed={seed}", f"--kind={kind}"]
    words += [
        f"--set={json.dumps(more)}",
        f"--save={save}",
        f"--every={options.every}",
        f"--samples={options.samples}",
    ]
    done = subprocess.run([sys.executable, __file__, "--one", *words], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    with Path(options.out).open("a", encoding="utf-8") as stream:
        stream.write(
            json.dumps({"kind": kind, "model": model, "seed": seed, "budget": seconds, **more, **found}) + "\n"
        )
    return found


def compare(options: argparse.Namespace) -> None:
    """Prints the table of one student, row by row, then the means over seeds."""
    print("| run | seed | training | steps | pass@1 |\n|---|--:|--:|--:|--:|")
    kept: dict[str, list[float]] = {}

    def show(name: str, seed: int, found: dict[str, Any], before: float = 0.0) -> None:
        kept.setdefault(name, []).append(found["pass_at_1"])
        score = f"{100 * found['pass_at_1']:.1f} ± {100 * found['error']:.1f}"
        print(f"| {name} | {seed} | {before + found['seconds']:.0f} s | {found['step']} | {score} |", flush=True)

    for name, model in (("teacher", f"{options.run}/r1"), ("base", options.student)):
        show(name, 0, run(options, "sft", model, 0, 0))
    short, more = options.sft, options.more
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as directory:
            show("SFT", seed, run(options, "sft", options.student, short, seed, directory))
            show("SFT, then on-policy", seed, run(options, "on_policy", directory, more, seed), short)
        show("SFT, longer", seed, run(options, "sft", options.student, short + more, seed))
        if not options.without_rl:
            show("direct RL", seed, run(options, "rl", options.student, short + more, seed))
    print("\n| run | pass@1, mean over seeds |\n|---|--:|")
    for name, scores in kept.items():
        print(f"| {name} | {mean_text(scores)} |")


def mean_text(scores: Sequence[float]) -> str:
    """The mean in percent with its standard error over seeds, where there are several."""
    mean = sum(scores) / len(scores)
    if len(scores) == 1:
        return f"{100 * mean:.1f}"
    error = math.sqrt(sum((score - mean) ** 2 for score in scores) / (len(scores) - 1) / len(scores))
    return f"{100 * mean:.1f} ± {100 * error:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/tiny")
    parser.add_argument("--student", default="runs/tiny/student_qwen_base", help="the student's base")
    parser.add_argument("--sft", type=float, default=40, help="seconds of fine-tuning")
    parser.add_argument("--more", type=float, default=40, help="seconds of what comes after it")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 7, 1])
    parser.add_argument("--without-rl", action="store_true")
    parser.add_argument("--every", type=float, default=0, help="seconds between evaluations; 0: at the end only")
    parser.add_argument("--samples", type=int, default=4, help="of each held-out problem, at the end")
    parser.add_argument("--out", default="distillation.jsonl")
    parser.add_argument("--one", action="store_true", help="one training, described by the options below")
    parser.add_argument("--kind", choices=SETTINGS, default="sft")
    parser.add_argument("--model", default="")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--save", default="")
    parser.add_argument("--set", default="{}")
    options = parser.parse_args()
    one(options) if options.one else compare(options)


if __name__ == "__main__":
    main()
