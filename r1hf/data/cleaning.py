"""Leaks of evaluation sets and near-duplicates, found among rows before anything is trained on them.

A row leaks where it shares ten words running with an evaluation's question, as the paper's decontamination has it
(arXiv 2501.12948v2, section 4), or where a short question stands in it whole: `r1hf/data/overlap.py`, which the
contamination report of an evaluation uses too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from r1hf.core.errors import DataError
from r1hf.core.source import MAX_BAD, Source, Spec, specs
from r1hf.data.near_duplicates import NearDuplicates
from r1hf.data.overlap import Overlap, Questions, words
from r1hf.data.rows import Row, load_rows

NEAR, LEAK = "near_duplicate", "leak"
_ASKED = ("question", "problem", "prompt")  # what benchmarks call their questions
_SHOWN = 300  # characters


class Rows(Protocol):
    """A list of rows, or a table on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> Mapping[str, Any]: ...

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...


@dataclass(frozen=True)
class Removed:
    """number: of the row, from 0. of: the row's number, or the evaluation's question, that it repeats. shared: the
    words that it shares with a question. likeness: with a row, from 0 to 1."""

    number: int
    reason: str
    of: int | str
    shared: str = ""
    likeness: float | None = None

    def told(self, rows: Rows, read: Sequence[int] | None = None) -> Row:
        """As a row of a report. read: the numbers of `rows` as they were read, where some were left out before."""
        row = rows[self.number]
        told: Row = {"reason": self.reason, "row": _number(self.number, read), "id": row.get("id")}
        told["question"] = row["question"][:_SHOWN]
        if isinstance(self.of, str):
            return {**told, "of": self.of, "shared": self.shared}
        other = rows[self.of]
        of = {"row": _number(self.of, read), "id": other.get("id"), "question": other["question"][:_SHOWN]}
        return {**told, "of": of, "likeness": round(self.likeness or 0.0, 3)}


def _number(place: int, read: Sequence[int] | None) -> int:
    return int(place if read is None else read[place]) + 1


class Leaks:
    """The questions of evaluation sets, to be found in texts."""

    def __init__(self, source: Source, seed: int = 42, max_bad: float = MAX_BAD):
        """Raises DataError where a set cannot be read or holds no questions."""
        self._sets: list[tuple[str, Questions, list[int]]] = []
        for spec in specs(source)[0]:
            rows = load_rows(_one(spec), seed=seed, max_bad=max_bad)
            self._sets.append((spec.label, Questions(_questions(spec.label, rows)), []))

    def of(self, marked: Sequence[str]) -> tuple[str, str] | None:
        """(which question, the words shared) of the first that stands in a text, given as its `words`."""
        for label, questions, _ in self._sets:
            found = Overlap()
            questions.look(marked, label, 0, found)
            if found.places:
                number = min(found.whole or found.places)
                return f"{label}, question {number + 1}", found.places[number].shared
        return None


def _one(spec: Spec) -> Source:
    """The set alone: it has no share in a mixture."""
    return spec.path if spec == Spec(path=spec.path) else asdict(replace(spec, weight=None))


def _questions(label: str, rows: Sequence[Row]) -> list[str]:
    for name in _ASKED:
        found = [row[name] for row in rows if isinstance(row.get(name), str) and row[name].strip()]
        if found:
            return found
    raise DataError(
        f"{label}: no question is there: no column {', '.join(_ASKED)} with text; name it "
        f"(columns: {{question: NAME}}). It has {', '.join(rows[0])}"
    )


def removable(rows: Rows, leaks: Leaks | None, near: float | None) -> list[Removed]:
    """The rows to leave out, in order. rows: with `question` and `completion`; read again where two are compared.

    Raises ConfigError where near-duplicates are asked for and rensa is not installed.
    """
    if leaks is None and near is None:
        return []
    found: dict[int, Removed] = {}
    alike = None if near is None else NearDuplicates(near)
    for number, row in enumerate(rows):
        marked = words(text_of(row))
        if leaks is not None and (leak := leaks.of(marked)) is not None:
            found[number] = Removed(number, LEAK, *leak)
        elif alike is not None:
            alike.add(number, marked)
    if alike is not None:
        for number, one in alike.found(lambda place: words(text_of(rows[place]))).items():
            found[number] = Removed(number, NEAR, one.of, likeness=one.likeness)
    return [found[number] for number in sorted(found)]


def text_of(row: Mapping[str, Any]) -> str:
    """What is compared of a row."""
    return f"{row['question']}\n{row['completion']}"


def counts(removed: Sequence[Removed]) -> dict[str, int]:
    """How many for each reason."""
    return dict(Counter(one.reason for one in removed))
