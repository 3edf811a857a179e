"""Rows that reasoning-gym makes: the source `gym:knights_knaves`."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from r1hf.core.errors import ConfigError, DataError
from r1hf.core.source import GYM_ROWS, Spec, gym_name
from r1hf.core.yamlfile import nearest
from r1hf.verify.gym import check_installed, gym_rows

if TYPE_CHECKING:
    from datasets import Dataset

SEED = 0  # of the problems, not of a run: another seed of a stage draws from the same rows, and `part` holds some out


def gym_table(spec: Spec) -> Dataset:
    """`limit` problems of the spec's data set, none twice. Raises DataError where reasoning-gym has no such one, or
    refuses its settings."""
    return _made(gym_name(spec.path) or "", json.dumps(spec.settings, sort_keys=True), spec.limit or GYM_ROWS)


@lru_cache(maxsize=8)  # the check before a run reads them too
def _made(name: str, settings: str, size: int) -> Dataset:
    import datasets

    try:
        check_installed()
        from reasoning_gym.factory import DATASETS

        if name not in DATASETS:
            raise DataError(f"gym:{name}: reasoning-gym has no such data set; {nearest(name, DATASETS)}")
        rows = gym_rows(name, size, SEED, **json.loads(settings))
    except ConfigError as error:
        raise DataError(str(error)) from None
    except (AssertionError, TypeError, ValueError) as error:
        raise DataError(f"gym:{name}: reasoning-gym refuses it with settings {settings}: {error}") from None
    once = {row["question"]: row for row in rows}
    kept = [{**row, "answer": _text(row["answer"]), "task": "gym", "language": "en"} for row in once.values()]
    return datasets.Dataset.from_list(kept)


def _text(answer: object) -> str | None:
    """Some data sets have no one answer; the scorer knows."""
    return answer if answer is None or isinstance(answer, str) else str(answer)
