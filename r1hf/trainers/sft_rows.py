"""Rows made ready for fine-tuning in one stream: read, turned into targets, measured, cleaned, and kept on disk."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from r1hf.core.errors import DataError
from r1hf.core.source import specs
from r1hf.data.lengths import long_told, token_counts
from r1hf.data.rows import Row, counts_told
from r1hf.data.stream import batches, stream_rows, write_table
from r1hf.data.targets import as_targets
from r1hf.evaluation.cleaning_keys import found_in
from r1hf.trainers.table import table

COLUMNS = ("question", "completion")
_ROWS, _ORDER, _TOLD = "rows.arrow", "order.npy", "told.json"


def turns(row: Row) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": row["question"]},
        {"role": "assistant", "content": row["completion"]},
    ]


def sft_dataset(rows: Iterable[Row]) -> Dataset:
    """Rows with `question` and `completion` as TRL's conversational prompt and completion."""
    return table([{"prompt": made[:1], "completion": made[1:]} for made in map(turns, rows)])


class _Texts:
    """A table of prompts and completions as rows with question and completion, read from disk one by one."""

    def __init__(self, rows: Dataset):
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Row:
        return _text(self._rows[place])

    def __iter__(self) -> Iterator[Row]:
        return map(_text, self._rows)


def _text(row: Row) -> Row:
    return {"question": row["prompt"][0]["content"], "completion": row["completion"][0]["content"]}


def prepare(
    config: Any, folder: Path, tokenizer: Any, most: int | None, report: Path, given: list[Row] | None = None
) -> dict[str, Any]:
    """Writes the rows of an SFTStageConfig into `folder`, and what they have to say, which is returned: `notes` for
    the manifest and `said` for the terminal. An interrupted run that asks for the same finds them there.

    most: tokens of a row, None for any number. report: file that names the rows that cleaning leaves out. given: the
    rows, in their order, where `data` was read already.
    Raises DataError where no row is left.
    """
    if (folder / _TOLD).is_file():
        return dict(json.loads((folder / _TOLD).read_text(encoding="utf-8")))
    counts: dict[str, Any] = {}
    said: list[str] = []
    lengths: list[int] = []
    if given is None:
        rows: Iterable[Row] = stream_rows(config.data, COLUMNS, config.seed, counts, said, config.max_bad_rows)
    else:
        rows = given
    write_table(folder / _ROWS, _short(rows, tokenizer, most, lengths))
    notes: list[tuple[str, str, Any]] = []
    said = [f"data: {text}" for text in said]
    if sentences := counts_told("data", config.data, counts):
        notes, said = [("data", "data", counts)], said + sentences
    if most is not None:
        dropped, sentence = long_told("data", lengths, most, "max_length")
        notes.append(("too_long", "data", dropped))
        said += [sentence] if sentence else []
    fits = np.array([most is None or length <= most for length in lengths])
    gone: list[int] = []
    if config.decontaminate is not None or config.near_duplicates is not None:
        texts = _Texts(Dataset.from_file(str(folder / _ROWS)))
        removed, found, sentence = found_in(config, texts, report, np.flatnonzero(fits).tolist())
        gone = [one.number for one in removed]
        notes.append(("removed", "rows", found))
        said.append(sentence)
    in_turn = given is None and len(specs(config.data)[0]) > 1  # sources one after the other
    np.save(folder / _ORDER, _order(fits, gone, config.seed if in_turn else None))
    told = {"notes": notes, "said": said}
    beside = folder / f"{_TOLD}.partial"
    beside.write_text(json.dumps(told), encoding="utf-8")
    beside.replace(folder / _TOLD)
    return told


def _short(rows: Iterable[Row], tokenizer: Any, most: int | None, lengths: list[int]) -> Iterator[Dataset]:
    """The rows as tables of prompts and targets, without those of more than `most` tokens; `lengths` gets all."""
    for batch in batches(rows):
        made = as_targets(batch)
        counted = [0] * len(made) if most is None else token_counts([turns(row) for row in made], tokenizer)
        lengths += counted
        if short := [row for row, count in zip(made, counted, strict=True) if most is None or count <= most]:
            yield sft_dataset(short)


def _order(fits: Any, gone: Sequence[int], shuffled: int | None) -> Any:
    """The written rows in the order of training: as they were read, or, of a mixture, shuffled with a seed.

    fits: of each row that was read, whether it was written; gone: the numbers of written rows that are left out.
    """
    read = list(range(len(fits)))
    if shuffled is not None:
        random.Random(shuffled).shuffle(read)  # all that were read: as the shuffle of `load_rows`
    order = np.array(read, dtype=np.int64)
    order = (np.cumsum(fits) - 1)[order[fits[order]]]
    order = order[~np.isin(order, gone)]
    if not len(order):
        raise DataError("data: every row is a leak of a benchmark; nothing is left to learn from")
    return order


def mapped(folder: Path) -> Dataset:
    """What `prepare` wrote, mapped into memory: TRL keeps what it makes of it beside it, for all processes."""
    rows, order = Dataset.from_file(str(folder / _ROWS)), np.load(folder / _ORDER)
    return rows if np.array_equal(order, np.arange(len(rows))) else rows.select(order)
