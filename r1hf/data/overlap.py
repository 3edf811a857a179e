"""Which questions of a benchmark stand in texts that models learned from: word for word, ten words running.

A word is a run of letters or digits, or a mark of arithmetic; case, other marks and spaces do not count. As in the
paper (arXiv 2501.12948v2, section 4: "10-gram"), one shared run of ten is an overlap. Of Chinese and Japanese, where
each sign counts, it takes sixteen, which say about as much. A shorter question overlaps where it stands whole, between
two ends of sentences. Time is linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from r1hf.text.language.words import HAN, KANA

N = 10
SIGNS = 16  # in place of N where most of a question is Han or Kana
SHORTEST = 4  # words of a question that is looked for within a text; a shorter one must be all of it
COMMON = 5  # a run that stands in so many questions is the benchmark's way to ask, and no leak
_END = "¶"
_WORD = re.compile(rf"[{HAN}{KANA}]|[^\W_{HAN}{KANA}]+|[-+*/=<>^×÷%√]|(?P<end>[.?!:;](?=\s|$)|\n)")
_WIDE = str.maketrans(dict.fromkeys("。？！：；", "\n"))  # an end wherever they stand, which NFKC would hide
_SIGN = re.compile(f"[{HAN}{KANA}]")
_LABELS = ("language", "task")  # columns that hold no text


def words(text: str) -> list[str]:
    """The words of a text, and `¶` for each end of a sentence and for its own two ends."""
    found = [_END]
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text.translate(_WIDE)).casefold()):
        word = _END if match["end"] else match[0]
        if word != _END or found[-1] != _END:
            found.append(word)
    return found if found[-1] == _END and len(found) > 1 else [*found, _END]


def bare_of(marked: Sequence[str]) -> list[str]:
    """The words without the ends of sentences."""
    return [word for word in marked if word != _END]


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (text for key, item in value.items() if key not in _LABELS for text in texts_of(item))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in texts_of(item))


class Found(NamedTuple):
    """The first place where a question was found. shared: the words that both have, as they are compared."""

    source: str
    row: int
    shared: str


@dataclass
class Overlap:
    """What was found of some questions, by their numbers. whole: those all of whose words stand in one text."""

    places: dict[int, Found] = field(default_factory=dict)
    whole: set[int] = field(default_factory=set)


class Questions:
    """Questions to be found in texts."""

    def __init__(self, questions: Sequence[str]):
        self.runs: dict[tuple[str, ...], list[int]] = {}  # of the longer questions
        self.sentences: dict[tuple[str, ...], list[int]] = {}  # a short question between its ends
        self.texts: dict[tuple[str, ...], list[int]] = {}
        self.needed: list[int] = []  # how many different runs each question has
        for number, question in enumerate(questions):
            marked = words(question)
            bare = bare_of(marked)
            runs = set(_windows(bare, _size(bare)))
            self.needed.append(len(runs))
            for run in runs:
                self.runs.setdefault(run, []).append(number)
            if not runs and len(bare) >= SHORTEST:
                self.sentences.setdefault(tuple(marked), []).append(number)
            elif not runs and bare:
                self.texts.setdefault(tuple(marked), []).append(number)
        self.lengths = sorted({len(sentence) for sentence in self.sentences})
        self.sizes = sorted({len(run) for run in self.runs})

    def look(self, marked: Sequence[str], source: str, row: int, overlap: Overlap) -> None:
        """Adds to `overlap` the questions that stand in a text, given as its `words`."""
        for number in self.texts.get(tuple(marked), ()):
            self._note(overlap, number, Found(source, row, _shown(marked)), whole=True)
        for start in (place for place, word in enumerate(marked) if word == _END) if self.lengths else ():
            for length in self.lengths:
                window = tuple(marked[start : start + length])
                for number in self.sentences.get(window, ()):
                    self._note(overlap, number, Found(source, row, _shown(window)), whole=True)
        bare = bare_of(marked)
        runs = {run for size in self.sizes for run in _windows(bare, size) if run in self.runs}
        if not runs:
            return
        hits = Counter(number for run in runs for number in self.runs[run])
        rare = {number: run for run in sorted(runs) if len(self.runs[run]) < COMMON for number in self.runs[run]}
        for number, count in hits.items():
            if (whole := count == self.needed[number]) or number in rare:
                shown = _shown(rare.get(number) or next(run for run in sorted(runs) if number in self.runs[run]))
                self._note(overlap, number, Found(source, row, shown), whole)

    @staticmethod
    def _note(overlap: Overlap, number: int, found: Found, whole: bool) -> None:
        if whole and number not in overlap.whole:  # a whole question is the better example
            overlap.places[number] = found
            overlap.whole.add(number)
        overlap.places.setdefault(number, found)


def _size(bare: Sequence[str]) -> int:
    return SIGNS if 2 * sum(map(bool, map(_SIGN.match, bare))) > len(bare) else N


def _windows(items: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(items[start : start + size]) for start in range(len(items) - size + 1))


def _shown(run: Sequence[str]) -> str:
    return " ".join(bare_of(run))
