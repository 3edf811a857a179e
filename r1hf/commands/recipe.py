"""The entry of every recipe's script: errors as sentences, and `--dry_run`, which checks in place of training."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from r1hf.core.config import Parsed, parse
from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.files import way_out
from r1hf.core.given import is_dry, read_words, said
from r1hf.core.secrets import mask, mask_tracebacks
from r1hf.stage.locks import distributed_group, end_at_once
from r1hf.stage.stage import Stage


def run(main: Callable[[], object]) -> None:
    """Runs a recipe's `main`, or with `--dry_run` rehearses the recipe as its command line says.

    That is `r1hf check --only rehearsal`, with its exit status. A process of a distributed run ends here.
    """
    try:
        if is_dry(sys.argv[1:]):
            run_script(lambda: sys.exit(_rehearse(Path(sys.argv[0]), _without_flag(sys.argv[1:]))))
        else:
            run_script(main)
    finally:
        if distributed_group() is not None:
            end_at_once(sys.exception())


def begin(schemas: Sequence[type], preflight: Callable[[Parsed], None], argv: list[str] | None, recipe: str) -> Stage:
    """The stage that a command line asks a recipe for, to be entered with `with`; `stage.parsed.configs` are its keys.

    Raises ConfigError with every mistake that the reading and `preflight` find, before anything is written.
    """
    parsed = parse(schemas, argv)
    preflight(parsed)
    return Stage(parsed, recipe)


def run_script(main: Callable[[], object]) -> None:
    """Runs `main`; an error that is meant for people is printed without a traceback, exit status 2."""
    name = Path(sys.argv[0]).name
    mask_tracebacks()
    try:
        main()
    except R1Error as error:
        # Each rank finds the same mistakes in the same configuration.
        if not (isinstance(error, ConfigError) and os.environ.get("RANK", "0") != "0"):
            print(mask(f"{name}: {error}"), file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if (advice := way_out(error)) is None:
            raise
        print(mask(f"{name}: {error}; {advice}"), file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _rehearse(recipe: Path, argv: list[str]) -> int:
    """Under a launcher with several processes the first one does it, and the others end."""
    from r1hf.commands.check_report import render
    from r1hf.preflight.check import Asked, check
    from r1hf.preflight.rehearsal.portable import leave_launcher

    if os.environ.get("RANK", "0") != "0":
        return 0
    processes, asked = leave_launcher()
    values, told = read_words(argv)[0], said(argv)
    config, stage, run_dir = (
        values.pop(key).text if key in values else None for key in ("config", "stage", "run_dir")
    )
    if config is None:
        raise ConfigError("--dry_run: name the stage's file with --config FILE.yaml")
    if told.lost:
        raise ConfigError(told.problems)
    of_graph = stage is not None or run_dir is not None
    prefix = f"{told.stage}." if of_graph else ""
    sets = tuple(f"{prefix}{key}={value.text}" for key, value in values.items())
    alone = processes == 1 and not asked
    report = check(
        Asked(
            told.graph if of_graph and told.graph is not None else Path(config),
            ("rehearsal",),
            stages=(told.stage,) if of_graph and told.stage is not None else (),
            recipe=str(recipe),
            run_dir=run_dir,
            sets=sets,
            processes=None if alone else processes,
            launched=tuple(asked),
        )
    )
    print(render(report))
    return 0 if report.passed else 1


def _without_flag(argv: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in argv:
        flag = word.partition("=")[0].replace("-", "_") == "__dry_run"
        if not flag and not (skip and not word.startswith("--")):
            kept.append(word)
        skip = flag and "=" not in word
    return kept
