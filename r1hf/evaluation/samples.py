"""Every sample of an evaluation as a table (parquet), written part by part so that a killed run goes on from it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from r1hf.core.errors import DataError
from r1hf.core.files import open_plain, parse_json, reason_of
from r1hf.data.rows import Row
from r1hf.evaluation.judged import Judged, Reading, judge_all
from r1hf.models.sampling import Completion
from r1hf.models.shards import Shards, completions, write_parquet
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
        "finish": pa.string(),  # stop, length or failed
        "seed": pa.int64(),
        "engine": pa.string(),
        "template": pa.string(),
    }
)


class Origin(NamedTuple):
    """What all samples of a part share. template: the hash of the model's chat template."""

    model: str
    part: str
    template: str


def table_of(
    origin: Origin, shards: Shards, drawn: pa.Table, rows: Sequence[Row], verdicts: Sequence[Judged]
) -> pa.Table:
    """The samples of a shard with their verdicts. rows, verdicts: of each sample."""
    found = []
    for sample, row, item in zip(drawn.to_pylist(), rows, verdicts, strict=True):
        text = item.completion.text
        own = {"question": sample["place"], "sample": sample["sample"], "seed": sample["seed"]}
        own |= {"row": json.dumps(row, ensure_ascii=False, default=str)}
        own |= {"prompt": shards.request.prompts[sample["place"]], "completion": text, "visible": parse(text).visible}
        own |= {"finish": sample["finish"], "tokens": sample["tokens"], "engine": sample["engine"]}
        found.append({**origin._asdict(), **own, **verdict_of(item)})
    return pa.Table.from_pylist(found, schema=SCHEMA)


def verdict_of(item: Judged) -> dict[str, Any]:
    """The columns that a verifier decides."""
    names = ("answer", "correct", "why", "well_formed", "language_share")
    return {name: getattr(item, name) for name in names}


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The samples in a file. Raises DataError where it is none of them."""
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


def judged(shards: Shards, origin: Origin, rows: Sequence[Row], reading: Reading) -> Iterator[pa.Table]:
    """The samples of each shard with their verdicts, which are kept beside it: a killed run does not judge again."""
    for number in range(shards.count):
        path = shards.folder / f"judged-{number:05d}.parquet"
        if path.exists():
            try:
                yield read_table(path)
                continue
            except DataError as error:
                print(f"note: {error}; its samples are judged again", flush=True)
        drawn, places = shards.read(number), shards.places(number)
        flat = [rows[place] for place in drawn["place"].to_pylist()]
        verdicts = judge_all(flat, completions(drawn), reading)
        table = table_of(origin, shards, drawn, flat, verdicts)
        assert table.num_rows == len(places) * shards.request.n
        write_parquet(path, table)
        yield table


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
