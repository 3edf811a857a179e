"""Which curves of a training log are shown, and in which panels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from r1hf.explain.report.charts import Chart, Point, Series
from r1hf.explain.report.load import RunData
from r1hf.explain.report.stages import info
from r1hf.explain.report.text import number, words

COLOURS = ("c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8")
Colours = dict[str, str]  # a reward's name -> its colour, the same in every chart of the page


@dataclass
class Panel:
    """One small chart, or the reason why there is none."""

    title: str
    chart: Chart | None = None
    legend: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class StageCurves:
    """All panels of one stage."""

    stage: str
    about: str
    steps: int
    panels: list[Panel]


def points(rows: list[dict[str, Any]], *keys: str) -> list[Point]:
    """(step, value) of the first of `keys` that the log has, by step; what cannot be drawn is left out."""
    for key in keys:
        found = [
            (step, value)
            for row in rows
            if (step := drawable(row.get("step"))) is not None and (value := drawable(row.get(key))) is not None
        ]
        if found:
            return sorted(found)
    return []


def is_rl(rows: list[dict[str, Any]]) -> bool:
    """A log with a reward is one of an RL stage."""
    return bool(points(rows, "reward"))


def _reward_names(rows: list[dict[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key.split("/")[1] for key in keys if key.startswith("rewards/") and key.endswith("/mean")]


def colours(logs: Iterable[list[dict[str, Any]]]) -> Colours:
    """A colour for each reward of several stages, in the order in which they appear."""
    names = dict.fromkeys(name for rows in logs for name in _reward_names(rows))
    return {name: COLOURS[min(place, len(COLOURS) - 1)] for place, name in enumerate(names)}


def components(rows: list[dict[str, Any]], colour: Colours) -> list[Series]:
    """One line for each reward function, from TRL's `rewards/<name>/mean`."""
    lines = []
    for name in _reward_names(rows):
        found = points(rows, f"rewards/{name}/mean")
        if found:
            label = words(name.removesuffix("_reward").removesuffix("_reward_model"))
            lines.append(Series(label, colour[name], found))
    return lines


def rl_curves(run: RunData) -> list[StageCurves]:
    """The panels of each RL stage; length and truncation share their scale, so stages can be compared."""
    logs = {stage: rows for stage, rows in run.logs.items() if is_rl(rows)}
    lengths = ("completions/mean_length", "completions/mean_length_right", "completions/mean_length_wrong")
    longest = max(_maximum(logs, key) for key in lengths)
    truncated = _maximum(logs, "completions/clipped_ratio")
    colour = colours(logs.values())
    return [
        StageCurves(stage, info(stage).about, _last_step(rows), _panels(rows, stage, longest, truncated, colour))
        for stage, rows in logs.items()
    ]


def loss_curves(run: RunData) -> list[StageCurves]:
    """The loss of each stage that was trained without a reward."""
    found = []
    for stage, rows in run.logs.items():
        loss = points(rows, "loss")
        if loss and not is_rl(rows):
            chart = Chart(f"{stage} loss", (Series("loss", "ink", loss),), low=0.0)
            panels = [Panel("loss", chart)]
            if lines := _imbalance(rows):
                experts = Chart(f"{stage} expert imbalance", tuple(lines), low=1.0)
                panels.append(Panel("expert imbalance", experts, [(line.css, line.label) for line in lines]))
            found.append(StageCurves(stage, info(stage).about, _last_step(rows), panels))
    return found


def _panels(rows: list[dict[str, Any]], stage: str, longest: float, truncated: float, colour: Colours) -> list[Panel]:
    last = points(rows, "reward")[-1][0]
    parts = components(rows, colour)
    language = points(
        rows,
        *("language_share", "language_consistency", "language/consistency"),
        "rewards/language_consistency_reward/mean",  # all that a log of stock TRL has
    )

    def one(title: str, found: list[Point], css: str, **limits: Any) -> Panel:
        return several(title, [Series(title, css, found)] if found else [], **limits)

    def several(title: str, lines: list[Series], **limits: Any) -> Panel:
        if not lines:
            return Panel(title)
        chart = Chart(f"{stage} {title}", tuple(lines), stage, x_high=last, **limits)
        alone = len(lines) == 1 and lines[0].label == title
        return Panel(title, chart, [] if alone else [(line.css, line.label) for line in lines])

    panels = [
        one("total reward", points(rows, "reward"), "ink", low=0.0),
        several("reward by component", parts, low=0.0),
        several("completion length, tokens", _lengths(rows), low=0.0, high=longest),
        one("language consistency", language, "c3", low=0.0, high=1.0, percent=True),
        one(
            "truncated completions",
            points(rows, "completions/clipped_ratio"),
            "ink",
            **{"low": 0.0, "high": max(truncated, 0.05), "percent": True},
        ),
    ]
    # A log of stock TRL, or of an earlier version, lacks some of these: then there is no panel.
    silent = points(rows, "groups/no_signal", "frac_reward_zero_std")
    right = [("pass@1", "ink", ""), ("95% low", "c6", "_low"), ("95% high", "c1", "_high")]
    held_out = [Series(label, css, points(rows, f"held_out/pass_at_1{end}")) for label, css, end in right]
    more = [
        several(
            "held-out problems right", [line for line in held_out if line.points], low=0.0, high=1.0, percent=True
        ),
        one("groups without signal", silent, "ink", low=0.0, high=1.0, percent=True),
        one("reflection words per 100 words", points(rows, "reflection/per_100_words"), "ink", low=0.0, high=1.0),
        one("entropy, nats a token", points(rows, "entropy"), "ink", low=0.0),
        one("KL to the reference", points(rows, "kl"), "ink", low=0.0),
        several("expert imbalance", _imbalance(rows), low=1.0),
    ]
    return panels + [panel for panel in more if panel.chart is not None]


def _lengths(rows: list[dict[str, Any]]) -> list[Series]:
    """Mean length of all completions, or, where the log tells them apart, of right and of wrong ones."""
    sides = (("right", "c1"), ("wrong", "c6"))
    apart = [Series(name, css, points(rows, f"completions/mean_length_{name}")) for name, css in sides]
    apart = [line for line in apart if line.points]
    whole = points(rows, "completions/mean_length")
    title = "all" if apart else "completion length, tokens"
    return ([Series(title, "ink", whole)] if whole else []) + apart


def _imbalance(rows: list[dict[str, Any]]) -> list[Series]:
    """The load of the busiest expert over the mean one: the worst layer at each step, and the mean of the layers."""
    names = dict.fromkeys(
        key for row in rows for key in row if key.startswith("experts/") and key.endswith("/imbalance")
    )
    layers: dict[float, list[float]] = {}
    for name in names:
        for step, value in points(rows, name):
            layers.setdefault(step, []).append(value)
    if not layers:
        return []
    steps = sorted(layers.items())
    return [
        Series("worst layer", "c6", [(step, max(values)) for step, values in steps]),
        Series("mean of layers", "c1", [(step, sum(values) / len(values)) for step, values in steps]),
    ]


def drawable(value: Any) -> float | None:
    """A finite number whose differences are finite too: a diverged loss must not break the page."""
    amount = number(value)
    return amount if amount is not None and abs(amount) < 1e100 else None


def _maximum(logs: dict[str, list[dict[str, Any]]], key: str) -> float:
    return max((value for rows in logs.values() for _, value in points(rows, key)), default=0.0)


def _last_step(rows: list[dict[str, Any]]) -> int:
    return int(max((number(row.get("step")) or 0 for row in rows), default=0))
