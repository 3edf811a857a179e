"""What attention as plain products gives on a CPU: decoding and training of one shape, against PyTorch's own.

    python benchmarks/attention.py [--threads 1] [--rounds 3] [--out FILE.json]

The model has SmolLM2-135M's shape (grouped-query attention) with fewer layers, and random weights. Kinds take turns,
and each round's time is that of the processor, so that a neighbour changes little; the ratio is of the medians.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from r1hf.models.grouped_attention import NAME
from r1hf.models.refill import Row, decode

SHAPE = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
KINDS = ("sdpa", "eager", NAME)


def shaped(layers: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPE, num_hidden_layers=layers, vocab_size=4096, tie_word_embeddings=True))


def decoding(model: LlamaForCausalLM, kind: str) -> None:
    """64 rows of 60 tokens go on for 40 each."""
    model.config._attn_implementation = kind
    rows = (Row(place, tuple(range(place, place + 60)), place, 40) for place in range(64))
    for _ in decode(model, rows, 64, set(), 1.0, 1.0):
        pass


def training(model: LlamaForCausalLM, kind: str) -> None:
    """A step on 8 rows of 120 tokens, float32 weights under autocast."""
    model.config._attn_implementation = kind
    ids = torch.randint(4096, (8, 120))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(ids, labels=ids).loss
    loss.backward()
    model.zero_grad()


def seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measured(rounds: int) -> dict[str, dict[str, float]]:
    """Median seconds of the processor of each task and kind."""
    models = {"decoding": shaped(6).to(torch.bfloat16).eval(), "training": shaped(6).train()}
    tasks = {"decoding": decoding, "training": training}
    found: dict[str, dict[str, list[float]]] = {task: {} for task in tasks}
    for turn in range(rounds + 1):
        for task, work in tasks.items():
            # Decoding chooses grouped attention by itself, and eager takes no mask of truth values.
            for kind in KINDS if task == "training" else ("sdpa", NAME):
                with _as_asked(kind):
                    took = seconds(lambda work=work, task=task, kind=kind: work(models[task], kind))  # type: ignore[misc]
                if turn:  # the first round warms up
                    found[task].setdefault(kind, []).append(took)
    return {task: {kind: statistics.median(took) for kind, took in kinds.items()} for task, kinds in found.items()}


@contextlib.contextmanager
def _as_asked(kind: str):  # type: ignore[no-untyped-def]
    """PyTorch's own attention decodes too, where it is asked for."""
    from r1hf.models import refill

    chosen = refill.for_decoding
    if kind == "sdpa":
        refill.for_decoding = lambda model: contextlib.nullcontext()
    try:
        yield
    finally:
        refill.for_decoding = chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = measured(args.rounds)
    for task, kinds in found.items():
        ratios = ", ".join(f"{kind} {kinds['sdpa'] / took:.2f} times sdpa" for kind, took in kinds.items())
        print(f"{task}: {ratios}")
    if args.out:
        args.out.write_text(json.dumps({"threads": args.threads, "seconds": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
