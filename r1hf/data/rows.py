"""Rows in and out. A source is a file, a directory, a Hub id, a mapping that selects rows, or a list of these.

`r1hf/core/source.py` has the mapping. A plain path of JSON lines keeps each row's own keys; the rest goes through
`datasets`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.core.columns import one_type
from r1hf.core.errors import DataError
from r1hf.core.files import is_file
from r1hf.core.source import MAX_BAD, Source, Spec, paths_of, specs
from r1hf.data import sources
from r1hf.data.bad import named, settle
from r1hf.data.golds import GOLD_TASKS, gold_text, lacks_gold, unjudged
from r1hf.data.lines import is_jsonl, numbered_jsonl
from r1hf.text.language.codes import names_none

if TYPE_CHECKING:
    from r1hf.stage.stage import Stage

Row = dict[str, Any]
Unjudged = Callable[[list[str]], list[bool]]
NO_GOLD = "no gold answer"
UNJUDGED = "an answer that nobody can judge by"
_TEXTS = ("question", "completion", "chosen", "rejected", "response", "task")
_NEVER_EMPTY = ("question", "completion", "chosen")


def load_rows(
    source: Source,
    columns: Iterable[str] = (),
    seed: int = 42,
    counts: dict[str, Any] | None = None,
    notes: list[str] | None = None,
    max_bad: float = MAX_BAD,
    unjudged: Unjudged | None = None,
) -> list[Row]:
    """All rows of `source`; those of a mixture in an order drawn with `seed`. `counts` gets what each source gave.

    With `columns` the rows are made ready for training: all have the same keys, each of one type; the `answer` is text
    (`r1hf.data.golds.gold_text`), and rows that need one and have none are left out, with `unjudged` also those whose
    answer nobody can judge by. Lines that cannot be read, and rows that lack one of `columns` or have an empty text or
    a value of another type there, are left out up to the share `max_bad` of a source. `notes` gets a sentence about
    each such change, with places. Raises DataError where the source cannot be read or is empty, where more rows are
    bad, and where none is left.
    """
    reading = _Reading(tuple(columns), {} if counts is None else counts, [] if notes is None else notes)
    reading.max_bad, reading.unjudged = max_bad, unjudged
    if is_jsonl(source):
        rows = _plain(str(source), reading)
    else:
        found, problems = specs(source)
        if problems:
            raise DataError("; ".join(problems))
        rows = _selected(found, seed, reading)
    return _uniform(rows, reading.notes) if reading.columns else rows


@dataclass
class _Reading:
    """What is asked of the rows of a field, and what is told of them: see `load_rows`."""

    columns: tuple[str, ...]
    counts: dict[str, Any]
    notes: list[str]
    max_bad: float = MAX_BAD
    unjudged: Unjudged | None = None

    def checked(self, where: Sequence[str], rows: Sequence[Row], label: str, bad: list[str]) -> list[Row]:
        """The rows that have what is asked for; `bad` gets the others, and `counts` all of them."""
        kept, dropped, total = [], self.counts[label]["dropped"], len(rows) + len(bad)
        for place, row in zip(where, rows, strict=True):
            try:
                check_row(place, row, self.columns)
                kept.append((place, row))
            except DataError as error:
                bad.append(str(error))
        dropped |= settle(label, bad, total, self.max_bad, self.notes)
        kept, lost = self._judged(kept)
        if lost:
            dropped[UNJUDGED] = len(lost)
            self.notes.append(f"{len(lost)} of {len(rows)} rows of {label} have {UNJUDGED}, left out: {named(lost)}")
        if not kept:
            raise DataError(f"{label}: no row has an answer that a completion could be judged by: {named(lost)}")
        self.counts[label]["used"] = len(kept)
        return [row for _, row in kept]

    def _judged(self, rows: list[tuple[str, Row]]) -> tuple[list[tuple[str, Row]], list[str]]:
        """The rows by whose answer a completion can be judged, and the places of the others."""
        if self.unjudged is None or "answer" not in self.columns:
            return rows, []
        asked = [number for number, (_, row) in enumerate(rows) if asks_for_gold(row)]
        verdicts = self.unjudged([rows[number][1]["answer"] for number in asked])
        lost = {number for number, verdict in zip(asked, verdicts, strict=True) if verdict}
        kept = [one for number, one in enumerate(rows) if number not in lost]
        return kept, [f"{rows[number][0]} ({rows[number][1]['answer']!r:.40})" for number in sorted(lost)]


def stage_rows(stage: Stage, key: str, columns: Iterable[str] = ()) -> list[Row]:
    """`load_rows` of a field of the stage's configuration; what was selected is shown and goes to the manifest."""
    source = getattr(stage.config, key)
    counts: dict[str, Any] = {}
    notes: list[str] = []
    allowed = stage.config.max_bad_rows
    rows = load_rows(source, columns, stage.config.seed, counts, notes, allowed, stage.agreed(unjudged))
    for text in notes:
        stage.say(f"{key}: {text}")
    if told := counts_told(key, source, counts):
        stage.note("data", key, counts)
    for text in told:
        stage.say(text)
    return rows


def counts_told(key: str, source: Source, counts: Mapping[str, Any]) -> list[str]:
    """Sentences about what each source gave; none of a plain file that gave all."""
    if isinstance(source, str) and not any(count["dropped"] for count in counts.values()):
        return []
    lost = {
        name: "".join(f", {number} dropped by {test}" for test, number in count["dropped"].items())
        for name, count in counts.items()
    }
    return [f"{key}: {count['used']} of {count['rows']} rows of {name}{lost[name]}" for name, count in counts.items()]


def _plain(source: str, reading: _Reading) -> list[Row]:
    bad: list[str] = []
    numbered = list(numbered_jsonl(Path(source), bad))
    if not numbered and not bad:
        raise DataError(f"{source} holds no rows")
    lost: list[tuple[int, Any]] = []
    if "answer" in reading.columns and any("answer" in row for _, row in numbered):  # else the check names it
        lost = [(number, row.get("answer")) for number, row in numbered if _is_lost(row)]
        gone = {number for number, _ in lost}
        numbered = [(number, row) for number, row in numbered if number not in gone]
    total = len(numbered) + len(lost) + len(bad)
    dropped = _note_lost(source, "line", lost, total, bool(numbered), reading.notes)
    reading.counts[source] = {"rows": total, "dropped": dropped, "used": len(numbered)}
    where = [f"{source}, row {number}" for number, _ in numbered]
    return reading.checked(where, [row for _, row in numbered], source, bad)


def _is_lost(row: Row) -> bool:
    return not row.get("tests") and lacks_gold(row.get("answer"), row.get("task"), row.get("choices"))


def asks_for_gold(row: Row) -> bool:
    """Whether completions are compared with the row's own answer: no tests judge it, and no choices are given."""
    return row.get("task") in GOLD_TASKS and not row.get("tests") and not row.get("choices")


def without_gold(row: Row) -> bool:
    """Whether training would leave the row out: it is asked for its answer, and has none."""
    return "answer" in row and _is_lost(row)


def _note_lost(
    label: str, unit: str, lost: Sequence[tuple[int, Any]], total: int, others: bool, notes: list[str]
) -> dict[str, int]:
    """A sentence about rows that nothing could judge, and their count. Raises DataError where no other is left."""
    if not lost:
        return {}
    shown = named([f"{unit} {number} ({answer!r:.40})" for number, answer in lost], ", ")
    if not others:
        raise DataError(
            f"{label}: none of {len(lost)} rows has an answer to compare with: {shown}; "
            "give the answers, or name the column that holds them (columns: {answer: NAME})"
        )
    notes.append(f"{len(lost)} of {total} rows of {label} have {NO_GOLD}, left out: {shown}")
    return {NO_GOLD: len(lost)}


def _selected(found: list[Spec], seed: int, reading: _Reading) -> list[Row]:
    selected = [sources.select(spec, seed, "answer" in reading.columns) for spec in found]
    for spec, one in zip(found, selected, strict=True):
        lost = [(one.place(number), answer) for number, answer in one.lost]
        total = one.counts["rows"]
        one.counts["dropped"] |= _note_lost(spec.label, "row", lost, total, bool(one.kept), reading.notes)
    if len(found) == 1:
        return _take(found[0], selected[0], seed, None, reading)
    sizes = sources.shares(found, [len(one.kept) for one in selected])
    rows: list[Row] = []
    for spec, one, size in zip(found, selected, sizes, strict=True):
        rows += _take(spec, one, seed, size, reading)
    names = _names(rows)
    random.Random(seed).shuffle(rows)
    return [{name: row.get(name) for name in names} for row in rows]


def _take(spec: Spec, one: sources.Selection, seed: int, most: int | None, reading: _Reading) -> list[Row]:
    kept = drawn(one.kept, most, seed)
    rows = sources.take(spec, kept, one.table.rows)
    label = spec.label if spec.label not in reading.counts else f"{spec.label} ({len(reading.counts) + 1})"
    reading.counts[label] = {**one.counts, "used": len(rows)}
    where = [f"{spec.label}, row {one.place(number)}" for number in kept]
    return reading.checked(where, rows, label, list(one.table.bad))


def drawn(kept: list[int], most: int | None, seed: int) -> list[int]:
    """At most `most` of the rows of one source of a mixture, in their order."""
    return kept if most is None or most >= len(kept) else sorted(random.Random(seed + 1).sample(kept, most))


def check_row(where: str, row: Row, columns: Sequence[str]) -> None:
    """The row has `columns`, with values that training and the rewards can use; its answer becomes text."""
    missing = [name for name in columns if name not in row]
    if missing:
        raise DataError(f"{where}: no column {', '.join(missing)}; it has {', '.join(row)}")
    for name in columns:
        value = row[name]
        if name in _TEXTS and not isinstance(value, str):
            raise DataError(f"{where}: {name} is {value!r:.60}, not text")
        if name in _NEVER_EMPTY and not value.strip():
            raise DataError(f"{where}: {name} is empty")
        if name == "language":  # one type for the whole column; an unknown code is named before the run
            row["language"] = None if names_none(value) else str(value)
    if "answer" in columns:
        try:
            answer = gold_text(row["answer"])
        except ValueError as error:
            raise DataError(f"{where}: answer is {row['answer']!r:.60}, {error}") from None
        # A choice's own option may read like a hole ("Unknown"); of other tasks no answer is asked.
        row["answer"] = row["answer"] if answer is None and isinstance(row["answer"], str) else answer


def usable(rows: Sequence[Row]) -> list[Row]:
    """The rows that have the texts that most of them have; all where none has."""
    names = [name for name in _TEXTS if 2 * sum(name in row for row in rows) > len(rows)]
    kept = []
    for row in rows:
        with contextlib.suppress(DataError):
            check_row("", dict(row), names)
            kept.append(row)
    return kept or list(rows)


def _uniform(rows: list[Row], notes: list[str]) -> list[Row]:
    """The rows with the same keys each, and one type in each column, as tables ask for."""
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in _names(rows)}
    for name, values in columns.items():
        try:
            typed = one_type(values)
        except UnicodeEncodeError as error:
            raise DataError(f"column '{name}' holds half a character ({error.object[:40]!r}): mend the text") from None
        if typed is not values:
            notes.append(
                f"column '{name}' holds values of several types, so all are read as text, as JSON writes them"
            )
            columns[name] = typed
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _names(rows: Iterable[Row]) -> dict[str, None]:
    return dict.fromkeys(name for row in rows for name in row)


def fingerprint(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of the rows in their order: the same for equal rows in every process and on every machine."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
    return digest.hexdigest()


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes one JSON object a line; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(_line(row) + "\n")
            count += 1
    return count


def _line(row: Mapping[str, Any]) -> str:
    """JSON in any case: a table's dates and bytes become text, and half a character is escaped."""
    line = json.dumps(row, ensure_ascii=False, default=str)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(row, default=str)
    return line


def check_rows(
    problems: list[str], key: str, source: Source | None, columns: Iterable[str] = (), *, max_bad: float = MAX_BAD
) -> list[Row]:
    """`load_rows` for a preflight: what is wrong goes to `problems`, and the result is then empty.

    A source that is no file here is left to the stage itself: a preflight stays cheap and offline.
    """
    if source is None:
        return []
    wrong = specs(source)[1]
    if wrong:
        problems += [f"{key}: {text}" for text in wrong]
        return []
    if not all(is_file(Path(path)) for path in paths_of(source)):
        return []
    try:
        return load_rows(source, columns, max_bad=max_bad)
    except DataError as error:
        problems.append(f"{key}: {error}")
        return []


def check_tasks(problems: list[str], key: str, rows: Iterable[Row], known: set[str]) -> None:
    """Adds a problem where a row's `task` is none of `known`."""
    strange = sorted({str(row["task"]) for row in rows} - known)
    if strange:
        problems.append(f"{key}: task {', '.join(strange)} is not known here; use {' or '.join(sorted(known))}")
