"""What the page shows of a row, as HTML in which every text of the row is text and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from r1chat.defang import html

from r1hf.data.audit import WORDS
from r1hf.data.decisions import Decision
from r1hf.data.review_queue import Item
from r1hf.selection.edits import Checked

_MARKS = re.compile(r"\| ?special_token ?\||</?(?:think|answer)>")
_DONE = {"accept": "accepted", "edit": "edited", "reject": "rejected"}
NOTHING_LEFT = '<p class="rv-none" id="rv-none">No row is left here. Choose other filters, or close the page.</p>'


def text(value: str) -> str:
    """A text with its marks drawn softly; spaces and line breaks as they are."""
    parts, start = [], 0
    for found in _MARKS.finditer(value):
        parts += [html(value[start : found.start()]), f"<mark>{html(found[0])}</mark>"]
        start = found.end()
    return f'<div class="rv-text" dir="auto">{"".join(parts)}{html(value[start:])}</div>'


def heading(item: Item, place: str, mine: Decision | None, conflict: bool) -> str:
    """The line above a row: its place, where it is from, why it was rejected, what was decided."""
    chips = [_chip(name) for name in (*item.methods, item.language)]
    if item.reason is not None:
        chips.append(_chip(f"{item.reason}: {WORDS.get(item.reason, 'not kept')}", "bad"))
    if mine is not None:
        chips.append(_chip(f"you {_DONE[mine.kind]} it", "bad" if mine.kind == "reject" else "good"))
    if conflict:
        chips.append(_chip("reviewers disagree", "bad"))
    return f'<div class="rv-head" data-key="{item.key}"><b>{html(place)}</b> {" ".join(chips)}</div>'


def _chip(said: str, kind: str = "plain") -> str:
    return f'<span class="rv-chip rv-{kind}">{html(said)}</span>'


def row(item: Item, mine: Decision | None, others: Mapping[str, Decision]) -> str:
    """Question and reference, before and after side by side, and what was decided."""
    answer = item.row.get("answer")
    reference = f'<p class="rv-gold">Reference: <b>{html(str(answer)[:2000])}</b></p>' if answer is not None else ""
    before = (
        text(item.before) if item.before is not None else '<p class="rv-none">Sampled so; nothing was rewritten.</p>'
    )
    now = mine.text if mine is not None and mine.text is not None else item.text
    after = "After" if now == item.text else "After your edit"
    said = "".join(_said(name, one) for name, one in others.items()) if mine is not None else ""
    return (
        f'<section class="rv-question" dir="auto"><h2>Question</h2>{text(item.row["question"])}{reference}</section>'
        f'<div class="rv-pair"><section><h2>Before</h2>{before}</section>'
        f'<section class="rv-after"><h2>{after}</h2>{text(now)}</section></div>'
        f"{said}"
    )


def _said(name: str, one: Decision) -> str:
    edit = text(one.text) if one.text is not None else ""
    return f'<section class="rv-other"><h2>{html(name)} {_DONE[one.kind]} it</h2>{edit}</section>'


def progress(found: Mapping[str, Any], reviewer: str, broken: Mapping[str, str]) -> str:
    """How far the review is, and how far reviewers agree."""
    rows, decided = found["rows"], found["decided"]
    counts = " · ".join(f"{_DONE[kind]} {found[kind]}" for kind in _DONE)
    lines = [
        f'<p role="status"><b>{decided:,} of {rows:,}</b> decided by {html(reviewer)} '
        f'<span class="rv-dim">· {counts}</span></p>',
        f'<div class="rv-bar"><span style="width:{100 * decided / max(rows, 1):.1f}%"></span></div>',
    ]
    for one in found["agreement"]:
        other = next(name for name in one["reviewers"] if name != reviewer)
        value = "undefined: each gave one answer to all" if one["kappa"] is None else f"{one['kappa']:.2f}"
        lines.append(
            f'<p class="rv-kappa">With {html(other)}: {one["alike"]} of {one["rows"]} alike, '
            f"Cohen's κ {value}; {found['conflicts']} rows in conflict</p>"
        )
    lines += [f'<p class="rv-note rv-bad">{html(said)}</p>' for said in broken.values()]
    return "".join(lines)


def note(said: str, kind: str = "good") -> str:
    return f'<p class="rv-note rv-{kind}" role="status">{html(said)}</p>' if said else ""


def checked(found: Checked) -> str:
    return note(found.said, "bad" if found.fault is not None else "good" if found.verified else "plain")
