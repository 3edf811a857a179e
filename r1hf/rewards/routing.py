"""One reward per kind of prompt: rows of other tasks get None, which is no zero (DeepSeek-R1 §2.3.4)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from r1hf.core.errors import ConfigError, DataError
from r1hf.rewards._common import Bounds, Ids, Prompts, Replies, RewardFunction, Rewards, column, function_name


@dataclass(frozen=True)
class TaskRouter:
    """`reward` for rows whose column names one of `tasks`, None for rows of another known task.

    Resists a mistyped or missing task passing unscored: DataError names the row and the tasks known (none: any task
    may be another reward's). The wrapped reward sees only its rows; if there are none it is not called. It keeps its
    name in the metrics.
    """

    reward: RewardFunction
    tasks: tuple[str, ...]
    known_tasks: tuple[str, ...]
    column: str = "task"
    name: str | None = None

    @property
    def __name__(self) -> str:
        return self.name or function_name(self.reward)

    @property
    def bounds(self) -> Bounds | None:
        return getattr(self.reward, "bounds", None)

    def __call__(self, prompts: Prompts, completions: Replies, completion_ids: Ids = None, **columns: Any) -> Rewards:
        count = len(completions)
        tasks = column(columns, self.column, count, self.__name__)
        for row, task in enumerate(tasks):
            if self.known_tasks and task not in self.known_tasks:
                raise DataError(self._unknown(row, task))
        chosen = [row for row, task in enumerate(tasks) if task in self.tasks]
        rewards: Rewards = [None] * count
        if not chosen:
            return rewards
        kept = {key: _pick(value, chosen, count) for key, value in columns.items()}
        if callable(log_extra := columns.get("log_extra")):
            kept["log_extra"] = _spread(log_extra, chosen, count)
        scores = self.reward(
            prompts=[prompts[row] for row in chosen],
            completions=[completions[row] for row in chosen],
            completion_ids=None if completion_ids is None else [completion_ids[row] for row in chosen],
            **kept,
        )
        if len(scores) != len(chosen):
            raise DataError(f"{self.__name__} returned {len(scores)} rewards for {len(chosen)} completions")
        for row, score in zip(chosen, scores, strict=True):
            rewards[row] = score
        return rewards

    def _unknown(self, row: int, task: Any) -> str:
        near = difflib.get_close_matches(str(task), self.known_tasks, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return (
            f"row {row} of the batch has {self.column} {task!r}{hint}, which no reward is routed to; "
            f"known: {', '.join(self.known_tasks)}"
        )


def only_for(
    reward: RewardFunction,
    tasks: str | Iterable[str],
    known_tasks: str | Iterable[str],
    column: str = "task",
    name: str | None = None,
) -> TaskRouter:
    """`reward` for rows of `tasks` only. Raises ConfigError if one of `tasks` is not among `known_tasks`.

    `name` is what TRL's metrics call it, where the reward's own name will not do.
    """
    wanted = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    known = (known_tasks,) if isinstance(known_tasks, str) else tuple(known_tasks)
    problems = [
        f"task {task!r} is not among the known tasks {', '.join(known)}" for task in wanted if task not in known
    ]
    if problems:
        raise ConfigError(problems)
    return TaskRouter(reward, wanted, known, column, name)


def _pick(value: Any, rows: list[int], count: int) -> Any:
    return [value[row] for row in rows] if isinstance(value, list) and len(value) == count else value


def _spread(log_extra: Callable[..., Any], rows: list[int], count: int) -> Callable[[str, list[Any]], Any]:
    """TRL's `log_extra` wants a value for every row of the batch."""

    def log(name: str, values: list[Any]) -> Any:
        spread: list[Any] = [None] * count
        for row, value in zip(rows, values, strict=True):
            spread[row] = value
        return log_extra(name, spread)

    return log
