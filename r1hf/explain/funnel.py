"""What a run's data stages did with their samples, read from audit.parquet: the funnel, and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r1hf.core.errors import DataError
from r1hf.data.audit import FILE, STEPS

EXAMPLES = 3
_COUNTED = ["prompt", "method", "language", "tokens", "right", "judged_by", "reason", "step"]
_SHOWN = ["reason", "question", "answer", "of", "excerpt"]
_BINS = {"none right": (0.0, 0.0), "up to 1/4": (0.0, 0.25), "1/4 to 1/2": (0.25, 0.5)} | {
    "1/2 to 3/4": (0.5, 0.75),
    "more than 3/4": (0.75, 1.0),
    "all right": (1.0, 1.0),
}
_WIDTH, _BAR, _LEFT, _RIGHT = 760, 26, 110, 150  # pixels of the picture


def funnel(run: Path) -> dict[str, dict[str, Any]]:
    """{stage: what became of its samples} of a run's directory, or of one stage's. JSON's own types.

    steps: how many reached each of STEPS. reasons: why samples were rejected. pass_rates: prompts by the share of
    right samples. tokens: of all, and of the kept. languages, methods, judged_by: sampled and kept of each. removed:
    leaks and near-duplicates. examples: of each reason. Raises DataError where there is no audit, or a damaged one.
    """
    run = Path(run)
    files = [path for path in (run / FILE, *sorted(run.glob(f"*/{FILE}"))) if path.is_file()]
    if not files:
        raise DataError(
            f"{run}: there is no {FILE} in it or its stages: give the directory of a run or of a stage of cold_start "
            "or rejection_sampling that is finished"
        )
    return {path.parent.resolve().name: funnel_of(path) for path in files}


def funnel_of(path: Path) -> dict[str, Any]:
    """What `funnel` says of one stage. path: its audit.parquet. Raises DataError where it is damaged."""
    try:
        table = pq.read_table(path, columns=_COUNTED)
        examples = _examples(path)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}; make its stage again") from None
    reached = _counts(table, "step")
    kept = table.filter(pc.equal(table["step"], STEPS[-1]))
    reasons = {name: count for name, count in _counts(table, "reason").items() if name is not None}
    return {
        "prompts": pc.count_distinct(table["prompt"]).as_py(),
        "steps": {step: sum(reached.get(later, 0) for later in STEPS[place:]) for place, step in enumerate(STEPS)},
        "reasons": reasons,
        "removed": {name: reasons.get(name, 0) for name in ("duplicate", "near_duplicate", "leak")},
        "pass_rates": _pass_rates(table),
        "tokens": {"sampled": _spread(table["tokens"]), "kept": _spread(kept["tokens"])},
        **{
            f"by_{name}": {
                str(value): {"sampled": count, "kept": _counts(kept, name).get(value, 0)}
                for value, count in _counts(table, name).items()
                if value is not None
            }
            for name in ("language", "method", "judged_by")
        },
        "examples": examples,
    }


def _counts(table: pa.Table, name: str) -> dict[Any, int]:
    """{value: rows}, the commonest first."""
    found = {one["values"]: one["counts"] for one in pc.value_counts(table[name]).to_pylist()}
    return dict(sorted(found.items(), key=lambda item: (-item[1], str(item[0]))))


def _pass_rates(table: pa.Table) -> dict[str, int]:
    numbers = pa.table({"prompt": table["prompt"], "right": table["right"].cast(pa.int32())})
    made = numbers.group_by("prompt").aggregate([("right", "sum"), ("right", "count")])
    found = dict.fromkeys((*_BINS, "unjudged"), 0)
    for right, judged in zip(made["right_sum"].to_pylist(), made["right_count"].to_pylist(), strict=True):
        found[_bin(right / judged) if judged else "unjudged"] += 1
    return found


def _bin(rate: float) -> str:
    if rate in (0.0, 1.0):
        return "all right" if rate else "none right"
    return next(name for name, (low, high) in _BINS.items() if low < rate <= high and low < high)


def _spread(tokens: Any) -> dict[str, int]:
    if not len(tokens):
        return {}
    points = pc.quantile(tokens, [0.0, 0.5, 0.9, 1.0], interpolation="nearest").to_pylist()
    return dict(zip(("shortest", "median", "90%", "longest"), points, strict=True))


def _examples(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The first samples of each reason; read in batches, since excerpts are most of the file."""
    found: dict[str, list[dict[str, Any]]] = {}
    for batch in pq.ParquetFile(path).iter_batches(columns=_SHOWN):
        for reason in pc.unique(batch["reason"]).drop_null().to_pylist():
            own = found.setdefault(reason, [])
            rows = batch.filter(pc.fill_null(pc.equal(batch["reason"], reason), False))
            own += rows.slice(0, EXAMPLES - len(own)).to_pylist()
    return {reason: [{key: row[key] for key in _SHOWN[1:]} for row in rows] for reason, rows in found.items()}


def picture(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The funnels as one SVG: a bar for each step, with its count and its share of what was sampled."""
    parts: list[str] = []
    top = 0
    for stage, told in found.items():
        parts.append(f'<text x="0" y="{top + 20}" font-weight="bold">{escape(stage)}</text>')
        parts += _bars(told["steps"], top + 32)
        top += 32 + len(STEPS) * _BAR + 16
    style = "font-family:sans-serif;font-size:13px;background:#fff"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" role="img" style="{style}">'
    said = [
        f"{stage}: " + ", ".join(f"{n} {step}" for step, n in one["steps"].items()) for stage, one in found.items()
    ]
    return "\n".join([head, f"<title>{escape('; '.join(said))}</title>", *parts, "</svg>\n"])


def _bars(steps: Mapping[str, int], top: int) -> list[str]:
    most, room = max(steps.values()) or 1, _WIDTH - _LEFT - _RIGHT
    parts = []
    for place, (step, count) in enumerate(steps.items()):
        width, y = round(room * count / most, 1), top + place * _BAR
        left = round(_LEFT + (room - width) / 2, 1)
        parts += [
            f'<text x="0" y="{y + 16}">{escape(step)}</text>',
            f'<rect x="{left}" y="{y}" width="{width}" height="{_BAR - 5}" fill="#3b6ea5"/>',
            f'<text x="{_WIDTH - _RIGHT + 10}" y="{y + 16}">{count:,} ({100 * count / most:.1f}%)</text>',
        ]
    return parts
