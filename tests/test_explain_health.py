"""The health panel on real runs of a stock trainer: every fault in the first line, and no false alarm."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from tables import each

from r1hf.commands.main import main
from r1hf.explain.health.panel import RULES, examine
from r1hf.explain.health.series import Series
from r1hf.explain.runs.read import read_run
from r1hf.explain.runs.table import Rollout, RunTable

RUNS = Path(__file__).parent / "fixtures" / "runs"

# The run -> its diagnosis; made by scripts/faulty_runs.py.
FAULTS = {
    "wrong_extraction": "wrong_extraction",
    "string_comparison": "wrong_extraction",
    "no_eos": "no_eos",
    "truncated": "truncated",
    "prompt_too_long": "prompt_too_long",
    "prompt_cut": "prompt_cut",
    "one_prompt": "one_prompt",
    "learning_rate_high": "learning_rate_high",
    "learning_rate_low": "learning_rate_low",
    "constant_reward": "constant_reward",
    "constant_half": "constant_reward",
    "special_tags": "special_token_tags",
    "malformed": "malformed",
    "unjudged": "unjudged",
    "format_hacking": "format_hacking",
    "length_runaway": "length_runaway",
    "all_right": "all_right",
    "all_wrong": "all_wrong",
    "kl_too_strong": "kl_too_strong",
    "one_answer": "no_variety",
    "held_out_falls": "held_out_falls",
    "wrong_is_paid": "wrong_paid",
}
HEALTHY = sorted(path.name for path in RUNS.glob("healthy_*"))
# What cannot be told without the log of the steps, and what without the completions.
NEED_LOG = {
    *("learning_rate_low", "learning_rate_high", "kl_too_strong", "held_out_falls", "prompt_too_long"),
    "format_hacking",  # of four steps only
}
NEED_COMPLETIONS = {
    *("wrong_extraction", "string_comparison", "no_eos", "prompt_too_long", "prompt_cut", "one_prompt"),
    *("constant_reward", "special_tags", "malformed", "one_answer", "wrong_is_paid"),
}


def codes(run: RunTable) -> list[str]:
    return [one.code for one in examine(run).faults]


def test_there_are_enough_of_both() -> None:
    made = {path.name for path in RUNS.iterdir()}
    assert made == {*FAULTS, *HEALTHY} and len(FAULTS) >= 12 and len(HEALTHY) >= 6
    assert sum(path.stat().st_size for path in RUNS.rglob("*") if path.is_file()) < 1.5e6


@each("name, code", FAULTS.items())
def test_each_fault_is_named_first(name: str, code: str) -> None:
    panel = examine(read_run(RUNS / name))
    assert panel.found[0].code == code, [one.code for one in panel.found]
    assert panel.found[0].advice and panel.found[0].seen and panel.headline.startswith(panel.found[0].said[:1].upper())


@each("name", HEALTHY)
def test_no_false_alarm(name: str) -> None:
    panel = examine(read_run(RUNS / name))
    assert not panel.found and panel.headline.startswith("No fault found: "), panel.headline


@each("name", [*FAULTS, *HEALTHY])
def test_completions_alone_tell_most(name: str) -> None:
    """The same rollouts as a plain table, without a log and under other names."""
    run = read_run(RUNS / name)
    run.steps, run.non_finite, run.context, run.special = [], [], None, ()
    found = codes(run)
    if name in HEALTHY:
        assert not found
    elif name not in NEED_LOG:
        assert found[0] == FAULTS[name]


@each("name", [*FAULTS, *HEALTHY])
def test_the_log_alone_raises_no_false_alarm(name: str) -> None:
    run = read_run(RUNS / name)
    run.rollouts = []
    found = codes(run)
    if name in HEALTHY:
        assert not found
    elif name not in NEED_COMPLETIONS:
        assert found and found[0] in (FAULTS[name], "no_eos", "truncated", "constant_reward", "reward_hacking"), found


def test_the_first_line_is_the_diagnosis(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(RUNS / "one_prompt")]) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[0] == "The run trains on a single prompt: it can only learn the answer by heart."
    assert "  try  " in said and "asked:" in said and "Figures" in said
    assert main(["explain", str(RUNS / HEALTHY[0])]) == 0
    assert capsys.readouterr().out.startswith("No fault found: ")


def test_json_has_the_documented_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(RUNS / "wrong_extraction"), "--json"]) == 1
    result = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    page = (Path(__file__).parents[1] / "docs" / "explain.md").read_text(encoding="utf-8")
    names = [*result, *result["diagnoses"][0], *result["diagnoses"][0]["rollouts"][0], *result["read"]]
    assert not [name for name in names if f"`{name}`" not in page]
    assert result["status"] == 1 and result["diagnoses"][0]["code"] == "wrong_extraction"
    assert result["diagnoses"][0]["rollouts"][0]["right"] is True


def test_every_diagnosis_is_documented() -> None:
    folder = Path(__file__).parents[1] / "r1hf" / "explain" / "health"
    page = (folder.parents[2] / "docs" / "explain.md").read_text(encoding="utf-8")
    sources = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*_rules.py"))
    made = re.findall(r'Diagnosis\(\s*"(\w+)"(?: if \w+ else "(\w+)")?', sources)
    codes = {code for pair in made for code in pair if code}
    documented = set(re.findall(r"^\| `(\w+)` \|", page, re.M))
    assert {*FAULTS.values()} <= documented == codes


# Runs made by hand, for what a training of seconds does not show.


def run_of(values: list[float], prompts: int = 8, **log: list[float]) -> RunTable:
    """A binary reward with the given mean at each step, and what else was logged."""
    rng = random.Random(0)
    run = RunTable(Path("here"))
    for step, value in enumerate(values, 1):
        for place in range(prompts * 4):
            paid = float(rng.random() < value)
            text = f"<answer>{rng.randrange(100)}</answer>"
            one = Rollout(step, f"Question {place // 4}?", text, paid, {"accuracy": paid})
            run.rollouts.append(one)
        run.steps.append({"step": step, "reward": value, **{name: found[step - 1] for name, found in log.items()}})
    run.name_rewards()
    return run


RISING = [0.2 + 0.02 * step for step in range(30)]
FLAT = [0.4 + 0.02 * (step % 3) for step in range(30)]
FALLING = [0.5 * 0.8**step for step in range(30)]
SIGNAL = [0.2] * 30


@each(
    "values, log, code",
    [
        (RISING, {}, None),
        (FLAT, {}, None),  # it does not learn yet: no fault by itself
        ([0.9] * 30, {}, None),
        (RISING, {"kl": [0.1 * step for step in range(30)]}, None),  # goes far, and learns
        (RISING, {"completions/mean_length": [100.0 + 20 * step for step in range(30)]}, None),  # longer, and better
        (RISING, {"eval_reward": [0.2 + 0.015 * step for step in range(30)]}, None),
        (RISING, {"eval_reward": [0.5 - 0.012 * step for step in range(30)]}, "held_out_falls"),
        (FALLING, {"kl": [0.5 * step for step in range(30)]}, "learning_rate_high"),
        (FALLING, {"grad_norm": [1.0] * 5 + [400.0] * 25}, "learning_rate_high"),
        (FALLING, {}, "collapse"),
        (FLAT, {"frac_reward_zero_std": SIGNAL, "grad_norm": [0.0] * 30}, "no_gradient"),
        (FLAT, {"frac_reward_zero_std": SIGNAL, "learning_rate": [1e-12] * 30}, "learning_rate_low"),
        (FLAT, {"frac_reward_zero_std": SIGNAL, "kl": [0.01] * 30, "loss": [0.05] * 30}, "kl_too_strong"),
        (FLAT, {"frac_reward_zero_std": SIGNAL, "kl": [0.01] * 30, "loss": [0.0001] * 30}, None),
        ([1.0] * 30, {"frac_reward_zero_std": [1.0] * 30}, "constant_reward"),  # and the answers differ
    ],
)
def test_what_a_log_shows(values: list[float], log: dict[str, Any], code: str | None) -> None:
    found = codes(run_of(values, **log))
    assert (found[0] if found else None) == code, found


def test_a_number_that_is_none_is_told_with_its_step(tmp_path: Path) -> None:
    rows = [{"step": step, "reward": 0.5, "loss": math.nan if step > 6 else 0.1} for step in range(1, 10)]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    panel = examine(read_run(tmp_path))
    assert panel.found[0].code == "not_finite" and "at step 7: loss" in panel.headline


def judged(paid_right: float, paid_wrong: float, name: str = "accuracy") -> RunTable:
    run = RunTable(Path("here"))
    for step in range(1, 5):
        for place in range(16):
            paid = paid_wrong if place % 2 else paid_right
            text = f"<answer>{7 + place % 2}</answer>"
            run.rollouts.append(Rollout(step, f"What is {place} fewer?", text, paid, {name: paid}, gold="7"))
    run.name_rewards()
    return run


@each(
    "right, wrong, code",
    [
        (1.0, 0.0, None),
        (1.0, -1.0, None),
        (0.5, 0.1, None),
        (0.0, 0.0, "wrong_extraction"),
        (-1.0, -1.0, "wrong_extraction"),
        (0.0, 1.0, "inverted"),
        (1.0, 1.0, "constant_reward"),
    ],
)
def test_what_is_paid_is_held_against_what_is_right(right: float, wrong: float, code: str | None) -> None:
    found = codes(judged(right, wrong))
    assert (found[0] if found else None) == code, found


def test_each_task_has_its_own_reward() -> None:
    run = judged(1.0, 0.0)
    for place, one in enumerate(run.rollouts):
        if place % 4:
            one.rewards = {"accuracy": None, "helpful": (place % 5) / 5}
    run.name_rewards()
    assert codes(run) == []


def test_a_gold_that_is_no_answer_makes_nothing_wrong() -> None:
    run = judged(1.0, 0.0)
    for one in run.rollouts:
        one.gold, one.completion = "assert f(1) == 2", "```python\ndef f(x): return x + 1\n```"
    assert codes(run) == [] and not any(one.right is False for one in run.rollouts)


def test_golds_of_plain_sums_are_worked_out() -> None:
    run = judged(0.0, 0.0)
    for one in run.rollouts:
        one.prompt, one.gold = "What is (3 + 4) * 1?", None
    assert codes(run)[0] in ("wrong_extraction", "one_prompt")
    assert run.rollouts[0].right is True and run.rollouts[1].right is False
    assert "worked out" in run.notes[-1]


@pytest.mark.parametrize("values", [(), (0.5,), (0.5, 0.5), (0.1, 0.9, 0.1, 0.9, 0.1, 0.9)])
def test_noise_is_no_movement(values: tuple[float, ...]) -> None:
    series = Series(tuple(range(len(values))), values)
    assert not series.moves(1, 0.01) and not series.moves(-1, 0.01)


def test_hardly_anything_is_no_reason_to_fail() -> None:
    for run in (RunTable(Path("a")), RunTable(Path("a"), rollouts=[Rollout(0, "", "")]), run_of([0.5])):
        run.name_rewards()
        assert "No fault found" in examine(run).headline or examine(run).faults
    assert len(RULES) == len({*RULES})
