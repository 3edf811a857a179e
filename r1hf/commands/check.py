"""Check a stage or a pipeline before it is launched: settings, rewards, a rehearsal on miniatures, memory and cost.

  r1hf check recipes/configs/tiny/pipeline.yaml                          everything, of all its stages
  r1hf check my.yaml --set learning_rate=1e-5 --only settings,rewards    two parts
  r1hf check my/pipeline.yaml --stages sft1,r1 --gpus 8xH100             two stages, for another machine
  r1hf check my/pipeline.yaml --stages sft1 --resolved                   each value, with its file and line

Nothing is trained, downloaded or written. Exit status: 0 nothing must be mended (warnings may be there), 1 something
must, 2 nothing could be checked.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from r1hf.core.errors import ConfigError, R1Error

PARTS = ("settings", "rewards", "rehearsal", "estimate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE.yaml", help="of a stage or a pipeline")
    parser.add_argument("--only", metavar="PART[,PART]", help=f"no other parts than these: {', '.join(PARTS)}")
    parser.add_argument("--stages", metavar="STAGE[,STAGE]", help="of a pipeline: no other stages than these")
    parser.add_argument("--recipe", metavar="NAME|FILE.py", help="the stage's recipe (default: as the file says)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; STAGE.KEY of a pipeline"
    )
    parser.add_argument("--run_dir", "--run-dir", metavar="DIR", help="of a pipeline: in place of the file's")
    parser.add_argument("--launch", type=Path, metavar="FILE.yaml", help="the accelerate file it is launched with")
    parser.add_argument("--resolved", action="store_true", help="check nothing: print each value, and from where")
    parser.add_argument("--json", action="store_true", help="print JSON")
    rewards = parser.add_argument_group("rewards")
    rewards.add_argument("--rows", type=int, default=8, help="rows of each prompt file, 0 for all (default 8)")
    rewards.add_argument("--seed", type=int, default=0, help="which rows (default 0)")
    estimate = parser.add_argument_group("estimate")
    estimate.add_argument("--gpus", metavar="8xH100", help="what it would run on, or cpu (default: this machine)")
    estimate.add_argument("--shape", metavar="MODEL", help="estimate this model's architecture instead")
    estimate.add_argument("--prompt-tokens", type=int, metavar="N", help="tokens of the longest prompt")
    estimate.add_argument("--mean", type=float, metavar="SHARE", help="mean length as a share of the longest (0.5)")
    estimate.add_argument("--data-rows", type=int, metavar="N", help="rows of the data, where it is not here")
    estimate.add_argument("--price", type=float, metavar="USD", help="of a GPU-hour (default: assumed)")


def run(options: argparse.Namespace) -> int:
    try:
        return _resolved(options) if options.resolved else _run(options, _parts(options.only))
    except R1Error as error:
        print(f"r1hf check: {error}", file=sys.stderr)
        return 2


def _resolved(options: argparse.Namespace) -> int:
    from r1hf.commands.resolved_tables import print_resolved
    from r1hf.preflight.stages import load, selected

    stages, problems, _ = load(options.file, options.recipe, options.set, options.launch, run_dir=options.run_dir)
    return print_resolved(selected(stages, _names(options.stages)), problems, as_text=not options.json)


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name for name in (text or "").split(",") if name)


def _parts(only: str | None) -> tuple[str, ...]:
    wanted = PARTS if only is None else tuple(part for part in only.split(",") if part)
    strange = [part for part in wanted if part not in PARTS]
    if strange or not wanted:
        raise ConfigError(f"--only {only}: the parts are {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in wanted)


def _run(options: argparse.Namespace, parts: tuple[str, ...]) -> int:
    from r1hf.commands.check_report import as_json, render
    from r1hf.core.gpus import parse_gpus
    from r1hf.preflight.check import Asked, check
    from r1hf.preflight.estimate.one_stage import Given
    from r1hf.preflight.facts import Machine

    cluster = None if options.gpus is None else parse_gpus(options.gpus)
    given = Given(options.prompt_tokens, options.mean, options.data_rows, options.shape)
    asked = Asked(
        options.file,
        parts,
        stages=_names(options.stages),
        recipe=options.recipe,
        sets=tuple(options.set),
        launch=options.launch,
        run_dir=options.run_dir,
        machine=Machine(cluster, given, options.price),
        rows=options.rows,
        seed=options.seed,
    )
    report = check(asked, _show_progress)
    _show_progress("", 0, 0, "")
    print(json.dumps(as_json(report), ensure_ascii=False, indent=2) if options.json else render(report))
    return 0 if report.passed else 1


def _show_progress(part: str, done: int, count: int, stage: str) -> None:
    """On a terminal a line that is written over, elsewhere one line a part. Without a part: it is over."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{part} {done + 1}/{count}: {stage}" if part else "\r\x1b[K")
        sys.stderr.flush()
    elif part and done == 0:
        print(f"{part}: {stage}{f' and {count - 1} more' if count > 1 else ''}", file=sys.stderr, flush=True)
