"""A batch that stays full against batches of a fixed size, where lengths differ tenfold: tokens a second.

The seconds are the processor's, so that other work on the machine does not count.

python benchmarks/refill.py MODEL [--rows 256] [--batch 32]      # a model directory; one run of half a minute on a CPU

Lengths are drawn by the rows' own limits (20 to 200 tokens, most of them short), the same for both; nothing ends a
row before.
"""

from __future__ import annotations

import argparse
import random
import time

import torch
from transformers import GenerationConfig

from r1hf.models.refill import Row, decode, left_padded
from r1hf.models.transformers_sampling import TransformersSampler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    sampler = TransformersSampler(arguments.model, arguments.batch)
    draw = random.Random(1)
    prompts = sampler.encode(
        [f"What is {draw.randint(1, 99)} + {draw.randint(1, 99)}?" for _ in range(arguments.rows)]
    )
    lengths = [round(20 * 10 ** draw.betavariate(1, 3)) for _ in prompts]
    rows = [
        Row(place, tuple(ids), place, most) for place, (ids, most) in enumerate(zip(prompts, lengths, strict=True))
    ]
    for name, seconds in (("fixed batches", fixed(sampler, rows)), ("refilled", refilled(sampler, rows))):
        print(
            f"{name:>14}: {sum(lengths) / seconds:8.0f} tokens a second of processor time ({seconds:.1f} s)",
            flush=True,
        )


def refilled(sampler: TransformersSampler, rows: list[Row]) -> float:
    start = time.process_time()
    for row, made, _ in decode(sampler.model, iter(rows), sampler.batch_size, set(), 1.0, 1.0):
        assert len(made) == row.most
    return time.process_time() - start


@torch.inference_mode()
def fixed(sampler: TransformersSampler, rows: list[Row]) -> float:
    """`generate` until the longest row of a batch has its tokens, as it must; finished rows are carried along."""
    start = time.process_time()
    for first in range(0, len(rows), sampler.batch_size):
        batch = rows[first : first + sampler.batch_size]
        ids, real = left_padded([row.prompt for row in batch], sampler.model.device)
        most = max(row.most for row in batch)
        settings = GenerationConfig(do_sample=True, top_k=0, max_new_tokens=most, min_new_tokens=most, pad_token_id=0)
        sampler.model.generation_config = settings
        sampler.model.generate(input_ids=ids, attention_mask=real.long(), generation_config=settings)
    return time.process_time() - start


if __name__ == "__main__":
    main()
