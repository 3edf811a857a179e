"""What the rules of the health panel look at, worked out once from a run's table."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property

from r1hf.explain.health.judged import answer_of, judge, spread
from r1hf.explain.health.series import Series
from r1hf.explain.runs.table import Rollout, RunTable


class Facts:
    """A run in figures. Shares are from 0 to 1, None where nothing tells."""

    def __init__(self, run: RunTable):
        self.run, self.rollouts = run, run.rollouts
        run.notes += judge(self.rollouts)
        self.judged = [one for one in self.rollouts if one.right is not None]
        self.paid = self._logged("reward") or self.of_rollouts(lambda one: one.reward)
        self.outcome = self._rewards(run.outcomes)
        self.form = self._rewards(run.forms)
        self.clipped = self._logged("completions/clipped_ratio") or self.of_rollouts(
            lambda one: None if one.truncated is None else float(one.truncated)
        )
        self.tokens = self._logged("completions/mean_length") or self.of_rollouts(lambda one: one.tokens)
        self.length = self.tokens or self.of_rollouts(lambda one: float(len(one.completion)))
        self.kl, self.entropy = self._logged("kl"), self._logged("entropy")
        self.grad, self.rate, self.loss = map(self._logged, ("grad_norm", "learning_rate", "loss"))
        self.right = self.of_rollouts(lambda one: None if one.right is None else float(one.right))
        self.held_out = self._held_out()
        self.quiet = self._quiet()

    @property
    def unit(self) -> str:
        return "tokens" if self.tokens else "characters"

    @property
    def count(self) -> int:
        """Steps that are known of."""
        return max(len(self.paid.values), len({one.step for one in self.rollouts}))

    @cached_property
    def scale(self) -> float:
        """The width of the reward, at least 1: what a gain is held against."""
        values = [*self.paid.values, *(one.reward for one in self.rollouts if one.reward is not None)]
        return max(1.0, max(values) - min(values)) if values else 1.0

    @cached_property
    def learns(self) -> bool:
        """Whether what counts rose beyond noise: the outcome where it is told apart, else the reward."""
        return (self.outcome or self.paid).moves(1, 0.03 * self.scale)

    @cached_property
    def groups(self) -> list[list[Rollout]]:
        """Completions of one prompt at one step, two at least."""
        found: dict[tuple[int, str], list[Rollout]] = defaultdict(list)
        for one in self.rollouts:
            found[one.step, one.group or one.prompt].append(one)
        return [group for group in found.values() if len(group) > 1]

    @cached_property
    def prompts(self) -> int:
        return len({one.prompt for one in self.rollouts})

    def outcome_of(self, one: Rollout) -> float | None:
        """What a completion was paid for its answer; for everything, where that is not told apart."""
        known = [value for name in self.run.outcomes if (value := one.rewards.get(name)) is not None]
        if self.run.outcomes and one.rewards:
            return statistics.fmean(known) if known else None
        return one.reward

    def share(self, test: Callable[[Rollout], bool], rollouts: Iterable[Rollout] | None = None) -> float | None:
        ones = self.rollouts if rollouts is None else list(rollouts)
        return statistics.fmean(map(test, ones)) if ones else None

    @cached_property
    def early(self) -> list[Rollout]:
        """The rollouts of the first third of the steps that have any."""
        steps = sorted({one.step for one in self.rollouts})
        kept = set(steps[: max(1, len(steps) // 3)])
        return [one for one in self.rollouts if one.step in kept]

    @cached_property
    def same_in_groups(self) -> float | None:
        """How alike the completions of a group are at first: 0 all different, 1 all the same."""
        first = {id(one) for one in self.early}
        shares = [
            1 - (len({one.completion for one in group}) - 1) / (len(group) - 1)
            for group in self.groups
            if id(group[0]) in first
        ]
        return statistics.fmean(shares) if shares else None

    @cached_property
    def mixed_answers(self) -> float | None:
        """The share of groups whose completions answer differently."""
        some = spread(self.groups, 60)
        return statistics.fmean(len({answer_of(one) for one in group}) > 1 for group in some) if some else None

    @cached_property
    def reward_follows_length(self) -> float | None:
        """Correlation of reward and length within groups."""
        pairs = []
        for group in self.groups:
            known = [(len(one.completion), one.reward) for one in group if one.reward is not None]
            if len(known) > 1:
                lengths, rewards = zip(*known, strict=True)
                middle = statistics.fmean(lengths), statistics.fmean(rewards)
                pairs += [(length - middle[0], reward - middle[1]) for length, reward in known]
        across = math.sqrt(math.fsum(x * x for x, _ in pairs) * math.fsum(y * y for _, y in pairs))
        return math.fsum(x * y for x, y in pairs) / across if across > 0 else None

    @cached_property
    def prompt_tokens(self) -> float | None:
        """The mean length of a prompt, from what the trainer counted; None where it did not, or where rollouts of a
        step are missing.
        """
        logged = self._logged("prompt_length")
        if logged:
            return logged.mean
        if not self.run.whole or not self.groups:  # TRL's log_unique_prompts leaves one completion of a group
            return None
        sizes = Counter(one.step for one in self.rollouts)
        lengths = dict(zip(self.tokens.steps, self.tokens.values, strict=True))
        counted = self._logged("num_tokens")
        found, before = [], (0, 0.0)
        for step, total in zip(counted.steps, counted.values, strict=True):
            if sizes.get(step) and step in lengths and step > before[0] and total > before[1]:
                found.append((total - before[1]) / (step - before[0]) / sizes[step] - lengths[step])
            before = step, total
        return statistics.median(found) if found else None

    def _logged(self, name: str) -> Series:
        found = [(int(row["step"] or 0), value) for row in self.run.steps if (value := row.get(name)) is not None]
        return Series(tuple(step for step, _ in found), tuple(value for _, value in found))

    def of_rollouts(self, figure: Callable[[Rollout], float | None], ones: Iterable[Rollout] | None = None) -> Series:
        """The mean by step over the rollouts, or over some of them."""
        by_step: dict[int, list[float]] = defaultdict(list)
        for one in self.rollouts if ones is None else ones:
            if (value := figure(one)) is not None:
                by_step[one.step].append(value)
        steps = tuple(sorted(by_step))
        return Series(steps, tuple(statistics.fmean(by_step[step]) for step in steps))

    def _rewards(self, names: list[str]) -> Series:
        """The mean of several rewards by step, from the log, else from the rollouts."""
        logged = [series for name in names if (series := self._logged(f"rewards/{name}/mean"))]
        if logged:
            by_step: dict[int, list[float]] = defaultdict(list)
            for series in logged:
                for step, value in zip(series.steps, series.values, strict=True):
                    by_step[step].append(value)
            steps = tuple(sorted(by_step))
            return Series(steps, tuple(statistics.fmean(by_step[step]) for step in steps))

        def own(one: Rollout) -> float | None:
            known = [value for name in names if (value := one.rewards.get(name)) is not None]
            return statistics.fmean(known) if known else None

        return self.of_rollouts(own)

    def _held_out(self) -> Series:
        """The held-out outcome, where its rewards are told apart; else the held-out reward; r1hf's own before both."""
        if found := self._logged("held_out/pass_at_1"):
            return found
        for name in self.run.outcomes:
            if found := self._logged(f"eval_rewards/{name}/mean"):
                return found
        return self._logged("eval_reward")

    def _quiet(self) -> Series:
        """The share of groups whose completions were all paid alike, by step."""
        for name in ("groups/no_signal", "frac_reward_zero_std"):
            if found := self._logged(name):
                return found
        by_step: dict[int, list[float]] = defaultdict(list)
        for group in self.groups:
            if values := {one.reward for one in group if one.reward is not None}:
                by_step[group[0].step].append(float(max(values) - min(values) < 1e-9))
        steps = tuple(sorted(by_step))
        return Series(steps, tuple(statistics.fmean(by_step[step]) for step in steps))
