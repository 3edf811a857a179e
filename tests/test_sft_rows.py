"""Rows prepared for fine-tuning in one stream are those that would be read at once, in their order."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import Dataset
from small_run import answered

from r1hf.core.errors import DataError
from r1hf.core.source import specs
from r1hf.data.rows import load_rows, write_rows
from r1hf.data.stream import check_stream, stream_rows
from r1hf.data.targets import as_targets
from r1hf.text.chat_templates import chat_template
from r1hf.trainers import sft_rows
from r1hf.trainers.sft_rows import COLUMNS, mapped, prepare, sft_dataset
from r1hf.world.models import train_tokenizer

COLD = "| special_token | Reasoning: 2 + 3 = 5. | special_token | Summary: The answer is 5."


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = train_tokenizer([row["completion"] for row in answered(40)], 400)
    made.chat_template = chat_template()
    return made


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    rows = answered(2500)
    rows[3]["completion"] = COLD
    rows[5]["completion"] += " and so on" * 400
    write_rows(tmp_path / "a.jsonl", rows)
    Dataset.from_list(rows[:700]).to_parquet(str(tmp_path / "b.parquet"))
    a, b = str(tmp_path / "a.jsonl"), str(tmp_path / "b.parquet")
    return {
        "plain": a,
        "one": {"path": b, "limit": 300},
        "mixture": [{"path": a, "weight": 0.7}, {"path": b, "weight": 0.3}],
        "all": [a, {"path": b, "columns": {"question": "question"}}],
    }


def config(data: Any, **more: Any) -> Any:
    given = {"data": data, "seed": 7, "max_bad_rows": 0.01, "near_duplicates": None, "decontaminate": None}
    return SimpleNamespace(**given | more)


@pytest.mark.parametrize("kind", ["plain", "one", "mixture", "all"])
def test_the_rows_are_those_of_load_rows(kind: str, files: Any, tokenizer: Any, tmp_path: Path) -> None:
    wanted = as_targets(load_rows(files[kind], COLUMNS, 7))
    short = [row for row in wanted if "so on" not in row["completion"]]
    told = prepare(config(files[kind]), tmp_path / "rows", tokenizer, 400, tmp_path / "removed.jsonl")
    made = mapped(tmp_path / "rows")
    assert made.to_list() == sft_dataset(short).to_list() and made.cache_files
    assert ["too_long", "data", len(wanted) - len(short)] in [list(note) for note in told["notes"]]
    assert not (tmp_path / "removed.jsonl").exists()


def test_an_interrupted_run_finds_its_rows_and_the_map_of_them(
    files: Any, tokenizer: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    told = prepare(config(files["one"]), tmp_path / "rows", tokenizer, 400, tmp_path / "removed.jsonl")
    monkeypatch.setattr(sft_rows, "stream_rows", None)
    assert prepare(config(files["one"]), tmp_path / "rows", tokenizer, 400, tmp_path / "r") == json.loads(
        json.dumps(told)
    )
    for _ in range(2):  # as two processes, of which the second finds what the first has made
        mapped(tmp_path / "rows").map(lambda row: {"length": len(row["completion"][0]["content"])})
        assert len(list((tmp_path / "rows").glob("cache-*.arrow"))) == 1


def test_leaks_and_copies_are_left_out_and_named_by_their_place(files: Any, tokenizer: Any, tmp_path: Path) -> None:
    pytest.importorskip("rensa", reason="the extra data is not installed")
    rng = random.Random(1)
    rows = [
        {"question": f"Q{n}", "completion": " ".join(f"w{rng.randrange(999)}" for _ in range(60))} for n in range(20)
    ]
    rows[4]["completion"] += " and so on" * 400  # too long: left out before, and counted in the places
    rows[9]["completion"] = rows[2]["completion"].upper()
    rows[9]["question"] = rows[2]["question"]
    rows[12]["question"] = "What do twelve pencils cost when one of them costs seven pence today?"
    write_rows(tmp_path / "data.jsonl", rows)
    write_rows(tmp_path / "bench.jsonl", [{"question": rows[12]["question"]}])
    asked = config(str(tmp_path / "data.jsonl"), near_duplicates=0.8, decontaminate=str(tmp_path / "bench.jsonl"))
    told = prepare(asked, tmp_path / "rows", tokenizer, 1000, tmp_path / "removed.jsonl")
    kept = [row["prompt"][0]["content"] for row in mapped(tmp_path / "rows").to_list()]
    assert kept == [row["question"] for n, row in enumerate(rows) if n not in (4, 9, 12)]
    assert ("removed", "rows", {"of": 19, "near_duplicate": 1, "leak": 1}) in told["notes"]
    found = [json.loads(line) for line in (tmp_path / "removed.jsonl").open()]
    assert [(one["row"], one["reason"]) for one in found] == [(10, "near_duplicate"), (13, "leak")]
    assert found[0]["of"]["row"] == 3 and found[1]["of"].endswith("bench.jsonl, question 1")


def test_what_is_wrong_is_said_as_of_rows_read_at_once(tmp_path: Path, tokenizer: Any) -> None:
    rows = [*answered(200), {"question": "Q?"}, {"question": "", "completion": "A."}]
    write_rows(tmp_path / "a.jsonl", rows)
    problems: list[str] = []
    notes: list[str] = []
    assert len(list(stream_rows(str(tmp_path / "a.jsonl"), COLUMNS, notes=notes))) == 200
    assert notes and "2 of 202 rows" in notes[0] and "row 201: no column completion" in notes[0]
    for wrong, most in ((str(tmp_path / "a.jsonl"), 0.001), (str(tmp_path / "none.parquet"), 1), ({"split": "x"}, 1)):
        check_stream(problems, "data", wrong, COLUMNS, most)
    assert [text.split(":")[0] for text in problems] == ["data", "data"] and "max_bad_rows is 0.001" in problems[0]
    with pytest.raises(DataError, match="all 3 rows are longer than max_length 2"):
        write_rows(tmp_path / "b.jsonl", answered(3))
        prepare(config(str(tmp_path / "b.jsonl")), tmp_path / "rows", tokenizer, 2, tmp_path / "r")


def test_a_part_keeps_its_rows_as_data_grows(tmp_path: Path) -> None:
    rows = [{"id": n, "question": f"What is {n} + 1?", "completion": str(n)} for n in range(2000)]
    write_rows(tmp_path / "small.jsonl", rows[:1000])
    write_rows(tmp_path / "grown.jsonl", [{**row, "question": f" {row['question'].upper()}"} for row in rows[::-1]])

    def part(name: str, low: float, high: float) -> set[int]:
        return {row["id"] for row in load_rows({"path": str(tmp_path / name), "part": [low, high]})}

    train, test = part("small.jsonl", 0, 0.9), part("small.jsonl", 0.9, 1)
    assert train | test == set(range(1000)) and not train & test and 60 < len(test) < 140
    assert {n for n in part("grown.jsonl", 0.9, 1) if n < 1000} == test
    wide = part("grown.jsonl", 0.8, 1)
    assert test <= wide and len(wide) > len(test)
    assert part("grown.jsonl", 0, 1) == set(range(2000))
    for wrong in ([0.9, 0.1], [0.5, 0.5], [0, 2], [0.1], "half"):
        assert specs({"path": "x.jsonl", "part": wrong})[1], wrong
