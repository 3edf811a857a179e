"""report.html: one file that needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from r1hf.core.files import write_atomic
from r1hf.explain.report import charts, sections, text
from r1hf.explain.report.curves import loss_curves, rl_curves
from r1hf.explain.report.graph import Box, draw_graph
from r1hf.explain.report.load import RunData, load_run
from r1hf.explain.report.stages import DATA_STAGES, KINDS, info, paper_name
from r1hf.explain.report.summary import format_table, print_text, summarize, to_json, with_error

# The second SFT starts again from the base: the edge that readers of the paper most often miss.
RESTART = ("base", "sft2")
METRICS = (
    ("pass_at_1", "stderr", "right (pass@1)", "c1"),
    ("format_rate", None, "well formed", "c2"),
    ("language_consistency", None, "one language", "c3"),
)


def write_report(run_dir: Path, graph: Mapping[str, Sequence[str]]) -> None:
    """Write summary.json and report.html into `run_dir` and print the table.

    `graph` maps each stage, in order, to its upstream stages. What is missing in the run is missing in the
    report, which says so. Raises DataError if `run_dir` is no directory or `graph` has a cycle.
    """
    run = load_run(Path(run_dir), graph)
    summary = summarize(run)
    page = render(run, summary)
    write_atomic(run.run_dir / "summary.json", to_json(summary))
    write_atomic(run.run_dir / "report.html", page)
    print_text(format_table(summary))
    print_text(f"report: {run.run_dir / 'report.html'}")


def render(run: RunData, summary: dict[str, Any]) -> str:
    """The page as text; the same run gives the same bytes."""
    shown, left_out = sections.questions(run)
    models = list(dict.fromkeys([*summary["stages"], *(name for item in shown for name in item.answers)]))
    whole, commands = sections.commands(run)
    return _template().render(
        run=run,
        summary=summary,
        tiny="base" in run.graph,
        graphs=_graphs(run),
        kinds=KINDS,
        headline=_headline(summary),
        metrics=METRICS,
        curves=rl_curves(run),
        losses=loss_curves(run),
        questions=shown,
        questions_left_out=left_out,
        sampled=[name for name in models if any(name in item.answers for item in shown)],
        data_stages=sections.data_stages(run),
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


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=text.percent, duration=text.duration, memory=text.memory, plain=text.plain, visible=text.visible
    )
    environment.globals.update(bar=charts.bar, scale=charts.scale, paper_name=paper_name, with_error=with_error)
    return environment.get_template("report.html.jinja")


def _graphs(run: RunData) -> list[tuple[str, Any]]:
    """The graph without the evaluation, which would only add an edge from every model."""
    graph = {stage: above for stage, above in run.graph.items() if stage != "evaluate"}
    names = {*graph, *(above for upstream in graph.values() for above in upstream)}
    boxes = {name: Box(name, paper_name(name), sections.headline(run, name), info(name).kind) for name in names}
    return [(css, draw_graph(graph, boxes, marked=RESTART, vertical=css == "down")) for css in ("across", "down")]


def _headline(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the dot chart: the chain of the paper first, then the students."""
    rows = []
    for name, scores in summary["stages"].items():
        if scores["pass_at_1"] is None and name in DATA_STAGES:
            continue
        cells = []
        for key, error, label, css in METRICS:
            value = scores[key]
            spread = scores[error] if error else None
            shown = with_error(value, spread)
            drawing = charts.dot(value, spread, css, f"{name}, {label}: {shown}")
            cells.append({"text": text.percent(value), "svg": drawing})
        rows.append({"name": name, "paper": paper_name(name), "cells": cells, "student": name.startswith("student")})
    return rows
