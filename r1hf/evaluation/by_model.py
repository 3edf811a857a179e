"""Samples that a model judges: pairs against a baseline, and general prompts where a judge is named."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from r1hf.data.drawing import Asking
from r1hf.data.rows import Row, stage_rows, write_rows
from r1hf.evaluation import general, pairs
from r1hf.evaluation.config import EvaluateConfig
from r1hf.evaluation.judge import Judge
from r1hf.evaluation.judge_keys import asking
from r1hf.evaluation.measure import measure, told
from r1hf.evaluation.samples import SCHEMA
from r1hf.stage.stage import Stage

_WHERE = ("model", "part", "question", "sample")


def judged_by_model(stage: Stage, config: EvaluateConfig, samples: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """The samples with the judge's verdicts, and what the settings say of it. Without a judge they stay as they are.

    A preference counts as right where it is a clear win; each is kept in preferences.jsonl. What the judge gave no
    verdict on is unjudged.
    """
    judge = config.judge_called
    if judge is None:
        return samples, {}
    lines = samples.to_pylist()
    rows = [json.loads(line["row"]) for line in lines]
    places = [place for place, row in enumerate(rows) if row["task"] == pairs.TASK]
    about: dict[str, Any] = {}
    with asking(stage, config, judge) as ask:
        if places:
            own = [lines[place] for place in places]
            _judge_pairs(stage, config, ask, own, [rows[place] for place in places])
            about |= {"judge": judge, "judge_pair_template": config.judge_pair_template}
        if config.general_prompts is not None:
            about |= {"general_judge": judge, "judge_templates": config.judge_templates}
            about["judge_measured"] = _judge_general(stage, config, ask, lines, rows)
    return pa.Table.from_pylist(lines, schema=SCHEMA), about


def _judge_pairs(stage: Stage, config: EvaluateConfig, ask: Asking, lines: list[Row], rows: list[Row]) -> None:
    judge = pairs.PairJudge(**_asker(config, ask, "judge_pairs"), template=config.judge_pair_template)
    found = judge.judge(rows, [line["completion"] for line in lines])
    for line, one in zip(lines, found, strict=True):
        line |= _preferred(one)
    where = [{key: line[key] for key in _WHERE} for line in lines]
    write_rows(stage.work / pairs.PREFERENCES, [at | asdict(one) for at, one in zip(where, found, strict=True)])
    stage.note("judge", "pairs", dict(judge.counts))
    _say_faults(stage, "pairs", sum(one.value is None for one in found), len(found), judge.counts)


def _preferred(one: pairs.Preference) -> dict[str, Any]:
    if one.value is None:
        return {"correct": None, "why": f"the judge: no verdict ({one.fault})"}
    if one.as_a is None:
        return {"correct": False, "why": "no answer, which loses unasked"}
    said = "better" if one.value > 0.5 else "worse" if one.value < 0.5 else "a tie"
    return {"correct": one.value > 0.5, "why": f"the judge: {said}; {one.reason}"}


def _judge_general(
    stage: Stage, config: EvaluateConfig, ask: Asking, lines: list[Row], rows: list[Row]
) -> dict[str, Any]:
    """Judges the general prompts among the lines, and returns the judge's errors by task, where they are measured."""
    labelled = stage_rows(stage, "judge_labelled", general.LABELLED) if config.judge_labelled is not None else []
    measured: dict[str, Any] = {}
    for task, shown in general.SHOWN.items():
        if known := [row | general.with_criterion(row) for row in labelled if row["task"] == task]:
            asked = _asker(config, ask, f"judge_{task}_measured")
            figures, _ = measure(Judge(**asked, templates=config.judge_templates, shown=shown), known)
            measured[task] = figures
            stage.say(f"{task}: {told(figures)}")
        places = [place for place, row in enumerate(rows) if row["task"] == task]
        judge = Judge(**_asker(config, ask, f"judge_{task}"), templates=config.judge_templates, shown=shown)
        completions = [lines[place]["completion"] for place in places]
        found = judge.judge([general.with_criterion(rows[place]) for place in places], completions)
        for place, one in zip(places, found, strict=True):
            why = f"no verdict ({one.fault})" if one.right is None else one.reason
            lines[place] |= {"correct": one.right, "why": f"the judge: {why}"}
        stage.note("judge", task, dict(judge.counts))
        _say_faults(stage, task, sum(one.right is None for one in found), len(found), judge.counts)
    return measured


def _asker(config: EvaluateConfig, ask: Asking, name: str) -> dict[str, Any]:
    limits = {"retries": config.judge_retries, "max_new_tokens": config.judge_max_new_tokens}
    return {"ask": ask, "seed": config.seed + 1, "name": name, **limits}


def _say_faults(stage: Stage, what: str, lost: int, total: int, counts: dict[str, int]) -> None:
    if lost:
        said = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        stage.say(f"judge: no verdict on {lost} of {total} answers ({what}), which count as unjudged; {said}")
