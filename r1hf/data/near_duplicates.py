"""Rows that say nearly the same as an earlier one: MinHash (rensa) names the pairs, their words decide.

Two texts are compared by Jaccard's share of the runs of three words that both have; words are those of
`r1hf/data/overlap.py`, so that case, marks and spaces do not count. Of a row only its band keys are kept, 160 bytes
at a threshold of 0.8; texts are read again where two rows share a key.
"""

from __future__ import annotations

import functools
import importlib.util
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from r1hf.core.errors import ConfigError
from r1hf.data.overlap import bare_of

SHINGLE = 3  # words
LEAST = 0.5  # below, two texts have more unlike than like
_HASHES, _SEED = 120, 20250120
_RECALL = 0.99  # of pairs just at the threshold
_BATCH = 2048
_CROWD = 64  # kept rows of one key, and candidates of one row, that are looked at


class Near(NamedTuple):
    """The earlier row that a row is like, by its number, and how much (1: all runs of words)."""

    of: int
    likeness: float


def check_near_duplicates(problems: list[str], threshold: float | None) -> None:
    """Adds what is wrong with the key `near_duplicates`."""
    if threshold is None:
        return
    if not LEAST <= threshold <= 1:
        problems.append(f"near_duplicates: {threshold:g} is no share from {LEAST:g} to 1; 0.8 is usual")
    if importlib.util.find_spec("rensa") is None:
        problems.append("near_duplicates: rensa, which finds them, is not installed: make install EXTRAS=dev,data")


class NearDuplicates:
    """Add the words of each row, in order; then ask which are like an earlier one that is kept."""

    def __init__(self, threshold: float):
        """Raises ConfigError where rensa is not installed."""
        problems: list[str] = []
        check_near_duplicates(problems, threshold)
        if problems:
            raise ConfigError(problems)
        self.threshold, self.size = threshold, _band_size(threshold)
        self._numbers: list[int] = []
        self._waiting: list[list[str]] = []
        self._keys: list[Any] = []

    def add(self, number: int, words: Sequence[str]) -> None:
        """A row's words, as `overlap.words` gives them. One without any is like no other."""
        found = shingles(bare_of(words))
        if not found:
            return
        self._numbers.append(number)
        self._waiting.append([" ".join(run) for run in found])
        if len(self._waiting) == _BATCH:
            self._hash()

    def _hash(self) -> None:
        from rensa import RMinHash

        if self._waiting:
            digests = np.array(RMinHash.digests_from_token_sets(self._waiting, _HASHES, _SEED), dtype=np.uint64)
            self._keys.append(_band_keys(digests, self.size))
            self._waiting = []

    def found(self, words_of: Callable[[int], Sequence[str]]) -> dict[int, Near]:
        """{number: what it is like}. words_of: the words of a row again. What is removed is compared with no more."""
        self._hash()
        if not self._keys:
            return {}
        keys = np.concatenate(self._keys)
        self._keys = [keys]

        @functools.lru_cache(maxsize=1024)
        def runs_of(number: int) -> frozenset[tuple[str, ...]]:
            return shingles(bare_of(words_of(number)))

        kept: dict[tuple[int, int], list[int]] = {}
        near: dict[int, Near] = {}
        for place, own in _in_company(keys):
            number = self._numbers[place]
            met = Counter(other for key in own for other in kept.get(key, ()))
            if like := self._likest(runs_of, number, [other for other, _ in met.most_common(_CROWD)]):
                near[number] = like
                continue
            for key in own:
                if len(group := kept.setdefault(key, [])) < _CROWD:
                    group.append(number)
        return near

    def _likest(self, runs_of: Callable[[int], frozenset[Any]], number: int, others: Sequence[int]) -> Near | None:
        likeness = [Near(other, jaccard(runs_of(number), runs_of(other))) for other in others]
        best = max(likeness, key=lambda one: (one.likeness, -one.of), default=None)
        return best if best is not None and best.likeness >= self.threshold else None


def shingles(bare: Sequence[str]) -> frozenset[tuple[str, ...]]:
    """The runs of three words; all words of a shorter text."""
    if len(bare) < SHINGLE:
        return frozenset([tuple(bare)] if bare else [])
    return frozenset(zip(*(bare[start:] for start in range(SHINGLE)), strict=False))


def jaccard(one: frozenset[Any], other: frozenset[Any]) -> float:
    """Jaccard's share of what both have."""
    return len(one & other) / len(one | other) if one or other else 1.0


def _band_size(threshold: float) -> int:
    """The most hashes to a band with which a pair at the threshold still shares one band, as often as _RECALL."""
    sizes = [size for size in range(1, 21) if _HASHES % size == 0]
    return max(size for size in sizes if 1 - (1 - threshold**size) ** (_HASHES // size) >= _RECALL)


def _band_keys(digests: Any, size: int) -> Any:
    """(rows, bands) of 64 bits: equal where all hashes of a band are."""
    factors = np.random.default_rng(_SEED).integers(1 << 62, 1 << 63, size, dtype=np.uint64) | np.uint64(1)
    return (digests.reshape(len(digests), -1, size) * factors).sum(axis=2, dtype=np.uint64)


def _in_company(keys: Any) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """(place, its (band, key)s that another row has too) of the rows that have any, in order."""
    shared = np.zeros(keys.shape, dtype=bool)
    for band in range(keys.shape[1]):
        _, inverse, counts = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        shared[:, band] = counts[inverse] > 1
    for place in np.flatnonzero(shared.any(axis=1)).tolist():
        yield place, [(band, int(keys[place, band])) for band in np.flatnonzero(shared[place]).tolist()]
