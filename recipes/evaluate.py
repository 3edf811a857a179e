"""Evaluation of every model on the same held-out problems, with the same sampler (section 4; B.6).

pass@1 over k samples with a standard error, format, language consistency, length and truncation on reasoning
problems; helpful and harmless rates on general prompts, judged by rule and not by the models that gave the reward.

In:  models, prompts (held-out problems), general_prompts (held-out, with reference, required, forbidden).
Out: results.json, and samples.jsonl: a few questions answered by every model.
Run: accelerate launch recipes/evaluate.py --config recipes/configs/tiny/evaluate.yaml
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from r1hf.checks.languages import check_languages
from r1hf.core.config import Parsed, parse
from r1hf.core.source import Source
from r1hf.data.rows import Row, check_rows, check_tasks, stage_rows, write_rows
from r1hf.evaluation import Judged, general_metrics, judge_samples, reasoning_metrics
from r1hf.models.loading import check_chat_template
from r1hf.models.sampling import SamplingConfig, check_sampler, load_sampler
from r1hf.stage.stage import Stage, preflight_inputs, run
from r1hf.trainers.rl import COLUMNS


@dataclass(kw_only=True)
class EvaluateConfig(SamplingConfig):
    models: list[str] = field(metadata={"input": True, "help": "stage directories or Hub ids"})
    prompts: Source = field(metadata={"input": True, "help": f"held-out problems: {', '.join(COLUMNS)}"})
    general_prompts: Source | None = field(
        default=None, metadata={"input": True, "help": "held-out general prompts, with reference, required, forbidden"}
    )
    k: int = field(default=4, metadata={"help": "samples a problem"})
    general_k: int = field(default=8, metadata={"help": "samples a general prompt"})
    temperature: float = field(default=1.0, metadata={"help": "0: the likeliest token each time"})
    top_p: float = field(default=1.0, metadata={"help": "nucleus"})
    max_new_tokens: int = field(default=32768, metadata={"help": "tokens of a sample (paper: 32768)"})
    shown: list[str] = field(default_factory=list, metadata={"help": "questions whose answers go to samples.jsonl"})


CONFIGS = (EvaluateConfig,)


def preflight(parsed: Parsed) -> None:
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is None:
        return
    rows = check_rows(parsed.problems, "prompts", config.prompts, COLUMNS)
    check_tasks(parsed.problems, "prompts", rows, {"reasoning"})
    check_languages(parsed, "prompts", rows, None)
    general = check_rows(parsed.problems, "general_prompts", config.general_prompts, (*COLUMNS, "reference"))
    check_tasks(parsed.problems, "general_prompts", general, {"helpful", "harmless"})
    known = {row["question"] for row in rows + general}
    for question in config.shown if known else ():
        if question not in known:
            parsed.problems.append(f"shown: {question!r} is among neither prompts nor general_prompts")
    check_sampler(parsed.problems, config)
    for model in config.models:
        check_chat_template(parsed.problems, "models", model)
    if len({model_name(model) for model in config.models}) < len(config.models):
        parsed.problems.append("models: two have the same name; results are kept by name")


def model_name(source: str) -> str:
    """`runs/tiny/r1_zero` -> r1_zero, `org/name@main` -> name."""
    return Path(source.partition("@")[0]).name


def shown_rows(name: str, rows: list[Row], groups: list[list[Judged]], shown: list[str]) -> list[dict[str, Any]]:
    """The first sample of each shown question, for the report."""
    found = []
    for row, group in zip(rows, groups, strict=True):
        if row["question"] in shown:
            first = asdict(group[0])
            text = first.pop("completion")["text"]
            columns = {key: row[key] for key in ("question", "answer", "language", "task")}
            found.append({"model": name, **columns, "completion": text, **first})
    return sorted(found, key=lambda item: shown.index(item["question"]))


def _show(name: str, metrics: dict[str, Any]) -> None:
    mean, error = metrics["pass_at_1"], metrics["stderr"]
    print(f"  {name}: pass@1 " + ("not judged" if mean is None else f"{mean:.3f} ± {error:.3f}"), flush=True)


def main(argv: list[str] | None = None) -> None:
    parsed = parse(CONFIGS, argv)
    preflight(parsed)
    parsed.check()
    (config,) = parsed.configs
    with Stage(parsed, recipe=__file__) as stage:
        rows = stage_rows(stage, "prompts", COLUMNS)
        general = stage_rows(stage, "general_prompts", COLUMNS) if config.general_prompts else []
        sampling = {"temperature": config.temperature, "top_p": config.top_p, "max_new_tokens": config.max_new_tokens}
        results: dict[str, Any] = {}
        samples: list[dict[str, Any]] = []
        for source in config.models:
            name = model_name(source)
            with load_sampler(config, source) as sampler:
                groups = judge_samples(sampler, rows, config.k, seed=config.seed, name=name, **sampling)
                results[name] = reasoning_metrics(groups)
                samples += shown_rows(name, rows, groups, config.shown)
                if general:
                    groups = judge_samples(sampler, general, config.general_k, seed=config.seed, name=name, **sampling)
                    results[name] |= general_metrics(general, groups)
                    samples += shown_rows(name, general, groups, config.shown)
            _show(name, results[name])
        settings = {**sampling, "k": config.k, "general_k": config.general_k, "problems": len(rows)}
        report = {"settings": {**settings, "general_prompts": len(general)}, "models": results}
        (stage.work / "results.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        write_rows(stage.work / "samples.jsonl", samples)
        stage.finish({"models": results})


if __name__ == "__main__":
    run(main)
