"""Measure how often a judging model is wrong, on rows whose answers people have labelled.

  r1hf judge labelled.jsonl --model Qwen/Qwen2.5-7B-Instruct
  r1hf judge labelled.jsonl --model runs/judge --output_dir runs/judged --set sampler=vllm --set judge_retries=3

A labelled row has `question`, `answer` (the reference), `completion` (what is judged) and `correct` (true or false);
columns of other names: --set 'labelled={path: FILE, columns: {answer: gold, completion: solution}}'. Written are
judged.jsonl, each row with the verdict and the judge's reason, and manifest.json with the rates and their intervals.
Exit status: 0 done, 1 an error that can be mended.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.config import Parsed, parse
from r1hf.core.errors import ConfigError
from r1hf.core.source import Source
from r1hf.data.drawing import Drawing
from r1hf.data.rows import check_rows, stage_rows, write_rows
from r1hf.evaluation.judge import TEMPLATES, Judge
from r1hf.evaluation.judge_keys import check_judge_templates
from r1hf.evaluation.measure import LABELLED, labels, measure, told, written
from r1hf.models.loading import check_chat_template
from r1hf.models.sampler_config import SamplingConfig, check_sampler, load_sampler
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage


@dataclass(kw_only=True)
class JudgeConfig(SamplingConfig):
    model: str = field(metadata={"input": True, "help": "the chat model that judges"})
    labelled: Source = field(metadata={"input": True, "help": f"rows with the columns {', '.join(LABELLED)}"})
    judge_templates: list[str] = field(
        default_factory=lambda: list(TEMPLATES), metadata={"help": "its prompts, one for each order"}
    )
    judge_retries: int = field(default=2, metadata={"help": "how often a reply without a verdict is asked for again"})
    max_new_tokens: int = field(default=1024, metadata={"help": "tokens of a reply, with the judge's thought"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labelled", metavar="FILE", help="labelled rows: a file, a directory or a Hub id")
    parser.add_argument("--model", required=True, help="the judge: a stage's directory or a Hub id")
    parser.add_argument("--output_dir", metavar="DIR", help="default: runs/judges/MODEL")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeat it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    if wrong := [item for item in options.set if "=" not in item]:
        raise ConfigError(f"--set {wrong[0]}: write KEY=VALUE")
    output = options.output_dir or f"runs/judges/{Path(options.model).name}"
    words = [f"--model={options.model}", f"--labelled={options.labelled}", f"--output_dir={output}"]
    given = [f"--{item}" for item in options.set]
    named = {item.partition("=")[0] for item in options.set}
    parsed = parse((JudgeConfig,), [*(word for word in words if word[2:].partition("=")[0] not in named), *given])
    _preflight(parsed)
    if not options.json:
        figures = _measured(parsed)
        print(f"{told(figures)}\n  {output}: judged.jsonl, manifest.json")
        return 0
    with contextlib.redirect_stdout(sys.stderr):  # progress
        figures = _measured(parsed)
    print(json.dumps(figures | {"output_dir": output}, ensure_ascii=False, indent=2))
    return 0


def _preflight(parsed: Parsed) -> None:
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is not None:
        rows = check_rows(parsed.problems, "labelled", config.labelled, LABELLED, max_bad=config.max_bad_rows)
        if rows:
            labels(rows)
        check_chat_template(parsed.problems, "model", config.model)
        check_judge_templates(parsed.problems, config.judge_templates)
        check_sampler(parsed.problems, config)
    parsed.check()


def _measured(parsed: Parsed) -> dict[str, Any]:
    (config,) = parsed.configs
    with Stage(parsed, recipe=__file__) as stage:
        rows = stage_rows(stage, "labelled", LABELLED)
        with load_sampler(config, config.model) as sampler:
            ask = Drawing(stage, config).asking(sampler)
            judge = Judge(
                ask, config.judge_retries, config.max_new_tokens, config.seed, templates=config.judge_templates
            )
            figures, judgements = measure(judge, rows)
        write_rows(stage.work / "judged.jsonl", written(judgements, rows))
        stage.finish(figures)
    return figures
