"""What `matmul_precision: medium` gives on this processor: forward and backward of the tiny base and of a student.

Run: python benchmarks/matmul_precision.py
Ratios are of medians of one run, the two settings taking turns.
"""

from __future__ import annotations

import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from r1hf.models.grouped_attention import for_training

SHAPES = {"tiny base (128 wide)": (128, 384, 4, 4), "tiny student (96 wide)": (96, 288, 4, 2)}
STEPS = 60


def model(width: int, inner: int, heads: int, groups: int) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1536,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=3,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def seconds(made: LlamaForCausalLM, rows: torch.Tensor, precision: str) -> float:
    torch.set_float32_matmul_precision(precision)
    with for_training(made):
        start = time.perf_counter()
        made(input_ids=rows, labels=rows).loss.backward()
        made.zero_grad()
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    print(f"bfloat16 products on this processor: {torch.cpu._is_avx512_bf16_supported()}")
    for name, shape in SHAPES.items():
        made, rows = model(*shape), torch.randint(0, 1500, (8, 128), generator=torch.Generator().manual_seed(0))
        taken: dict[str, list[float]] = {"highest": [], "medium": []}
        for _ in range(STEPS):
            for precision, found in taken.items():
                found.append(seconds(made, rows, precision))
        high, medium = (statistics.median(found) for found in taken.values())
        print(f"{name}: {1e3 * high:.1f} ms, with medium {1e3 * medium:.1f} ms, {high / medium:.2f} times as fast")


if __name__ == "__main__":
    main()
