"""A reward that breaks stops the run, and the message names it, instead of training on noise."""

from __future__ import annotations

import asyncio
import inspect
import math
from dataclasses import dataclass
from typing import Any

from r1hf.core.errors import ConfigError, R1Error
from r1hf.rewards._common import (
    Bounds,
    Ids,
    Prompts,
    Replies,
    RewardFunction,
    Rewards,
    completion_texts,
    function_name,
)

_SHOWN = 80  # characters of a completion or a value in a message


class RewardError(R1Error):
    """A reward function that raised, or returned what is no reward. `row` is a place in the batch, if one is known."""

    function: str = ""
    row: int | None = None
    value: Any = None


@dataclass(frozen=True)
class GuardedReward:
    """`reward` with its result checked: one finite number or None a completion, `low` to `high`, both included.

    Raises RewardError naming function, row and value. Errors made for people (R1Error) pass unchanged.
    """

    reward: RewardFunction
    low: float | None = None
    high: float | None = None

    @property
    def __name__(self) -> str:
        return function_name(self.reward)

    @property
    def bounds(self) -> Bounds | None:
        return None if self.low is None or self.high is None else (self.low, self.high)

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        batch = {"prompts": prompts, "completions": completions, "completion_ids": completion_ids, **columns}
        try:
            result = self.reward(**batch)
            if inspect.isawaitable(result):
                result = asyncio.run(_awaited(result))
        except R1Error:
            raise
        except Exception as error:
            row = self._row_that_raises(batch, error)
            where = f" at row {row} of the batch ({_completion(completions[row])})" if row is not None else ""
            raise self._error(f"raised {type(error).__name__}: {error}{where}", row, error) from error
        try:
            values = list(result)
        except TypeError:
            raise self._error(f"returned {_shown(result)}, which is no list of rewards", None, result) from None
        if isinstance(result, str | dict) or len(values) != len(completions):
            raise self._error(
                f"returned {len(values)} rewards for {len(completions)} completions: {_shown(result)}", None, result
            )
        return [self._checked(value, row, completions[row]) for row, value in enumerate(values)]

    def _checked(self, value: Any, row: int, completion: Any) -> float | None:
        if value is None:
            return None
        try:
            if isinstance(value, str | bytes):
                raise TypeError
            number = float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError):
            number, fault = 0.0, "is no number"
        else:
            fault = "is no finite number" if not math.isfinite(number) else self._outside(number)
        if fault:
            what = f"returned {_shown(value)} for row {row} of the batch, which {fault} ({_completion(completion)})"
            raise self._error(what, row, value)
        return number

    def _outside(self, number: float) -> str:
        below, above = self.low is not None and number < self.low, self.high is not None and number > self.high
        low, high = ("any" if limit is None else f"{limit:g}" for limit in (self.low, self.high))
        return f"is outside its range, {low} to {high}" if below or above else ""

    def _row_that_raises(self, batch: dict[str, Any], error: Exception) -> int | None:
        """The first row that fails in the same way when alone; the run ends here, so time does not count."""
        count = len(batch["completions"])
        for row in range(count):
            alone = {
                name: [value[row]] if isinstance(value, list) and len(value) == count else value
                for name, value in batch.items()
            }
            alone |= {"log_extra": _ignore, "log_metric": _ignore}
            try:
                self.reward(**alone)
            except Exception as again:
                if type(again) is type(error):
                    return row
        return None

    def _error(self, what: str, row: int | None, value: Any) -> RewardError:
        error = RewardError(
            f"reward {self.__name__!r} {what}. A reward is a finite number for each completion, or None where it "
            "cannot judge: mend the function, or take it out of the run"
        )
        error.function, error.row, error.value = self.__name__, row, value
        return error


def guarded(reward: RewardFunction, low: float | None = None, high: float | None = None) -> GuardedReward:
    """`reward`, guarded. Without `low` and `high` the range is what the reward declares as `bounds`, if it does.

    Keeps the name, and can be pickled if the reward can. Raises ConfigError for what cannot be guarded.
    """
    if isinstance(reward, GuardedReward) and low is None and high is None:
        return reward
    if not callable(reward) or inspect.isclass(reward):
        raise ConfigError(f"reward {_shown(reward)} is no function: give the function itself, or an instance")
    declared = getattr(reward, "bounds", None)
    if low is None and high is None and declared is not None:
        low, high = declared
    if low is not None and high is not None and not low <= high:
        raise ConfigError(f"reward {function_name(reward)!r}: the range {low} to {high} is empty")
    return GuardedReward(reward, low, high)


async def _awaited(result: Any) -> Any:
    return await result


def _ignore(*_: Any) -> None:
    pass


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _completion(completion: Any) -> str:
    try:
        completion = completion_texts([completion])[0]
    except (AttributeError, TypeError):
        pass
    return f"completion {_shown(completion)}"
