"""`r1hf plan`'s prediction beside what a step takes: memory, step time and tokens a second, r1hf and stock TRL.

Each case is a process of its own, which trains a model with random weights for a few steps. With a GPU the shapes
are Qwen2.5-0.5B and 1.5B under bf16 autocast, and the peak is torch's; on the CPU the shapes are small, in float32,
and the peak is the process's resident memory above what it had before the model was loaded.

  python benchmarks/plan.py                       all cases of this machine
  python benchmarks/plan.py --only sft --trainer r1hf
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from r1hf.core.gpus import DEVICES, GIB, Device
from r1hf.models.shapes import BUILT_IN, from_config
from r1hf.preflight.estimate import peak_memory as memory
from r1hf.preflight.estimate import step_time as times
from r1hf.preflight.estimate.workload import Job

STEPS = 3
_SMALL = {"model_type": "qwen2", "hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 8}
_SMALL |= {"num_key_value_heads": 2, "num_hidden_layers": 8, "vocab_size": 16384, "max_position_embeddings": 4096}
SHAPES = {
    "tiny": _SMALL
    | {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 2048,
    },
    "wide": _SMALL
    | {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 6, "num_attention_heads": 12},
    "deep": _SMALL | {"num_hidden_layers": 16, "tie_word_embeddings": True, "num_key_value_heads": 8},
    "large vocabulary": _SMALL | {"vocab_size": 65536, "num_hidden_layers": 4, "tie_word_embeddings": True},
}
# name: kind, shape, rows of a micro-batch, accumulation, prompt and completion tokens, checkpointing, reference
CPU = {
    "sft, wide": ("sft", "wide", 4, 1, 0, 384, False, False),
    "sft, deep, checkpointing": ("sft", "deep", 8, 1, 0, 384, True, False),
    "sft, large vocabulary, 2 accumulated": ("sft", "large vocabulary", 4, 2, 0, 384, False, False),
    "grpo, wide": ("grpo", "wide", 16, 1, 48, 80, False, True),
    "grpo, deep, no reference": ("grpo", "deep", 16, 1, 48, 80, False, False),
    "grpo, large vocabulary, 2 accumulated": ("grpo", "large vocabulary", 16, 2, 48, 80, False, True),
}
GPU = {
    "sft, 0.5B": ("sft", "Qwen2.5-0.5B", 4, 1, 0, 2048, False, False),
    "sft, 0.5B, checkpointing": ("sft", "Qwen2.5-0.5B", 8, 1, 0, 4096, True, False),
    "sft, 1.5B, checkpointing": ("sft", "Qwen2.5-1.5B", 8, 1, 0, 2048, True, False),
    "grpo, 0.5B": ("grpo", "Qwen2.5-0.5B", 16, 2, 128, 512, False, True),
    "grpo, 1.5B, checkpointing": ("grpo", "Qwen2.5-1.5B", 16, 2, 128, 512, True, True),
}


def job_of(case: tuple[Any, ...], gpu: bool) -> Job:
    """What `r1hf plan` would predict of the case."""
    kind, shape, rows, accumulation, prompt, completion, checkpointing, reference = case
    config = SHAPES.get(shape) or BUILT_IN[shape]
    return Job(
        kind=kind,
        shape=from_config(config, shape),
        micro_batch=rows,
        accumulation=accumulation,
        prompt=prompt,
        completion=completion,
        mean_completion=completion,
        generation_batch=rows * accumulation,
        bf16=gpu,
        checkpointing=checkpointing,
        reference=reference,
    )


def make_model(directory: Path, shape: str) -> None:
    """Random weights and a tokenizer of one token a word."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    config = dict(SHAPES.get(shape) or BUILT_IN[shape])
    count = config["vocab_size"]
    torch.manual_seed(0)
    ends = {"eos_token_id": 0, "pad_token_id": 1, "bos_token_id": None}
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config, **ends), trust_remote_code=False)
    model.save_pretrained(directory)
    words = {"<end>": 0, "<pad>": 1} | {f"w{number}": number for number in range(2, count)}
    raw = Tokenizer(models.WordLevel(words, unk_token="w2"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<pad>").save_pretrained(directory)


def spread(completions: list[str], **kwargs: Any) -> list[float]:
    """A reward that differs within a group."""
    return [float(sum(map(ord, text)) % 7) for text in completions]


def attention_of(model: Any, tokens: int, gpu: bool) -> list[str]:
    """The attention that the model asks for, and the kernels that PyTorch takes for an unpadded row of `tokens`."""
    import torch

    row = torch.full((1, tokens), 2, device=model.device)
    with (
        torch.no_grad(),
        torch.autocast(model.device.type, torch.bfloat16, enabled=gpu),
        torch.profiler.profile() as seen,
    ):
        model(input_ids=row, use_cache=False)
    kernels = {event.key for event in seen.key_averages() if event.key.startswith("aten::_scaled_dot_product")}
    return [str(model.config._attn_implementation), *sorted(kernels)]


def words(start: int, count: int) -> str:
    return " ".join(f"w{2 + (start * 31 + place) % 1000}" for place in range(count))


def trainer_of(case: tuple[Any, ...], trainer: str, directory: str, clock: Any, steps: int) -> Callable[[], Any]:
    """What loads the case's model into r1hf's trainer or TRL's: all else is made already."""
    import torch
    from datasets import Dataset
    from transformers import PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer
    from r1hf.trainers.sft import R1SFTConfig, R1SFTTrainer

    kind, _, rows, accumulation, prompt, completion, checkpointing, reference = case
    gpu = torch.cuda.is_available()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(directory, padding_side="left", trust_remote_code=False)
    common: dict[str, Any] = {
        **{"output_dir": f"{directory}/out", "max_steps": steps, "per_device_train_batch_size": rows},
        **{"gradient_accumulation_steps": accumulation, "gradient_checkpointing": checkpointing, "bf16": gpu},
        **{"use_cpu": not gpu, "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "logging_steps": 1},
        "model_init_kwargs": {"dtype": "float32"},
    }
    if kind == "sft":
        texts = [{"prompt": words(n, 2), "completion": " " + words(n + 1, completion - 3)} for n in range(64)]
        make, config = (R1SFTTrainer, R1SFTConfig) if trainer == "r1hf" else (SFTTrainer, SFTConfig)
        args = config(max_length=completion, **common)
        named: dict[str, Any] = {"train_dataset": Dataset.from_list(texts)}
    else:
        texts = [{"prompt": words(n, prompt)} for n in range(64)]
        make, config = (R1GRPOTrainer, R1GRPOConfig) if trainer == "r1hf" else (GRPOTrainer, GRPOConfig)
        rl = {"beta": 0.001 if reference else 0.0, "num_generations": 8, "max_completion_length": completion}
        rl |= {"generation_kwargs": {"min_new_tokens": completion}, "loss_type": "grpo"}
        own = {"log_rollouts": False, "sync_ref_model": False} if trainer == "r1hf" else {}
        args = config(**common, **rl, **own)
        named = {"train_dataset": Dataset.from_list(texts), "reward_funcs": spread}
    return lambda: make(model=directory, args=args, processing_class=tokenizer, callbacks=[clock], **named)


def run_case(case: tuple[Any, ...], trainer: str, directory: str, steps: int = STEPS) -> dict[str, Any]:
    """Trains; returns peak bytes above the baseline, seconds of each step, and the attention."""
    import torch
    from transformers import TrainerCallback

    gpu = torch.cuda.is_available()

    class Clock(TrainerCallback):
        seconds: list[float] = []

        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            if gpu:
                torch.cuda.synchronize()
            self.seconds.append(time.perf_counter() - self.started)

    clock = Clock()
    make = trainer_of(case, trainer, directory, clock, steps)
    torch.ones(512, 512) @ torch.ones(512, 512)  # the arithmetic library's own buffers
    before = _resident()
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    made = make()
    made.train()
    peak = torch.cuda.max_memory_allocated() if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    reserved = torch.cuda.max_memory_reserved() if gpu else 0
    attention = attention_of(made.accelerator.unwrap_model(made.model), case[5], gpu)
    return {
        **{"peak": float(peak - (0 if gpu else before)), "baseline": float(before), "reserved": float(reserved)},
        **{"steps": clock.seconds, "attention": attention, "device": str(made.args.device)},
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def launch(case: tuple[Any, ...], trainer: str, directory: str) -> dict[str, Any]:
    # Fixed thresholds: freed tensors go back to the system at once, so that the peak is that of tensors.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    words = [sys.executable, __file__, "--case", json.dumps([case, trainer, directory])]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{trainer} {case}: {done.stderr[-1500:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def device_here() -> Device | None:
    """The GPU here with the published figures of its kind, if there are any."""
    import torch

    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(0)
    plain = found.name.replace(" ", "").upper()
    known = next((one for name, one in DEVICES.items() if name.replace("-", "") in plain or name[:4] in plain), None)
    if known is None:
        return Device(found.name, found.total_memory, 1e14, 1e12, 0.0)
    return known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--trainer", choices=("r1hf", "trl"), help="one of the two (default: both)")
    options = parser.parse_args()
    if options.case:
        case, trainer, directory = json.loads(options.case)
        print(json.dumps(run_case(tuple(case), trainer, directory)))
        return
    device = device_here()
    cases = GPU if device else CPU
    print(f"{device.name if device else 'CPU, float32'}; predicted and measured GiB, step time of the last of {STEPS}")
    for name, case in cases.items():
        if options.only not in name:
            continue
        job = job_of(case, device is not None)
        predicted = memory.predict(job, device)
        with tempfile.TemporaryDirectory() as directory:
            make_model(Path(directory), case[1])
            for trainer in [options.trainer] if options.trainer else ["r1hf", "trl"]:
                found = launch(case, trainer, directory)
                seconds = found["steps"][-1]
                tokens = job.micro_batch * job.accumulation * job.row
                line = f"{name:<40} {trainer:<5} predicted {predicted.peak / GIB:6.3f} ({predicted.worst.name})"
                line += f"  measured {found['peak'] / GIB:6.3f}  {predicted.peak / found['peak'] - 1:+.1%}"
                line += f"  {seconds:.2f} s  {tokens / seconds:,.0f} tokens/s"
                if device:
                    line += f"  (predicted {times.predict(job, device).step:.2f} s)"
                print(line, flush=True)


if __name__ == "__main__":
    main()
