"""The rows of a data stage that people look at: those that it keeps, and rewritings that its filters rejected."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from r1hf.core.errors import DataError
from r1hf.core.files import is_file
from r1hf.data.audit import NOT_CHOSEN
from r1hf.data.decisions import key_of
from r1hf.data.lines import numbered_jsonl
from r1hf.data.rows import Row
from r1hf.text.language import target_of

DATA, REVIEW = "data.jsonl", "review.jsonl"


@dataclass(frozen=True)
class Item:
    """One text. methods: all that gave it. before: what was rewritten, where it was. reason: why the stage did not
    keep it, None where it did."""

    key: str
    row: Row
    text: str
    before: str | None
    methods: tuple[str, ...]
    language: str
    reason: str | None

    @property
    def kept(self) -> bool:
        return self.reason is None


def load_items(stage: Path) -> list[Item]:
    """The rows of a stage's data.jsonl, then those of review.jsonl that it did not keep; each text once.

    Raises DataError for lines that cannot be read, and for rows without question or completion.
    """
    reviewed = list(_reviewed(stage / REVIEW))
    before = {key_of(row["question"], row["after"]): row["before"] for row in reviewed}
    items: dict[str, Item] = {}
    for number, row in numbered_jsonl(stage / DATA):
        question, text = (row.get(name) for name in ("question", "completion"))
        if not isinstance(question, str) or not isinstance(text, str):
            raise DataError(f"{stage / DATA}:{number}: a row to review has the texts question and completion")
        key = key_of(question, text)
        item = _item(key, row, text, before.get(key), None)
        if key in items:
            item = replace(items[key], methods=tuple(sorted({*items[key].methods, *item.methods})))
        items[key] = item
    return [*items.values(), *_left_out(reviewed, items)]


def left_out(review: Path, keys: Collection[str]) -> list[Item]:
    """The rows of a review.jsonl that are not among `keys`. Raises DataError."""
    return list(_left_out(_reviewed(review), keys))


def _left_out(reviewed: Iterable[Row], keys: Collection[str]) -> Iterator[Item]:
    seen = set(keys)
    for row in reviewed:
        key = key_of(row["question"], row["after"])
        kept = row.get("reason", "") is None  # also where `keys` are of some of the kept rows only
        if key not in seen and not kept:
            seen.add(key)
            rest = {name: value for name, value in row.items() if name not in ("before", "after", "reason")}
            rest |= {"completion": row["after"]}
            yield _item(key, rest, row["after"], row["before"], row.get("reason") or NOT_CHOSEN)


def _reviewed(path: Path) -> Iterator[Row]:
    if not is_file(path):
        return
    for number, row in numbered_jsonl(path):
        if not all(isinstance(row.get(name), str) for name in ("question", "before", "after")):
            raise DataError(f"{path}:{number}: a rewriting has the texts question, before and after")
        yield row


def _item(key: str, row: Row, text: str, before: str | None, reason: str | None) -> Item:
    method = row.get("method") or row.get("judged_by") or ("rewrite" if before is not None else "general")
    language = target_of(row.get("language"), row["question"]) or "other"
    return Item(key, row, text.strip(), before, (str(method),), language, reason)
