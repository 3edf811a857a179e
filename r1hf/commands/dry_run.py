"""Try a stage, or every stage of a pipeline, on random-weight miniatures: configuration, trainers, data, export.

  r1hf dry-run --config recipes/configs/tiny/r1_zero.yaml
  r1hf dry-run --config recipes/configs/tiny/pipeline.yaml --only sft1,r1

Needs neither GPU nor network, trains nothing, and writes one file for each stage: NAME.dry-run.yaml beside its output
directory, with every key resolved. Exit status: 0 all passed, 1 something must be mended.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from r1hf.core.errors import ConfigError

if TYPE_CHECKING:
    from r1hf.preflight.rehearsal.rehearse import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.yaml", help="of a stage or a pipeline")
    parser.add_argument("--recipe", metavar="NAME|FILE.py", help="the stage's recipe (default: as the file says)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one key; repeat it")
    parser.add_argument("--only", metavar="STAGE[,STAGE]", help="of a pipeline: no other stages than these")
    parser.add_argument("--run_dir", "--run-dir", help="of a pipeline: in place of the file's")


def run(options: argparse.Namespace) -> int:
    from r1hf.preflight.rehearsal.jobs import jobs
    from r1hf.preflight.rehearsal.rehearse import dry_run

    passed = []
    for job in _selected(jobs(options.config, options.recipe, options.set, options.run_dir), options.only):
        report = dry_run(job)
        print(report, flush=True)
        passed.append(report.passed)
    print(f"{sum(passed)} of {len(passed)} stages passed")
    return 0 if all(passed) else 1


def _selected(found: list[Job], only: str | None) -> list[Job]:
    if only is None:
        return found
    wanted = only.split(",")
    known = [job.name for job in found]
    strange = [name for name in wanted if name not in known]
    if strange:
        raise ConfigError(f"--only: no stage {', '.join(strange)}; there are {', '.join(known)}")
    return [job for job in found if job.name in wanted]
