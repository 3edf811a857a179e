"""Rows that cannot be used, and golds that nobody can judge by: few are left out and named, many stop a stage."""

from __future__ import annotations

import csv
import gzip
import importlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from test_data_sources import COLUMNS, RECIPE, Config

from r1hf.core.config import parse
from r1hf.core.errors import DataError
from r1hf.data.bad import BAD
from r1hf.data.golds import unjudged
from r1hf.data.rows import NO_GOLD, UNJUDGED, Row, load_rows, stage_rows, write_rows
from r1hf.stage.manifest import read_manifest
from r1hf.stage.stage import Stage

PLACE, MANY = 734, 900
GOOD: Row = {"question": "1 + 1?", "answer": "2", "language": "en", "task": "reasoning"}


def good(count: int) -> list[Row]:
    return [{**GOOD, "question": f"{number} + 1?"} for number in range(count)]


def lines(path: Path, *bad: str | bytes, total: int = MANY) -> Path:
    """Good rows as JSON lines, with the bad ones from line `PLACE` on."""
    texts = [json.dumps(row).encode() for row in good(total - len(bad))]
    texts[PLACE - 1 : PLACE - 1] = [text.encode() if isinstance(text, str) else text for text in bad]
    data = b"\n".join(texts) + b"\n"
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


LINES = {
    '{"question": "x", "answer": ': "not JSON",
    "[1]": "expected a JSON object, found list",
    '{"question": "x", "question": "y", "answer": "1", "language": "en", "task": "reasoning"}': "stands there twice",
    b'{"question": "caf\xe9", "answer": "1", "language": "en", "task": "reasoning"}': "not UTF-8 text (byte 17",
    '{"question": null, "answer": "1", "language": "en", "task": "reasoning"}': "question is None, not text",
    '{"question": " ", "answer": "1", "language": "en", "task": "reasoning"}': "question is empty",
    '{"question": "x", "answer": [1, 2], "language": "en", "task": "reasoning"}': "answer",
    '{"question": "x", "answer": "1", "language": "en", "task": 3}': "task is",
    '{"question": "x", "answer": "1", "language": "en", "task": "reasoning", "n": ' + "[" * 100_000: "ecursion",
    '{"question": "half \\ud800", "answer": "1", "language": "en", "task": "reasoning"}': "half a character",
}
_ARROW = ("stands there twice", "half a character")  # what its reader takes another way


@pytest.mark.parametrize("name", ["d.jsonl", "d.jsonl.gz"])
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("line", "said"), LINES.items(), ids=[*LINES.values()])
def test_row_11_one_bad_line_is_left_out_counted_and_named(
    line: str | bytes, said: str, plain: bool, name: str, tmp_path: Path
) -> None:
    if not plain and said in _ARROW:
        pytest.skip("Arrow's reader takes such a row")
    path = lines(tmp_path / name, line)
    source = str(path) if plain else {"path": str(path)}
    counts: dict[str, Any] = {}
    notes: list[str] = []
    rows = load_rows(source, COLUMNS, counts=counts, notes=notes)
    assert len(rows) == MANY - 1 and [row["answer"] for row in rows] == ["2"] * (MANY - 1)
    assert counts[str(path)] == {"rows": MANY, "dropped": {BAD: 1}, "used": MANY - 1}
    (note,) = [text for text in notes if BAD in text]
    assert said in note and (f"{path}:{PLACE}:" in note or f"{path}, row {PLACE}:" in note), note
    with pytest.raises(DataError, match="max_bad_rows is 0:"):
        load_rows(source, COLUMNS, max_bad=0)


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("bad", "allowed", "stops"), [(9, 0.01, False), (10, 0.01, True), (10, 0.02, False)])
def test_row_11_more_than_the_share_stop(bad: int, allowed: float, stops: bool, plain: bool, tmp_path: Path) -> None:
    path = lines(tmp_path / "d.jsonl", *["{"] * (bad - 1), '{"answer": "1"}')
    source = str(path) if plain else {"path": str(path)}
    if not stops:
        assert len(load_rows(source, COLUMNS, max_bad=allowed)) == MANY - bad
        return
    with pytest.raises(DataError) as caught:
        load_rows(source, COLUMNS, max_bad=allowed)
    said = str(caught.value)
    assert f"{bad} of {MANY} rows" in said and f"{path}:{PLACE}: not JSON" in said and "and 5 more" in said


def test_row_11_rows_of_a_table(tmp_path: Path) -> None:
    rows: list[Row] = good(400)
    rows[200]["question"] = rows[300]["task"] = None
    table, pairs = tmp_path / "d.parquet", tmp_path / "d.json"
    parquet.write_table(pa.Table.from_pylist(rows), table)
    pairs.write_text(json.dumps([*rows, 7]))
    for path, bad in ((table, 2), (pairs, 3)):
        notes: list[str] = []
        assert len(load_rows(str(path), COLUMNS, notes=notes)) == 398
        assert f"{bad} of {398 + bad} rows of {path}" in notes[0] and "row 201: question" in notes[0]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b'"1 + 1?",2,en,reasoning,5,6', "6 fields, and the first line names 4"),
        (b'"caf\xe9",2,en,reasoning', "not UTF-8 text"),
        (b'"1 + 1?",2', "task is None"),
        (b",2,en,reasoning", "question is None"),
    ],
)
def test_row_11_rows_of_a_csv(bad: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, GOOD)
        writer.writeheader()
        writer.writerows(good(300))
    text = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*text[:200], bad + b"\r\n", *text[200:]]))
    notes: list[str] = []
    rows = load_rows(str(path), COLUMNS, notes=notes)
    assert len(rows) == 300 and {row["answer"] for row in rows} == {"2"}
    assert said in notes[0] and (f"{path}:201" in notes[0] or f"{path}, row 200" in notes[0]), notes
    path.write_bytes(path.read_bytes() + b'"never closed\n' + b"".join(text[1:]))
    with pytest.raises(DataError):  # where a row ends nobody knows
        load_rows(str(path), COLUMNS)


def test_row_11_each_source_of_a_mixture_counts_for_itself(tmp_path: Path) -> None:
    large = lines(tmp_path / "a.jsonl", *["{"] * 3)
    write_rows(tmp_path / "b.jsonl", good(20))
    mixture = [str(large), {"path": str(tmp_path / "b.jsonl")}]
    counts: dict[str, Any] = {}
    assert len(load_rows(mixture, COLUMNS, counts=counts)) == MANY - 3 + 20
    assert counts[str(large)]["dropped"] == {BAD: 3} and not counts[str(tmp_path / "b.jsonl")]["dropped"]
    write_rows(tmp_path / "b.jsonl", [*good(19), {"answer": 1}])
    with pytest.raises(DataError, match="1 of 20 rows"):
        load_rows(mixture, COLUMNS)


RECIPES = {
    "r1_zero": ("prompts",),
    "reasoning_rl": ("prompts",),
    "all_scenario_rl": ("prompts", "general_prompts"),
    "cold_start": ("prompts",),
    "rejection_sampling": ("prompts", "general"),
    "evaluate": ("prompts", "longer_prompts", "general_prompts"),
    "sft": ("data",),
    "distill": ("data",),
    "on_policy_distill": ("prompts",),
    "reward_models": ("helpful", "helpful_test", "harmless", "harmless_test"),
}


@pytest.mark.parametrize(("recipe", "key"), [(recipe, key) for recipe, keys in RECIPES.items() for key in keys])
def test_row_11_every_recipe_goes_on_with_few_and_stops_with_many(recipe: str, key: str, tmp_path: Path) -> None:
    task = "helpful" if key == "general_prompts" else "reasoning"
    row = {**GOOD, "task": task, "completion": "x", "chosen": "x", "rejected": "y", "response": "x", "safe": 1}
    write_rows(tmp_path / "d.jsonl", [{**row, "reference": ""}] * 98 + [{"answer": "of what?"}] * 2)
    module = importlib.import_module(f"recipes.{recipe}")

    def said(*more: str) -> list[str]:
        asked = parse(module.CONFIGS, ["--output_dir", str(tmp_path / "out"), *_models(module, tmp_path), *more])
        module.preflight(asked)
        return [text for text in asked.problems if BAD in text]

    others = [word for field in RECIPES[recipe] for word in (f"--{field}", str(tmp_path / "d.jsonl"))]
    assert any(text.startswith(f"{key}: 2 of 100 rows") for text in said(*others))
    assert not said(*others, "--max_bad_rows", "0.02")


def _models(module: Any, place: Path) -> list[str]:
    """A directory for each model that the recipe must be told of."""
    found = []
    for key in ("model", "zero", "teacher", "helpful_model", "harmless_model", "models"):
        if any(hasattr(one, "__dataclass_fields__") and key in one.__dataclass_fields__ for one in module.CONFIGS):
            found += [f"--{key}", f"[{place}]" if key == "models" else str(place)]
    return found


# Golds


GOLDS = ("{", r"\frac{1}{0}", "[1,2", "1/0", "7" * 5000)


def test_what_can_and_cannot_be_judged_by() -> None:
    golds = ["14", "2+12", "x=3", "see figure 3", "1+2i", "1" + "0" * 400, "10**400", "blue", "(A)", "x^2+1=0", *GOLDS]
    assert unjudged(golds) == [False] * 10 + [True] * len(GOLDS)


@pytest.mark.parametrize("plain", [True, False])
def test_row_12_golds_that_nobody_can_judge_by_are_left_out_and_named(
    plain: bool, tmp_path: Path, capsys: Any
) -> None:
    rows = good(8)
    rows[2]["answer"], rows[5]["answer"], rows[6]["answer"] = "{", "N/A", r"\frac{1}{0}"
    path = tmp_path / "d.jsonl"
    write_rows(
        path, [*rows, {**GOOD, "task": "other", "answer": "{"}, {**GOOD, "answer": "[1,2", "choices": ["[1,2"]}]
    )
    source: Any = str(path) if plain else {"path": str(path)}
    asked = parse((Config,), ["--output_dir", str(tmp_path / "out"), "--prompts", json.dumps(source)])
    with Stage(asked, recipe=RECIPE) as stage:
        kept = stage_rows(stage, "prompts", COLUMNS)
        write_rows(stage.work / "data.jsonl", kept)
        stage.finish({"rows": len(kept)})
    assert [row["answer"] for row in kept] == ["2"] * 5 + ["{", "[1,2"]
    dropped = read_manifest(tmp_path / "out").metrics["data"]["prompts"][str(path)]["dropped"]
    assert dropped == {NO_GOLD: 1, UNJUDGED: 2}
    assert f"2 of 9 rows of {path} have {UNJUDGED}, left out: {path}, row 3 ('{{'), {path}, row 7" in " ".join(
        capsys.readouterr().out.replace("; ", ", ").split()
    )


def test_row_12_where_no_gold_can_be_judged_by_the_stage_stops(tmp_path: Path) -> None:
    write_rows(tmp_path / "d.jsonl", [{**GOOD, "answer": "{"}] * 3)
    with pytest.raises(DataError, match=r"no row has an answer.*row 1 \('{'\)"):
        load_rows(str(tmp_path / "d.jsonl"), COLUMNS, unjudged=unjudged)
