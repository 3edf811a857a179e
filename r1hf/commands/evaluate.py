"""Evaluate models on a benchmark, with the paper's sampling, or judge kept samples again.

  r1hf evaluate --task math_500 --models deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
  r1hf evaluate --task aime_2024 --models runs/a/r1 runs/a/sft2 --set sampler=vllm --output_dir runs/a/aime
  r1hf evaluate --rejudge runs/a/aime                after a verifier was mended: new verdicts, and what changed
  r1hf evaluate --list                               the benchmarks, with their sources and licences

A killed evaluation goes on where it was when the same command is given again. `--task` also takes a YAML file of your
own; docs/evaluation.md says what it holds. Exit status: 0 done, 1 an error that can be mended.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

from r1hf.commands.table import table
from r1hf.core.errors import ConfigError
from r1hf.core.packaged import packaged

RECIPE = packaged("recipes") / "evaluate.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--task", metavar="NAME|FILE.yaml", help="the benchmark")
    what.add_argument("--rejudge", type=Path, metavar="DIR", help="judge the samples of a finished evaluation again")
    what.add_argument("--list", action="store_true", help="show the benchmarks")
    parser.add_argument("--models", nargs="+", default=[], metavar="MODEL", help="stage directories or Hub ids")
    parser.add_argument("--output_dir", metavar="DIR", help="default: runs/evaluations/TASK-MODEL")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeat it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    if options.list:
        return _list(options.json)
    if not options.json:
        _rejudge(options.rejudge) if options.rejudge is not None else _evaluate(options)
        return 0
    with contextlib.redirect_stdout(sys.stderr):  # progress
        place = _rejudge(options.rejudge) if options.rejudge is not None else _evaluate(options)
    print((place / "results.json").read_text("utf-8").rstrip())
    return 0


def _evaluate(options: argparse.Namespace) -> Path:
    from r1hf.core.config import parse
    from r1hf.evaluation.config import EvaluateConfig, model_name, preflight
    from r1hf.evaluation.run import evaluate
    from r1hf.evaluation.tasks import own_data, task_file

    if not options.models:
        raise ConfigError("--models: name the models, directories or Hub ids")
    file = task_file(options.task)
    if wrong := [item for item in options.set if "=" not in item]:
        raise ConfigError(f"--set {wrong[0]}: write KEY=VALUE")
    names = "-".join([file.stem, *map(model_name, options.models)])
    output = options.output_dir or f"runs/evaluations/{names}"
    words = ["--config", str(file), f"--models={options.models}", f"--output_dir={output}", *own_data(file)]
    parsed = parse((EvaluateConfig,), [*words, *(f"--{item}" for item in options.set)])
    preflight(parsed)
    evaluate(parsed, RECIPE)
    _show_kinds(Path(output))
    print(f"  {output}: results.json, samples.parquet; compare with: r1hf compare {output}:MODEL OTHER:MODEL")
    return Path(output)


def _show_kinds(place: Path) -> None:
    """The counts of each kind of question, of every model that has them."""
    from r1hf.evaluation.compare import read_results

    for model, metrics in read_results(place)["models"].items():
        found = {kind: one for kind, one in metrics.get("by_kind", {}).items() if "counts" in one}
        kinds = {kind: {"questions": one["questions"], **one["counts"]} for kind, one in found.items()}
        rows = [[kind, *map(str, counts.values())] for kind, counts in kinds.items()]
        if rows:
            totals = [str(sum(column)) for column in zip(*(counts.values() for counts in kinds.values()), strict=True)]
            heads = [name.replace("_", " ") for name in next(iter(kinds.values()))]
            print(f"  {model}, samples by kind of question\n{table(['kind', *heads], [*rows, ['all', *totals]])}")


def _rejudge(place: Path) -> Path:
    from r1hf.evaluation.rejudge import CHANGES, rejudge, summary

    changes = rejudge(place)
    for line in summary(changes):
        print(line)
    _show_kinds(place)
    print(
        f"{place}: {len(changes)} samples are judged otherwise; {CHANGES} lists them" if changes else "nothing changed"
    )
    return place


def _list(as_json: bool) -> int:
    from r1hf.evaluation.tasks import described, task_names

    keys = ("benchmark", "k", "source", "licence")
    tasks = [{"task": name} | {key: described(name)[key] for key in keys} for name in task_names()]
    rows = [[str(value) for value in task.values()] for task in tasks]
    print(json.dumps(tasks, indent=2) if as_json else table(["task", *keys], rows, left=5, indent=0))
    return 0
