"""Begin with data of your own, or with a copy of the recipes.

  r1hf init my.csv                    reads the rows, says what judges them, and writes my.yaml, which trains on them
  r1hf init my.jsonl --out mine.yaml --model Qwen/Qwen2.5-0.5B
  r1hf init my.csv --question 题目 --answer 答案        where the columns' names say too little
  r1hf init my-r1                     a directory: copies the recipes and configurations there, to read and to edit

Of a file (CSV of any delimiter and encoding, JSON lines, JSON, Parquet) the columns are found, each row's task and
with it the rewards, and a template. Then `r1hf check` tries the rewards on your own rows, against cheats. Rows that
training cannot read as they are go to a file of their own, beside the YAML. Nothing is trained, downloaded or written
over. Exit status: 0 done, 1 something must be mended, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from r1hf.core.errors import ConfigError, DataError
from r1hf.core.packaged import packaged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", type=Path, metavar="FILE|DIR", help="rows of yours; or where recipes/ is put")
    parser.add_argument("--json", action="store_true", help="print JSON")
    rows = parser.add_argument_group("a file")
    rows.add_argument("--out", type=Path, metavar="FILE.yaml", help="the configuration (default: FILE's name, .yaml)")
    rows.add_argument("--model", default="Qwen/Qwen2.5-0.5B", help="the base to train (default: %(default)s)")
    rows.add_argument("--task", choices=("math", "text", "choice", "code", "countdown"), help="of all rows")
    for role in ("question", "answer", "choices", "tests", "language"):
        rows.add_argument(f"--{role}", metavar="COLUMN", help="its column, in place of the guess")
    rows.add_argument("--count-from", type=int, choices=(0, 1), help="the number of the first option in the answers")
    rows.add_argument("--encoding", metavar="NAME", help="of the text, such as gb18030 (default: found out)")
    rows.add_argument("--delimiter", metavar="SIGN", help="of a CSV file (default: found out)")
    rows.add_argument("--rows", type=int, default=8, metavar="N", help="that the check tries, 0 for all (default 8)")


def run(options: argparse.Namespace) -> int:
    from r1hf.data.any_table import TABLES
    from r1hf.data.lines import ending

    target: Path = options.target
    if target.is_file() and target.suffix != ".py":
        from r1hf.commands.init_rows import run as run_rows

        return run_rows(options)
    if not target.exists() and ending(target) in (*TABLES, ".xlsx", ".xls"):
        raise DataError(f"there is no file {target}")
    return _copy(target, options.json)


def _copy(directory: Path, as_json: bool) -> int:
    source, target = packaged("recipes"), directory / "recipes"
    if not (source / "pipeline.py").is_file():
        raise ConfigError(f"no recipes at {source}: install r1hf again, or run in its checkout")
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is a file: give a directory")
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already, and nothing is written over: give another directory")
    directory.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".recipes.{os.getpid()}.tmp")
    try:
        shutil.copytree(source, beside, ignore=shutil.ignore_patterns("__pycache__"))
        os.replace(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    count = sum(path.is_file() for path in target.rglob("*"))
    if as_json:
        import json

        print(json.dumps({"recipes": str(target), "files": count}))
    else:
        print(f"{target}: {count} files. Next: cd {directory}, then r1hf recipe pipeline --config tiny --list")
    return 0
