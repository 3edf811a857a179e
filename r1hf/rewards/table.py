"""The key `rewards` of a recipe: `{accuracy: 1, format: {weight: 1, mode: think_only}, my_rewards.py:brevity: 0.1}`.

One table has the names; a reward's own file is imported when a run asks for it.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.yamlfile import nearest
from r1hf.rewards._common import function_name
from r1hf.rewards.declared import declared
from r1hf.rewards.own import is_own, load_own, own_file
from r1hf.rewards.routing import TaskRouter

Reward = Callable[..., list[float | None]]

TABLE = {
    "accuracy": ("accuracy", "AccuracyReward"),
    "choice": ("choice", "ChoiceReward"),
    "code": ("code", "CodeReward"),
    "countdown": ("countdown", "CountdownReward"),
    "format": ("format", "FormatReward"),
    "gym": ("gym", "GymReward"),
    "language": ("language", "LanguageConsistencyReward"),
    "overlong": ("overlong", "OverlongReward"),
    "random": ("random_control", "RandomReward"),
    "repetition": ("repetition", "RepetitionReward"),
    "text": ("text", "TextReward"),
}


def weights_of(chosen: Mapping[str, Any]) -> dict[str, float]:
    """The weight of each reward that a valid key `rewards` names."""
    return {
        name: float(value.get("weight", 1.0) if isinstance(value, Mapping) else value)
        for name, value in chosen.items()
    }


def build(chosen: Mapping[str, Any], given: Mapping[str, Reward] | None = None) -> dict[str, Reward]:
    """The rewards that the key `rewards` names, each for the rows of its tasks. given: those that the recipe makes.

    A row whose task no reward judges raises DataError, unless a reward of the outcome says nothing of tasks, and so
    judges all. Raises ConfigError with all that is wrong.
    """
    given = given or {}
    problems = weight_problems(chosen)
    made: dict[str, Reward] = {}
    for name, value in chosen.items():
        options = {key: item for key, item in value.items() if key != "weight"} if isinstance(value, Mapping) else {}
        try:
            made[name] = given[name] if name in given and not options else _made(name, options, given)
        except ConfigError as error:
            problems += error.problems
        except R1Error as error:
            problems.append(f"rewards: {name}: {error}")
    if problems:
        raise ConfigError(problems)
    return _routed(made)


def _routed(made: Mapping[str, Reward]) -> dict[str, Reward]:
    said = {name: declared(reward) for name, reward in made.items()}
    known = tuple(dict.fromkeys(task for one in said.values() for task in one.tasks or ()))
    if any(one.outcome and one.tasks is None for one in said.values()):
        known = ()
    plain = {name: reward.reward if isinstance(reward, TaskRouter) else reward for name, reward in made.items()}
    return {
        name: TaskRouter(reward, tasks, known) if (tasks := said[name].tasks) else reward
        for name, reward in plain.items()
    }


def _made(name: str, options: Mapping[str, Any], given: Mapping[str, Reward]) -> Reward:
    if name in given:
        raise ConfigError(f"rewards: {name}: is made by the recipe and takes a weight alone, not {', '.join(options)}")
    if is_own(name):
        return load_own(name, options)
    if name not in TABLE:
        raise ConfigError(unknown(name, given))
    return from_options(name, options)


def unknown(name: str, given: Iterable[str]) -> str:
    """What to say to a name that is neither in the table nor among the rewards that the recipe makes."""
    known = [*dict.fromkeys((*TABLE, *given))]
    said = nearest(name, known, else_say=f"there are {', '.join(known)}")
    return f"rewards: unknown reward '{name}'; {said}, and your own as FILE.py:FUNCTION"


def from_options(name: str, options: Mapping[str, Any]) -> Reward:
    """A reward of the table with the options of a YAML file, such as `{packages: [numpy], limits: {wall: 5}}`.

    `tasks` is an option of all: the tasks whose rows it judges, in place of its own. Raises ConfigError for what is no
    option or no value of one.
    """
    options = dict(options)
    tasks = options.pop("tasks", None)
    module, attribute = TABLE[name]
    kind = getattr(importlib.import_module(f"r1hf.rewards.{module}"), attribute)
    known = [item.name for item in dataclasses.fields(kind)]
    problems = [f"rewards.{name}.{key}: unknown key; {nearest(key, known)}" for key in options if key not in known]
    problems += [
        f"rewards.{name}.{item.name}: must be given"
        for item in dataclasses.fields(kind)
        if item.default is item.default_factory is dataclasses.MISSING and item.name not in options
    ]
    if tasks is not None and not (isinstance(tasks, list) and tasks and all(isinstance(task, str) for task in tasks)):
        problems.append(f"rewards.{name}.tasks: {tasks!r} is no list of tasks")
    if problems:
        raise ConfigError(problems)
    try:
        reward: Any = TypeAdapter(kind).validate_python(options)
    except ValidationError as error:
        raise ConfigError([_fault(name, kind, one) for one in error.errors()]) from None
    return TaskRouter(reward, tuple(tasks), ()) if tasks else reward


def _fault(name: str, kind: Any, fault: Any) -> str:
    key = ".".join(map(str, ("rewards", name, *fault["loc"])))
    if fault["type"] == "unexpected_keyword_argument":
        held = get_type_hints(kind)[fault["loc"][0]]  # an option that has keys of its own
        known = [item.name for item in dataclasses.fields(held)]
        return f"{key}: unknown key; {nearest(str(fault['loc'][-1]), known)}"
    return f"{key}: {fault['input']!r:.60}: {fault['msg']}"


def weight_problems(chosen: Mapping[str, Any]) -> list[str]:
    """What is wrong with the weights; a reward with options and no `weight` counts 1."""
    problems, paid = [], False
    for name, value in chosen.items():
        weight = value.get("weight", 1.0) if isinstance(value, Mapping) else value
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            problems.append(f"rewards: {name}: {weight!r} is no weight; write a number, or {{weight: 1, …options}}")
        elif not math.isfinite(weight):
            problems.append(f"rewards: {name} counts {weight}, which is no finite number")
        else:
            paid = paid or weight != 0
    if not paid and not problems:
        problems.append("rewards: every reward counts 0, so that all advantages are 0; pay at least one reward")
    return problems


def located(chosen: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The key with files of one's own that lie beside the configuration, and not in the working directory, by path."""
    return {
        str(folder / name) if is_own(name) and not own_file(name).is_file() and own_file(str(folder / name)).is_file()
        else name: value
        for name, value in chosen.items()
    }  # fmt: skip


def name_problems(rewards: Mapping[str, Any]) -> list[str]:
    """A sentence for rewards that would share one metric: TRL keeps them apart by the name of the function."""
    places: dict[str, list[str]] = {}
    for name, reward in rewards.items():
        places.setdefault(function_name(reward), []).append(name)
    return [
        f"rewards: {', '.join(names)} are all called {called} in the metrics; rename the function"
        for called, names in places.items()
        if len(names) > 1
    ]


def task_problems(rewards: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A sentence for each task of the rows that no reward judges, and for rows whose tests no reward would run."""
    known = {task for reward in rewards.values() for task in getattr(reward, "known_tasks", ())}
    if not known:
        return []
    problems = []
    tested = {task for name, reward in rewards.items() if name == "code" for task in declared(reward).tasks or ()}
    idle = {row["task"] for row in rows if row.get("tests") and tested and row["task"] not in tested}
    for task in sorted({str(row["task"]) for row in rows} - known):
        owner = next((name for name in TABLE if name not in rewards and task in _tasks_of(name)), None)
        advice = (
            f"{owner} does: rewards: {{{owner}: 1, …}}"
            if owner
            else f"{nearest(task, sorted(known))}, or name it: rewards: {{accuracy: {{weight: 1, tasks: [{task}]}}}}"
        )
        problems.append(f"task {task!r} is judged by no reward of this run; {advice}")
    told = "have tests, which only task code runs; write task: code"
    return problems + [f"rows of task {task!r} {told}" for task in sorted(idle)]


def _tasks_of(name: str) -> tuple[str, ...]:
    module, attribute = TABLE[name]
    return getattr(getattr(importlib.import_module(f"r1hf.rewards.{module}"), attribute), "tasks", None) or ()
