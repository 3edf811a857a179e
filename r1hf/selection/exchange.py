"""Review in an editor: the rows as JSON lines, and decisions read from such a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from r1hf.core.errors import DataError
from r1hf.core.files import write_atomic
from r1hf.data.decisions import KINDS, Decision
from r1hf.data.lines import numbered_jsonl
from r1hf.data.review_queue import Item
from r1hf.data.rows import Row
from r1hf.selection.review import Review

_SHOWN = ("question", "answer")


@dataclass
class Imported:
    """bad: what is wrong with a line, with its place; every other line counts all the same."""

    new: int = 0
    same: int = 0
    undecided: int = 0
    bad: list[str] = field(default_factory=list)


def export(review: Review, path: Path) -> int:
    """Writes every row with this reviewer's decision, an empty one where there is none; returns how many."""
    lines = [json.dumps(row, ensure_ascii=False, default=str) for row in _exported(review)]
    write_atomic(path, "".join(f"{line}\n" for line in lines))
    return len(lines)


def _exported(review: Review) -> Iterator[Row]:
    for item in review.items.values():
        mine = review.mine.get(item.key)
        text = mine.text if mine is not None and mine.text is not None else item.text
        shown = {name: item.row.get(name) for name in _SHOWN}
        about = {"method": ", ".join(item.methods), "language": item.language, "reason": item.reason}
        decided = {"before": item.before, "completion": text, "decision": mine.kind if mine else ""}
        yield {"key": item.key, **about, **shown, **decided}


def take_in(review: Review, path: Path) -> Imported:
    """Keeps the decisions of a file that `export` wrote and a person filled in.

    A row without a decision stays as it is; one that was decided otherwise before is decided anew. Raises DataError
    where the file cannot be read, and StageError where a decision cannot be kept.
    """
    found = Imported()
    wanted: list[tuple[str, Item, Decision]] = []
    seen: dict[str, int] = {}
    for number, row in numbered_jsonl(path, found.bad):
        where = f"{path}:{number}"
        try:
            item, decision = _read(review, row)
            if item.key in seen:
                raise DataError(f"the row of line {seen[item.key]} again; keep one of them")
        except DataError as error:
            found.bad.append(f"{where}: {error}")
            continue
        seen[item.key] = number
        if decision is None:
            found.undecided += 1
        else:
            wanted.append((where, item, decision))
    _keep(review, wanted, found)
    return found


def _read(review: Review, row: Row) -> tuple[Item, Decision | None]:
    key, kind, text = row.get("key"), row.get("decision") or "", row.get("completion")
    item = review.items.get(key) if isinstance(key, str) else None
    if item is None:
        raise DataError(f"key {key!r:.40} names no row of {review.stage}; export the rows again, and decide on those")
    if kind not in ("", *KINDS):
        raise DataError(f"decision is {kind!r:.40}; write {', '.join(KINDS)}, or nothing")
    if not isinstance(text, str | None) or (text is None and kind == "edit"):
        raise DataError(f"completion is {text!r:.40}, not the text of the row")
    mine = review.mine.get(item.key)
    known = {None, item.text, mine.text if mine is not None and not kind else None}
    if kind in ("", "accept") and (text and text.strip()) not in known:
        raise DataError(f"completion was changed, and decision is {kind!r}; write edit to use what stands there")
    if not kind:
        return item, None
    text = text.strip() if kind == "edit" and text is not None else None
    return item, Decision(item.key, "accept" if text == item.text else kind, None if text == item.text else text)


def _keep(review: Review, wanted: list[tuple[str, Item, Decision]], found: Imported) -> None:
    """Checks all that has to be checked at once, and keeps what passes."""
    asked = [one for one in wanted if one[2].kind == "edit" or (one[2].kind == "accept" and not one[1].kept)]
    asked = [one for one in asked if review.mine.get(one[1].key) != one[2]]
    checked = review.checker([item for _, item, _ in asked], [d.text or item.text for _, item, d in asked])
    faults = {item.key: one.said for (_, item, _), one in zip(asked, checked, strict=True) if one.fault is not None}
    for where, item, decision in wanted:
        if item.key in faults:
            found.bad.append(f"{where}: {decision.kind}: {faults[item.key]}")
        elif review.journal.decide(decision):
            found.new += 1
        else:
            found.same += 1
