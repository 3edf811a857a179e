"""Data sources: mappings, mixtures, filters, and what is said about the ones that cannot be used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, DatasetDict

from r1hf.core.config import Parsed, StageConfig, parse
from r1hf.core.errors import ConfigError, DataError
from r1hf.core.source import Source
from r1hf.data.lengths import drop_long, token_counts
from r1hf.data.rows import check_rows, fingerprint, load_rows, stage_rows, write_rows
from r1hf.stage.manifest import input_records, read_manifest
from r1hf.stage.stage import Stage
from r1hf.text.chat_templates import chat_template
from r1hf.world.models import train_tokenizer

COLUMNS = ("question", "answer", "language", "task")
RECIPE = Path(__file__)


@dataclass(kw_only=True)
class Config(StageConfig):
    prompts: Source = field(metadata={"input": True})


def maths(path: Path, count: int = 20) -> Path:
    rows = [
        {"problem": f"{n} + 1?", "solution": n + 1, "level": n % 5, "source": "math" if n % 2 else "web"}
        for n in range(count)
    ]
    write_rows(path, rows)
    return path


def spec(path: Path, **more: Any) -> dict[str, Any]:
    columns = {"question": "problem", "answer": "solution"}
    return {"path": str(path), "columns": columns, "values": {"language": "en", "task": "reasoning"}, **more}


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv", "dict", "disk"])
def test_columns_values_and_filters_select_rows(tmp_path: Path, ending: str) -> None:
    source = maths(tmp_path / "m.jsonl")
    table = Dataset.from_list([json.loads(line) for line in source.read_text().splitlines()])
    path = tmp_path / f"other.{ending}"
    if ending == "jsonl":
        path = source
    elif ending == "dict":
        DatasetDict({"train": table}).save_to_disk(path)
    elif ending == "disk":
        table.save_to_disk(path)
    else:
        getattr(table, f"to_{ending}")(path)
    counts: dict[str, Any] = {}
    chosen = spec(path, where={"level": [3, 4], "source": "math"}, min={"solution": 5}, max={"solution": 15})
    rows = load_rows(chosen, COLUMNS, counts=counts)
    assert [row["question"] for row in rows] == ["9 + 1?", "13 + 1?"]
    assert [row["answer"] for row in rows] == ["10", "14"], "numbers become the text that rewards compare"
    assert {row["language"] for row in rows} == {"en"}
    dropped = {"where level": 12, "where source": 4, "min solution": 1, "max solution": 1}
    assert counts == {str(path): {"rows": 20, "dropped": dropped, "used": 2}}


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "disk"])
def test_columns_within_columns_are_taken_by_their_path(tmp_path: Path, ending: str) -> None:
    """Most public sets for SFT and preferences hold conversations: lists of messages."""
    turns = [[{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": f"a{n}"}] for n in range(6)]
    turns[3] = turns[3][:1]
    rows = [{"messages": chat, "meta": {"level": n}, "n": n} for n, chat in enumerate(turns)]
    path = tmp_path / f"other.{ending}"
    if ending == "jsonl":
        write_rows(path, rows)
    elif ending == "parquet":
        Dataset.from_list(rows).to_parquet(path)
    else:
        Dataset.from_list(rows).select([5, 4, 3, 2, 0]).save_to_disk(path)
    source = {"path": str(path), "columns": {"question": "messages.0.content", "completion": "messages.1.content"}}
    kept = load_rows({**source, "where": {"messages.1.role": "assistant"}, "min": {"meta.level": 2}}, ("question",))
    assert sorted((row["question"], row["completion"]) for row in kept) == [("q2", "a2"), ("q4", "a4"), ("q5", "a5")]
    assert set(kept[0]) == {"question", "completion", "meta", "n"}  # the conversation itself is not read again
    with pytest.raises(DataError, match="row .: completion is None"):
        load_rows(source, ("question", "completion"))
    with pytest.raises(DataError, match="nothing named 'x' is in list"):
        load_rows({**source, "columns": {"question": "messages.x"}})


def test_a_saved_selection_is_filtered_by_its_own_rows(tmp_path: Path) -> None:
    Dataset.from_dict({"n": list(range(10))}).select([7, 3, 5]).save_to_disk(tmp_path / "s")
    assert load_rows({"path": str(tmp_path / "s"), "min": {"n": 5}}) == [{"n": 7}, {"n": 5}]


def test_limit_and_mixture_follow_the_seed(tmp_path: Path) -> None:
    a, b = maths(tmp_path / "a.jsonl", 100), maths(tmp_path / "b.jsonl", 40)
    first = load_rows(spec(a, limit=10), COLUMNS, seed=1)
    assert first == load_rows(spec(a, limit=10), COLUMNS, seed=1)
    assert first != load_rows(spec(a, limit=10), COLUMNS, seed=2)
    counts: dict[str, Any] = {}
    mixture = [spec(a, weight=3), spec(b, weight=1, values={"language": "zh", "task": "reasoning"})]
    rows = load_rows(mixture, COLUMNS, counts=counts)
    assert {name: count["used"] for name, count in counts.items()} == {str(a): 100, str(b): 33}
    assert len({(row["question"], row["language"]) for row in rows}) == 133, "no row twice"
    languages = [row["language"] for row in rows]
    assert languages != sorted(languages), "mixed"
    assert rows == load_rows(mixture, COLUMNS)
    unweighted = load_rows([spec(a), spec(b)], COLUMNS)
    assert len(unweighted) == 140


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"wher": {"level": 1}}, "unknown key 'wher'; did you mean 'where'?"),
        ({"where": {"levle": 1}}, "no column 'levle'; did you mean 'level'?"),
        ({"where": {"level": "high"}}, "where: 'high' cannot be compared with 'level' (int64)"),
        ({"columns": {"question": "problm"}}, "columns: no column 'problm'; did you mean 'problem'?"),
        ({"columns": {"question": "problem"}}, "no column answer; it has"),
        ({"where": {"level": 9}, "min": {"level": 1}}, "none of 20 rows is left after the filters: where level drop"),
        ({"limit": 0}, "limit: 0: Input should be greater than 0"),
        ({"limit": "many"}, "limit: 'many': Input should be a valid integer"),
        ({"split": "test"}, "Unknown split \"test\". Should be one of ['train']"),
        ({"values": {"language": "en", "task": 3}}, "row 1: task is 3, not text"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    problems: list[str] = []
    assert check_rows(problems, "prompts", spec(maths(tmp_path / "m.jsonl")) | change, COLUMNS) == []
    assert len(problems) == 1 and problems[0].startswith("prompts: ") and said in problems[0]


def test_a_missing_split_of_a_saved_set_is_named(tmp_path: Path) -> None:
    DatasetDict({"train": Dataset.from_dict({"n": [1]})}).save_to_disk(tmp_path / "d")
    with pytest.raises(DataError, match="has no split 'tran'; did you mean 'train'"):
        load_rows({"path": str(tmp_path / "d"), "split": "tran"})


def test_all_or_none_has_a_weight(tmp_path: Path) -> None:
    path = maths(tmp_path / "m.jsonl")
    with pytest.raises(DataError, match="has none, and others do"):
        load_rows([spec(path, weight=1), spec(path)], COLUMNS)


@pytest.mark.parametrize("plain", [True, False])
def test_text_that_is_not_utf8_is_named(tmp_path: Path, plain: bool) -> None:
    path = tmp_path / "d.jsonl"
    path.write_bytes(b'{"question": "x"}\n{"question": "caf\xe9"}\n')
    with pytest.raises(DataError, match="not UTF-8"):
        load_rows(str(path) if plain else {"path": str(path)})


def test_general_prompts_need_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "g.jsonl"
    write_rows(path, [{"question": "Hi", "answer": None, "language": "en", "task": "helpful"}])
    assert load_rows(str(path), COLUMNS)[0]["answer"] is None


def test_a_hub_set_without_network_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from r1hf.data.rows import load_rows; load_rows({'path': 'nobody/nothing-here', 'split': 'train'})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**_environment(), "HF_HUB_OFFLINE": "1"}
    )
    assert "DataError: nobody/nothing-here cannot be read: the Hub cannot be reached" in done.stderr


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(RECIPE.parent.parent)}


def parsed(tmp_path: Path, source: Any) -> Parsed:
    return parse((Config,), ["--output_dir", str(tmp_path / "out"), "--prompts", json.dumps(source)])


def made(tmp_path: Path, source: Any) -> Any:
    with Stage(parsed(tmp_path, source), recipe=RECIPE) as stage:
        rows = stage_rows(stage, "prompts", COLUMNS)
        write_rows(stage.work / "data.jsonl", rows)
        stage.finish({"rows": len(rows)})
    return read_manifest(tmp_path / "out")


def test_the_manifest_records_each_source_and_the_selection(tmp_path: Path, capsys: Any) -> None:
    a, b = maths(tmp_path / "a.jsonl"), maths(tmp_path / "b.jsonl", 5)
    mixture = [spec(a, limit=4), spec(b, where={"source": "math"})]
    manifest = made(tmp_path, mixture)
    assert [record["path"] for record in manifest.inputs["prompts"]] == [str(a), str(b)]
    assert manifest.metrics["data"]["prompts"][str(b)] == {"rows": 5, "dropped": {"where source": 3}, "used": 2}
    assert manifest.request["prompts"][0]["limit"] == 4 and "path" not in manifest.request["prompts"][0]
    assert manifest.config["prompts"] == mixture
    assert f"prompts: 2 of 5 rows of {b}, 3 dropped by where source" in capsys.readouterr().out
    maths(b, 6)
    assert input_records(parsed(tmp_path, mixture).inputs) != manifest.inputs, "a change of a file redoes the stage"
    assert parsed(tmp_path, [spec(a, limit=5), spec(b)]).request != manifest.request, "so does another selection"


def test_a_plain_path_is_asked_for_as_before(tmp_path: Path) -> None:
    asked = parsed(tmp_path, str(maths(tmp_path / "a.jsonl")))
    assert "prompts" not in asked.request and asked.input_paths == [("prompts", str(tmp_path / "a.jsonl"))]


def test_a_mapping_without_a_path_is_the_checks_to_name(tmp_path: Path) -> None:
    asked = parsed(tmp_path, {"split": "train"})
    check_rows(asked.problems, "prompts", asked.configs[0].prompts, COLUMNS)
    with pytest.raises(ConfigError, match="prompts: path is missing"):
        asked.check()


def test_fingerprints_are_stable_and_see_order_and_values() -> None:
    rows = [{"a": 1, "b": "数"}, {"a": 2, "b": None}]
    assert fingerprint(rows) == fingerprint([{"b": "数", "a": 1}, rows[1]])
    assert fingerprint(rows) != fingerprint(rows[::-1]) != fingerprint([rows[0], {"a": 2.5, "b": None}])
    assert fingerprint(rows) == "2c2a6a9083b52a006089bba81e8e1aecc199bf33f81e4c654ca60b50f973be5e"


def test_rows_that_are_too_long_are_dropped_and_counted(tmp_path: Path, capsys: Any) -> None:
    rows = [{"question": str(count)} for count in range(5)]
    with _stage(tmp_path) as stage:
        kept = drop_long(stage, "prompts", rows, [10, 50, 20, 40, 30], 30, "max_prompt_length")
        write_rows(stage.work / "data.jsonl", kept)
        with pytest.raises(DataError, match="all 5 rows .* shortest 10, median 30, 90% 50, longest 50 tokens"):
            drop_long(stage, "prompts", rows, [10, 50, 20, 40, 30], 9, "max_prompt_length")
        stage.finish({})
    assert [row["question"] for row in kept] == ["0", "2", "4"]
    assert read_manifest(tmp_path / "out").metrics["too_long"] == {"prompts": 2}
    assert "prompts: 2 of 5 rows dropped, longer than max_prompt_length 30 (longest 50)" in capsys.readouterr().out


def _stage(tmp_path: Path) -> Stage:
    return Stage(parsed(tmp_path, str(maths(tmp_path / "m.jsonl"))), recipe=RECIPE)


def test_lengths_are_those_of_the_template() -> None:
    tokenizer = train_tokenizer(["ab ba"] * 9, 300)
    tokenizer.chat_template = chat_template()
    turns = [{"role": "user", "content": "ab"}]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    assert token_counts([turns, "ab ba"], tokenizer, add_generation_prompt=True) == [
        len(ids),
        len(tokenizer("ab ba")["input_ids"]),
    ]
