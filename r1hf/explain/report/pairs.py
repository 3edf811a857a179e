"""Every evaluated model on the same questions: what became right from one to another, and an answer that shows it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1hf.core.errors import DataError, R1Error
from r1hf.core.files import is_file, parse_json
from r1hf.evaluation.samples import read_table
from r1hf.evaluation.statistics import paired
from r1hf.explain.report.browse import cut_middle
from r1hf.explain.report.load import RunData
from r1hf.explain.report.text import visible

MOST = 1000  # questions of a page, evenly from all
_COLUMNS = ("model", "part", "question", "row", "completion", "correct", "why")
Sample = Mapping[str, Any]


def pairs(run: RunData, limit: int) -> dict[str, Any] | None:
    """Questions, and of each model how many of its samples are right, with a right and a wrong one to show.

    None where fewer than two models were evaluated with their samples kept.
    """
    rows = _samples(run)
    by_model: dict[str, dict[int, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        by_model[row["model"]][row["question"]].append(row)
    models = [name for name in run.models if name in by_model] or list(by_model)
    if len(models) < 2:
        return None
    common = sorted(set.intersection(*({*by_model[name]} for name in models)))
    if not common:
        return None
    shares = {name: [_share(by_model[name][number]) for number in common] for name in models}
    kept = common[:: -(-len(common) // MOST)]
    first = by_model[models[0]]
    return {
        "models": models,
        "total": len(common),
        "questions": [_question(first[number][0]["row"], limit) for number in kept],
        "shares": {name: [_share(by_model[name][number]) for number in kept] for name in models},
        "right": {name: [_shown(by_model[name][number], True, limit) for number in kept] for name in models},
        "wrong": {name: [_shown(by_model[name][number], False, limit) for number in kept] for name in models},
        "differences": _differences(models, shares),
    }


def _samples(run: RunData) -> list[Sample]:
    path = run.run_dir / "evaluate" / "samples.parquet"
    if not is_file(path):
        return []
    try:
        table = read_table(path, _COLUMNS)
    except (DataError, R1Error) as error:
        run.notes.append(f"The samples of the evaluation cannot be read: {_bare(str(error), path)}.")
        return []
    return [row for row in table.to_pylist() if row["part"] == "prompts" and row["correct"] is not None]


def _bare(text: str, path: Path) -> str:
    return text.replace(str(path), f"evaluate/{path.name}")


def _share(samples: Sequence[Sample]) -> float:
    return round(sum(bool(one["correct"]) for one in samples) / len(samples), 4)


def _question(row: str, limit: int) -> list[str]:
    try:
        found = parse_json(row)
    except ValueError:
        found = {}
    text, gold = (found.get(key) for key in ("question", "answer"))
    gold = gold if isinstance(gold, str) or gold is None else json.dumps(gold, ensure_ascii=False)
    return [cut_middle(visible(text or ""), limit)[0], cut_middle(visible(gold or ""), 120)[0]]


def _shown(samples: Sequence[Sample], right: bool, limit: int) -> list[str] | None:
    """[completion, why] of the first sample that is so."""
    one = next((sample for sample in samples if bool(sample["correct"]) is right), None)
    return None if one is None else [cut_middle(visible(one["completion"]), limit)[0], visible(one["why"] or "")]


def _differences(models: Sequence[str], shares: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """`FIRST SECOND` -> [difference, low, high] of pass@1 over all questions."""
    found = {}
    for place, first in enumerate(models):
        for second in models[place + 1 :]:
            one = paired(shares[first], shares[second])
            found[f"{first} {second}"] = [round(value, 4) for value in (one.difference, one.low, one.high)]
    return found
