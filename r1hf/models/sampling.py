"""Samplers behind one interface: prompts in, completions out, the same for the same seed whatever the workers.

A sampler does one thing, `answers`; what is kept of it, and goes on after a kill, is r1hf/models/generation.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, Self

from transformers import PreTrainedTokenizerBase

from r1hf.core.progress import Progress
from r1hf.models.loading import load_tokenizer
from r1hf.stage.manifest import find_stage, input_record
from r1hf.text import prompt_templates as templates
from r1hf.text.grammar import opening

TOO_LONG = "prompt too long"


@dataclass(frozen=True)
class Completion:
    """One sample. tokens: its length, the end token not counted. truncated: cut at `max_new_tokens`.

    text: the response, with the `<think>` in which a prompt ended. fault: why there is none; empty where there is.
    """

    text: str
    tokens: int
    truncated: bool
    fault: str = ""

    @property
    def finish(self) -> str:
        """stop, length or failed."""
        return "failed" if self.fault else "length" if self.truncated else "stop"


class Limits(NamedTuple):
    """How a sample is drawn, and its most tokens. temperature: 0 takes the likeliest token each time."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256


class Ask(NamedTuple):
    """One sample that is wanted. place: the prompt's number from 0. sample: its number among those of the prompt."""

    place: int
    sample: int
    prompt: str
    seed: int


def asks_of(prompts: Sequence[str], places: Iterable[int], n: int, seed: int) -> Iterator[Ask]:
    """`n` samples of each prompt in `places`. A sample's seed depends on where it stands and on nothing else."""
    for place in places:
        for sample in range(n):
            yield Ask(place, sample, prompts[place], _seed(seed, place, sample))


def _seed(seed: int, place: int, sample: int) -> int:
    digest = hashlib.sha256(f"{seed} {place} {sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1  # 31 bits: what every engine takes


def end_tokens(tokenizer: PreTrainedTokenizerBase, own: int | list[int] | None) -> set[int]:
    """The tokens that end an answer: the tokenizer's, and `own`, those of the model's generation settings."""
    ends = {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}
    return {token for token in ends if isinstance(token, int)}


class Sampler:
    """Samples from one model, until it is closed. `batch_size` counts sequences, not prompts.

    The tokenizer is loaded at once, the model for the first sample.
    streams: each sample is alone, so that a batch may go over from shard to shard; without, a shard is the unit that
    repeats to the bit. shard: samples that are kept together where the configuration does not say.
    """

    streams = True
    shard_batches = 16

    def __init__(self, source: str, batch_size: int = 256, tokenizer: PreTrainedTokenizerBase | None = None):
        self.source, self.batch_size = source, batch_size
        self.tokenizer = tokenizer if tokenizer is not None else load_tokenizer(source)

    @property
    def engine(self) -> str:
        """What samples, with its version."""
        raise NotImplementedError

    @property
    def revision(self) -> str:
        """Which state of the model: a stage's fingerprint, or a commit of the Hub; empty where neither is known."""
        return revision_of(self.source)

    def answers(self, asks: Iterable[Ask], limits: Limits) -> Iterator[tuple[Ask, Completion]]:
        """Each sample as it is finished, in any order. `asks` is read no further ahead than is worked on.

        A sample that cannot be had comes with its `fault`. The text is what follows the prompt.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Gives the model's memory back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def chat(self, questions: Sequence[str], template: str | None = None) -> list[str]:
        """Prompts for `questions`: through the tokenizer's chat template, or a named prompt template."""
        if template is not None:
            return [templates.render(template, question) for question in questions]
        turns = [[{"role": "user", "content": question}] for question in questions]
        return self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)

    def encode(self, prompts: Sequence[str]) -> list[list[int]]:
        """The tokens of prompts. A chat template writes the start token itself; the tokenizer would add a second."""
        start = self.tokenizer.bos_token
        special = [start is None or not prompt.startswith(start) for prompt in prompts]
        if all(special) or not any(special):
            ids: list[list[int]] = self.tokenizer(list(prompts), add_special_tokens=special[0])["input_ids"]
            return ids
        return [row for prompt in prompts for row in self.encode([prompt])]

    def sample(
        self,
        prompts: Sequence[str],
        n: int = 1,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_new_tokens: int = 256,
        seed: int = 0,
        name: str = "sampling",
    ) -> list[list[Completion]]:
        """`n` completions of each prompt, in the order of the prompts, and nothing kept.

        Top-k is off: the model's own distribution.
        """
        found: dict[tuple[int, int], Completion] = {}
        if not prompts:
            return []
        asks = asks_of(prompts, range(len(prompts)), n, seed)
        with Progress(name, len(prompts) * n, "sample") as progress:
            for ask, completion in self.answers(asks, Limits(temperature, top_p, max_new_tokens)):
                found[ask.place, ask.sample] = whole(ask, completion)
                progress.update()
        return [[found[place, sample] for sample in range(n)] for place in range(len(prompts))]


def whole(ask: Ask, completion: Completion) -> Completion:
    """The completion with the `<think>` in which its prompt ended."""
    return completion if completion.fault else replace(completion, text=opening(ask.prompt) + completion.text)


def failed(why: str) -> Completion:
    """In place of a sample that cannot be had."""
    return Completion("", 0, truncated=False, fault=why)


def revision_of(source: str) -> str:
    """The fingerprint of what a stage made, the commit of a download, or what stands behind the @ of a Hub id."""
    path = Path(source)
    if path.exists() and find_stage(path) is not None:
        return input_record(source, check=False)["fingerprint"]
    parts = path.parts
    if "snapshots" in parts[:-1]:  # the Hub's cache: …/snapshots/COMMIT
        return parts[parts.index("snapshots") + 1]
    return source.partition("@")[2]
