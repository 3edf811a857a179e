"""The page of one training run, whoever's it is: its health, its curves, its rollouts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from r1hf.core.files import write_atomic
from r1hf.explain.health.panel import Panel, figures
from r1hf.explain.report.browse import Browser
from r1hf.explain.report.charts import Chart, Series
from r1hf.explain.report.curves import Panel as Curve
from r1hf.explain.report.curves import StageCurves, drawable, rl_curves
from r1hf.explain.report.examined import Examined, shown
from r1hf.explain.report.html import cards, page
from r1hf.explain.report.load import RunData
from r1hf.explain.report.stages import info
from r1hf.explain.runs.table import RunTable

RATES = ("right by r1hf's verifier", "groups paid alike", "cut off")  # figures that are shares


def write_single(panel: Panel, out: Path, refresh: int = 0) -> None:
    """One HTML file at `out`. Raises OSError where it cannot be written."""
    write_atomic(out, render_single(panel, refresh))


def render_single(panel: Panel, refresh: int = 0) -> str:
    run = panel.facts.run
    name = run_name(run)
    browser = Browser([Examined(name, panel)])
    curves = curves_of(panel, name)
    return page(
        "single.html.jinja",
        curves,
        browser,
        name=name,
        about=info(name).about,
        refresh=refresh,
        health=cards([Examined(name, panel)], browser),
        curves=curves,
        facts=_facts(panel),
        kinds=list(dict.fromkeys(run.kinds)),
        taken=[(key, shown(where, run.where.parent)) for key, where in run.taken],
        notes=[shown(note, run.where.parent) for note in run.notes],
    )


def run_name(run: RunTable) -> str:
    """What a run is called on a page: its directory or file."""
    return run.where.resolve().name.removesuffix(".partial") or "run"


def curves_of(panel: Panel, name: str) -> list[StageCurves]:
    """The panels that its log gives; without one, what its rollouts give."""
    run = panel.facts.run
    data = RunData(run.where, {name: []}, logs={name: [dict(row) for row in run.steps]})
    logged = rl_curves(data)
    if logged:
        return [replace(one, panels=[panel for panel in one.panels if panel.chart is not None]) for one in logged]
    return [StageCurves(name, info(name).about, panel.facts.count, [*map(_panel_of(name), _figures(panel))])]


def _figures(panel: Panel) -> list[tuple[str, list[tuple[float, float]], bool]]:
    return [(title, series.points, title in RATES) for title, series in figures(panel.facts).items()]


def _panel_of(name: str) -> Any:
    def made(figure: tuple[str, list[tuple[float, float]], bool]) -> Curve:
        title, points, rate = figure
        kept = [(step, value) for step, value in points if drawable(value) is not None]
        if not kept:
            return Curve(title)
        line = Series(title, "ink", kept)
        return Curve(title, Chart(f"{name} {title}", (line,), name, 0.0 if rate else None, percent=rate))

    return made


def _facts(panel: Panel) -> list[tuple[str, str]]:
    facts = panel.facts
    found = [("steps", f"{facts.count:,}"), ("completions read", f"{len(facts.rollouts):,}")]
    if facts.rollouts:
        found.append(("prompts", f"{facts.prompts:,}"))
    if facts.paid:
        found.append(("reward", facts.paid.words()))
    if facts.outcome:
        found.append(("answers paid", facts.outcome.words()))
    return found
