"""Runs against each other: results question by question, curves in one frame, and the health of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.files import write_atomic
from r1hf.evaluation.compare import METRICS, Result, compare, read_results
from r1hf.evaluation.samples import read_table
from r1hf.evaluation.statistics import amount
from r1hf.explain.health.panel import Panel, examine, figures
from r1hf.explain.health.series import Series as Figure
from r1hf.explain.report.charts import Chart, Series
from r1hf.explain.report.curves import COLOURS, StageCurves, drawable
from r1hf.explain.report.curves import Panel as Curve
from r1hf.explain.report.examined import examined, shown
from r1hf.explain.report.html import page
from r1hf.explain.report.lineage import is_run, read_graph
from r1hf.explain.report.load import load_run
from r1hf.explain.report.sections import short_path
from r1hf.explain.report.single import RATES
from r1hf.explain.report.text import MISSING, plain
from r1hf.explain.runs.read import read_run

_SHOWN = {
    "pass_at_1": "right (pass@1)",
    "format_rate": "well formed",
    "language_consistency": "one language",
    "helpful_rate": "helpful",
    "harmless_rate": "harmless",
}


@dataclass
class Side:
    """One run: the health of its stages by name ("" where it is one training run), and its evaluation."""

    label: str
    path: Path
    panels: dict[str, Panel] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def write_versus(runs: Sequence[Path], out: Path, refresh: int = 0) -> None:
    """One HTML file at `out`. Raises ConfigError where whole runs and single stages are mixed."""
    whole = [is_run(path) for path in runs]
    if any(whole) and not all(whole):
        single = next(path for path, one in zip(runs, whole, strict=True) if not one)
        raise ConfigError(f"{single} is one training run and the others are whole runs: name a stage of each instead")
    labels = _labels(runs)
    read = _whole if whole[0] else _single
    sides = [read(path, label) for path, label in zip(runs, labels, strict=True)]
    write_atomic(out, render_versus(sides, refresh))


def _labels(runs: Sequence[Path]) -> list[str]:
    """Short names, with a number where two are alike."""
    names = [short_path(path) for path in runs]
    return [f"{name} ({place})" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]


def _single(path: Path, label: str) -> Side:
    run = read_run(path)
    return Side(label, path, {"": examine(run)}, notes=[shown(note, path.parent) for note in run.notes])


def _whole(path: Path, label: str) -> Side:
    run = load_run(path, read_graph(path))
    side = Side(label, path, {one.name: one.panel for one in examined(run)}, notes=run.notes)
    place = path / "evaluate"
    try:
        content = read_results(place)
        samples = read_table(place / "samples.parquet")
        side.results = {
            name: Result(place, name, content["settings"], metrics, samples)
            for name, metrics in content["models"].items()
        }
    except R1Error as error:
        side.notes.append(shown(str(error), path.parent))
    return side


def render_versus(sides: Sequence[Side], refresh: int = 0) -> str:
    stages = list(dict.fromkeys(name for side in sides for name in side.panels))
    curves = [StageCurves(name, "", 0, _overlaid(name, sides)) for name in stages]
    kept = [item for item in curves if item.panels]
    return page(
        "versus.html.jinja",
        kept,
        None,
        sides=sides,
        refresh=refresh,
        health=[(side.label, name, panel) for side in sides for name, panel in side.panels.items()],
        results=_results(sides),
        tables=[(name, rows) for name in stages if (rows := _table(name, sides))],
        curves=kept,
        colours=COLOURS,
    )


def _results(sides: Sequence[Side]) -> list[dict[str, Any]]:
    """Of each model and number that the first and another run have: both values, and their difference."""
    first, *others = sides
    rows = []
    for model, one in first.results.items():
        for metric, label in _SHOWN.items():
            cells = [_cell(one, side.results[model], metric, side) for side in others if model in side.results]
            value = _value(one, metric)
            if cells and value != MISSING:
                rows.append({"model": model, "metric": label, "first": value, "cells": cells})
    return rows


def _cell(one: Result, other: Result, metric: str, side: Side) -> dict[str, str]:
    cell = {"run": side.label, "value": _value(other, metric), "css": ""}
    if not (one.shares(METRICS[metric]) and other.shares(METRICS[metric])):
        return {**cell, "change": MISSING}
    try:
        found = compare(one, other, metric).found
    except R1Error as error:
        note = shown(str(error).splitlines()[0], side.path.parent)
        side.notes += [note] if note not in side.notes else []
        return {**cell, "change": "not comparable"}
    css = "" if not found.shown else "yes" if found.difference > 0 else "no"
    points = [f"{100 * value:+.1f}" for value in (found.difference, found.low, found.high)]
    return {**cell, "change": f"{points[0]} ({points[1]} to {points[2]})", "css": css}


def _value(one: Result, metric: str) -> str:
    value, bounds = one.metrics.get(metric), (one.metrics.get("intervals") or {}).get(metric)
    if not isinstance(value, int | float):
        return MISSING
    return f"{100 * value:.1f}%" + (f" ({100 * bounds[0]:.1f}–{100 * bounds[1]:.1f})" if bounds else "")


def _figures(name: str, sides: Sequence[Side]) -> list[tuple[str, list[tuple[Side, Figure]]]]:
    """The figures that two runs or more have of a stage."""
    known = [(side, figures(side.panels[name].facts)) for side in sides if name in side.panels]
    titles = dict.fromkeys(title for _, found in known for title in found)
    pairs = [(title, [(side, found[title]) for side, found in known if title in found]) for title in titles]
    return [(title, having) for title, having in pairs if len(having) > 1]


def _overlaid(name: str, sides: Sequence[Side]) -> list[Curve]:
    panels = []
    for title, having in _figures(name, sides):
        lines = []
        for side, figure in having:
            points = [(step, value) for step, value in figure.points if drawable(value) is not None]
            if points:
                lines.append(Series(side.label, COLOURS[sides.index(side) % len(COLOURS)], points))
        if lines:
            key = f"{name} {title}".strip()
            rate = title in RATES
            chart = Chart(key, tuple(lines), f"stage {name}", 0.0 if rate else None, percent=rate)
            panels.append(Curve(title, chart, [(one.css, one.label) for one in lines]))
    return panels


def _table(name: str, sides: Sequence[Side]) -> list[dict[str, Any]]:
    """The last third of each figure, and how far the others are from the first run that has it."""
    rows = []
    for title, ((first, before), *others) in _figures(name, sides):
        cells = [{"run": side.label, "value": _last(figure), **_change(before, figure)} for side, figure in others]
        rows.append({"title": title, "run": first.label, "first": _last(before), "cells": cells})
    return rows


def _third(figure: Figure) -> Sequence[float]:
    return figure.values[-max(1, len(figure.values) // 3) :]


def _last(figure: Figure) -> str:
    mean, low, high = amount(_third(figure))
    return f"{plain(mean)}" + (f" ({plain(low)} to {plain(high)})" if low is not None else "")


def _change(before: Figure, after: Figure) -> dict[str, str]:
    """The difference of the means with an interval over steps; none of fewer steps than an interval needs."""
    one, two = amount(_third(before)), amount(_third(after))
    if one.mean is None or two.mean is None or one.high is None or two.high is None:
        return {"change": MISSING, "css": ""}
    change = two.mean - one.mean
    half = math.hypot(one.high - one.mean, two.high - two.mean)
    shown_ = abs(change) > half
    text = f"{change:+.3g} ({change - half:+.3g} to {change + half:+.3g})"
    return {"change": text if shown_ else f"{text}, no difference shown", "css": ""}
