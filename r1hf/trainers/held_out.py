"""A few held-out problems that the policy is asked every so many steps of RL: a curve, with its intervals.

Answers are drawn as the rollouts are (engine, temperature, most tokens), but from random numbers of their own: a run
that is watched ends in the weights of one that is not. It is no benchmark: that has the paper's sampling
(`recipes/evaluate.py`).
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from r1hf.core.config import Parsed
from r1hf.core.source import Source
from r1hf.data.rows import Row, check_rows, check_tasks, load_rows
from r1hf.evaluation.config import COLUMNS, AsTheyAre, ready, row_fault
from r1hf.evaluation.judged import PROBLEMS, Judged, judge_all
from r1hf.evaluation.metrics import reasoning_metrics
from r1hf.models.sampling import Completion

_LOGGED = ("pass_at_1", "truncation_rate", "mean_completion_tokens", "unjudged_rate")


@dataclass(kw_only=True)
class HeldOutConfig:
    """The keys of this module."""

    held_out: Source | None = field(
        default=None,
        metadata={"input": True, "help": f"problems that are asked now and then in training: {', '.join(COLUMNS)}"},
    )
    held_out_steps: int = field(
        default=50, metadata={"help": "steps between two askings of held_out; also at 0 and last"}
    )
    held_out_size: int = field(default=64, metadata={"help": "most problems of held_out, drawn with the seed"})
    held_out_k: int = field(default=1, metadata={"help": "samples of each of them"})


def check_held_out(parsed: Parsed) -> None:
    """Adds what is wrong with the keys of `HeldOutConfig`, and with rows that nothing could be said about."""
    config = parsed.configs[0]
    for name in ("held_out_steps", "held_out_size", "held_out_k"):
        if getattr(config, name) < 1:
            parsed.problems.append(f"{name}: {getattr(config, name)}; give 1 or more, or leave held_out out")
    rows = check_rows(parsed.problems, "held_out", config.held_out, COLUMNS, max_bad=config.max_bad_rows)
    check_tasks(parsed.problems, "held_out", rows, PROBLEMS)
    faults = [
        (number, fault) for number, row in enumerate(rows, 1) if (fault := row_fault(row, AsTheyAre())) is not None
    ]
    parsed.problems += [f"held_out: row {number}: {fault}" for number, fault in faults[:5]]


def held_out_rows(config: Any, seed: int) -> list[Row]:
    """The fixed set: the same rows for the same seed, in the order of the source."""
    rows = load_rows(config.held_out, COLUMNS, seed, max_bad=config.max_bad_rows)
    chosen = sorted(random.Random(seed).sample(range(len(rows)), min(config.held_out_size, len(rows))))
    return [ready(rows[number], AsTheyAre()) for number in chosen]


class HeldOut(TrainerCallback):
    """Asks `rows` before the first step, every `steps` steps and after the last one, and logs `held_out/…`.

    rows: with TRL's `prompt` beside the columns of a problem. opened: what a response begins with that its prompt has
    opened, such as `<think>`. Every process asks its share, the last of them some problems twice.
    """

    def __init__(self, trainer: Any, rows: Sequence[Row], opened: str, steps: int, k: int, seed: int):
        self.trainer, self.rows, self.opened = trainer, list(rows), opened
        self.steps, self.k, self.seed = steps, k, seed

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == 0:
            self.ask()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step % self.steps == 0 or state.global_step == state.max_steps:
            self.ask()

    def ask(self) -> None:
        """Asks all problems and logs a row. Each process must call it."""
        model = self.trainer.model
        was_training = model.training
        model.eval()  # no dropout, and experts do not count these tokens
        try:
            with own_randomness(self.seed):
                groups = self._groups()
        finally:
            model.train(was_training)
        # Past TRL's `log`, which would empty the figures that the run's own next row is to hold; the row itself is
        # still to be written, and a log row puts that off.
        control = self.trainer.control
        due = control.should_log
        Trainer.log(self.trainer, logged(groups))
        control.should_log = due

    def _groups(self) -> list[list[Judged]]:
        """The judged samples of each problem, in the order of the rows."""
        accelerator = self.trainer.accelerator
        size, rank = accelerator.num_processes, accelerator.process_index
        share = -(-len(self.rows) // size)
        own = [number % len(self.rows) for number in range(rank * share, (rank + 1) * share)]
        drawn = [self._samples([self.rows[number]["prompt"] for number in own], turn) for turn in range(self.k)]
        groups = []
        for place, number in enumerate(own):
            samples = [turn[place] for turn in drawn]
            groups.append((number, judge_all([self.rows[number]] * self.k, samples, "strict")))
        found = dict(gather_object(groups))
        return [found[number] for number in range(len(self.rows))]

    def _samples(self, prompts: list[Any], turn: int) -> list[Completion]:
        """One sample of each prompt, as many at once as in training."""
        trainer = self.trainer
        at_once = max(1, trainer.args.generation_batch_size // trainer.accelerator.num_processes)
        found: list[Completion] = []
        for start in range(0, len(prompts), at_once):
            asked, *more = trainer._tokenize_prompts(prompts[start : start + at_once])
            # vLLM draws by a seed of the request; with one for all turns their samples would be the same.
            with _engine_seed(trainer, self.seed + turn):
                made, _ = trainer._generate_single_turn(asked, *more, 1)
            found += [self._completion(list(ids)) for ids in made]
        return found

    def _completion(self, ids: list[int]) -> Completion:
        ends = {*self.trainer.eos_token_ids, self.trainer._tokenizer.pad_token_id}
        length = next((place for place, token in enumerate(ids) if token in ends), len(ids))
        text = self.trainer._tokenizer.decode(ids[:length], skip_special_tokens=True)
        return Completion(self.opened + text, length, truncated=length == len(ids))


def logged(groups: Sequence[Sequence[Judged]]) -> dict[str, float]:
    """What goes to the log: shares from 0 to 1, tokens, and the 95% interval of pass@1 over problems."""
    metrics = reasoning_metrics(groups)
    row = {name: metrics[name] for name in _LOGGED}
    row["pass_at_1_low"], row["pass_at_1_high"] = metrics["intervals"]["pass_at_1"] or (None, None)
    row["problems"] = metrics["questions"]
    return {f"held_out/{name}": float(value) for name, value in row.items() if value is not None}


@contextlib.contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Within it, random numbers come from `seed`; after it, from where they were before."""
    states = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextlib.contextmanager
def _engine_seed(trainer: Any, seed: int) -> Iterator[None]:
    """Within it, requests to vLLM carry a seed, so that its own random numbers stay where they are."""
    engine = getattr(trainer, "vllm_generation", None)
    if engine is None:
        yield
        return
    before = engine.generation_kwargs
    engine.generation_kwargs = {**(before or {}), "seed": seed}
    try:
        yield
    finally:
        engine.generation_kwargs = before
