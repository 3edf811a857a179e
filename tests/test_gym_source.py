"""Prompts that reasoning-gym makes (`gym:NAME`), and options shown where a public set keeps them apart."""

from __future__ import annotations

from typing import Any

import pytest
from tables import each

from r1hf.core.errors import DataError
from r1hf.core.source import specs
from r1hf.data.options import with_options_shown
from r1hf.data.rows import load_rows
from r1hf.stage.manifest import input_record
from r1hf.verify.gym import verify_gym

pytest.importorskip("reasoning_gym")

KNIGHTS = {"path": "gym:knights_knaves", "settings": {"n_people": 2}, "limit": 40}


def test_rows_are_made_and_judged_by_their_own_scorer() -> None:
    rows = load_rows([KNIGHTS, {"path": "gym:gcd", "limit": 20}])
    assert {row["task"] for row in rows} == {"gym"} and {row["language"] for row in rows} == {"en"}
    assert len({row["question"] for row in rows}) == len(rows) > 50
    for row in rows[::15]:
        assert verify_gym(row["answer"], row["gym"]) and not verify_gym("nobody knows", row["gym"])


def test_the_seed_draws_from_one_table_and_parts_share_nothing() -> None:
    whole = {row["question"] for row in load_rows({"path": "gym:gcd", "limit": 200})}
    parts = [
        {row["question"] for row in load_rows({"path": "gym:gcd", "limit": 200, "part": part})}
        for part in ([0, 0.8], [0.8, 1])
    ]
    assert not parts[0] & parts[1] and parts[0] | parts[1] == whole and len(parts[1]) > 15


@each(
    "source, said",
    [
        ({"path": "gym:knight_knaves"}, "no such data set; did you mean 'knights_knaves'"),
        ({**KNIGHTS, "settings": {"people": 2}}, "refuses it with settings .*people"),
        ({**KNIGHTS, "settings": {"n_people": -1}}, "refuses it with settings"),
    ],
)
def test_what_reasoning_gym_lacks_is_a_sentence(source: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_rows(source)


def test_settings_are_for_it_alone() -> None:
    assert "settings: only a data set of reasoning-gym" in specs({"path": "org/maths", "settings": {"a": 1}})[1][0]


def test_a_manifest_names_its_version() -> None:
    assert input_record("gym:gcd")["fingerprint"].startswith("reasoning-gym 0")


ASKED = {"question": "Which is a metal?", "task": "choice", "answer": "B"}
ARC = {"label": ["A", "B"], "text": ["glass", "iron"]}


@each(
    "row, shown",
    [
        ({**ASKED, "choices": ["glass", "iron"]}, "Which is a metal?\nA) glass\nB) iron"),
        ({**ASKED, "choices": ARC}, "Which is a metal?\nA) glass\nB) iron"),
        ({**ASKED, "choices": {"甲": "glass", "乙": "iron"}}, "Which is a metal?\n甲) glass\n乙) iron"),
        ({**ASKED, "question": "Metal? (A) glass (B) iron", "choices": ARC}, "Metal? (A) glass (B) iron"),
        ({**ASKED, "choices": None}, "Which is a metal?"),
        ({**ASKED, "task": "reasoning", "choices": ["glass"]}, "Which is a metal?"),
    ],
)
def test_options_stand_in_the_question(row: dict[str, Any], shown: str) -> None:
    assert with_options_shown([row])[0]["question"] == shown


def test_the_policy_reads_them() -> None:
    from r1hf.trainers.rl import prompt_rows

    (row,) = prompt_rows(with_options_shown([{**ASKED, "language": "en", "choices": ARC}]), None)
    assert row["prompt"][0]["content"].endswith("B) iron")
