"""Prompts that teach nothing rest: which prompts a generation uses follows from how the earlier ones went.

A prompt whose last groups were all right, or all wrong, is passed over, and comes back after it was passed over
`difficulty_revisit` times in a row, so that forgetting is noticed. What is decided follows from seed and history
alone: the data loader asks ahead, so generation k is decided from the results of generations up to k - lag, where lag
is the furthest that a loader can have asked ahead. All processes see the same gathered rewards and decide the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from trl import GRPOConfig
from trl.trainer.utils import RepeatSampler

from r1hf.core.errors import ConfigError, StageError
from r1hf.trainers.gate import Gated, no_outcome, pass_rates

BINS = ("0", "0-25", "25-50", "50-75", "75-100", "100")  # per cent right: none, four quarters, all


@dataclass
class DifficultyConfig(GRPOConfig):
    """The keys of this module. Raises ConfigError for what does not go together."""

    difficulty_sampling: bool = field(
        default=False,
        metadata={"help": "pass over prompts that are always right or never right of late"},
    )
    difficulty_right: int = field(default=2, metadata={"help": "groups all right in a row before a prompt rests"})
    difficulty_wrong: int = field(default=4, metadata={"help": "groups all wrong in a row before a prompt rests"})
    difficulty_revisit: int = field(default=4, metadata={"help": "times in a row a resting prompt is passed over"})

    def __post_init__(self) -> None:
        super().__post_init__()
        problems = [
            f"{name}: {getattr(self, name)} is below 1"
            for name in ("difficulty_right", "difficulty_wrong", "difficulty_revisit")
            if getattr(self, name) < 1
        ]
        if self.difficulty_sampling and not self.shuffle_dataset:
            problems.append(f"difficulty_sampling: {ORDERED}")
        if problems:
            raise ConfigError(problems)


ORDERED = "the order of the prompts is a schedule (shuffle_dataset: false), and passing prompts over would break it"


@dataclass
class Prompt:
    """What is known of one prompt. rate: running pass rate, half of it from the last group."""

    rate: float = 0.0
    right: int = 0  # groups all right in a row
    wrong: int = 0
    passed: int = 0  # times passed over in a row

    def see(self, rate: float, first: bool) -> None:
        self.rate = rate if first else (self.rate + rate) / 2
        self.right = self.right + 1 if rate == 1 else 0
        self.wrong = self.wrong + 1 if rate == 0 else 0


class History:
    """Pass rates of `prompts` prompts, and the prompts of each generation, `size` of them.

    `state_dict` is plain JSON. Generations are counted over the whole run; `lag` as said above.
    """

    def __init__(self, prompts: int, size: int, lag: int, seed: int, right: int, wrong: int, revisit: int):
        self.prompts, self.size, self.lag, self.seed = prompts, size, lag, seed
        self.right, self.wrong, self.revisit = right, wrong, revisit
        self.seen: dict[int, Prompt] = {}
        self.first = 0  # the first generation that is still remembered
        self.chosen: list[list[int]] = []  # prompts of the generations from `first` on
        self.passed: list[int] = []  # prompts passed over on the way to each of them
        self.recorded = 0  # generations with a result
        self.pending: list[list[float | None]] = []  # results, in order, that no decision has used yet
        self.round, self.place = 0, 0  # where in which shuffled round over all prompts the next choice begins
        self._order: tuple[int, list[int]] | None = None

    def begin(self, generation: int) -> None:
        """An epoch begins with this generation: what came before is not asked for again."""
        drop = max(0, min(generation, self.recorded - len(self.pending)) - self.first)
        self.first += drop
        del self.chosen[:drop], self.passed[:drop]

    def prompts_of(self, generation: int) -> list[int]:
        """Chooses, once, the prompts of a generation; generations must be asked for in order."""
        while self.first + len(self.chosen) <= generation:
            self._choose(self.first + len(self.chosen))
        return self.chosen[generation - self.first]

    def record(self, rates: Sequence[float | None]) -> None:
        """The pass rates of the next generation's groups, None where no outcome was judged."""
        self.pending.append(list(rates))
        self.recorded += 1

    def _choose(self, generation: int) -> None:
        used = self.recorded - len(self.pending)
        if generation - self.lag >= self.recorded:
            raise StageError(
                f"generation {generation} is to be chosen by pass rates and those of generation "
                f"{generation - self.lag} are missing: the checkpoint holds no history of the prompts"
            )
        while used <= generation - self.lag:
            for index, rate in zip(self.chosen[used - self.first], self.pending.pop(0), strict=True):
                if rate is not None:
                    first = index not in self.seen
                    self.seen.setdefault(index, Prompt()).see(rate, first)
            used += 1
        taken: dict[int, None] = {}
        passed = 0
        while len(taken) < self.size:
            index = self._next()
            known = self.seen.get(index)
            if index in taken:
                continue
            if known is not None and self._rests(known):
                known.passed += 1
                passed += 1
                continue
            if known is not None:
                known.passed = 0
            taken[index] = None
        self.chosen.append(list(taken))
        self.passed.append(passed)

    def _rests(self, prompt: Prompt) -> bool:
        return prompt.passed < self.revisit and (prompt.right >= self.right or prompt.wrong >= self.wrong)

    def _next(self) -> int:
        if self.place == self.prompts:
            self.round, self.place = self.round + 1, 0
        if self._order is None or self._order[0] != self.round:
            order = list(range(self.prompts))
            random.Random(f"{self.seed} {self.round}").shuffle(order)
            self._order = (self.round, order)
        self.place += 1
        return self._order[1][self.place - 1]

    def metrics(self) -> dict[str, float]:
        """Of the generation recorded last: prompts passed over for it, and how the prompts known so far stand."""
        place = self.recorded - 1 - self.first
        passed = self.passed[place]
        found = {"difficulty/skipped": passed / (passed + self.size)}
        rates = [prompt.rate for prompt in self.seen.values()]
        if rates:
            found["difficulty/pass_rate"] = sum(rates) / len(rates)
            counts = [0] * len(BINS)
            for rate in rates:
                counts[0 if rate == 0 else 5 if rate == 1 else 1 + int(rate * 4)] += 1
            found |= {f"difficulty/share_{name}": count / len(rates) for name, count in zip(BINS, counts, strict=True)}
        return found

    def state_dict(self) -> dict[str, Any]:
        kept = ("prompts", "size", "lag", "seed", "first", "chosen", "passed", "recorded", "pending", "round", "place")
        seen = [[index, p.rate, p.right, p.wrong, p.passed] for index, p in self.seen.items()]
        state = {name: getattr(self, name) for name in kept}
        return {**state, **{name: [*state[name]] for name in ("chosen", "passed", "pending")}, "seen": seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises StageError where the history is of other prompts or other batches."""
        state = dict(state)
        seen = state.pop("seen")
        for name in ("prompts", "size", "lag", "seed"):
            if state.pop(name) != (now := getattr(self, name)):
                raise StageError(
                    f"the checkpoint's history of pass rates was made with another {_NAMES[name]} than {now}; go on "
                    "with the same data and batches, or start anew"
                )
        for name, value in state.items():
            setattr(self, name, list(value) if isinstance(value, list) else value)
        self.seen = {index: Prompt(*values) for index, *values in seen}


_NAMES = {
    "prompts": "number of prompts",
    "size": "number of prompts in a generation",
    "lag": "number of micro-batches asked for ahead",
    "seed": "seed",
}


class DifficultySampler(RepeatSampler):
    """`RepeatSampler` whose prompts a `History` chooses. An epoch has as many steps as without it."""

    def __init__(self, history: History, dataset: Dataset, mini_repeat_count: int, repeat_count: int):
        super().__init__(dataset, mini_repeat_count, history.size, repeat_count, shuffle=False)
        self.history, self.epoch = history, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        count = self.num_samples // self.batch_size
        self.history.begin(self.epoch * count)
        for generation in range(self.epoch * count, (self.epoch + 1) * count):
            prompts = self.history.prompts_of(generation)
            for _ in range(self.repeat_count):
                for index in prompts:
                    yield from [index] * self.mini_repeat_count


class ByDifficulty(Gated):
    """`GRPOTrainer` that heeds `DifficultyConfig`; a subclass calls `record_difficulty` after rewards."""

    args: Any

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self.history: History | None = None
        if not self.args.difficulty_sampling:
            return
        if not isinstance(self.train_dataset, Dataset):
            raise ConfigError("difficulty_sampling: needs a dataset with rows by number, not a stream")
        if not self._outcome_places:
            raise ConfigError(f"difficulty_sampling: {no_outcome(self)}")
        args = self.args
        self.history = History(
            len(self.train_dataset),
            args.generation_batch_size // args.num_generations,
            _lag(args),
            args.seed,
            args.difficulty_right,
            args.difficulty_wrong,
            args.difficulty_revisit,
        )
        self.stateful: dict[str, Any] = getattr(self, "stateful", {})  # saved with each checkpoint
        self.stateful["difficulty"] = self.history

    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler:
        if self.history is None:
            return super()._get_train_sampler(dataset)
        dataset = self.train_dataset if dataset is None else dataset
        repeats = self.num_iterations * self.args.steps_per_generation
        return DifficultySampler(self.history, dataset, self.num_generations, repeats)

    def record_difficulty(self, inputs: list[dict[str, Any]]) -> None:
        """Takes the pass rates of a generation; training only.

        Raises StageError where the generation is not of the prompts that were chosen for it.
        """
        if self.history is None or not self.model.training or self._last_rewards is None:
            return
        history = self.history
        chosen = history.prompts_of(history.recorded)
        row = chosen[self.accelerator.process_index * len(inputs) // self.num_generations]
        if inputs[0]["prompt"] != self.train_dataset[row]["prompt"]:
            raise StageError(f"generation {history.recorded} is not of the prompts that were chosen for it")
        outcomes: torch.Tensor = self._last_rewards[:, self._outcome_places]
        history.record(pass_rates(outcomes, self.num_generations))
        for name, value in history.metrics().items():
            self._metrics["train"][name].append(value)


def _lag(args: GRPOConfig) -> int:
    """Generations that must be over when the next but `lag` - 1 is chosen.

    The trainer takes all micro-batches of an optimizer step at once, accelerate one more, and workers more still.
    """
    ahead = args.gradient_accumulation_steps + 1
    ahead += args.dataloader_num_workers * (args.dataloader_prefetch_factor or 2)
    return -(-ahead // (args.steps_per_generation * args.num_iterations))
