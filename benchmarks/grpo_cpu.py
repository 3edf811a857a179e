"""Where the time of a GRPO step on a CPU goes, and what each way to spare some of it gives, against stock TRL.

    python benchmarks/grpo_cpu.py --model PATH --steps 2 --threads 2 --out grpo_cpu

One run: the trainers take turns in one process, on the same weights, prompts, batch and seed, and each line is set
against stock TRL and against the line that it adds to. Completions differ from line to line in length, so ratios are
of seconds per completion token. Rewards are drawn from the completions' tokens, and a share of the groups (`--signal`)
has a difference in them: it is what `skip_zero_advantage` depends on. Writes OUT.json and OUT.md anew after each line.
A small step before all, and the first one with vLLM or torch.compile, are not counted.
`--random` makes a model of the shape of SmolLM2-135M, which never ends a completion by itself.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import random
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer

from r1hf.models.loading import load_tokenizer
from r1hf.stage.libraries import quiet_libraries, set_threads
from r1hf.text.chat_templates import chat_template
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer
from r1hf.world.corpus import vocabulary_texts
from r1hf.world.models import train_tokenizer

PARTS = ("generate", "reload", "logprobs", "forward and backward", "optimizer")
NO_EXTRAS = {"step_metrics": False, "log_rollouts": False}
SAVING = ("compact_generation", "share_prompts", "skip_zero_advantage")
NONE, ALL = dict.fromkeys(SAVING, False), dict.fromkeys(SAVING, True)
VLLM = {"rollout_engine": "vllm_colocate"}
NGRAM = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3, "prompt_lookup_min": 2}
STOCK = "stock TRL"
# name -> (the line that it adds to, settings beside the common ones); `weights` and `lora` are the benchmark's own.
ARMS: dict[str, tuple[str, dict[str, Any]]] = {
    STOCK: (STOCK, {}),
    "r1hf, nothing on": (STOCK, NONE),
    "+ compact_generation": ("r1hf, nothing on", {**NONE, "compact_generation": True}),
    "+ share_prompts": ("+ compact_generation", {**ALL, "skip_zero_advantage": False}),
    "+ skip_zero_advantage": ("+ share_prompts", ALL),
    "+ bf16 weights": ("+ skip_zero_advantage", {**ALL, "weights": "bfloat16"}),
    "+ torch.compile": ("+ bf16 weights", {**ALL, "weights": "bfloat16", "torch_compile": True}),
    "+ vLLM rollouts": ("+ bf16 weights", {**ALL, "weights": "bfloat16", **VLLM}),
    "+ LoRA": ("+ vLLM rollouts", {**ALL, "weights": "bfloat16", "lora": True, **VLLM}),
    "float32 weights, vLLM rollouts": ("+ skip_zero_advantage", {**ALL, **VLLM}),
    # Last: numba, which it brings, has threads of its own and slows what comes after it.
    "+ n-gram speculation": (
        "+ vLLM rollouts",
        {**ALL, "weights": "bfloat16", **VLLM, "vllm": {"speculative_config": NGRAM}},
    ),
}
COMMON: dict[str, Any] = {
    **{"num_generations": 8, "learning_rate": 1e-6, "lr_scheduler_type": "constant", "beta": 0.0, "temperature": 1.0},
    **{"loss_type": "dapo", "scale_rewards": "group", "num_iterations": 1, "logging_steps": 1, "top_k": 0},
    **{
        "use_cpu": True,
        "sync_ref_model": False,
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": "none",
    },
    **{"disable_tqdm": True, "seed": 42, "vllm_importance_sampling_mode": "token_truncate"},
}


class Clock(TrainerCallback):
    """Seconds of each step but the first `warm`, and of their parts."""

    def __init__(self, warm: int) -> None:
        self.warm, self.steps = warm, list[float]()
        self.parts: dict[str, float] = defaultdict(float)
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps.append(time.perf_counter() - self._began)
        if self.warm:
            self.warm -= 1
            self.steps.clear()
            self.parts.clear()

    def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any) -> None:
        self.time(optimizer, "step", "optimizer")

    def time(self, owner: Any, name: str, part: str, inside: str | None = None) -> None:
        """Adds what a method takes to a part, and takes it off the part within which it is called."""
        method = getattr(owner, name)

        @functools.wraps(method)  # a learning-rate schedule looks for its own mark on `step`
        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments, **named)
            finally:
                seconds = time.perf_counter() - began
                self.parts[part] += seconds
                if inside is not None:
                    self.parts[inside] -= seconds

        setattr(owner, name, timed)

    def attach(self, trainer: GRPOTrainer) -> None:
        trainer.add_callback(self)
        self.time(trainer, "training_step", "forward and backward")
        self.time(trainer, "_prepare_inputs", "other", inside="forward and backward")
        self.time(trainer, "_generate_single_turn", "generate", inside="other")
        if trainer.use_vllm:
            self.time(trainer.vllm_generation, "sync_weights", "reload", inside="generate")
        logps = trainer._get_per_token_logps_and_entropies

        def scored(*arguments: Any, **named: Any) -> Any:
            if torch.is_grad_enabled():
                return logps(*arguments, **named)
            began = time.perf_counter()
            made = logps(*arguments, **named)
            self.parts["logprobs"] += time.perf_counter() - began
            self.parts["other"] -= time.perf_counter() - began
            return made

        trainer._get_per_token_logps_and_entropies = scored


def reward(signal: float) -> Callable[..., list[float]]:
    """0 or 1 by a completion's tokens; 0 for the whole group in all but a share `signal` of the groups."""

    def drawn(prompts: list[Any], completion_ids: list[list[int]], **columns: Any) -> list[float]:
        has = [zlib.crc32(str(prompt).encode()) % 1000 < 1000 * signal for prompt in prompts]
        return [float(one and zlib.crc32(str(ids).encode()) % 2) for one, ids in zip(has, completion_ids, strict=True)]

    return drawn


def prompts(count: int, examples: int) -> Dataset:
    """Questions of two sums, after `examples` worked ones."""
    draw = random.Random(5)

    def asked(answered: bool) -> str:
        a, b, c = (draw.randint(10, 99) for _ in range(3))
        answer = f"<think>{a} + {b} = {a + b}; {a + b} + {c} = {a + b + c}</think><answer>{a + b + c}</answer>"
        return f"Question: what is {a} + {b} + {c}?\n" + (answer + "\n" if answered else "Think, then answer.")

    texts = ["".join(asked(True) for _ in range(examples)) + asked(False) for _ in range(count)]
    return Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in texts])


def random_model(directory: Path, small: bool) -> str:
    """A model of SmolLM2-135M's shape, or a small one, with random weights and the tiny world's tokenizer."""
    tokenizer = train_tokenizer(vocabulary_texts(1, 300), 512)
    tokenizer.chat_template = chat_template()
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 1024}
    if not small:
        shape = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "vocab_size": 49152}
    heads = {"num_attention_heads": shape["hidden_size"] // 64 * (2 if small else 1), "num_key_value_heads": 1}
    heads |= {} if small else {"num_key_value_heads": 3}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**shape, **heads, **ends, tie_word_embeddings=True)).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return str(directory)


@contextmanager
def trainer_of(name: str, options: argparse.Namespace, steps: int, directory: str) -> Iterator[GRPOTrainer]:
    """The trainer of one line; its memory is given back afterwards."""
    given = dict(ARMS[name][1])
    stock = name == STOCK
    weights, lora = given.pop("weights", "float32"), given.pop("lora", False)
    kind, config = (GRPOTrainer, GRPOConfig) if stock else (R1GRPOTrainer, R1GRPOConfig)
    args = config(
        output_dir=directory,
        max_steps=steps,
        per_device_train_batch_size=options.batch,
        max_completion_length=options.tokens,
        model_init_kwargs={"dtype": weights},
        bf16=options.autocast and weights == "float32",
        **COMMON,
        **({} if stock else {**NO_EXTRAS, **given}),
    )
    trainer = kind(
        model=options.model,
        reward_funcs=reward(options.signal),
        args=args,
        train_dataset=prompts(steps * options.batch, options.examples),
        processing_class=load_tokenizer(options.model),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear") if lora else None,
    )
    trainer.remove_callback(PrinterCallback)
    try:
        yield trainer
    finally:
        trainer.model = trainer.optimizer = None
        del trainer
        gc.collect()


def measure(name: str, options: argparse.Namespace, directory: str) -> dict[str, Any]:
    """Seconds a step, their split and what was made, or the reason why this line could not run."""
    warm = int("rollout_engine" in ARMS[name][1] or "torch_compile" in ARMS[name][1])
    clock, began = Clock(warm), time.perf_counter()
    try:
        with trainer_of(name, options, options.steps + warm, directory) as trainer:
            clock.attach(trainer)
            start = time.perf_counter() - began
            trainer.train()
            rows = [row for row in trainer.state.log_history if "completions/mean_length" in row][warm:]
    except Exception as error:  # the other lines are worth having
        return {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    tokens = sum(row["completions/mean_length"] for row in rows) / len(rows) * options.batch
    ratios = [
        row["sampling/importance_sampling_ratio/mean"]
        for row in rows
        if "sampling/importance_sampling_ratio/mean" in row
    ]
    split = {part: clock.parts[part] / len(clock.steps) for part in PARTS if clock.parts[part] > 0}
    seconds = sum(clock.steps) / len(clock.steps)
    split["other"] = seconds - sum(split.values())
    return {
        **{"seconds": seconds, "steps": clock.steps, "start": start, "split": split, "tokens": tokens},
        **{"per_token": seconds / tokens, "importance_ratio": sum(ratios) / len(ratios) if ratios else None},
    }


def table(found: Mapping[str, Any], options: argparse.Namespace) -> str:
    """The lines as Markdown."""
    said = f"{options.batch} completions of at most {options.tokens} tokens, {options.steps} steps a line"
    lines = [
        f"{options.name}: {said}, {options.threads} threads, torch {torch.__version__}; seconds.",
        "",
        "| | step | tokens | against stock | against the line before | "
        + " | ".join([*PARTS, "other"])
        + " | ratio |",
        "|---|" + "--:|" * (len(PARTS) + 6),
    ]
    for name, row in found.items():
        if "failed" in row:
            lines.append(f"| {name} | {row['failed']} |" + " |" * (len(PARTS) + 5))
            continue
        gains = [found.get(other, {}).get("per_token") for other in (STOCK, ARMS[name][0])]
        shown = [f"{gain / row['per_token']:.2f}" if gain else "" for gain in gains]
        split = [f"{row['split'][part]:.2f}" if part in row["split"] else "" for part in (*PARTS, "other")]
        ratio = f"{row['importance_ratio']:.3f}" if row["importance_ratio"] is not None else ""
        cells = [name, f"{row['seconds']:.2f}", f"{row['tokens']:.0f}", *shown, *split, ratio]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a directory with a causal language model and its tokenizer")
    parser.add_argument("--random", choices=("smollm2-135m", "small"), help="random weights of this shape instead")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32, help="completions of a step, in groups of 8")
    parser.add_argument("--tokens", type=int, default=48, help="most tokens of a completion")
    parser.add_argument("--examples", type=int, default=0, help="worked examples before each question")
    parser.add_argument("--signal", type=float, default=0.5, help="share of groups whose rewards differ")
    parser.add_argument(
        "--no-autocast", dest="autocast", action="store_false", help="float32 weights: no bf16 autocast"
    )
    parser.add_argument("--lines", nargs="+", choices=ARMS, help="these only; none: all but torch.compile")
    parser.add_argument("--out", type=Path, default=Path("grpo_cpu"), help="OUT.json and OUT.md")
    options = parser.parse_args()
    if (options.model is None) == (options.random is None):
        parser.error("give --model or --random")
    return options


def main() -> None:
    options = parsed()
    set_threads(options.threads)
    quiet_libraries()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    names = options.lines or [name for name in ARMS if name != "+ torch.compile"]
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        options.name = options.random or Path(options.model).name
        if options.random:
            options.model = random_model(Path(directory) / "model", options.random == "small")
        warm_up = {**vars(options), "steps": 1, "batch": 8, "tokens": 8}
        measure(STOCK, argparse.Namespace(**warm_up), directory)
        for name in names:
            found[name] = measure(name, options, directory)
            print(f"{name}: {found[name].get('failed') or round(found[name]['seconds'], 2)}", flush=True)
            settings = {key: value for key, value in vars(options).items() if key not in ("out", "model")}
            text = json.dumps({"settings": settings, "lines": found}, indent=2, default=str)
            options.out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
            options.out.with_suffix(".md").write_text(table(found, options), encoding="utf-8")
    print(table(found, options))


if __name__ == "__main__":
    main()
