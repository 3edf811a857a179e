"""One HTML file about a run: its health, its curves, its rollouts, its results beside the paper's.

  r1hf report runs/tiny                      a whole run of the pipeline: also summary.json
  r1hf report runs/tiny/r1_zero              one stage, finished or not
  r1hf report outputs/my-grpo                TRL, Unsloth, verl, a file of rollouts, a log: what r1hf explain reads
  r1hf report runs/tiny --follow             while it trains: writes the page again, which loads itself again
  r1hf report runs/a runs/b                  the runs against each other, with intervals

The page needs no network and sends nothing. It lies in the run's directory; --out FILE puts it elsewhere. Exit status:
0 written, 1 nothing that can be read.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.files import is_file
from r1hf.core.places import EVENTS, MANIFEST

_NAME = "report.html"
_READ = (".jsonl", ".json", ".parquet", ".log", ".out", ".txt", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's directory, or a file of rollouts")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the page goes")
    parser.add_argument("--follow", action="store_true", help="write it again while the run trains, until Ctrl-C")
    parser.add_argument("--every", type=int, default=30, metavar="SECONDS", help="how often (30)")
    parser.add_argument("--columns", metavar="WHAT=NAME,…", help="of other trainers' files: completion=text,…")
    parser.add_argument("--data", type=Path, metavar="FILE", help="prompts with gold answers, to judge completions by")


def run(options: argparse.Namespace) -> int:
    _check(options)
    refresh = options.every if options.follow else 0
    if not options.follow:
        _write(options, refresh)
        return 0
    return _follow(options, refresh)


def _check(options: argparse.Namespace) -> None:
    problems = [f"{path}: there is no such run" for path in options.runs if not (path.exists() or _partial(path))]
    if options.every < 2:
        problems.append(f"--every {options.every}: write seconds, 2 or more")
    problems += no_page(options.out, "--out")
    if len(options.runs) > 1 and (options.columns or options.data):
        problems.append("--columns, --data: they are for one run; compare runs whose columns have usual names")
    if problems:
        raise ConfigError(problems)


def no_page(out: Path | None, option: str) -> list[str]:
    """What keeps a page from being written there, in words."""
    if out is None or (out.parent.is_dir() and not out.is_dir()):
        return []
    return [f"{option} {out}: name a file in a directory that exists"]


def _partial(path: Path) -> bool:
    return bool(path.name) and path.with_name(f"{path.name}.partial").is_dir()


def _write(options: argparse.Namespace, refresh: int) -> None:
    from r1hf.explain.report import write_report
    from r1hf.explain.report.lineage import is_run, read_graph
    from r1hf.explain.report.versus import write_versus

    first, *others = options.runs
    if others:
        out = options.out or Path("-".join(path.resolve().name for path in options.runs) + ".html")
        write_versus(options.runs, out, refresh)
        print(f"report: {out}", flush=True)
    elif is_run(first):
        place = place_of(first)
        write_report(first, read_graph(first), refresh, options.out or (None if place.parent == first else place))
    else:
        _write_single(options, first, refresh)


def _write_single(options: argparse.Namespace, path: Path, refresh: int) -> None:
    from r1hf.explain.health.panel import examine
    from r1hf.explain.report.single import write_single
    from r1hf.explain.runs.columns import chosen_columns
    from r1hf.explain.runs.golds import add_golds
    from r1hf.explain.runs.read import read_run

    columns = chosen_columns(options.columns)
    read = read_run(path, columns)
    if options.data is not None:
        add_golds(read, options.data, columns)
    panel = examine(read)
    out = options.out or place_of(read.where)
    write_single(panel, out, refresh)
    print(f"{panel.headline}\nreport: {out}", flush=True)


def place_of(where: Path) -> Path:
    """Where a page lies by itself: in the run's directory; beside a stage, whose files are sealed, or a file.

    Also beside stages that no pipeline made: it would take the page for a person's own, and refuse the directory.
    """
    from r1hf.explain.report.lineage import is_run

    sealed = is_file(where / MANIFEST) or where.suffix == ".partial" or (is_run(where) and not is_file(where / EVENTS))
    if where.is_dir() and not sealed:
        return where / _NAME
    return where.resolve().with_name(f"{where.resolve().name.removesuffix('.partial')}-{_NAME}")


def _follow(options: argparse.Namespace, refresh: int) -> int:
    """Until Ctrl-C; then the page is written once more, without loading itself again."""
    seen = None
    try:
        while True:
            now = _state(options.runs)
            if now != seen:
                try:
                    _write(options, refresh)
                    seen = now
                except R1Error as error:
                    print(f"waiting: {error}", flush=True)
            time.sleep(options.every)
    except KeyboardInterrupt:
        _write(options, 0)
        return 0


def _state(runs: list[Path]) -> list[tuple[str, int, int]]:
    """Names, sizes and times of what a report reads."""
    found = []
    for run_dir in runs:
        places = [run_dir, *run_dir.parent.glob(f"{run_dir.name}.partial")]
        paths = [path for place in places for path in (place.rglob("*") if place.is_dir() else [place])]
        for path in paths:
            if path.suffix in _READ and path.name != "summary.json":
                try:
                    about = path.stat()
                except OSError:  # renamed in this moment
                    continue
                found.append((str(path), about.st_size, about.st_mtime_ns))
    return sorted(found)
