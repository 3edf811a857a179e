"""Look at the rows that cold start or rejection sampling made, and accept, edit or reject them.

  r1hf review runs/mine/cold_start                  a page in the browser, with keys for everything
  r1hf review runs/mine --reviewer ann              the run's cold start; the name under which decisions are kept
  r1hf review runs/mine/cold_start --export rows.jsonl                 for an editor: fill in `decision`
  r1hf review runs/mine/cold_start --import rows.jsonl --reviewer ann

Decisions are kept in STAGE.review/NAME.jsonl beside the stage, each at once. The next `sft` on the stage's data.jsonl
trains on them: rejected rows leave, edited ones say what was written. docs/data.md tells the rest.
Exit status: 0 done, 1 an error that can be mended; with --import, also where a line could not be taken.
"""

from __future__ import annotations

import argparse
import getpass
import importlib.util
import sys
from pathlib import Path

from r1hf.core.errors import ConfigError
from r1hf.core.packaged import packaged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "stage", metavar="DIR", type=Path, help="a stage of cold_start or rejection_sampling, or its run"
    )
    parser.add_argument("--reviewer", metavar="NAME", help="whose decisions these are (default: the login name)")
    parser.add_argument("--sample", type=_positive, metavar="N", help="N of the rows, the same for every reviewer")
    parser.add_argument("--port", type=int, help="of the page, on 127.0.0.1 (default: any free one)")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--export", metavar="FILE", type=Path, help="write the rows as JSON lines, and open no page")
    ways.add_argument("--import", metavar="FILE", type=Path, dest="taken", help="read decisions from such a file")


def run(options: argparse.Namespace) -> int:
    from r1hf.selection.exchange import export, take_in
    from r1hf.selection.review import Review, find_stage_to_review

    if options.taken is not None and options.reviewer is None:
        raise ConfigError("--import: say whose decisions they are: --reviewer NAME")
    pages = options.export is None and options.taken is None
    if pages:
        _check_page()
    reviewer = options.reviewer or _login()
    review = Review(find_stage_to_review(options.stage), reviewer, options.sample)
    try:
        if pages:
            return _page(review, options.port)
        if options.export is not None:
            count = export(review, options.export)
            print(f"{options.export}: {count} rows. Fill in `decision` (accept, edit, reject), then")
            print(f"  r1hf review {options.stage} --import {options.export} --reviewer {reviewer}")
            return 0
        found = take_in(review, options.taken)
        print(f"{review.journal.path}: {found.new} decisions new or changed, {found.same} as before;", end=" ")
        print(f"{found.undecided} rows undecided, {len(found.bad)} lines not taken")
        for text in found.bad:
            print(f"  {text}", file=sys.stderr)
        return 1 if found.bad else 0
    finally:
        review.close()


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise ConfigError("this user has no name here: say whose decisions these are: --reviewer NAME") from None


def _check_page() -> None:
    if importlib.util.find_spec("gradio") is None or importlib.util.find_spec("aiohttp") is None:
        raise ConfigError(
            "the page needs Gradio: pip install 'r1hf[serve,app]', or in a checkout make install "
            "EXTRAS=dev,serve,app; without it there are --export and --import"
        )
    if not (packaged("app") / "r1review").is_dir():
        raise ConfigError("app/ is not beside r1hf: install r1hf again, or use --export and --import")


def _page(review: object, port: int | None) -> int:
    sys.path.insert(0, str(packaged("app")))
    importlib.import_module("r1review.page").launch(review, port or 0)
    return 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number
