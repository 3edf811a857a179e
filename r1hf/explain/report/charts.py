"""The curves of a page: what uPlot draws in the browser, and the same said in words for who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from markupsafe import Markup, escape

from r1hf.explain.report.text import plain

Point = tuple[float, float]
Item = TypeVar("Item")

# A page stays light when a run has ten thousand steps: more points than pixels show nothing.
MAX_POINTS = 400


@dataclass(frozen=True)
class Series:
    """One line: `points` are (step, value) in order; `css` picks its colour."""

    label: str
    css: str
    points: list[Point]


@dataclass(frozen=True)
class Chart:
    """Lines over steps in one frame. key: its own on the page. group: charts whose cursors move together.

    `low` and `high` widen the y range to at least that, `x_high` the steps, which count from 0.
    """

    key: str
    series: tuple[Series, ...]
    group: str = ""
    low: float | None = None
    high: float | None = None
    percent: bool = False
    x_high: float | None = None

    @property
    def spoken(self) -> str:
        """`r1_zero reward: all from 0.1 at step 1 to 1.8 at step 100`."""
        parts = [
            f"{line.label} from {self._say(line.points[0][1])} at step {plain(line.points[0][0])} "
            f"to {self._say(line.points[-1][1])} at step {plain(line.points[-1][0])}"
            for line in self.series
        ]
        return f"{self.key}: {'; '.join(parts)}"

    @property
    def data(self) -> dict[str, Any]:
        """For the page's script: of each line the steps, the values, and the smoothed values at the same steps."""
        return {
            "lines": [_line(line) for line in self.series],
            "group": self.group,
            "low": self.low,
            "high": self.high,
            "percent": self.percent,
            "last": self.x_high,
        }

    def _say(self, value: float) -> str:
        return f"{100 * value:.1f}%" if self.percent else plain(value)


def _line(line: Series) -> dict[str, Any]:
    kept = thin(line.points)
    strong = smooth(line.points, max(1, len(line.points) // 8))
    return {
        "label": line.label,
        "css": line.css,
        "x": [step for step, _ in kept],
        "y": [_short(value) for _, value in kept],
        "s": [_short(value) for _, value in strong],
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def tag(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """An SVG element with everything escaped; `class_` and `stroke_width` become `class` and `stroke-width`."""
    parts = [f'{key.rstrip("_").replace("_", "-")}="{escape(_value(item))}"' for key, item in attributes.items()]
    inner = Markup("").join(children)
    return Markup(f"<{' '.join([name, *parts])}>{inner}</{name}>")


def _value(item: object) -> str:
    return f"{item:.2f}".rstrip("0").rstrip(".") if isinstance(item, float) else str(item)


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


def thin(items: Sequence[Item]) -> list[Item]:
    """At most MAX_POINTS of the items, evenly chosen, with the first and the last."""
    if len(items) <= MAX_POINTS:
        return list(items)
    return [items[round(index * (len(items) - 1) / (MAX_POINTS - 1))] for index in range(MAX_POINTS)]
