"""A run, whoever's it is: looks at what lies there, and reads all of it into one table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from r1hf.core.errors import DataError, IntegrityError
from r1hf.data.lines import ending
from r1hf.explain.runs.files import ENDINGS, add_rollouts
from r1hf.explain.runs.logs import VERL_CONSOLE, add_console, add_json_lines, add_model_facts, add_trainer_state
from r1hf.explain.runs.table import RunTable
from r1hf.stage.manifest import prove
from r1hf.trainers.rollouts import files as own_files
from r1hf.trainers.rollouts import outcome_columns

_NUMBERED = re.compile(r"(?:completions|generations|rollouts?|step|global_step)?[_-]?(\d+)", re.I)
_CONSOLES = (".log", ".out", ".txt", ".err")
_PARTS = 10
_FEW = 10_000  # files of a directory that are looked at
_LOGS = ("log.jsonl", "logging.jsonl", "metrics.jsonl")
_TRL_FILES = "completions/completions_*.parquet"


def read_run(where: Path, columns: Mapping[str, str] | None = None) -> RunTable:
    """Reads a stage of r1hf, a TRL or Unsloth output directory, a verl dump, or a file of rollouts or of a log.

    columns: prompt, completion, reward, step, gold, … -> the name that the files give it. Raises DataError where
    there is nothing of a run, ConfigError where a named column is not there.
    """
    chosen = dict(columns or {})
    run = RunTable(where)
    if where.is_dir():
        _directory(run, chosen)
    elif where.is_file():
        _file(run, where, chosen)
    else:
        beside = where.with_name(f"{where.name}.partial")
        if not (where.name and beside.is_dir()):
            raise DataError(f"there is no {where}: give a run's directory, a file of rollouts, or a log")
        run.where = beside
        _directory(run, chosen)
    _number_steps(run)
    run.name_rewards()
    return run


def _number_steps(run: RunTable) -> None:
    """Without steps the rows count as written one after the other, a tenth of them a step."""
    if run.rollouts and not any(one.step for one in run.rollouts) and "step" not in dict(run.taken):
        size = max(1, -(-len(run.rollouts) // _PARTS))
        before = ""
        step = 0
        for place, one in enumerate(run.rollouts):
            if place >= step * size and one.prompt != before:  # groups stay whole
                step += 1
            one.step, before = step, one.prompt
        run.notes.append(f"no column of steps: the rows are taken in their order, as {step} steps")


def _file(run: RunTable, path: Path, chosen: Mapping[str, str]) -> None:
    if path.name == "trainer_state.json":
        add_trainer_state(run, path)
        add_model_facts(run, path.parent)
    elif ending(path) == ".jsonl" and path.name in _LOGS:
        add_json_lines(run, path)
    elif ending(path) in ENDINGS:
        add_rollouts(run, [path], chosen)
        run.kinds.append(f"a file of rollouts ({ending(path).removeprefix('.')})")
    elif not add_console(run, path):
        raise DataError(
            f"{path} is no run: it holds no line of TRL's or Unsloth's log ({{'loss': …, 'reward': …}}) and none of "
            f"verl's (step:1 - …). Files of rollouts end in {', '.join(ENDINGS)}"
        )


def _directory(run: RunTable, chosen: Mapping[str, str]) -> None:
    """All that a directory holds of a run; the first kind of rollouts that is there."""
    where = run.where
    _logs(run)
    known = [key.split("/")[1] for row in run.steps for key in row if re.fullmatch(r"rewards/[^/]+/mean", key)]
    known = list(dict.fromkeys(known))
    own, trl = rollout_directory(where), _trl_files(where)
    if own is not None:
        paths = own_files(own)
        try:
            prove(own)
        except IntegrityError as error:
            run.notes.append(f"not as its stage made it: {error}")
        _outcomes(run, paths[-1])
        _add(run, "a stage of r1hf", paths, chosen)
    elif trl:
        _add(run, "TRL's log_completions", trl, chosen, known)
    elif paths := _dumps(where):
        _add(run, "a directory of rollouts", paths, chosen, known, _step_of)
    if not run.rollouts and not run.steps:
        raise DataError(_nothing(where))


def _add(run: RunTable, kind: str, *files: Any) -> None:
    """Files that are no rollouts, such as the data beside a log, leave the log to be explained."""
    try:
        add_rollouts(run, *files)
        run.kinds.insert(0, kind)
    except DataError as error:
        if not run.steps:
            raise
        run.notes.append(f"the log alone is explained: {error}")


def _logs(run: RunTable) -> None:
    where = run.where
    for name in _LOGS:
        if (where / name).is_file():
            add_json_lines(run, where / name)
    if (state := _trainer_state(where)) is not None:
        try:
            add_trainer_state(run, state)
        except DataError as error:
            run.notes.append(str(error))
    consoles = sorted(path for path in where.iterdir() if path.suffix in _CONSOLES and path.is_file())
    if not run.steps:
        _consoles(run, consoles)
    for directory in filter(None, (state and state.parent, where)):
        add_model_facts(run, directory)


def _consoles(run: RunTable, paths: list[Path]) -> None:
    """verl says its steps. The lines of others are counted from 1 in each file: the longest is taken."""
    read = [own for path in paths if add_console(own := RunTable(path), path)]
    longest = max(read, key=lambda own: len(own.steps), default=None)
    for own in read:
        if own is longest or own.kinds == longest.kinds == [VERL_CONSOLE]:  # type: ignore[union-attr]
            add_console(run, own.where)
        else:
            run.notes.append(f"{own.where} is left out: like {longest.where} it counts its steps from 1")  # type: ignore[union-attr]


def _trainer_state(where: Path) -> Path | None:
    """The directory's own, else that of its newest checkpoint: a run that was stopped has only those."""
    found = [where / "trainer_state.json", where / "trainer" / "trainer_state.json"]
    checkpoints = [*where.glob("checkpoint-*/trainer_state.json"), *where.glob("trainer/checkpoint-*/*_state.json")]
    found += sorted(checkpoints, key=lambda path: _digits(path.parent.name), reverse=True)
    return next((path for path in found if path.is_file()), None)


def rollout_directory(run: Path) -> Path | None:
    """Where r1hf's rollouts lie: `run` itself, below it, or below the unfinished output of a stage."""
    return next((place for place in rollout_places(run) if own_files(place)), None)


def rollout_places(run: Path) -> list[Path]:
    beside = [run.with_name(run.name + ".partial") / "rollouts"] if run.name else []
    return [run, run / "rollouts", *beside, run / "trainer" / "rollouts"]


def _outcomes(run: RunTable, newest: Path) -> None:
    try:
        run.outcomes = [name.removeprefix("rewards/") for name in outcome_columns(newest) or []]
    except DataError:
        pass  # the file is named when it is read


def _trl_files(where: Path) -> list[Path]:
    above = [*where.parent.glob(_TRL_FILES)] if where.name.startswith("checkpoint-") else []
    found = [*where.glob("completions_*.parquet"), *where.glob(_TRL_FILES), *above]
    return sorted(found, key=lambda path: _digits(path.stem))


def _dumps(where: Path) -> list[Path]:
    """Files of rollouts in a directory: verl's 1.jsonl, 2.jsonl, …, else any; also one directory further down."""
    for directory in (where, *sorted(path for path in where.iterdir() if path.is_dir())):
        paths = [path for path in directory.iterdir() if ending(path) in ENDINGS and path.is_file()]
        numbered = [path for path in paths if _step_of(path) is not None]
        others = [path for path in paths if ending(path) != ".json" and path.name not in _LOGS]
        if chosen := numbered or others:
            return sorted(chosen, key=lambda path: (_digits(path.stem), path.name))[:_FEW]
    return []


def _step_of(path: Path) -> int | None:
    match = _NUMBERED.fullmatch(path.name.partition(".")[0])
    return int(match[1]) if match else None


def _digits(name: str) -> int:
    return int("".join(filter(str.isdigit, name)) or -1)


def _nothing(where: Path) -> str:
    stages = sorted(path.name for path in where.iterdir() if path.is_dir() and rollout_directory(path))
    if stages:
        return f"{where} is a run of several stages: name one of those that log rollouts: {', '.join(stages)}"
    return (
        f"{where} holds nothing of a run: no rollouts (TRL: log_completions=True; verl: trainer.rollout_data_dir; or "
        f"files ending in {', '.join(ENDINGS)}) and no log (trainer_state.json, which trainer.save_state() or a "
        "checkpoint writes, or a console log)"
    )
