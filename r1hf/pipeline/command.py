"""The command line of `recipes/pipeline.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from r1hf.core.graph import load_graph
from r1hf.core.places import EVENTS, holds, protected
from r1hf.core.yamlfile import nearest
from r1hf.pipeline import launch
from r1hf.pipeline.check import check_stages
from r1hf.pipeline.decisions import Planner
from r1hf.pipeline.run import Runner, recover_stages, run_lock
from r1hf.pipeline.schedule import capacity
from r1hf.pipeline.view import table


def main(recipes: Path, argv: list[str] | None = None) -> None:
    """Runs, or with --list prints, the graph of a YAML file; `recipes` holds the stages' scripts.

    Exits with the status of the stage that failed, 0 if none did. Raises ConfigError with every mistake in the graph
    and in the configuration of any stage, IntegrityError for an output that was edited.
    """
    parser = _parser()
    options, strange = parser.parse_known_args(argv)
    if strange:
        dry = any(word.replace("_", "-") == "--dry-run" for word in strange)
        parser.error("--dry-run: write --list" if dry else f"unrecognized arguments: {' '.join(strange)}")
    graph, problems = load_graph(options.config, recipes, options.run_dir, options.seed, options.set)
    selected, forced = _selection(options, list(graph.stages), problems)
    problems += run_dir_problems(graph.run_dir, Path(options.config))
    checked, modules = check_stages(graph, problems, assume_gpu=options.list)
    planner = Planner(graph, checked, selected, forced)
    whole_gpus = any(spec.launch.accelerate or spec.launch.given for spec in graph.stages.values())
    allowed = capacity(options.jobs, [planner.loads[name] for name in planner.selected], whole_gpus)
    if options.list:
        decisions = planner.plan()
        print(table(planner, decisions, allowed))
        sys.exit(2 if any(decision.action == "refused" for decision in decisions) else 0)
    launch.warm_up(modules)
    lock = run_lock(graph.run_dir)
    lock.acquire(wait=1.0)
    try:
        recover_stages(graph)
        status = Runner(planner, allowed).run()
    finally:
        lock.release()
    sys.exit(status)


def run_dir_problems(run_dir: Path, config: Path) -> list[str]:
    """What is wrong with a directory for all outputs: nothing of a person's may be replaced there."""
    place = run_dir.resolve()
    found = protected(place)
    if holds(place, config.resolve()) and config.resolve().parent != place:  # beside the stages it is safe
        found.append(f"holds the pipeline's own file ({config})")
    if place.exists() and not place.is_dir():
        found.append("is a file")
    foreign = [name for name in ("summary.json", "report.html") if (place / name).exists()]
    if foreign and not (place / EVENTS).exists():
        found.append(f"has a {foreign[0]} that no pipeline wrote, and would replace it")
    return [f"run_dir: {run_dir} {text}: choose a directory for this run alone" for text in found]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pipeline.py", description="Run the stages that are not complete.")
    parser.add_argument("--config", required=True, help="YAML file with run_dir, seed and stages")
    parser.add_argument("--list", action="store_true", help="print what would run and why")
    parser.add_argument("--from", dest="start", metavar="STAGE", help="begin with this stage, as --list prints them")
    parser.add_argument("--until", metavar="STAGE", help="end with this stage")
    parser.add_argument("--only", metavar="STAGE[,STAGE]", help="no other stages than these")
    parser.add_argument(
        "--force", nargs="*", metavar="STAGE", help="redo these stages though complete; without names, all selected"
    )
    parser.add_argument(
        "--jobs",
        default="auto",
        type=_jobs,
        metavar="N",
        help="stages at once: a number, or auto (the default): as many as cores and memory carry",
    )
    parser.add_argument("--seed", type=int, help="seed of every stage, in place of the file's")
    parser.add_argument("--run_dir", "--run-dir", help="directory of all outputs, in place of the file's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="STAGE.KEY=VALUE", help="override one value of one stage"
    )
    return parser


def _jobs(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number of stages, 1 or more")
    return int(text)


def _selection(options: argparse.Namespace, order: list[str], problems: list[str]) -> tuple[list[str], list[str]]:
    """(stages to consider, stages to redo in any case)."""

    def named(option: str, texts: Iterable[str]) -> list[str]:
        names = [name for text in texts for name in text.split(",") if name]
        problems.extend(f"{option}: no stage '{name}'; {nearest(name, order)}" for name in names if name not in order)
        return [name for name in names if name in order]

    selected = list(order)
    if options.start is not None:
        selected = [name for start in named("--from", [options.start]) for name in order[order.index(start) :]]
    if options.until is not None:
        until = [name for end in named("--until", [options.until]) for name in order[: order.index(end) + 1]]
        selected = [name for name in selected if name in until]
    if options.only is not None:
        only = named("--only", [options.only])
        selected = [name for name in selected if name in only]
    forced = selected if options.force == [] else named("--force", options.force or [])
    outside = [name for name in forced if name not in selected]
    problems.extend(f"--force: '{name}' is not among the selected stages" for name in outside)
    if not selected and not problems:
        problems.append("--from, --until and --only leave no stage")
    return selected, forced
