"""What GRPO logs at each step beyond TRL's own metrics; docs/training.md has the table of all.

Sums and counts are added up over processes, micro-batches and generations, and divided once, when a row is logged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from trl import GRPOConfig, GRPOTrainer

from r1hf.core.errors import ConfigError
from r1hf.rewards._common import completion_texts
from r1hf.rewards.declared import RIGHT, Declared, declared, innermost
from r1hf.rewards.language import LanguageConsistencyReward
from r1hf.trainers import reflection, rollouts

MIXED = 0.9  # a thought with less of its words in the target language is mixed, as in r1hf.text.language.is_mixed
# TRL divides a group's rounding error, about 1e-7 of a reward, by its standard deviation + 1e-4.
_NO_ADVANTAGE = {"none": 1e-6}
_NO_ADVANTAGE_SCALED = 1e-2


@dataclass
class MeasuredConfig(GRPOConfig):
    """The keys of this module. Raises ConfigError for values that cannot be."""

    step_metrics: bool = field(
        default=True, metadata={"help": "log length by outcome, reflection, language, ratio, speed"}
    )
    log_rollouts: bool = field(default=True, metadata={"help": "write completions, rewards, advantages as Parquet"})
    rollout_steps: int = field(default=10, metadata={"help": "steps in one file of rollouts"})
    rollout_keep: int = field(default=100, metadata={"help": "files of rollouts kept, the newest; 0 keeps all"})

    def __post_init__(self) -> None:
        super().__post_init__()
        problems = []
        if self.log_rollouts and self.log_completions:
            problems.append(
                "log_completions: log_rollouts writes them already, atomically; set one of the two to false"
            )
        if self.rollout_steps < 1:
            problems.append(f"rollout_steps: {self.rollout_steps} is below 1")
        if self.rollout_keep < 0:
            problems.append(f"rollout_keep: {self.rollout_keep} is below 0; 0 keeps all files")
        if problems:
            raise ConfigError(problems)


class Tally:
    """Sums and counts by name, equal on all processes; `take` divides and starts anew."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, float]] = {}

    def add(self, name: str, total: float, count: float) -> None:
        before = self.sums.get(name, (0.0, 0.0))
        self.sums[name] = (before[0] + float(total), before[1] + float(count))

    def add_mean(self, name: str, values: np.ndarray) -> None:
        """Adds those of `values` that are not NaN."""
        known = values[~np.isnan(values)]
        self.add(name, known.sum(), len(known))

    def take(self) -> dict[str, float]:
        """Means; NaN where nothing was counted."""
        means = {name: total / count if count else math.nan for name, (total, count) in self.sums.items()}
        self.sums = {}
        return means


class Measured(GRPOTrainer):
    """`GRPOTrainer` that heeds `MeasuredConfig`; a subclass calls `measure` when the advantages are final."""

    args: MeasuredConfig

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self._tallies = {"train": Tally(), "eval": Tally()}
        self._seconds = 0.0  # of the last generation
        self._judged: tuple[list[Any], list[Any], torch.Tensor] | None = None
        self._row_began: float | None = None
        self._ratio: torch.Tensor | None = None  # sum, count, largest; completion tokens in the loss
        said = [declared(reward) for reward in self.reward_funcs]
        self.declared: dict[str, Declared] = dict(zip(self.reward_func_names, said, strict=True))
        self._outcomes = [place for place, one in enumerate(said) if one.outcome]
        languages = [isinstance(innermost(reward), LanguageConsistencyReward) for reward in self.reward_funcs]
        self._language = languages.index(True) if True in languages else None
        self.rollouts: rollouts.RolloutLog | None = None
        if self.args.log_rollouts:
            directory = Path(self.args.output_dir) / "rollouts"
            outcomes = [name for name, one in self.declared.items() if one.outcome]
            self.rollouts = rollouts.RolloutLog(directory, self.args.rollout_steps, self.args.rollout_keep, outcomes)
            self.add_callback(self.rollouts)

    @property
    def _wanted(self) -> bool:
        return self.args.step_metrics or self.rollouts is not None

    def _generate(self, prompts: list[Any]) -> Any:
        began = time.perf_counter()
        made = super()._generate(prompts)
        self._seconds = time.perf_counter() - began
        return made

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[Any]
    ) -> torch.Tensor:
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        if self._wanted:
            self._judged = (prompts, completions, rewards)
        return rewards

    def measure(self, inputs: list[dict[str, Any]], output: dict[str, Any]) -> None:
        """Counts one generation: its rows, and TRL's batch with the advantages that the loss will see."""
        if not self._wanted or self._judged is None:
            return
        (prompts, completions, gathered), self._judged = self._judged, None
        mode = "train" if self.model.training else "eval"
        local = self._local(inputs, prompts, completions, output)
        # One gather for everything; (world batch, columns).
        table = dict(zip(_COLUMNS, self.accelerator.gather(local).cpu().numpy().T, strict=True))
        rewards = gathered.detach().cpu().numpy()
        if self.args.step_metrics:
            group = self.num_generations if mode == "train" else self.num_generations_eval
            self._count(self._tallies[mode], table, rewards, group)
        if self.rollouts is not None and mode == "train":
            self._log_rollouts(inputs, table, rewards)

    def _local(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], output: dict[str, Any]
    ) -> torch.Tensor:
        """This process's completions, (batch, len(_COLUMNS))."""
        mask, ids, advantages = output["completion_mask"], output["completion_ids"], output["advantages"]
        own = mask * output["tool_mask"] if "tool_mask" in output else mask
        last = ids.gather(1, (mask.sum(dim=1, keepdim=True) - 1).clamp(min=0)).squeeze(1)
        ends = torch.tensor(sorted({*self.eos_token_ids, self._tokenizer.pad_token_id}), device=last.device)
        if advantages.dim() == 2:
            advantages = (advantages * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        measured = [own.sum(dim=1).float(), (~torch.isin(last, ends)).float(), advantages.float()]
        texts: list[Sequence[float]] = [[self._seconds] * len(completions)]
        if self.args.step_metrics:
            counts = [reflection.count(text) for text in completion_texts(completions)]
            texts += [[hits for hits, _ in counts], [words for _, words in counts]]
            texts.append(self._language_shares(inputs, prompts, completions))
        else:
            texts += [[0.0] * len(completions)] * 3
        return torch.cat([torch.stack(measured), torch.tensor(texts, device=last.device).float()]).T.contiguous()

    def _language_shares(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any]
    ) -> Sequence[float]:
        """Share of words in the target language; NaN where there is no word, and where a reward already says it."""
        unknown = [math.nan] * len(completions)
        if self._language is not None:
            return unknown
        languages = {"language": [row.get("language") for row in inputs]} if "language" in inputs[0] else {}
        shares = _LANGUAGE(prompts, completions, **languages)
        return [math.nan if share is None else share for share in shares]

    def _count(self, tally: Tally, table: dict[str, np.ndarray], rewards: np.ndarray, group: int) -> None:
        unjudged = np.isnan(rewards)
        for name, column in zip(self.reward_func_names, unjudged.T, strict=True):
            tally.add(f"rewards/{name}/unjudged", column.sum(), len(column))
        tally.add("completions/unjudged", unjudged.all(axis=1).sum(), len(unjudged))
        quiet = np.abs(table["advantage"]) < _NO_ADVANTAGE.get(self.scale_rewards, _NO_ADVANTAGE_SCALED)
        tally.add_mean("groups/no_signal", quiet.reshape(-1, group).all(axis=1).astype(float))
        if self._outcomes:
            self._count_outcome(tally, table["tokens"], rewards[:, self._outcomes], group)
        share = table["language"] if self._language is None else rewards[:, self._language]
        tally.add_mean("language/consistency", share)
        tally.add_mean("language/mixed", np.where(np.isnan(share), np.nan, share < MIXED))
        hits, words = table["reflections"].sum(), table["words"].sum()
        tally.add_mean("reflection/share", (table["reflections"] > 0).astype(float))
        tally.add("reflection/per_completion", hits, len(table["reflections"]))
        tally.add("reflection/per_100_words", 100 * hits, words)
        # Processes generate side by side: the slowest one is what it took.
        tally.add("tokens_per_second/generation", table["tokens"].sum(), table["seconds"].max())

    @staticmethod
    def _count_outcome(tally: Tally, tokens: np.ndarray, outcomes: np.ndarray, group: int) -> None:
        """Right: the first outcome reward that judges gives its full 1. Unjudged rows count for neither side."""
        known = ~np.isnan(outcomes)
        judged = known.any(axis=1)
        value = outcomes[np.arange(len(outcomes)), known.argmax(axis=1)]
        right, wrong = judged & (value >= RIGHT), judged & (value < RIGHT)
        tally.add("completions/mean_length_right", tokens[right].sum(), right.sum())
        tally.add("completions/mean_length_wrong", tokens[wrong].sum(), wrong.sum())
        groups = judged.reshape(-1, group).any(axis=1)
        tally.add("groups/all_right", right.reshape(-1, group).all(axis=1).sum(), groups.sum())
        tally.add("groups/all_wrong", wrong.reshape(-1, group).all(axis=1).sum(), groups.sum())

    def _log_rollouts(self, inputs: list[dict[str, Any]], table: dict[str, np.ndarray], rewards: np.ndarray) -> None:
        assert self.rollouts is not None
        ids = [rollouts.prompt_id(row) for row in inputs]
        ids = gather_object(ids) if self.accelerator.num_processes > 1 else ids
        if not self.accelerator.is_main_process:
            return
        weights = self.reward_weights.cpu().numpy()
        total = np.where(np.isnan(rewards).all(axis=1), np.nan, np.nansum(rewards * weights, axis=1))
        # TRL has gathered the texts of all processes for its own table, in the order of the rewards.
        prompts, completions = (list(self._logs[name])[-len(rewards) :] for name in ("prompt", "completion"))
        made = rollouts.columns(
            prompts,
            ids,
            completions,
            dict(zip(self.reward_func_names, rewards.T.tolist(), strict=True)),
            reward=[None if value != value else value for value in total.tolist()],
            advantage=table["advantage"].tolist(),
            tokens=table["tokens"].astype(int).tolist(),
            truncated=table["truncated"].astype(bool).tolist(),
        )
        self.rollouts.add(self.state.global_step + 1, made)

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
        if self._row_began is None:
            self._row_began = time.perf_counter()
        return super().training_step(*arguments, **named)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        if not self.args.step_metrics or not self.model.training:
            return super()._compute_loss(model, inputs)
        seen: list[torch.Tensor] = []
        name = "_get_per_token_logps_and_entropies"
        whole = getattr(self, name)

        def kept(*arguments: Any, **named: Any) -> Any:
            found = whole(*arguments, **named)
            seen.append(found[0].detach())
            return found

        # On the instance, so that it holds whichever class computes them.
        setattr(self, name, kept)
        try:
            loss = super()._compute_loss(model, inputs)
        finally:
            delattr(self, name)
        self._count_ratio(inputs, seen[-1])
        return loss

    def _count_ratio(self, inputs: dict[str, Any], logps: torch.Tensor) -> None:
        """Adds the ratios pi / pi_old of the loss; no value leaves the device before a row is logged."""
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        old = inputs.get("old_per_token_logps")
        tokens = mask.sum()
        if old is None:  # TRL then takes the policy itself: every ratio is 1
            count = tokens if self.importance_sampling_level == "token" else torch.tensor(float(len(mask)))
            found = [count, count, torch.ones_like(count), tokens]
        else:
            difference = logps - old
            if self.importance_sampling_level == "sequence":
                difference = (difference * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
                mask = torch.ones_like(difference)
            ratio = difference.exp() * mask
            found = [ratio.sum(), mask.sum(), ratio.max(), tokens]
        new = torch.stack([value.to(logps.device, torch.float32) for value in found])
        if self._ratio is not None:
            new = torch.cat([self._ratio[:2] + new[:2], self._ratio[2:3].maximum(new[2:3]), self._ratio[3:] + new[3:]])
        self._ratio = new

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self.args.step_metrics:
            mode = "train" if self.model.training else "eval"
            measured = self._tallies[mode].take()
            if mode == "train" and self._ratio is not None:
                measured |= self._row_metrics()
            for name, value in measured.items():
                self._metrics[mode][name].append(value)
        super().log(logs, start_time)
        self._row_began = None

    def _row_metrics(self) -> dict[str, float]:
        """What is counted in the loss; each process calls it. Starts anew."""
        assert self._ratio is not None
        totals = self.accelerator.gather(self._ratio[None]).double().cpu()
        self._ratio = None
        seconds = time.perf_counter() - (self._row_began or math.inf)
        ratio, count, _, tokens = totals.sum(dim=0).tolist()
        return {
            "importance_ratio/mean": ratio / count if count else math.nan,
            "importance_ratio/max": totals[:, 2].max().item(),
            "tokens_per_second/overall": tokens / seconds,
        }


class MeasuredState:
    """What `Measured` has counted for the next row of the log, for a checkpoint."""

    def __init__(self, trainer: Measured):
        self.trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self.trainer._tallies["train"].sums), "ratio": self.trainer._ratio}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.trainer._tallies["train"].sums = state["sums"]
        self.trainer._ratio = state["ratio"]


_COLUMNS = ("tokens", "truncated", "advantage", "seconds", "reflections", "words", "language")
_LANGUAGE = LanguageConsistencyReward()
