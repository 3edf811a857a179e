"""Every sample of an evaluation as a table (parquet), written part by part so that a killed run goes on from it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from r1hf.core.errors import DataError
from r1hf.core.files import open_plain, parse_json, reason_of
from r1hf.data.rows import Row
from r1hf.evaluation.judged import Judged, Reading, judge_all
from r1hf.models.sampling import Completion
from r1hf.text.grammar import parse

SAMPLES = "samples.parquet"
_OF_A_ROW = ("question", "answer", "language", "task")
SCHEMA = pa.schema(
    {
        "model": pa.string(),
        "part": pa.string(),  # the field that the question came from: prompts or general_prompts
        "question": pa.int64(),  # its number there, from 0
        "sample": pa.int64(),
        "row": pa.string(),  # all its columns, as JSON
        "prompt": pa.string(),
        "completion": pa.string(),
        "visible": pa.string(),  # the completion without the thought
        "answer": pa.string(),
        "correct": pa.bool_(),
        "why": pa.string(),
        "well_formed": pa.bool_(),
        "language_share": pa.float64(),
        "tokens": pa.int64(),
        "finish": pa.string(),  # stop or length
        "seed": pa.int64(),
        "engine": pa.string(),
        "template": pa.string(),
    }
)


class Origin(NamedTuple):
    """What all samples of a part share. template: the hash of the model's chat template."""

    model: str
    part: str
    engine: str
    template: str


def table_of(
    origin: Origin, numbers: Sequence[int], rows: Sequence[Row], prompts: Sequence[str], groups: Any, seed: int
) -> pa.Table:
    """The judged samples of some questions. groups: Judged, a list for each question."""
    found = []
    for number, row, prompt, group in zip(numbers, rows, prompts, groups, strict=True):
        common = {**origin._asdict(), "question": number, "prompt": prompt, "seed": seed}
        common["row"] = json.dumps(row, ensure_ascii=False, default=str)
        for sample, item in enumerate(group):
            text = item.completion.text
            finish = "length" if item.completion.truncated else "stop"
            own = {"sample": sample, "completion": text, "visible": parse(text).visible, "finish": finish}
            found.append({**common, **own, "tokens": item.completion.tokens, **verdict_of(item)})
    return pa.Table.from_pylist(found, schema=SCHEMA)


def verdict_of(item: Judged) -> dict[str, Any]:
    """The columns that a verifier decides."""
    names = ("answer", "correct", "why", "well_formed", "language_share")
    return {name: getattr(item, name) for name in names}


def write_table(path: Path, table: pa.Table) -> None:
    """Writes the table so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    pq.write_table(table, temporary, compression="zstd")
    temporary.replace(path)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The samples in a file. Raises DataError where it is none that `write_table` makes of them."""
    try:
        with open_plain(path) as stream:
            table = pq.read_table(pa.PythonFile(stream, mode="r"), columns=list(columns) if columns else None)
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read as a table of samples: {reason_of(error)}") from error
    wanted = pa.schema([SCHEMA.field(name) for name in columns]) if columns else SCHEMA
    if not table.schema.equals(wanted):
        raise DataError(f"{path} is no table of samples; its columns are {', '.join(table.schema.names)[:200]}")
    if "row" in table.schema.names and not all(map(_is_row, table["row"].unique().to_pylist())):
        raise DataError(f"{path}: a sample's row is no question with {', '.join(_OF_A_ROW)}")
    return table


def _is_row(text: str | None) -> bool:
    try:
        row = parse_json(text or "")
    except ValueError:
        return False
    return isinstance(row, dict) and {*_OF_A_ROW} <= row.keys()


class Part(NamedTuple):
    """Some questions whose samples are drawn and kept together. seed: of their samples alone, so that they are the
    same whether or not the run was interrupted before them."""

    path: Path
    questions: list[int]
    seed: int


def parts(folder: Path, prompts: Sequence[str], k: int, most: int, seed: int) -> Iterator[Part]:
    """The questions in parts of about `most` samples; prompts of like length together, for little padding."""
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    step = max(1, most // k)
    for index, start in enumerate(range(0, len(order), step)):
        own = seed if index == 0 else random.Random(f"{seed} {index}").getrandbits(31)
        yield Part(folder / f"checkpoint-{index:05d}.parquet", sorted(order[start : start + step]), own)


def keep(
    part: Part,
    origin: Origin,
    rows: Sequence[Row],
    prompts: Sequence[str],
    draw: Callable[[list[str], int], list[list[Completion]]],
    reading: Reading,
) -> pa.Table:
    """The samples of a part: those that a run before this one kept, or new ones, judged and kept."""
    if part.path.exists():
        try:
            return read_table(part.path)
        except DataError as error:
            print(f"note: {error}; its {len(part.questions)} questions are sampled again", flush=True)
    own, asked = [rows[number] for number in part.questions], [prompts[number] for number in part.questions]
    drawn = draw(asked, part.seed)
    flat = [(row, item) for row, group in zip(own, drawn, strict=True) for item in group]
    judged = iter(judge_all([row for row, _ in flat], [item for _, item in flat], reading))
    groups = [[next(judged) for _ in group] for group in drawn]
    table = table_of(origin, part.questions, own, asked, groups, part.seed)
    write_table(part.path, table)
    return table


def groups_of(table: pa.Table) -> tuple[list[Row], list[list[Judged]]]:
    """The questions in their order, and the judged samples of each. Of one model and one part."""
    rows: dict[int, Row] = {}
    groups: dict[int, list[Judged]] = {}
    for line in table.sort_by([("question", "ascending"), ("sample", "ascending")]).to_pylist():
        number = line["question"]
        if number not in rows:
            rows[number], groups[number] = json.loads(line["row"]), []
        completion = Completion(line["completion"], line["tokens"], line["finish"] == "length")
        verdict = (line[name] for name in ("correct", "well_formed", "language_share", "answer", "why"))
        groups[number].append(Judged(completion, *verdict))
    return list(rows.values()), list(groups.values())


def chosen(table: pa.Table, model: str, part: str) -> pa.Table:
    """The samples of one model and one part."""
    import pyarrow.compute as pc

    return table.filter(pc.and_(pc.equal(table["model"], model), pc.equal(table["part"], part)))
