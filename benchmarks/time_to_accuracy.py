"""Time to accuracy of GRPO in the tiny world: stock TRL against r1hf, same base, prompts, rewards and batch.

  python benchmarks/time_to_accuracy.py --base runs/tiny/base --seconds 300 --seeds 42 7 1

Each run trains in a process of its own, on one thread, for so many seconds of processor time, so that other work on
the machine does not count; the clock stands still during evaluation, which is pass@1 at temperature 1.0 over the
held-out problems, four samples each at the end. The learning rate falls linearly to zero over the budget. Stock TRL
gets the best of its rates, by a sixth of the time for each; r1hf takes the same rate, loss and clipping, does less for
the same step (`r1hf.trainers.work_saving`), and gets half of the time, then all of it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

COMMON: dict[str, Any] = {
    "per_device_train_batch_size": 128,
    "num_generations": 8,
    "max_completion_length": 48,
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 10,
}


def make_trainer(options: argparse.Namespace, settings: dict[str, Any], directory: str, tokenizer: Any) -> Any:
    """Stock TRL's trainer or r1hf's, with the same model, prompts and rewards."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from r1hf.rewards import accuracy_reward, format_reward
    from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer
    from r1hf.trainers.rl import shuffled

    stock = settings.pop("variant", "stock") == "stock"
    trainer_class, config_class = (GRPOTrainer, GRPOConfig) if stock else (R1GRPOTrainer, R1GRPOConfig)
    args = config_class(
        output_dir=directory, seed=options.seed, max_steps=100_000, lr_scheduler_type="constant", **settings
    )
    return trainer_class(
        model=options.base,
        reward_funcs=[accuracy_reward, format_reward],
        args=args,
        train_dataset=Dataset.from_list(shuffled(problems(options, "train"), options.seed)),
        processing_class=tokenizer,
    )


def problems(options: argparse.Namespace, split: str) -> list[dict[str, Any]]:
    from r1hf.data.rows import load_rows
    from r1hf.trainers.rl import prompt_rows

    rows = load_rows(f"{options.base}/data/{split}.jsonl")
    return prompt_rows(rows, {"en": "r1_zero_short_en", "zh": "r1_zero_short_zh"})


def one(options: argparse.Namespace) -> None:
    """Trains one variant and prints its curve as JSON."""
    import torch

    torch.set_num_threads(1)
    from clock import ProcessorClock, pass_at_1

    from r1hf.models.loading import load_tokenizer
    from r1hf.stage.libraries import quiet_libraries, set_seed

    quiet_libraries()
    tokenizer, held_out = load_tokenizer(options.base), problems(options, "held_out")
    prompts = [row["prompt"] for row in held_out]

    def score(model: Any, last: bool) -> Any:
        return pass_at_1(model, tokenizer, held_out, prompts, 4 if last else 1, COMMON["max_completion_length"])

    set_seed(options.seed)
    clock = ProcessorClock(options.seconds, options.every, score)
    with tempfile.TemporaryDirectory() as directory:
        trainer = make_trainer(options, {**COMMON, **json.loads(options.set)}, directory, tokenizer)
        clock.attach(trainer)
        trainer.train()
    log = [row for row in trainer.state.log_history if "reward" in row]
    keys = ("frac_reward_zero_std", "entropy", "completions/mean_length", "step_time", "grad_norm", "reward")
    shown = [{key: round(row[key], 4) for key in keys if row.get(key) is not None} for row in log]
    shown = shown[:: max(1, len(shown) // 12)]
    print(json.dumps({"set": options.set, "seed": options.seed, "curve": clock.curve, "log": shown}))


ECONOMY = ("compact_generation", "share_prompts", "skip_zero_advantage")
R1HF = {"variant": "r1hf", "loss_type": "dapo", "beta": 0.0, "sync_ref_model": False, "epsilon": 0.2,
        "log_rollouts": False, "step_metrics": False}  # fmt: skip
RATES = (1e-4, 2e-4, 4e-4)


def run(options: argparse.Namespace, name: str, seconds: float, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    """One training in its own process; its curve, also appended to `--out`."""
    words = ["--one", f"--base={options.base}", f"--seconds={seconds}", f"--every={options.every}", f"--seed={seed}"]
    command = [sys.executable, __file__, *words, f"--set={json.dumps(settings)}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result = {"name": name, "budget": seconds, **json.loads(done.stdout.splitlines()[-1])}
    with Path(options.out).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(result) + "\n")
    end = result["curve"][-1]
    score = f"{100 * end['pass_at_1']:.1f} ± {100 * end['error']:.1f}"
    print(f"| {name} | {seed} | {end['seconds']:.0f} s | {end['step']} | {score} |", flush=True)
    return result


def compare(options: argparse.Namespace) -> None:
    """Prints the table, row by row."""
    print("| run | seed | training | steps | pass@1 |\n|---|--:|--:|--:|--:|")
    sixth, first = options.seconds / 6, options.seeds[0]
    rates = {lr: run(options, f"stock TRL, {lr:g}", sixth, first, {"learning_rate": lr}) for lr in RATES}
    best = max(rates, key=lambda lr: rates[lr]["curve"][-1]["pass_at_1"])
    ours = {**R1HF, "learning_rate": best}
    for kept in ((), *((name,) for name in ECONOMY), ECONOMY):
        keys = {name: name in kept for name in ECONOMY}
        run(options, "r1hf: " + (", ".join(kept) or "nothing on"), sixth, first, {**ours, **keys})
    everything = {**ours, **dict.fromkeys(ECONOMY, True)}
    for seed in options.seeds:
        run(options, "stock TRL", options.seconds, seed, {"learning_rate": best})
        for seconds in (options.seconds / 2, options.seconds):
            run(options, "r1hf", seconds, seed, everything)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="runs/tiny/base")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--every", type=float, default=30, help="seconds of training between evaluations")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 7, 1])
    parser.add_argument("--out", default="time_to_accuracy.jsonl")
    parser.add_argument("--one", action="store_true", help="one training, described by --seed and --set")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--set", default="{}")
    options = parser.parse_args()
    one(options) if options.one else compare(options)


if __name__ == "__main__":
    main()
