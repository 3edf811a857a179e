"""Every sample of a data stage stands in its audit with what became of it, and the funnel counts them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_run import recipe
from tables import each

from r1hf.commands.main import main
from r1hf.core.errors import DataError
from r1hf.data.audit import FILE, STEPS, Audit, step_of
from r1hf.data.cleaning import Removed
from r1hf.data.filters import REASONS, SampleFilter, Verdict
from r1hf.explain.funnel import funnel, picture
from r1hf.models.sampling import Completion

ROW = {"id": "a1", "question": "What is 2 + 3 * 4?", "answer": "14", "language": "en", "task": "reasoning"}
GOOD = "<think>First 3 * 4 = 12 comes, and then 2 + 12 = 14 follows.</think> <answer>14</answer>"


@each(
    "reason, step",
    [
        ("truncated", "sampled"),
        ("malformed", "sampled"),
        ("garbled", "sampled"),
        ("no_answer", "parsed"),
        ("wrong_answer", "parsed"),
        ("unjudged", "parsed"),
        ("repetition", "right"),
        ("too_long", "right"),
        ("duplicate", "readable"),
        ("not_chosen", "readable"),
        ("near_duplicate", "chosen"),
        ("leak", "chosen"),
        ("spare", "chosen"),
        (None, "kept"),
    ],
)
def test_a_reason_says_how_far_a_sample_came(reason: str | None, step: str) -> None:
    assert step_of(reason) == step


def test_every_reason_has_its_step_in_the_order_of_the_filters() -> None:
    places = [STEPS.index(step_of(reason)) for reason in REASONS]
    assert places == sorted(places)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What rejection sampling leaves of eight samples of two prompts."""
    module = recipe("rejection_sampling")
    texts = [
        GOOD,
        GOOD.replace("First", "Now"),
        GOOD,
        "no form",
        GOOD.replace("<answer>14", "<answer>15"),
        GOOD + " \ufffd",
    ]
    other = {**ROW, "id": None, "question": "2 + 3 * 4 是多少？", "language": "zh"}
    rows, groups = (
        [ROW, other],
        [[Completion(text, len(text), False) for text in texts], [Completion(GOOD, 30, True)] * 2],
    )
    verdicts = [[Verdict(text != texts[4], "14" if text != texts[4] else "15") for text in texts], [Verdict(None)] * 2]
    audit, config = Audit(), SimpleNamespace(keep_per_prompt=None, choose="first")
    judge = SampleFilter()
    kept = module.select(config, rows, groups, verdicts, judge, audit)
    assert [one.place for one in kept] == [0, 1]
    audit.drop_removed(
        [one.place for one in kept], [Removed(1, "near_duplicate", 0), Removed(2, "leak", "gsm8k, question 3")]
    )
    folder = tmp_path_factory.mktemp("run")
    audit.write(folder / "rejection_sampling" / FILE)
    Audit().write(folder / "empty" / FILE)
    return folder


def test_the_funnel_counts_what_the_filters_said(run: Path) -> None:
    found = funnel(run)
    one = found["rejection_sampling"]
    assert one["steps"] == {"sampled": 8, "parsed": 4, "right": 3, "readable": 3, "chosen": 2, "kept": 1}
    assert sum(one["reasons"].values()) == 7 and one["reasons"]["truncated"] == 2
    assert one["removed"] == {"duplicate": 1, "near_duplicate": 1, "leak": 0}
    assert one["pass_rates"]["more than 3/4"] == 1 and one["pass_rates"]["unjudged"] == 1
    assert one["by_language"] == {"en": {"sampled": 6, "kept": 1}, "zh": {"sampled": 2, "kept": 0}}
    assert (
        one["tokens"]["kept"]["median"] == len(GOOD)
        and one["examples"]["near_duplicate"][0]["of"] == "prompt 0, sample 0"
    )
    assert len(one["examples"]["truncated"]) == 2 and one["prompts"] == 2
    assert found["empty"]["steps"] == dict.fromkeys(STEPS, 0)
    assert funnel(run / "rejection_sampling") == {"rejection_sampling": one}


def test_the_command_prints_it_for_people_and_programs(run: Path, tmp_path: Path, capsys: Any) -> None:
    assert main(["audit", str(run), "--svg", str(tmp_path / "f.svg")]) == 0
    said = capsys.readouterr().out
    assert "8 samples of 2 prompts" in said and "repeats prompt 0, sample 0" in said and "near_duplicate" in said
    assert main(["audit", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == funnel(run)
    drawn = (tmp_path / "f.svg").read_text()
    assert drawn == picture(funnel(run)) and drawn.count("<rect") == 2 * len(STEPS) and "1 (12.5%)" in drawn


def test_what_is_missing_or_damaged_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no audit.parquet in it or its stages"):
        funnel(tmp_path)
    (tmp_path / FILE).write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="cannot be read: .*; make its stage again"):
        funnel(tmp_path)
