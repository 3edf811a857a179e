"""Verdicts done again on kept samples, after a verifier was mended; nothing is sampled."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from r1hf.core.config import jsonable
from r1hf.core.errors import StageError
from r1hf.data.rows import load_rows, write_rows
from r1hf.evaluation.compare import read_results
from r1hf.evaluation.judged import GENERAL, judge_all
from r1hf.evaluation.pairs import TASK as PAIR
from r1hf.evaluation.run import JUDGES, SHOWN, write_results
from r1hf.evaluation.samples import SAMPLES, read_table, verdict_of
from r1hf.models.sampling import Completion
from r1hf.models.shards import write_parquet
from r1hf.stage.directory import REQUEST, publish, recover, sibling, stage_lock, sync_files, uninterrupted
from r1hf.stage.manifest import fingerprint, git_state, hash_outputs, read_manifest, versions, write_manifest

CHANGES = "rejudged.jsonl"


def rejudge(place: Path) -> list[dict[str, Any]]:
    """Replaces the verdicts and numbers of a finished evaluation, and returns what changed, sample by sample.

    The list goes to rejudged.jsonl beside them. Raises StageError where `place` is no finished evaluation with
    samples.
    """
    if not place.is_dir():
        raise StageError(f"{place}: no directory of a finished evaluation")
    lock = stage_lock(place)
    lock.acquire(wait=1.0)
    try:
        recover(place)
        content = read_results(place)
        samples, changes = _again(read_table(place / SAMPLES), content["settings"])
        work = sibling(place, "partial")
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(place, work)
        (work / REQUEST).touch()  # marks it as a stage's
        write_parquet(work / SAMPLES, samples)
        found = versions()
        settings = content["settings"] | {"judges": {key: found[key] for key in JUDGES if key in found}}
        shown = dict.fromkeys(row["question"] for row in load_rows(str(place / SHOWN))) if _has_rows(place) else {}
        models = write_results(work, samples, settings, list(shown))
        write_rows(work / CHANGES, changes)
        _sign(work, models)
        with uninterrupted():
            publish(place)
    finally:
        lock.release()
    return changes


def _has_rows(place: Path) -> bool:
    return (place / SHOWN).is_file() and (place / SHOWN).stat().st_size > 0


def _again(samples: pa.Table, settings: dict[str, Any]) -> tuple[pa.Table, list[dict[str, Any]]]:
    """The samples with new verdicts, and those whose verdict or answer is another one. What a model judged stays."""
    by_model = {PAIR, *(GENERAL if settings.get("general_judge") else ())}
    lines = samples.to_pylist()
    rows = [json.loads(line["row"]) for line in lines]
    completions = [Completion(line["completion"], line["tokens"], line["finish"] == "length") for line in lines]
    changes = []
    for line, row, item in zip(lines, rows, judge_all(rows, completions, settings["reading"]), strict=True):
        if row["task"] in by_model:
            continue
        new = verdict_of(item)
        if any(line[key] != new[key] for key in ("correct", "answer", "well_formed")):
            where = {key: line[key] for key in ("model", "part", "question", "sample")}
            changes.append({**where, "before": {key: line[key] for key in new}, "after": new})
        line.update(new)
    return pa.Table.from_pylist(lines, schema=samples.schema), changes


def _sign(work: Path, models: dict[str, Any]) -> None:
    """A manifest over the new files: the old one with their hashes and numbers, and the code that judged."""
    manifest = read_manifest(work)
    assert manifest is not None
    outputs = hash_outputs(work)
    sync_files([work / name for name in outputs])
    metrics = manifest.metrics | {"models": models}
    changed = dataclasses.replace(
        manifest,
        outputs=outputs,
        fingerprint=fingerprint(outputs),
        metrics=jsonable(metrics),
        versions=manifest.versions | versions(),
        git=git_state(Path(__file__).parent),
    )
    write_manifest(work, changed)
    (work / REQUEST).unlink()


def summary(changes: list[dict[str, Any]]) -> list[str]:
    """`r1: 3 samples, wrong -> right`, a line for each kind of change."""
    words = {True: "right", False: "wrong", None: "not judged"}
    kinds = Counter((one["model"], words[one["before"]["correct"]], words[one["after"]["correct"]]) for one in changes)
    return [f"{model}: {count} samples, {old} -> {new}" for (model, old, new), count in sorted(kinds.items())]
