"""Compare models that were evaluated on the same questions: the difference, its 95% interval, and whether it is shown.

  r1hf compare runs/tiny/evaluate:base :r1_zero                     the second against the first
  r1hf compare runs/a/aime:r1 runs/b/aime:r1 --difference 0.02      and what it would take to see two points
  r1hf compare runs/tiny/evaluate                                   the numbers of all its models
  r1hf compare runs/a/aime:r1 --inspect LOG.json                    beside inspect-ai's log of the same checkpoint
  r1hf compare runs/tiny > table.md                                 a whole run, as Markdown: all its evaluations, and
                                                                    the comparisons that its story claims

Results of other settings, of other questions or of a run that did not finish are not compared. A word such as
`:r1_zero` means the directory before it. Exit status: 0 done, 1 nothing to compare.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.commands.table import bullets, figure, table
from r1hf.core.errors import ConfigError
from r1hf.explain.report.text import MISSING

if TYPE_CHECKING:
    from r1hf.evaluation.compare import Comparison

_KINDS = (
    *("pass_at_1", "format_rate", "language_consistency", "truncation_rate"),
    *("helpful_rate", "harmless_rate", "win_rate"),
)
_SHOWN = (*_KINDS, "length_controlled_win_rate", "first_place_rate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "places", nargs="+", metavar="DIR[:MODEL]", help="the first is what the others are held against"
    )
    parser.add_argument("--metric", default="pass_at_1", choices=_KINDS, help="default: pass_at_1")
    parser.add_argument(
        "--difference", type=float, metavar="SHARE", help="say what would show so much (0.02: 2 points)"
    )
    parser.add_argument("--inspect", type=Path, metavar="LOG.json", help="hold one result against inspect-ai's log")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    from r1hf.evaluation.compare import compare, load_results, read_results
    from r1hf.stage.directory import sibling
    from r1hf.stage.manifest import read_manifest

    if options.difference is not None and not 0 < options.difference <= 1:
        raise ConfigError(f"--difference {options.difference}: write a share above 0 and up to 1, such as 0.02")
    if options.inspect is not None:
        return _beside(options)
    if len(options.places) == 1 and Path(options.places[0]).is_dir():
        place = Path(options.places[0])
        if read_manifest(place) is None and not sibling(place, "partial").exists():
            from r1hf.commands.story import markdown

            if options.json or options.difference is not None or options.metric != "pass_at_1":
                raise ConfigError(f"{place} is a whole run, which is told as Markdown alone; name an evaluation in it")
            print(markdown(place))
            return 0
        content = read_results(place)
        print(json.dumps(content, indent=2) if options.json else numbers(content))
        return 0
    first, *others = load_results(options.places)
    if not others:
        raise ConfigError(f"{options.places[0]}: name a second result to compare with")
    found = [compare(first, other, options.metric, options.difference) for other in others]
    print(json.dumps([as_json(one) for one in found], indent=2) if options.json else render(found))
    return 0


def _beside(options: argparse.Namespace) -> int:
    from r1hf.commands.beside import shown
    from r1hf.evaluation.compare import load_results
    from r1hf.evaluation.foreign import beside, read_log

    if len(options.places) != 1 or options.json or options.metric != "pass_at_1":
        raise ConfigError("--inspect: name one result, DIR:MODEL; its pass@1 is held against the log's, as a table")
    (result,) = load_results(options.places)
    print(shown(beside(result, read_log(options.inspect))))
    return 0


def numbers(content: dict[str, Any]) -> str:
    """The models of one evaluation with their intervals, and its settings."""
    head, rows = ["model", *_SHOWN, "tokens"], []
    for name, metrics in content["models"].items():
        cells = [_share(metrics.get(key), metrics["intervals"].get(key)) for key in _SHOWN]
        rows.append([name, *cells, figure(metrics["mean_completion_tokens"], 1)])
    kept = [column for column in range(len(head)) if column == 0 or any(row[column] != MISSING for row in rows)]
    own = [[row[column] for column in kept] for row in rows]
    settings = content["settings"]
    names = ("benchmark", "problems", "k", "temperature", "top_p", "max_new_tokens", "seed", "sampler")
    judges = ("judge", "general_judge")
    said = ", ".join(f"{name} {settings[name]}" for name in (*names, *judges) if settings.get(name) is not None)
    return "\n".join(
        [table([head[column] for column in kept], own, indent=0), "", f"95% intervals over questions; {said}"]
    )


def _share(mean: float | None, bounds: list[float] | None) -> str:
    if mean is None or bounds is None:
        return MISSING
    return f"{100 * mean:.1f} ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})"


def render(found: list[Comparison]) -> str:
    first = found[0]
    rows = []
    for one in found:
        change = f"{_points(one.found.difference)} ({_points(one.found.low)} to {_points(one.found.high)})"
        rows.append([one.second.label, str(one.found.questions), change, one.verdict])
    head = [f"{first.metric} against {first.first.label}", "questions", "points (95% interval)", ""]
    blocks = [table(head, rows, indent=0)]
    if lines := [line for one in found for line in _notes(one)]:
        blocks.append(bullets("Notes", list(dict.fromkeys(lines))))
    return "\n\n".join(blocks)


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _notes(one: Comparison) -> list[str]:
    lines = [f"{one.second.label}: {note}, of the first and of this" for note in one.notes]
    if one.unpaired:
        lines.append(
            f"{one.second.label}: {one.unpaired} questions have a verdict in one result only and are left out"
        )
    if one.needed is not None:
        samples = "no number of samples of these questions would" if one.needed.samples is None else (
            f"or {one.needed.samples} samples of each of these"
        )  # fmt: skip
        lines.append(
            f"{one.second.label}: these questions and samples show a difference of {_points(one.needed.smallest)[1:]} "
            f"points four times in five; the one asked for takes {one.needed.questions} questions, {samples}"
        )
    return lines


def as_json(one: Comparison) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "first": one.first.label,
        "second": one.second.label,
        **one.found._asdict(),
        "verdict": one.verdict,
        "unpaired": one.unpaired,
        "notes": one.notes,
        "needed": None if one.needed is None else one.needed._asdict(),
    }
