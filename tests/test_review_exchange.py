"""Decisions exchanged with an editor: a round trip through a file, whose bad lines are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from review_world import ROW, cold_start, good
from tables import each

from r1hf.commands.main import main
from r1hf.data.decisions import decided_by_all, key_of
from r1hf.selection.exchange import export, take_in
from r1hf.selection.review import Review

KEYS = [key_of(ROW["question"], good(number)) for number in range(1, 5)]
WRONG, BEYOND = key_of(ROW["question"], good(5, "20")), key_of(ROW["question"], good(6))


def rewrite(path: Path, change: Callable[[int, dict[str, object]], object]) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{json.dumps(change(n, row) or row)}\n" for n, row in enumerate(lines)))


def test_a_round_trip_through_an_editor(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stage = cold_start(tmp_path / "run/cold_start")
    file = tmp_path / "rows.jsonl"
    assert main(["review", str(stage.parent), "--export", str(file), "--reviewer", "ann"]) == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["key"] for line in lines] == [*KEYS, WRONG, BEYOND] and {line["decision"] for line in lines} == {""}
    assert lines[0]["before"] and lines[4]["reason"] == "wrong_answer" and lines[1]["completion"] == good(2)
    command = ["review", str(stage), "--import", str(file), "--reviewer", "ann"]
    assert main(command) == 0 and "0 decisions new or changed" in capfd.readouterr().out
    made = {
        0: {"decision": "accept"},
        1: {"decision": "reject"},
        4: {"decision": "edit", "completion": good(9)},
    }
    rewrite(file, lambda number, row: row | made.get(number, {}))
    for new, same in ((3, 0), (0, 3)):
        assert main(command) == 0
        said = capfd.readouterr().out
        assert f"{new} decisions new or changed, {same} as before; 3 rows undecided, 0 lines not taken" in said
    kinds = {key: one.kind for key, one in decided_by_all(stage)["ann"].items()}
    assert kinds == {KEYS[0]: "accept", KEYS[1]: "reject", WRONG: "edit"}
    assert main(["review", str(stage), "--export", str(file), "--reviewer", "ann"]) == 0
    again = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["decision"] for row in again] == ["accept", "reject", "", "", "edit", ""]
    assert again[4]["completion"] == good(9)
    assert main(command) == 0 and "0 decisions new or changed, 3 as before" in capfd.readouterr().out


@each(
    "number, change, why",
    [
        (0, {"decision": "yes"}, "decision is 'yes'; write accept, edit, reject, or nothing"),
        (0, {"key": "0" * 16, "decision": "accept"}, "names no row of"),
        (0, {"key": None}, "key None names no row"),
        (0, {"completion": good(9)}, "completion was changed, and decision is ''; write edit"),
        (0, {"completion": good(9), "decision": "accept"}, "completion was changed, and decision is 'accept'"),
        (0, {"completion": good(9, "15"), "decision": "edit"}, "edit: wrong_answer"),
        (0, {"completion": None, "decision": "edit"}, "completion is None, not the text of the row"),
        (0, {"completion": 5}, "completion is 5, not the text"),
        (4, {"decision": "accept"}, "accept: wrong_answer"),
        (0, {"key": KEYS[1], "decision": "accept", "completion": good(2)}, None),  # line 2 is then the same row again
        (0, "not json", "rows.jsonl:1: not JSON"),
        (0, "[]", "expected a JSON object"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_line_is_named_and_the_others_are_taken(number: int, change: object, why: str, tmp_path: Path) -> None:
    stage = cold_start(tmp_path / repr(change)[:20].replace("/", "") / str(number) / "cold_start")
    review, file = Review(stage, "ann"), tmp_path / "rows.jsonl"
    assert export(review, file) == 6
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[2]["decision"] = "reject"
    if isinstance(change, dict):
        lines[number] |= change
    texts = [json.dumps(line) for line in lines]
    if isinstance(change, str):
        texts[number] = change
    file.write_text("\n".join(texts))
    found = take_in(review, file)
    review.close()
    (bad,) = found.bad
    assert f"{file}:{number + 1 if why else 2}: " in bad and (why or "the row of line 1 again") in bad
    assert decided_by_all(stage)["ann"][KEYS[2]].kind == "reject"
