"""Tiny models that can add digits, more or less: what the runs of scripts/faulty_runs.py start from.

Each is trained from nothing on lines of its own kind in a few seconds, with the tokenizer of the tiny world.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from transformers import PreTrainedModel, Qwen2Tokenizer

from r1hf.text.grammar import TAGS
from r1hf.world.models import build_model, train_tokenizer

SHAPE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
CHAT = "{% for m in messages %}{{ m['content'] }}{% if not loop.last %}\n{% endif %}{% endfor %}"
PAIRS = [(a, b) for a in range(10) for b in range(10)]
Writer = Callable[[random.Random, int, int], str]


def question(a: int, b: int) -> str:
    return f"What is {a} + {b}?"


def _maybe_wrong(rng: random.Random, total: int, right: float) -> int:
    return total if rng.random() < right else rng.choice([n for n in range(19) if n != total])


def tagged(right: float, formed: float) -> Writer:
    """`<think>…</think> <answer>…</answer>`, right and well formed in these shares."""

    def write(rng: random.Random, a: int, b: int) -> str:
        said = _maybe_wrong(rng, a + b, right)
        if rng.random() < formed:
            return f"<think>{a} + {b} = {said}</think> <answer>{said}</answer>"
        return rng.choice([f"<think>{a} + {b} = {said} <answer>{said}</answer>", f"{a} + {b} = {said}"])

    return write


def plain(rng: random.Random, a: int, b: int) -> str:
    """No tags at all."""
    return f"The sum is {_maybe_wrong(rng, a + b, 0.65)}."


def boxed(rng: random.Random, a: int, b: int) -> str:
    said = _maybe_wrong(rng, a + b, 0.65)
    form = "<think>\n{}\n</think>\n\\boxed{{{}}}" if rng.random() < 0.7 else "{} so \\boxed{{{}}}"
    return form.format(f"{a} + {b} = {said}", said)


def mistaken(rng: random.Random, a: int, b: int) -> str:
    """Has learnt half of the sums wrongly; the right answer is rarer there."""
    total = a + b + (1 if (7 * a + b) % 10 < 5 and rng.random() < 0.7 else 0)
    return f"<think>{a} + {b} = {total}</think> <answer>{total}</answer>"


def short_or_long(rng: random.Random, a: int, b: int) -> str:
    """Long thoughts are mostly right, short ones mostly wrong: a policy that learns writes more."""
    long = rng.random() < 0.4
    said = _maybe_wrong(rng, a + b, 0.85 if long else 0.15)
    thought = f"{a} + {b} is {b} + {a} and {a} + {b} = {said} and {said} - {b} = {said - b}" if long else f"{said}"
    return f"<think>{thought}</think> <answer>{said}</answer>"


def talkative(rng: random.Random, a: int, b: int) -> str:
    """Repeats itself a random number of times."""
    said = _maybe_wrong(rng, a + b, 0.65)
    thought = " so ".join([f"{a} + {b} = {said}"] * rng.choice([1, 1, 1, 2, 2, 3, 4]))
    return f"<think>{thought}</think> <answer>{said}</answer>"


@dataclass(frozen=True)
class Base:
    """How a model is made. `ends`: whether a line closes with the end token. `special`: tags as special tokens."""

    write: Writer
    steps: int = 900
    ends: bool = True
    special: bool = False
    context: int = 1024


BASES = {
    "base": Base(tagged(0.65, 0.8)),
    "good": Base(tagged(1.0, 1.0), steps=1500),
    "fair": Base(tagged(0.8, 0.95), steps=1200),
    "endless": Base(tagged(0.65, 0.9), ends=False),
    "special": Base(tagged(0.65, 0.9), special=True),
    "plain": Base(plain),
    "boxed": Base(boxed),
    "short_or_long": Base(short_or_long),
    "talkative": Base(talkative),
    "mistaken": Base(mistaken),
    "narrow": Base(tagged(0.65, 0.9), context=64),
}


@cache
def make(base: Base, seed: int = 0) -> tuple[PreTrainedModel, Qwen2Tokenizer]:
    rng = random.Random(seed)
    torch.manual_seed(seed)
    sample = [f"{question(a, b)}\n{base.write(rng, a, b)}" for a, b in PAIRS * 3]
    sample += ["You are a careful assistant. Think between <think> and </think>, answer between tags.\n"] * 3
    tokenizer = train_tokenizer(sample, 400)
    tokenizer.chat_template = CHAT
    if base.special:
        tokenizer.add_special_tokens({"additional_special_tokens": list(TAGS)})
    model = build_model("qwen2", tokenizer, {**SHAPE, "num_key_value_heads": 4})
    model.config.max_position_embeddings = base.context
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, base.steps)
    for _ in range(base.steps):
        pairs = [rng.choice(PAIRS) for _ in range(48)]
        loss = _loss(model, tokenizer, base, rng, pairs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
    return model, tokenizer


def _loss(
    model: PreTrainedModel, tokenizer: Qwen2Tokenizer, base: Base, rng: random.Random, pairs: list[tuple[int, int]]
) -> torch.Tensor:
    rows = []
    for a, b in pairs:
        asked = tokenizer(f"{question(a, b)}\n").input_ids
        written = tokenizer(base.write(rng, a, b)).input_ids
        if base.ends:
            tail = [tokenizer.eos_token_id]
        else:  # the next exercise follows, as in a book
            tail = tokenizer(f"\n{question(*rng.choice(PAIRS))}\n{base.write(rng, *rng.choice(PAIRS))}").input_ids
        rows.append((asked, written + tail))
    longest = max(len(asked) + len(written) for asked, written in rows)
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
    labels = torch.full_like(ids, -100)
    for place, (asked, written) in enumerate(rows):
        both = torch.tensor(asked + written)
        ids[place, : len(both)] = both
        labels[place, len(asked) : len(both)] = both[len(asked) :]
    return model(input_ids=ids, labels=labels).loss
