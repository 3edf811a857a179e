"""Small static charts as inline SVG; colours come from CSS classes, so they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from markupsafe import Markup, escape

from r1hf.explain.report.text import plain

Point = tuple[float, float]
Scale = Callable[[float], float]
Item = TypeVar("Item")

WIDTH, HEIGHT = 270.0, 158.0
LEFT, RIGHT, TOP, BOTTOM = 36.0, 8.0, 8.0, 32.0
# A page stays light when a run has ten thousand steps: more points than pixels show nothing.
MAX_POINTS = 240


@dataclass(frozen=True)
class Series:
    """One line: `points` are (step, value) in order; `css` picks its colour."""

    label: str
    css: str
    points: list[Point]


def tag(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """An SVG element with everything escaped; `class_` and `stroke_width` become `class` and `stroke-width`."""
    parts = [f'{key.rstrip("_").replace("_", "-")}="{escape(_value(item))}"' for key, item in attributes.items()]
    inner = Markup("").join(children)
    return Markup(f"<{' '.join([name, *parts])}>{inner}</{name}>")


def _value(item: object) -> str:
    return f"{item:.2f}".rstrip("0").rstrip(".") if isinstance(item, float) else str(item)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers that span [low, high]; the outer ones may lie beyond it."""
    if high - low <= 1e-9 * max(1.0, abs(low)):
        high = low + max(1.0, abs(low))
    raw = (high - low) / count
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def smooth(points: Sequence[Point], window: int) -> list[Point]:
    """A local straight-line fit over `window` points: a moving mean that neither lags nor hooks at the ends.

    Given at no more than MAX_POINTS places.
    """
    result = []
    for index in thin(range(len(points))):
        near = points[max(0, index - window // 2) : index + window // 2 + 1]
        centre = sum(step for step, _ in near) / len(near)
        mean = sum(value for _, value in near) / len(near)
        spread = sum((step - centre) ** 2 for step, _ in near)
        slope = sum((step - centre) * value for step, value in near) / spread if spread else 0.0
        fitted = mean + slope * (points[index][0] - centre)
        # A line through a share must not leave what was measured.
        values = [value for _, value in near]
        result.append((points[index][0], min(max(fitted, min(values)), max(values))))
    return result


def line_chart(
    series: Sequence[Series],
    label: str,
    *,
    low: float | None = None,
    high: float | None = None,
    percent: bool = False,
    x_high: float | None = None,
) -> Markup:
    """Smoothed lines over faint raw ones, with axes; steps count from 0.

    `low` and `high` widen the y range to at least that, `x_high` the steps.
    """
    values = [value for line in series for _, value in line.points]
    bounds = [bound for bound in (low, high) if bound is not None]
    y_ticks = ticks(min(values + bounds), max(values + bounds))
    last = max([x_high or 1.0, *(step for line in series for step, _ in line.points)])
    x_ticks = [tick for tick in ticks(0.0, last, 3) if tick <= last]
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(step: float) -> float:
        return LEFT + plot_width * step / last

    def y(value: float) -> float:
        return TOP + plot_height * (1 - (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]))

    drawn: list[Markup] = []
    for tick in y_ticks:
        text = f"{plain(100 * tick)}%" if percent else plain(tick)
        drawn.append(tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y(tick), y2=y(tick)))
        drawn.append(tag("text", escape(text), class_="tick", x=LEFT - 5, y=y(tick) + 3.2, text_anchor="end"))
    floor = HEIGHT - BOTTOM
    for tick in x_ticks:
        drawn.append(tag("line", class_="axis", x1=x(tick), x2=x(tick), y1=floor, y2=floor + 3))
        drawn.append(tag("text", escape(plain(tick)), class_="tick", x=x(tick), y=floor + 13, text_anchor="middle"))
    drawn.append(tag("line", class_="axis", x1=LEFT, x2=WIDTH - RIGHT, y1=floor, y2=floor))
    drawn.append(tag("text", "step", class_="tick", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle"))
    drawn += [_line(line, x, y) for line in series]
    box = f"0 0 {WIDTH:g} {HEIGHT:g}"
    return tag("svg", *drawn, class_="chart", viewBox=box, role="img", aria_label=_spoken(series, label, percent))


def _line(line: Series, x: Scale, y: Scale) -> Markup:
    if len(line.points) == 1:
        ((step, value),) = line.points
        return tag("circle", class_=f"mark {line.css}", cx=x(step), cy=y(value), r=2.5)
    window = max(1, len(line.points) // 8)
    drawn = [tag("path", class_=f"raw {line.css}", d=_path(thin(line.points), x, y))] if window > 1 else []
    drawn.append(tag("path", class_=f"line {line.css}", d=_path(smooth(line.points, window), x, y)))
    return tag("g", *drawn)


def _path(points: Sequence[Point], x: Scale, y: Scale) -> str:
    return "M" + "L".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)


def thin(items: Sequence[Item]) -> list[Item]:
    """At most MAX_POINTS of the items, evenly chosen, with the first and the last."""
    if len(items) <= MAX_POINTS:
        return list(items)
    return [items[round(index * (len(items) - 1) / (MAX_POINTS - 1))] for index in range(MAX_POINTS)]


def _spoken(series: Sequence[Series], label: str, percent: bool) -> str:
    def say(value: float) -> str:
        return f"{100 * value:.1f}%" if percent else plain(value)

    parts = [
        f"{line.label} from {say(line.points[0][1])} at step {plain(line.points[0][0])} "
        f"to {say(line.points[-1][1])} at step {plain(line.points[-1][0])}"
        for line in series
    ]
    return f"{label}: {'; '.join(parts)}"


def dot(share: float | None, error: float | None, css: str, label: str) -> Markup:
    """A share from 0 to 1 as a dot on a line, with whiskers of two standard errors; it stretches with its cell."""
    drawn = [
        tag("line", class_="track", x1="0", x2="100%", y1=11, y2=11),
        *(tag("line", class_="grid", x1=f"{at}%", x2=f"{at}%", y1=0, y2=22) for at in (0, 50, 100)),
    ]
    if share is not None:
        at = min(max(share, 0.0), 1.0)
        drawn.append(tag("line", class_=f"stem {css}", x1="0", x2=f"{100 * at:.2f}%", y1=11, y2=11))
        drawn.append(tag("circle", class_=f"mark {css}", cx=f"{100 * at:.2f}%", cy=11, r=4.5))
        if error:
            left, right = (f"{100 * min(max(share + side * error, 0.0), 1.0):.2f}%" for side in (-2, 2))
            drawn.append(tag("line", class_="whisker", x1=left, x2=right, y1=11, y2=11))
            drawn += [tag("line", class_="whisker", x1=end, x2=end, y1=7.5, y2=14.5) for end in (left, right)]
    return tag("svg", *drawn, class_="dot", width="100%", height="22", role="img", aria_label=label)


def scale() -> Markup:
    """The axis over a column of `dot` charts."""
    marks = ((0, "0", "start"), (50, "50", "middle"), (100, "100%", "end"))
    drawn = [tag("text", label, class_="tick", x=f"{at}%", y=11, text_anchor=anchor) for at, label, anchor in marks]
    return tag("svg", *drawn, width="100%", height="15", aria_hidden="true")


def bar(share: float, css: str = "") -> Markup:
    """A horizontal bar over `share` (0 to 1) of its cell."""
    width = f"{100 * min(max(share, 0.0), 1.0):.2f}%"
    drawn = [
        tag("rect", class_="track", width="100%", height="8", y="2", rx="2"),
        tag("rect", class_=f"fill {css}", width=width, height="8", y="2", rx="2"),
    ]
    return tag("svg", *drawn, class_="bar", width="100%", height="12", aria_hidden="true")
