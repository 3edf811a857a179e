"""Problems of reasoning-gym: worked solutions are right line by line, and what is held out is asked nowhere else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tables import each

from r1hf.core.errors import ConfigError
from r1hf.core.yamlfile import read_yaml
from r1hf.verify.gym import verify_gym
from r1hf.world.gym import check_set, known_sets, problems, worked
from r1hf.world.gym.solutions import arithmetic

pytest.importorskip("reasoning_gym", reason="the extra `gym` is not installed")
SETS = read_yaml(Path("recipes/configs/smollm2-135m/problems.yaml")).values["sets"]
EQUATION = re.compile(r"(?<![\d*/+(-] )(-?\d+) ([-+*/]) (-?\d+) = (-?\d+)(?![\d.]| [-+*/])")


def claims(text: str) -> list[tuple[str, bool]]:
    """Each `a + b = c` of a text, and whether it is so."""
    made = []
    for left, sign, right, result in EQUATION.findall(text):
        a, b, c = int(left), int(right), int(result)
        right_one = {"+": a + b == c, "-": a - b == c, "*": a * b == c, "/": b != 0 and c * b == a}[sign]
        made.append((f"{left} {sign} {right} = {result}", right_one))
    return made


@each("name", list(SETS))
def test_every_set_is_worked_right_and_split_for_good(name: str) -> None:
    asked: set[str] = set()
    held_out = problems(name, SETS[name], 20, 1, True, asked)
    train = problems(name, SETS[name], 60, 2, False, asked)
    assert len(held_out) == 20 and len({row["question"] for row in [*held_out, *train]}) == 20 + len(train)
    for row in worked(train):
        assert "thought" not in row and row["completion"].endswith(f"<answer>{row['answer']}</answer>")
        if name != "gsm_symbolic":  # its own solutions count with fractions and units
            assert all(right for _, right in claims(row["completion"])), row["completion"]
        if row["task"] == "gym":
            json.loads(row["gym"])
    if train[0]["task"] == "gym":
        assert verify_gym(train[0]["answer"], train[0]["gym"]) is True
        assert verify_gym("no answer at all", train[0]["gym"]) is False


def test_a_set_that_runs_out_gives_what_it_has() -> None:
    asked: set[str] = set()
    first = problems("count_bits", {"min_n": 1, "max_n": 8}, 100, 1, False, asked)
    assert 1 <= len(first) <= 8 and problems("count_bits", {"min_n": 1, "max_n": 8}, 100, 5, True, asked) == []


@each(
    "expression, said",
    [
        ("2 + 3", "2 + 3 = 5."),
        ("38 + 47", "38 + 40 = 78, 78 + 7 = 85."),
        ("-( 5 + -8 )", "5 + -8 = -3. -(-3) = 3."),
        ("23 * 7", "20 * 7 = 140, 3 * 7 = 21, 140 + 21 = 161."),
        ("2 * ( 3 + 4 )", "3 + 4 = 7. 2 * 7 = 14."),
        ("7", "It is 7."),
    ],
)
def test_sums_are_worked_one_operation_after_the_other(expression: str, said: str) -> None:
    assert arithmetic(expression) == said


@each(
    "name, settings, said",
    [
        ("chain_sums", {}, "there are chain_sum"),
        ("gcd", {"most": 3}, "refuses"),
        ("gcd", {"min_value": -3}, "refuses"),
        ("stories", {"size": 3}, "takes no settings"),
    ],
)
def test_an_unknown_set_or_setting_is_refused(name: str, settings: dict[str, int], said: str) -> None:
    assert name not in known_sets() or settings
    with pytest.raises(ConfigError, match=said):
        check_set(name, settings)
