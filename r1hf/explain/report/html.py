"""report.html: one file that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from r1hf.core.files import write_atomic
from r1hf.explain.report import payload, sections, text
from r1hf.explain.report.browse import Browser, linked
from r1hf.explain.report.charts import Chart
from r1hf.explain.report.costs import NOTE, costs
from r1hf.explain.report.curves import StageCurves, loss_curves, rl_curves
from r1hf.explain.report.examined import Examined, examined
from r1hf.explain.report.funnels import funnels, judges, reviews
from r1hf.explain.report.graph import Box, draw_graph
from r1hf.explain.report.load import RunData, load_run
from r1hf.explain.report.pairs import pairs
from r1hf.explain.report.paper import NAMES, published
from r1hf.explain.report.stages import BROUGHT, DATA_STAGES, KINDS, info, paper_name
from r1hf.explain.report.summary import bounds, format_table, print_text, summarize, to_json, with_error

# The second SFT starts again from the base: the edge that readers of the paper most often miss.
RESTART = ("base", "sft2")
METRICS = (
    ("pass_at_1", "stderr", "right (pass@1)", "c1"),
    ("format_rate", None, "well formed", "c2"),
    ("language_consistency", None, "one language", "c3"),
)
LONGEST, SHORTEST = 4000, 300  # characters of a text that is cut
ROOM = {"rollouts": 3_600_000, "pairs": 900_000}  # characters of packed data; the rest of a page is under 400,000


def write_report(run_dir: Path, graph: Mapping[str, Sequence[str]], refresh: int = 0, out: Path | None = None) -> None:
    """Write summary.json and report.html into `run_dir` and print the table.

    `graph` maps each stage, in order, to its upstream stages. What is missing in the run is missing in the
    report, which says so. refresh: seconds after which the page loads itself again, 0 for never. out: write the page
    there, and nothing into `run_dir`. Raises DataError if `run_dir` is no directory or `graph` has a cycle.
    """
    run = load_run(Path(run_dir), graph)
    summary = summarize(run)
    page = render(run, summary, refresh)
    if out is None:
        write_atomic(run.run_dir / "summary.json", to_json(summary))
    write_atomic(out or run.run_dir / "report.html", page)
    print_text(format_table(summary))
    print_text(f"report: {out or run.run_dir / 'report.html'}")


def render(run: RunData, summary: dict[str, Any], refresh: int = 0) -> str:
    """The page as text; the same run gives the same bytes."""
    stages = examined(run)
    browser = Browser(stages)
    compared = fitting(lambda limit: pairs(run, limit), "pairs") if run.models else None
    shown, left_out = sections.questions(run)
    models = list(dict.fromkeys([*summary["stages"], *(name for item in shown for name in item.answers)]))
    whole, commands = sections.commands(run)
    curves, losses = rl_curves(run), loss_curves(run)
    spent, together = costs(run)
    drawn = funnels(run)
    return page(
        "run.html.jinja",
        curves + losses,
        browser,
        run=run,
        refresh=refresh,
        summary=summary,
        tiny=run.tiny,
        graphs=_graphs(run),
        story=_story(run, summary),
        kinds=KINDS,
        health=cards(stages, browser),
        headline=_headline(summary),
        metrics=METRICS,
        curves=curves,
        losses=losses,
        pairs=compared,
        questions=shown,
        questions_left_out=left_out,
        sampled=[name for name in models if any(name in item.answers for item in shown)],
        data_stages=sections.data_stages(run, [one.stage for one in drawn]),
        funnels=drawn,
        reviews=reviews(run),
        judges=judges(run),
        costs=spent,
        together=together,
        cost_note=NOTE,
        provenance=sections.provenance(run),
        whole_command=whole,
        commands=commands,
        folder=sections.short_path(run.run_dir),
        settings=[
            (text.words(key), sections.metric_text(key, value))
            for key, value in run.settings.items()
            if value is not None and not isinstance(value, dict)
        ],
    )


def page(template: str, curves: Sequence[StageCurves], browser: Browser | None, /, **values: Any) -> str:
    """A page with its curves, its rollouts and its one script."""
    charts = [panel.chart for item in curves for panel in item.panels if panel.chart is not None]
    packed = fitting(browser.columns, "rollouts") if browser is not None and browser.sets else None
    return (
        _environment()
        .get_template(template)
        .render(
            script=payload.script(),
            styles=payload.styles(),
            policy=payload.policy(),
            plots=payload.packed(_plots(charts)) if charts else None,
            rollouts=packed,
            **values,
        )
    )


def fitting(make: Callable[[int], Any], kind: str) -> Markup | None:
    """Packed data whose texts are as long as the page has room for. make: the data, its texts cut to a length."""
    limit = LONGEST
    while (value := make(limit)) is not None:
        packed = payload.packed(value)
        if len(packed) <= ROOM[kind] or limit <= SHORTEST:
            return packed
        limit = max(SHORTEST, min(limit // 2, int(limit * 0.9 * ROOM[kind] / len(packed))))
    return None


def _plots(charts: Sequence[Chart]) -> dict[str, Any]:
    return {chart.key: chart.data for chart in charts}


def cards(stages: Sequence[Examined], browser: Browser) -> list[dict[str, Any]]:
    """The health of each stage: the first line, and what shows it, what to try, and where to look."""
    return [
        {
            "name": one.name,
            "headline": one.panel.headline,
            "fault": bool(one.panel.found),
            "found": [{"one": diagnosis, "links": linked(diagnosis, browser)} for diagnosis in one.panel.found],
        }
        for one in stages
    ]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(payload.PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=text.percent, duration=text.duration, memory=text.memory, plain=text.plain, visible=text.visible
    )
    environment.tests["published"] = lambda name: published(name) is not None
    environment.globals.update(paper_name=paper_name, with_error=with_error, published=published, paper_columns=NAMES)
    return environment


def _graphs(run: RunData) -> list[tuple[str, Any]]:
    """The graph without the evaluation, which would only add an edge from every model."""
    graph = {stage: above for stage, above in run.graph.items() if stage != "evaluate"}
    names = {*graph, *(above for upstream in graph.values() for above in upstream)}
    boxes = {name: Box(name, paper_name(name), sections.headline(run, name), info(name).kind) for name in names}
    return [(css, draw_graph(graph, boxes, marked=RESTART, vertical=css == "down")) for css in ("across", "down")]


def _story(run: RunData, summary: dict[str, Any]) -> list[dict[str, str]]:
    """What each stage did and why, in the order of the graph, and what it changed."""
    told = []
    for stage, above in run.graph.items():
        if stage == "evaluate":
            continue
        start = next((name for name in above if name in summary["stages"]), None)
        before = summary["stages"].get(start, {}).get("pass_at_1")
        after = summary["stages"].get(stage, {}).get("pass_at_1")
        change = "" if after is None else f"{text.percent(after)} right"
        if before is not None and after is not None:
            change = f"right: {text.percent(before)} before ({start}), {text.percent(after)} after"
        about = BROUGHT if stage == "base" and not run.tiny else info(stage).about
        told.append({"stage": stage, "about": about, "change": change or sections.headline(run, stage)})
    return told


def _headline(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the dot chart: the chain of the paper first, then the students."""
    rows = []
    for name, scores in summary["stages"].items():
        if scores["pass_at_1"] is None and name in DATA_STAGES:
            continue
        cells = []
        for key, error, label, css in METRICS:
            value, spread = scores[key], scores[error] if error else None
            low, high = bounds(scores, key) or _two_errors(value, spread)
            shown = with_error(value, spread)
            cells.append({"text": text.percent(value), "at": value, "low": low, "high": high, "css": css,
                          "label": f"{name}, {label}: {shown}"})  # fmt: skip
        rows.append({"name": name, "paper": paper_name(name), "cells": cells, "student": name.startswith("student")})
    return rows


def _two_errors(value: float | None, error: float | None) -> tuple[float | None, float | None]:
    if value is None or error is None:
        return None, None
    return max(0.0, value - 2 * error), min(1.0, value + 2 * error)
