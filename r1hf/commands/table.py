"""A plain text table: columns that line up, wide characters counted as two."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

from r1hf.explain.report.text import MISSING, cut, visible


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, indent: int = 2) -> str:
    """Lines of text; the first `left` columns begin at the left, the others end at the right."""
    cells = [list(head), *(list(row) for row in rows)]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            cell + " " * (size - width(cell)) if place < left else " " * (size - width(cell)) + cell
            for place, (cell, size) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((" " * indent + "  ".join(padded)).rstrip())
    return "\n".join(lines)


def bullets(title: str, lines: Sequence[str]) -> str:
    """A list under a title, wrapped."""
    wrapped = [
        textwrap.fill(line, 116, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)
        for line in lines
    ]
    return "\n".join([title, *wrapped])


def width(text: str) -> int:
    """Columns that a terminal needs for `text`."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def figure(value: float | None, digits: int = 3) -> str:
    """A number with `digits` places, or a dash."""
    text = MISSING if value is None else f"{value:.{digits}f}"
    return text.removeprefix("-") if text.strip("-0.") == "" else text  # no "-0.000"


def short(text: str, limit: int = 90) -> str:
    """`text` on one line, control characters shown, cut where it is long."""
    shown, left_out = cut(visible(text).replace("\n", "⏎").replace("\t", "⇥"), limit)
    return f"{shown} … {left_out} more" if left_out else shown
