"""Copy the recipes and their configurations into a directory of yours, to read and to edit.

  r1hf init my-r1
  cd my-r1
  r1hf recipe r1_zero --config tiny --list

The copy is complete: scripts, YAML files, files for accelerate and Slurm. `r1hf` takes it in place of the packaged one
when it runs there. Nothing that exists is written over. Exit status: 0 done, 1 something must be mended.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from r1hf.core.errors import ConfigError
from r1hf.core.packaged import packaged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", type=Path, metavar="DIR", help="where recipes/ is put; made if it is not there")


def run(options: argparse.Namespace) -> int:
    source, target = packaged("recipes"), options.directory / "recipes"
    if not (source / "pipeline.py").is_file():
        raise ConfigError(f"no recipes at {source}: install r1hf again, or run in its checkout")
    if options.directory.exists() and not options.directory.is_dir():
        raise ConfigError(f"{options.directory} is a file: give a directory")
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already, and nothing is written over: give another directory")
    options.directory.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".recipes.{os.getpid()}.tmp")
    try:
        shutil.copytree(source, beside, ignore=shutil.ignore_patterns("__pycache__"))
        os.replace(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    count = sum(path.is_file() for path in target.rglob("*"))
    print(f"{target}: {count} files. Next: cd {options.directory}, then r1hf recipe pipeline --config tiny --list")
    return 0
