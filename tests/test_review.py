"""Decisions of people: kept at once, undone, checked as the stage checks, and agreed on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from review_world import ROW, cold_start, good
from tables import each

from r1hf.core.errors import ConfigError, DataError, IntegrityError, StageError
from r1hf.data.agreement import agreements
from r1hf.data.decisions import Decision, Journal, check_reviewer, decided_by_all, folder_of, key_of, read
from r1hf.data.review_queue import load_items
from r1hf.selection.review import Filters, Review, find_stage_to_review

KEYS = [key_of(ROW["question"], good(number)) for number in range(1, 5)]
WRONG, BEYOND = key_of(ROW["question"], good(5, "20")), key_of(ROW["question"], good(6))


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    return cold_start(tmp_path / "run/cold_start")


@pytest.fixture
def by(stage: Path) -> Iterator[Callable[[str], Review]]:
    """Opens the stage's review for a reviewer; all are closed at the end."""
    opened: list[Review] = []

    def one(name: str) -> Review:
        opened.append(Review(stage, name))
        return opened[-1]

    yield one
    for review in opened:
        review.close()


def test_every_text_is_shown_once_with_all_that_is_known_of_it(by: Callable[[str], Review]) -> None:
    review = by("ann")
    assert list(review.items) == [*KEYS, WRONG, BEYOND]
    first, wrong = review.items[KEYS[0]], review.items[WRONG]
    assert first.methods == ("direct", "rewrite") and "ummm" in str(first.before) and first.kept
    assert (wrong.reason, wrong.row["answer"], wrong.before) == ("wrong_answer", "14", first.before)
    assert review.items[KEYS[1]].before is None
    assert dict(review.choices()["reason"]) == {"kept": 4, "wrong_answer": 1, "not_chosen": 1}
    assert dict(review.choices()["method"]) == {"rewrite": 4, "direct": 2, "few_shot": 1}


@each(
    "filters, found",
    [
        (Filters(), [*KEYS[1:], WRONG, BEYOND]),
        (Filters("decided"), KEYS[:1]),
        (Filters("all"), [*KEYS, WRONG, BEYOND]),
        (Filters("all", "direct"), [KEYS[0], KEYS[2]]),
        (Filters("all", "", "en", "kept"), KEYS),
        (Filters("all", "", "zh"), []),
        (Filters("to decide", "rewrite", "en", "wrong_answer"), [WRONG]),
        (Filters("conflicts"), []),
    ],
)
def test_filters(filters: Filters, found: list[str], by: Callable[[str], Review]) -> None:
    (review := by("ann")).decide(KEYS[0], "reject")
    assert review.shown(filters) == found
    review.close()


def test_the_next_row_is_found_from_any_row() -> None:
    review = Review.__new__(Review)
    review._places = {key: place for place, key in enumerate("abcde")}
    near = review.near
    assert [near("bd", at, 1) for at in ("a", "b", "c", "d", None, "x")] == ["b", "d", "d", "b", "b", "b"]
    assert [near("bd", at, -1) for at in ("e", "d", "c", "a")] == ["d", "b", "b", "d"]
    assert [near("bd", "b", 0), near("bd", "c", 0), near("", "b", 0), near("", None, 1)] == ["b", "d", None, None]


@each(
    "key, kind, text, why",
    [
        (KEYS[0], "accept", None, None),
        (KEYS[0], "reject", None, None),
        (KEYS[0], "edit", good(9), None),
        (KEYS[0], "edit", f"  {good(9)}\n\n", None),
        (KEYS[0], "edit", good(9, "15"), "wrong_answer: .* it says '15', and the reference is '14'"),
        (KEYS[0], "edit", "", "empty"),
        (KEYS[0], "edit", "   ", "empty"),
        (KEYS[0], "edit", "The answer is 14.", "no_separator"),
        (KEYS[0], "edit", good(9).replace("Summary:", ""), "no_summary_label"),
        (KEYS[0], "edit", good(9).replace("Step 1", "Ummm... step 1"), "messy"),
        (KEYS[1], "edit", good(9).replace("first", "先做乘法 then 加法 comes first"), "mixed_language|wrong_language"),
        (KEYS[2], "edit", good(9).replace("Verification: 14 - 2 = 12.", ""), "no_verification"),  # direct asks for it
        (KEYS[1], "edit", good(9).replace("Verification: 14 - 2 = 12.", ""), None),
        (WRONG, "accept", None, "wrong_answer"),
        (WRONG, "reject", None, None),
        (WRONG, "edit", good(9), None),
        (BEYOND, "accept", None, None),
        (KEYS[0], "undo", None, "decision is 'undo', not one of accept, edit, reject"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_decision_is_checked_as_the_stage_checks(key: str, kind: str, text: str, why: str, stage: Path) -> None:
    review = Review(stage, "ann")
    before = dict(review.mine)
    try:
        if why is None:
            review.decide(key, kind, text)
            assert review.mine[key] == Decision(key, kind, text.strip() if text else None)
        else:
            with pytest.raises(DataError, match=why):
                review.decide(key, kind, text)
            assert review.mine == before
    finally:
        review.close()
    assert decided_by_all(stage).get("ann", {}) == review.mine  # what a restart finds


def test_an_edit_that_changes_nothing_is_an_acceptance(by: Callable[[str], Review]) -> None:
    (review := by("ann")).decide(KEYS[0], "edit", f"{good(1)}\n")
    assert review.mine[KEYS[0]].kind == "accept"


def test_undo_goes_back_step_by_step_also_after_a_restart(stage: Path) -> None:
    steps = [
        (KEYS[0], "accept", None),
        (KEYS[1], "reject", None),
        (KEYS[0], "edit", good(9)),
        (KEYS[0], "reject", None),
    ]
    review, seen = Review(stage, "ann"), []
    for step in steps:
        seen.append(dict(review.mine))
        review.decide(*step)
    for before in reversed(seen):
        review.close()
        review = Review(stage, "ann")
        assert (review.undo() or Decision("", "")).key in KEYS and review.mine == before
    assert review.undo() is None
    review.decide(KEYS[3], "accept")
    review.close()
    assert [one.key for one in read(folder_of(stage) / "ann.jsonl")[0]] == [KEYS[3]]


def test_the_same_decision_again_is_not_written_again(stage: Path, by: Callable[[str], Review]) -> None:
    review = by("ann")
    for _ in range(3):
        review.decide(KEYS[0], "accept")
    assert (folder_of(stage) / "ann.jsonl").read_text().count("\n") == 1


def test_a_kill_costs_at_most_the_decision_under_way(stage: Path) -> None:
    """Whatever part of the last line a kill left: those before it stand, and the next one is whole."""
    review = Review(stage, "ann")
    for key in KEYS[:3]:
        review.decide(key, "accept")
    review.close()
    whole = (path := folder_of(stage) / "ann.jsonl").read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for end in {last, last + 1, (last + len(whole)) // 2, len(whole) - 1}:
        path.write_bytes(whole[:end])
        assert list(decided_by_all(stage)["ann"]) == KEYS[:2]
        review = Review(stage, "ann")
        review.decide(KEYS[3], "reject")
        review.close()
        assert list(decided_by_all(stage)["ann"]) == [*KEYS[:2], KEYS[3]]


def test_a_killed_process_keeps_what_it_had_decided_and_its_lock_is_free(stage: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from r1hf.data.decisions import Decision, Journal\n"
        "journal = Journal(Path(sys.argv[1]), 'ann')\n"
        "for key in sys.argv[2:]: journal.decide(Decision(key, 'accept'))\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(stage), *KEYS])
    assert done.returncode == -9
    journal = Journal(stage, "ann")
    assert list(journal.decided) == KEYS
    with pytest.raises(StageError, match="the review by ann, .* is in use by process"):
        Journal(stage, "ann")
    Journal(stage, "bob").close()
    journal.close()


@each(
    "line, why",
    [
        ("no json", "not JSON in UTF-8"),
        ("[1]", "no decision"),
        ('{"decision": "accept"}', "key is None"),
        ('{"key": "../../x", "decision": "accept"}', "key is '../../x'"),
        (
            json.dumps({"key": KEYS[0], "decision": "maybe"}),
            "decision is 'maybe', not one of accept, edit, reject, undo",
        ),
        (json.dumps({"key": KEYS[0], "decision": "edit"}), "an edit has a completion"),
        (json.dumps({"key": KEYS[0], "decision": ["accept"]}), "decision is"),
        (json.dumps({"key": KEYS[0], "decision": "undo"}), "undoes a decision about"),
        ("[" * 100_000, "not JSON"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_broken_line_is_named_and_nothing_is_deleted(line: str, why: str, stage: Path) -> None:
    right = json.dumps({"key": KEYS[1], "decision": "accept"})
    path = folder_of(stage) / "ann.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{right}\n{line}\n{right}\n")
    with pytest.raises(DataError, match=why) as caught:
        Journal(stage, "ann")
    assert f"{path}:2: " in str(caught.value) and path.read_text().count("\n") == 3
    review = Review(stage, "bob")  # another reviewer goes on, and is told
    review.close()
    assert review.others() == {} and f"{path}:2: " in review.broken["ann"]


def test_a_full_disk_is_said_and_leaves_no_half_line(stage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(stage, "ann")
    journal.decide(Decision(KEYS[0], "accept"))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("r1hf.data.decisions.os.fsync", full)
    for act in (lambda: journal.decide(Decision(KEYS[1], "reject")), journal.undo):
        with pytest.raises(StageError, match="the decision is not kept: .*ann.jsonl: No space left"):
            act()
    journal.close()
    assert list(decided_by_all(stage)["ann"]) == KEYS[:1] == list(journal.decided)


def test_two_reviewers_agree_or_are_shown_where_not(by: Callable[[str], Review]) -> None:
    ann, bob = by("ann"), by("bob")
    for review, kinds in ((ann, "aarr"), (bob, "arrr")):
        for key, kind in zip(KEYS, kinds, strict=True):
            review.decide(key, {"a": "accept", "r": "reject"}[kind])
    ann.decide(BEYOND, "accept")
    (found,) = bob.progress()["agreement"]
    assert (found["reviewers"], found["rows"], found["alike"]) == (["ann", "bob"], 4, 3)
    assert found["kappa"] == pytest.approx(0.5) and bob.progress()["conflicts"] == 1
    assert ann.shown(Filters("conflicts")) == bob.shown(Filters("conflicts")) == [KEYS[1]]
    bob.decide(KEYS[1], "accept")
    assert ann.shown(Filters("conflicts")) == [] and agreements(ann.everybody(), KEYS)[0]["alike"] == 4


@each(
    "make, error, why",
    [
        (lambda place: place / "nothing", ConfigError, "is not a directory"),
        (lambda place: place, ConfigError, "holds no finished stage"),
        (lambda place: cold_start(place / "sft1", "sft"), ConfigError, "was made by sft"),
        (lambda place: cold_start(place / "a", data=[{"question": "?"}]), DataError, "data.jsonl:1: a row to review"),
        (
            lambda place: cold_start(place / "two/a").parent / cold_start(place / "two/b").parent,
            ConfigError,
            "one of them",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_reviewed(
    make: Callable[[Path], Path], error: type[Exception], why: str, tmp_path: Path
) -> None:
    folder = tmp_path / why[:9].replace(" ", "_").replace("/", "")
    folder.mkdir()
    with pytest.raises(error, match=why):
        Review(find_stage_to_review(make(folder)), "ann")


def test_a_stage_whose_rows_were_changed_is_refused(stage: Path) -> None:
    with (stage / "data.jsonl").open("a") as stream:
        stream.write(json.dumps({**ROW, "completion": "x"}) + "\n")
    with pytest.raises(IntegrityError, match="data.jsonl was changed"):
        Review(stage, "ann")


@each("name", ["", "../ann", "a/b", ".hidden", "-x", "a" * 41, "a b"])
def test_a_reviewer_is_a_file_name(name: str) -> None:
    with pytest.raises(ConfigError, match="--reviewer"):
        check_reviewer(name)
    assert check_reviewer("陈_2.b-c") == "陈_2.b-c"


def test_a_sample_is_the_same_for_everybody_and_its_review_counts_in_the_whole(stage: Path) -> None:
    first, second = Review(stage, "ann", 2), Review(stage, "bob", 2)
    assert list(first.items) == list(second.items) and len(first.items) == 2
    for review in (first, second):
        review.close()


def test_rows_of_rejection_sampling_have_their_own_form(tmp_path: Path) -> None:
    thought = "<think>\nMultiply first: 3 * 4 = 12, and 12 + 2 = 14.\n</think>\n<answer> 14 </answer>"
    data = [
        {**ROW, "completion": thought, "judged_by": "rule"},
        {
            **ROW,
            "task": "proof",
            "completion": f"{thought} ",
            "judged_by": "judge",
            "question": "Show that 14 is even.",
        },
        {"question": "Write a poem.", "completion": "Roses are red."},
    ]
    review = Review(cold_start(tmp_path / "rejection_sampling", "rejection_sampling", data, []), "ann")
    by_rule, by_judge, poem = review.items
    assert [review.items[key].methods[0] for key in (by_rule, by_judge, poem)] == ["rule", "judge", "general"]
    right = thought.replace("first", "before adding")
    assert review.check(by_rule, right).verified
    assert review.check(by_rule, good(9)).fault == "no_thought"
    assert review.check(by_rule, right.replace("> 14", "> 15")).fault == "wrong_answer"
    unruled = review.check(by_judge, right)
    assert (unruled.fault, unruled.verified) == (None, False) and "No rule verifies" in unruled.said
    assert review.check(by_judge, "no form").fault == "no_thought"
    assert review.check(poem, "Violets are blue.").fault is None and review.check(poem, "").fault == "empty"
    review.close()


def test_a_rewriting_without_a_reason_is_one_that_was_not_chosen(stage: Path) -> None:
    pair = {"id": None, "question": ROW["question"], "before": "x", "after": good(7)}
    (stage / "review.jsonl").write_text(json.dumps(pair) + "\n")
    assert [item.reason for item in load_items(stage)] == [None] * 4 + ["not_chosen"]
