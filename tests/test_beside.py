"""A result beside inspect-ai's log of the same checkpoint. The log is a real one, of a model served by `r1hf serve`,
with the scorer `match` of inspect-ai 0.3.285, which knows no answer tags; today's questions and answers are put in the
place of those that its first three samples had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_run import answered, recipe, write
from tables import each

from r1hf.commands.main import main
from r1hf.core.errors import ConfigError, DataError
from r1hf.evaluation.compare import load_result
from r1hf.evaluation.foreign import beside, read_log

REAL = Path(__file__).parent / "fixtures" / "inspect_log.json"
ASKED = answered(3)  # by heart in `memorised`, as the log's questions were in the model of then


def _of_now() -> dict[str, Any]:
    content = json.loads(REAL.read_text(encoding="utf-8"))
    for sample in content["samples"]:
        if sample["id"] < len(ASKED):
            before, row = sample["target"], ASKED[sample["id"]]
            whole = json.dumps(sample).replace(f"<answer>{before}</answer>", f"<answer>{row['answer']}</answer>")
            sample.update(json.loads(whole) | {"input": row["question"], "target": row["answer"]})
    return content


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.json"
    path.write_text(json.dumps(_of_now()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def result(memorised: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("beside")
    rows = [{key: value for key, value in row.items() if key != "completion"} for row in answered(4)]
    given = {"models": [str(memorised)], "prompts": write(place / "rows.jsonl", rows), "output_dir": place / "made"}
    given |= {"k": 2, "max_new_tokens": 40, "num_threads": 1}
    recipe("evaluate").main(
        [f"--{key}={json.dumps(one, default=str)}".replace('"', "'") for key, one in given.items()]
    )
    return place / "made"


def changed(directory: Path, change: Any) -> Path:
    content = _of_now()
    change(content)
    path = directory / "log.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_sampling_and_judging_are_told_apart(result: Path, log: Path) -> None:
    both = beside(load_result(result), read_log(log))
    assert (both.questions, both.samples, both.left_out) == (3, 6, 4), "the log has two questions more"
    assert both.other.mean == 0.0 and both.own.mean == 1.0, "the model knows these answers by heart"
    assert both.again.mean == 1.0 and len(both.otherwise) == 6, "so the whole difference is inspect's reading"
    assert {one.ours.answer for one in both.otherwise} == {
        row["answer"] for row in ASKED
    } and both.found.difference == 1.0
    assert both.apart == []


def test_harnesses_that_agree_list_nothing(result: Path, tmp_path: Path) -> None:
    def right(content: Any) -> None:
        content["plan"]["config"]["temperature"] = 1.0
        for sample in content["samples"]:
            sample["scores"]["match"]["value"] = "C"
            sample["input"] = [{"role": "user", "content": f"{sample['input']}\nPlease reason step by step."}]

    both = beside(load_result(result), read_log(changed(tmp_path, right)))
    assert both.otherwise == [] and both.found.difference == 0.0 and not both.found.shown
    assert both.apart == ["temperature 0.6 and 1.0"]


def test_the_table_and_the_list(result: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(result), "--inspect", str(log)]) == 0
    shown = capsys.readouterr().out
    assert "inspect's samples, judged by its match" in shown and "6 of 6 samples" in shown
    assert "4 samples of the log ask what the result has no verdict on" in shown
    first = f"question 0, {ASKED[0]['question']}: inspect 0 (read nothing), r1hf right (read '{ASKED[0]['answer']}'"
    assert first in shown
    assert main(["compare", str(result), f"{result}:x", "--inspect", str(log)]) == 1
    assert "name one result" in capsys.readouterr().err


@each(
    "change, said",
    [
        (lambda log: log.update(status="started"), "no finished log"),
        (lambda log: log.update(samples=[]), "no finished log"),
        (lambda log: [one.pop("scores") for one in log["samples"]], "a sample has no 'scores'"),
        (lambda log: [one["scores"]["match"].update(value="fine") for one in log["samples"]], "could not convert"),
        (lambda log: [one.update(input="Another?") for one in log["samples"]], "asks none of the questions"),
    ],
    ids=lambda value: value,
)
def test_a_log_that_cannot_be_used_is_named(
    change: Any, said: str, result: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.raises(DataError, match=said):
        beside(load_result(result), read_log(changed(tmp_path_factory.mktemp("log"), change)))


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    path.write_bytes(b"PK\x03\x04\xff")
    with pytest.raises(ConfigError, match="inspect log convert --to json"):
        read_log(path)
