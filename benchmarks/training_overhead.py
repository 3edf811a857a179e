"""What r1hf adds to a step of stock `trl.GRPOTrainer`: wrapper alone, metrics, metrics and rollouts on disk.

    python benchmarks/training_overhead.py --model runs/tiny/base --steps 60

All trainers live in one process, have the same weights, data, rewards and batch, and take turns step by step in an
order drawn anew for each round. Each step is seeded, so all sample the same completions (checked): a ratio is between
two steps of equal work that ran within seconds of each other. A step is everything from its begin to the next one's:
batch, generation, rewards, loss, optimizer, log. The first rounds and the last one are left out.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import TrainerCallback, set_seed
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from r1hf.data.rows import load_rows
from r1hf.models.loading import load_tokenizer
from r1hf.rewards import accuracy_reward, format_reward, language_consistency_reward
from r1hf.rewards.guard import guarded
from r1hf.stage.libraries import quiet_libraries
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer
from r1hf.trainers.rl import prompt_rows
from r1hf.trainers.rollouts import RolloutLog
from r1hf.trainers.step_metrics import Measured

WARM = 4
TEMPLATES = {"en": "r1_zero_short_en", "zh": "r1_zero_short_zh"}
SAME_WORK = dict.fromkeys(("compact_generation", "share_prompts", "skip_zero_advantage"), False)
OFF = {**SAME_WORK, "step_metrics": False, "log_rollouts": False}
ARMS: dict[str, tuple[Callable[..., GRPOTrainer], type[GRPOConfig], dict[str, Any]]] = {
    "stock trl.GRPOTrainer": (GRPOTrainer, GRPOConfig, {}),
    "r1hf, extras off": (R1GRPOTrainer, R1GRPOConfig, OFF),
    "r1hf, metrics": (R1GRPOTrainer, R1GRPOConfig, {**OFF, "step_metrics": True}),
    "r1hf, metrics and rollouts": (
        R1GRPOTrainer,
        R1GRPOConfig,
        {**SAME_WORK, "step_metrics": True, "log_rollouts": True},
    ),
}
SETTINGS = {
    **{"per_device_train_batch_size": 128, "num_generations": 8, "max_completion_length": 48, "learning_rate": 3e-4},
    **{"warmup_steps": 5, "lr_scheduler_type": "linear", "beta": 0.001, "epsilon": 10.0, "loss_type": "grpo"},
    **{"scale_rewards": "group", "importance_sampling_level": "token", "use_bias_correction_kl": False},
    **{"num_iterations": 1, "temperature": 1.0, "sync_ref_model": True, "ref_model_sync_steps": 400},
    **{"ref_model_mixup_alpha": 1.0, "adam_beta2": 0.95, "optim": "adamw_torch_fused", "logging_steps": 1},
    **{"reward_weights": [1.0, 1.0, 0.0], "use_cpu": True, "bf16": False, "gradient_checkpointing": False},
    **{"save_strategy": "no", "report_to": "none", "disable_tqdm": True, "seed": 42},
}


class Turn(TrainerCallback):
    """Holds its trainer before each step until it is its turn, and times the step up to the next one."""

    def __init__(self) -> None:
        self.go, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.seconds: list[float] = []
        self.processor: list[float] = []  # of all threads: nobody else runs while it is this trainer's turn
        self._began: tuple[float, float] | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.end()
        self.go.acquire()
        set_seed(1000 + state.global_step)
        self._began = time.perf_counter(), time.process_time()

    def end(self) -> None:
        if self._began is not None:
            self.seconds.append(time.perf_counter() - self._began[0])
            self.processor.append(time.process_time() - self._began[1])
            self._began = None
        self.done.release()


def time_own_methods() -> dict[str, list[float]]:
    """Collects the processor seconds of what r1hf adds, call by call; `_write` runs in a thread of its own."""
    spent: dict[str, list[float]] = {}
    own = [(Measured, "measure"), (Measured, "_count_ratio"), (Measured, "_row_metrics"), (RolloutLog, "_write")]
    for owner, name in own:
        setattr(owner, name, _timed(getattr(owner, name), spent.setdefault(name, [])))
    return spent


def _timed(method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.thread_time()
        try:
            return method(*arguments, **named)
        finally:
            seconds.append(time.thread_time() - began)

    return timed


class Arm:
    def __init__(self, name: str, model: str, rows: Dataset, steps: int, directory: Path):
        kind, config, extras = ARMS[name]
        self.turn, self.failure = Turn(), None
        self.trainer = kind(
            model=model,
            reward_funcs=[guarded(reward) for reward in (accuracy_reward, format_reward, language_consistency_reward)],
            args=config(
                output_dir=str(directory / name.replace(" ", "_")),
                max_steps=steps,
                model_init_kwargs={"dtype": "float32"},
                **SETTINGS,
                **extras,
            ),
            train_dataset=rows,
            processing_class=load_tokenizer(model),
        )
        self.trainer.remove_callback(PrinterCallback)
        self.trainer.add_callback(self.turn)
        self.thread = threading.Thread(target=self._train, daemon=True)

    def _train(self) -> None:
        try:
            self.trainer.train()
        except BaseException as error:
            self.failure = error
        self.turn.end()

    def step(self) -> None:
        self.turn.go.release()
        self.turn.done.acquire()
        if self.failure is not None:
            raise self.failure


def measure(model: str, steps: int, directory: Path) -> dict[str, Arm]:
    data = load_rows(str(Path(model) / "data" / "train.jsonl"))
    rows = Dataset.from_list(prompt_rows(random.Random(42).sample(data, min(len(data), 2000)), TEMPLATES))
    arms = {name: Arm(name, model, rows, steps, directory) for name in ARMS}
    for arm in arms.values():
        arm.thread.start()
        arm.turn.done.acquire()  # it stands before its first step
    order = random.Random(7)
    for _ in range(steps):
        for arm in order.sample(list(arms.values()), len(arms)):
            arm.step()
    for arm in arms.values():
        arm.thread.join()
    return arms


def check_equal_work(arms: dict[str, Arm]) -> None:
    """Raises SystemExit where two trainers did not sample the same completions."""
    seen = {
        name: [
            (row["completions/mean_length"], row["reward"]) for row in arm.trainer.state.log_history if "reward" in row
        ]
        for name, arm in arms.items()
    }
    first, *others = seen.values()
    for name, other in zip(list(seen)[1:], others, strict=True):
        for step, (one, two) in enumerate(zip(first, other, strict=True), 1):
            if one != two:
                raise SystemExit(f"{name}: step {step} had other completions ({two}) than stock ({one})")


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median with its 95% interval, by resampling."""
    draw = random.Random(3)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(2000))
    return statistics.median(values), medians[50], medians[-51]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="runs/tiny/base", help="what recipes/base.py made, with its data")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet_libraries()
    spent = time_own_methods()
    with tempfile.TemporaryDirectory() as directory:
        arms = measure(options.model, options.steps, Path(directory))
    check_equal_work(arms)
    for clock in ("seconds", "processor"):
        times = {name: getattr(arm.turn, clock)[WARM:-1] for name, arm in arms.items()}
        stock = times["stock trl.GRPOTrainer"]
        what = "wall clock" if clock == "seconds" else "processor time"
        print(f"\n{what}, {len(stock)} pairs each, {options.threads} threads, torch {torch.__version__}\n")
        print(
            "| trainer | step, median | against stock, median of the pairs | 95% interval | middle half of the pairs |"
        )
        print("|---|---|---|---|---|")
        for name, seconds in times.items():
            ratios = [one / two for one, two in zip(seconds, stock, strict=True)]
            middle, low, high = spread(ratios)
            quarter = statistics.quantiles(ratios, n=4)
            shown = f"{middle:.3f} | {low:.3f}–{high:.3f} | {quarter[0]:.3f}–{quarter[2]:.3f}"
            print(f"| {name} | {1000 * statistics.median(seconds):.0f} ms | {shown} |")
    steps = 2 * options.steps  # of the two trainers that log; one of them writes rollouts
    print("\nprocessor time inside what r1hf adds, ms a step:")
    for name, calls in spent.items():
        wanted = steps // 2 if name == "_write" else steps
        print(f"  {name}: {1000 * sum(calls) / wanted:.2f}")


if __name__ == "__main__":
    main()
