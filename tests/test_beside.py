"""A result beside inspect-ai's log of the same checkpoint. The log is a real one, of a model served by `r1hf serve`,
with the scorer `match` of inspect-ai 0.3.285, which knows no answer tags."""

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

LOG = Path(__file__).parent / "fixtures" / "inspect_log.json"


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
    content = json.loads(LOG.read_text(encoding="utf-8"))
    change(content)
    path = directory / "log.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_sampling_and_judging_are_told_apart(result: Path) -> None:
    both = beside(load_result(result), read_log(LOG))
    assert (both.questions, both.samples, both.left_out) == (3, 6, 4), "the log has two questions more"
    assert both.other.mean == 0.0 and both.own.mean == 1.0, "the model knows these answers by heart"
    assert both.again.mean == 1.0 and len(both.otherwise) == 6, "so the whole difference is inspect's reading"
    assert {one.ours.answer for one in both.otherwise} == {"41", "17"} and both.found.difference == 1.0
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


def test_the_table_and_the_list(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(result), "--inspect", str(LOG)]) == 0
    shown = capsys.readouterr().out
    assert "inspect's samples, judged by its match" in shown and "6 of 6 samples" in shown
    assert "4 samples of the log ask what the result has no verdict on" in shown
    assert "question 0, What is 6 + 5 * 7?: inspect 0 (read nothing), r1hf right (read '41'" in shown
    assert main(["compare", str(result), f"{result}:x", "--inspect", str(LOG)]) == 1
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
