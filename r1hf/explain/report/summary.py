"""summary.json and the table on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from r1hf.explain.report.checks import run_checks
from r1hf.explain.report.load import RunData, load_run
from r1hf.explain.report.stages import model_order
from r1hf.explain.report.text import MISSING, duration, memory, number, percent
from r1hf.explain.report.trend import trend

SCORES = (
    "pass_at_1",
    "stderr",
    "format_rate",
    "language_consistency",
    "mean_completion_tokens",
    "truncation_rate",
    "helpful_rate",
    "helpful_stderr",
    "harmless_rate",
    "harmless_stderr",
)


def build_summary(run_dir: Path, graph: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What summary.json holds: one row of scores and costs for each model, costs of the other stages.

    Rates are shares from 0 to 1, lengths are tokens, `peak_rss_mb` is MiB; what is unknown is None.
    """
    return summarize(load_run(run_dir, graph))


def summarize(run: RunData) -> dict[str, Any]:
    """`build_summary` of a run that is already read."""
    models = model_order(run.graph, run.models)
    stages = {
        name: {**_scores(run.models.get(name, {})), **_costs(run, name), **_growth(run, name)} for name in models
    }
    others = {
        name: {**_costs(run, name), "metrics": _finite(run.manifests[name].get("metrics") or {})}
        for name in run.graph
        if name not in stages and name in run.manifests
    }
    costs = [*stages.values(), *others.values()]
    seconds = [row["seconds"] for row in costs if row["seconds"] is not None]
    peaks = [row["peak_rss_mb"] for row in costs if row["peak_rss_mb"] is not None]
    seeds = sorted({m["seed"] for m in run.manifests.values() if isinstance(m.get("seed"), int)})
    summary: dict[str, Any] = {
        "stages": stages,
        "other_stages": others,
        "seed": seeds[0] if len(seeds) == 1 else seeds or None,
        "total_seconds": round(sum(seconds), 3) if seconds else None,
        "peak_rss_mb": max(peaks) if peaks else None,
        "settings": _finite(run.settings),
        "missing": run.missing,
        "warnings": {name: found for name in run.graph if (found := _warnings(run, name))},
    }
    # The expectations are those of the world that makes its own base.
    summary["checks"] = run_checks(summary) if run.tiny else []
    return summary


def _warnings(run: RunData, name: str) -> list[str]:
    """What a finished stage says against itself."""
    metrics = run.manifests.get(name, {}).get("metrics")
    found = metrics.get("warnings") if isinstance(metrics, dict) else None
    return [str(text) for text in found.values()] if isinstance(found, dict) else []


def to_json(summary: Mapping[str, Any]) -> str:
    """The text of summary.json: strict JSON, so never NaN."""
    return json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def format_table(summary: Mapping[str, Any]) -> str:
    """The summary as a fixed-width table for a terminal or a pipe."""
    head = ["stage", "pass@1", "format", "language", "tokens", "truncated", "helpful", "harmless", "time"]
    rows = [_table_row(name, row) for name, row in summary["stages"].items()]
    longer = [row["longer"] for row in summary["stages"].values()]
    if any(longer):
        head.insert(2, "longer")
        for line, row in zip(rows, longer, strict=True):
            line.insert(2, MISSING if row is None else scored(row, "pass_at_1"))
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [_line(head, widths), _line(["-" * width for width in widths], widths)]
    lines += [_line(row, widths) for row in rows]
    others = [f"{name} {duration(row['seconds'])}" for name, row in summary["other_stages"].items()]
    if others:
        lines += ["", "also: " + ", ".join(others)]
    total, peak = duration(summary["total_seconds"]), memory(summary["peak_rss_mb"])
    lines.append(f"total {total}, peak memory {peak}, seed {summary['seed']}")
    if summary["checks"]:
        states = [check["passed"] for check in summary["checks"]]
        unknown = f", {states.count(None)} not measured" if None in states else ""
        lines.append(f"expectations held: {states.count(True)} of {len(states)}{unknown}")
        failed = [check for check in summary["checks"] if check["passed"] is False]
        lines += [f"  NOT held: {check['claim']} ({check['measured']})" for check in failed]
    if summary["missing"]:
        lines.append(f"not finished: {', '.join(summary['missing'])}")
    return "\n".join(lines)


def print_text(text: str) -> None:
    """Print, also where the terminal's encoding lacks a character such as ±."""
    encoding = sys.stdout.encoding or "utf-8"
    if encoding.lower().replace("-", "") != "utf8":
        text = text.replace("±", "+/-").replace("–", "-").encode(encoding, "replace").decode(encoding)
    print(text, flush=True)


def _table_row(name: str, row: Mapping[str, Any]) -> list[str]:
    tokens = row["mean_completion_tokens"]
    return [
        name,
        scored(row, "pass_at_1"),
        percent(row["format_rate"]),
        percent(row["language_consistency"]),
        MISSING if tokens is None else f"{tokens:.1f}",
        percent(row["truncation_rate"]),
        scored(row, "helpful_rate"),
        scored(row, "harmless_rate"),
        duration(row["seconds"]),
    ]


def bounds(row: Mapping[str, Any], key: str) -> tuple[float, float] | None:
    """The 95% interval of a score; None where the evaluation is of an earlier version, or nothing was judged."""
    intervals = row.get("intervals")
    pair = intervals.get(key) if isinstance(intervals, Mapping) else None
    low, high = map(number, pair) if isinstance(pair, list) and len(pair) == 2 else (None, None)
    return None if low is None or high is None else (low, high)


def scored(row: Mapping[str, Any], key: str) -> str:
    """`89.1% (87.9–90.2)`, with its 95% interval; of an evaluation without any, `89.1 ± 0.6%`."""
    found = bounds(row, key)
    if found is None or number(row.get(key)) is None:
        return with_error(row.get(key), row.get({"pass_at_1": "stderr"}.get(key, f"{key.split('_')[0]}_stderr")))
    return f"{percent(row[key])} ({100 * found[0]:.1f}–{100 * found[1]:.1f})"


def with_error(value: Any, error: Any) -> str:
    """`89.1 ± 0.6%`; without an error `89.1%`."""
    if number(value) is None or number(error) is None:
        return percent(value)
    return f"{100 * value:.1f} ± {100 * error:.1f}%"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip()


def _scores(row: Mapping[str, Any]) -> dict[str, Any]:
    intervals = {key: list(found) for key in SCORES if (found := bounds(row, key)) is not None}
    longer = row.get("longer")
    second = _scores(longer) if isinstance(longer, Mapping) else None
    return {**{key: number(row.get(key)) for key in SCORES}, "intervals": intervals, "longer": second}


def _growth(run: RunData, name: str) -> dict[str, float]:
    """How the completions' length moved while the stage trained, where it was logged."""
    found = trend(run.logs.get(name, ()), "completions/mean_length")
    return {} if found is None else {"length_rise": found[0], "length_rise_errors": min(found[1], 1e6)}


def _costs(run: RunData, name: str) -> dict[str, float | None]:
    manifest = run.manifests.get(name, {})
    return {key: number(manifest.get(key)) for key in ("seconds", "peak_rss_mb")}


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return number(value) if isinstance(value, float) else value
