"""A reward of one's own: a function in a file, named `my_rewards.py:brevity` in the key `rewards`."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.yamlfile import nearest

_TRIED = 4  # rows


def is_own(name: str) -> bool:
    return ".py:" in name


def own_file(name: str) -> Path:
    return Path(name.rpartition(":")[0])


def load_own(name: str, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The function (or the class, made with `options`) that `name` says. Raises ConfigError with what is wrong."""
    path, _, attribute = name.rpartition(":")
    module = _module(Path(path), name)
    found = getattr(module, attribute, None)
    if found is None:
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"rewards: {name}: {path} has no '{attribute}'; {nearest(attribute, known)}")
    if inspect.isclass(found):
        try:
            found = found(**options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"rewards: {name}: cannot be made with {dict(options)}: {error}") from error
    elif options:
        raise ConfigError(f"rewards: {name}: is a function and takes no options; write {name}: WEIGHT, or a class")
    if not callable(found):
        raise ConfigError(f"rewards: {name}: is {found!r:.60}, which is no function")
    _check_signature(name, found)
    return found


def _module(path: Path, name: str) -> Any:
    if not path.is_file():
        raise ConfigError(f"rewards: {name}: there is no file {path} (from {Path.cwd()}, or beside the configuration)")
    path = path.resolve()
    content = path.read_bytes()
    known_as = f"r1hf_own_{hashlib.sha256(str(path).encode() + content).hexdigest()[:16]}"
    if known_as in sys.modules:
        return sys.modules[known_as]
    spec = importlib.util.spec_from_file_location(known_as, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[known_as] = module  # so that what it defines can be pickled
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[known_as]
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = getattr(error, "lineno", None) or (lines[-1] if lines else None)
        where = f"{path}, line {line}" if line else str(path)
        raise ConfigError(f"rewards: {name}: {where}: {type(error).__name__}: {error}") from error
    return module


def _check_signature(name: str, reward: Callable[..., Any]) -> None:
    """TRL gives prompts, completions, token ids, every column of the rows and more, all by name."""
    try:
        parameters = inspect.signature(reward).parameters.values()
    except (TypeError, ValueError):
        return
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        raise ConfigError(
            f"rewards: {name}: must take **columns, as in def {name.rpartition(':')[2]}(completions, **columns): "
            "prompts, token ids and every column of the rows are given by name"
        )


def try_reward(
    problems: list[str], name: str, reward: Callable[..., Any], rows: Sequence[Mapping[str, Any]], chat: bool
) -> None:
    """Adds what a reward says against a well-formed completion of the first rows. chat: prompts are conversations."""
    from transformers import TrainerState

    from r1hf.rewards.guard import guarded

    rows = list(rows[:_TRIED])
    answers = [row.get("answer") or row["question"] for row in rows]
    texts = [f"<think>\nLet me see.\n</think>\n<answer>\n{answer}\n</answer>" for answer in answers]
    asked: Sequence[Any] = [row["question"] for row in rows]
    said: Sequence[Any] = texts
    if chat:
        asked = [[{"role": "user", "content": text}] for text in asked]
        said = [[{"role": "assistant", "content": text}] for text in texts]
    columns = {key: [row.get(key) for row in rows] for key in (rows[0] if rows else {}) if key != "prompt"}
    try:
        guarded(reward)(
            prompts=asked,
            completions=said,
            completion_ids=[list(text.encode()) for text in texts],
            **columns,
            trainer_state=TrainerState(),
            log_extra=lambda column, values: None,
            log_metric=lambda metric, value: None,
        )
    except R1Error as error:
        problems.append(f"rewards: {name}: {error}")
