"""`--dry_run` of a recipe's script."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from r1hf.core.launch import given
from r1hf.preflight.rehearsal.jobs import job_of
from r1hf.preflight.rehearsal.portable import leave_launcher
from r1hf.preflight.rehearsal.rehearse import dry_run


def main(recipe: Path, argv: list[str]) -> None:
    """Tries the recipe as its command line says and prints what was found; exits with status 2 if something is wrong.

    Under a launcher with several processes the first one does it, and the others end.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    processes, asked = leave_launcher()
    words = without_flag(argv)
    config = given(words).get("config")
    job = job_of(recipe, words, Path(config) if config else None, processes)
    job.untried += asked
    report = dry_run(job)
    print(report)
    if not report.passed:
        sys.exit(2)


def without_flag(argv: list[str]) -> list[str]:
    """The command line without `--dry_run`."""
    kept: list[str] = []
    skip = False
    for word in argv:
        flag = word.partition("=")[0].replace("-", "_") == "__dry_run"
        if not flag and not (skip and not word.startswith("--")):
            kept.append(word)
        skip = flag and "=" not in word
    return kept
