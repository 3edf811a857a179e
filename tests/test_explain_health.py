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
from r1hf.explain.health.data_rules import _ends_twice
from r1hf.explain.health.facts import Facts
from r1hf.explain.health.panel import RULES, examine
from r1hf.explain.health.series import Series
from r1hf.explain.runs.read import read_run
from r1hf.explain.runs.table import Rollout, RunTable

RUNS = Path(__file__).parent / "fixtures" / "runs"

# The run -> its diagnosis; made by scripts/faulty_runs.py, but for `abstaining_reward`, a part of a run of SmolLM2.
FAULTS = {
    "abstaining_reward": "abstaining_reward",
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
    *("constant_reward", "special_tags", "malformed", "one_answer", "wrong_is_paid", "abstaining_reward"),
}


def codes(run: RunTable) -> list[str]:
    return [one.code for one in examine(run).found]


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
        assert "No fault found" in examine(run).headline or examine(run).found
    assert len(RULES) == len({*RULES})


def written(
    texts: list[str], prompts: list[str] | None = None, steps: int = 6, paid: float = 0.0, **log: list[float]
) -> RunTable:
    """The texts at each step, all paid alike, and what was logged."""
    run = RunTable(Path("here"))
    for step in range(1, steps + 1):
        for place, text in enumerate(texts):
            prompt = (prompts or [f"Question {step}.{place // 2}?"])[place % len(prompts or [""])]
            run.rollouts.append(Rollout(step, prompt, text, paid, {"accuracy": paid}))
        run.steps.append({"step": step, **{name: found[step - 1] for name, found in log.items()}})
    run.name_rewards()
    return run


@each(
    "text, code",
    [
        ("First\n### Step 1\nWe add\n## Result so far\nand then", "truncated"),
        ("First\n### Problem analysis\nWe add and", "truncated"),
        ("It is 4\n### Question 2: What is it?\nIt", "no_eos"),
        ("It is 4\n### Instruction:\nAdd the", "no_eos"),
        ("It is 4\n\nHuman: and now?", "no_eos"),
    ],
)
def test_a_heading_is_no_other_turn(text: str, code: str) -> None:
    run = written([f"{text} {place}" for place in range(4)], **{"completions/clipped_ratio": [1.0] * 6})
    assert codes(run)[0] == code


@each(
    "asked, by_heart",
    [
        ([["a"], ["b"], ["c"]], False),
        ([["a"], ["b"], ["a"], ["b"]], False),
        ([["a"], ["a"], ["a"]], True),
        ([["a", "b"], ["a", "b"], ["b", "a"]], True),
        ([["a"], ["b"], ["c"]] * 3, True),
    ],
)
def test_a_few_prompts_are_a_fault_where_they_come_again(asked: list[list[str]], by_heart: bool) -> None:
    run = run_of([0.3, 0.6] * 5)
    run.rollouts, run.steps = [], []
    for step, prompts in enumerate(asked):
        run.rollouts += [Rollout(step, prompt, str(place), place % 2) for prompt in prompts for place in range(4)]
    assert ("one_prompt" in codes(run)) is by_heart


@each(
    "first, every, whole, group, tokens",
    [
        (1, 1, True, 2, 50.0),
        (0, 1, True, 2, 50.0),  # a row of step 0 stands before
        (5, 5, True, 2, 50.0),  # logged at every fifth step
        (1, 1, False, 2, None),  # sampled
        (1, 1, True, 1, None),  # one completion of a group was logged
    ],
)
def test_prompts_are_measured_where_all_rollouts_are_known(
    first: int, every: int, whole: bool, group: int, tokens: float | None
) -> None:
    run = RunTable(Path("here"), whole=whole)
    for step in range(first, first + 4 * every, every):
        run.rollouts += [Rollout(step, f"{place // group}?", str(place), 1.0) for place in range(4)]
        run.steps.append({"step": step, "num_tokens": 4 * 60.0 * step, "completions/mean_length": 10.0})
    assert Facts(run).prompt_tokens == tokens


def test_gold_answers_that_are_the_models_own_are_none() -> None:
    run = judged(0.0, 0.0)
    for one in run.rollouts:
        one.gold, one.prompt = one.completion.removeprefix("<answer>").removesuffix("</answer>"), "Why?"
    panel = examine(run)
    assert not {"prompt_cut", "wrong_extraction"} & {one.code for one in panel.found}
    assert "they are what the completions themselves answer" in run.notes[0]
    for place, one in enumerate(run.rollouts):
        one.gold = str(50 + place)
    assert codes(run)[0] == "prompt_cut"


def test_noise_is_no_collapse() -> None:
    false = 0
    for seed in range(200):
        rng = random.Random(seed)
        rewards = [sum(rng.random() < 0.06 for _ in range(16)) / 16 for _ in range(12)]
        run = RunTable(Path("a"), steps=[{"step": step, "reward": value} for step, value in enumerate(rewards, 1)])
        run.steps[-1]["kl"] = 5.0
        run.steps[0]["kl"] = 0.1  # goes far, as a run that learns may
        false += bool({"collapse", "learning_rate_high"} & {*codes(run)})
    assert false <= 8


@each(
    "broken, code",
    [
        ([2], None),
        ([2, 3, 9], None),
        ([39, 40], "not_finite"),
        ([2, *range(20, 41)], "not_finite"),
    ],
)
def test_a_number_that_is_none_breaks_a_run_that_does_not_recover(
    broken: list[int], code: str | None, tmp_path: Path
) -> None:
    rows = [
        {"step": step, "reward": 0.2 + 0.01 * step, "grad_norm": math.inf if step in broken else 1.0}
        for step in range(1, 41)
    ]
    (tmp_path / "trainer_state.json").write_text(json.dumps({"log_history": rows}))
    panel = examine(read_run(tmp_path))
    assert (panel.found[0].code if panel.found else None) == code
    assert code is None or f"at step {20 if 20 in broken else 39}:" in panel.headline


def scored(right: float, wrong: float, spread: float, seed: int = 0) -> RunTable:
    """A score of a model, with noise."""
    run, rng = judged(1.0, 0.0), random.Random(seed)
    for one in run.rollouts:
        one.reward = rng.gauss(right if one.completion == "<answer>7</answer>" else wrong, spread)
        one.rewards = {"accuracy": one.reward}
    return run


@each(
    "right, wrong, spread, code",
    [
        (0.0, 0.0, 1.0, None),
        (3.0, 3.3, 2.0, None),  # less, by no more than chance
        (0.02, 0.06, 0.005, "inverted"),  # a small scale
        (-20.0, 20.0, 5.0, "inverted"),
        (0.06, 0.02, 0.005, None),
    ],
)
def test_a_score_is_held_against_its_own_scale(right: float, wrong: float, spread: float, code: str | None) -> None:
    for seed in range(5):
        found = codes(scored(right, wrong, spread, seed))
        assert (found[0] if found else None) == code, found


def test_a_score_that_does_not_know_right_answers_is_not_nothing() -> None:
    run = scored(0.0, 0.0, 1.0)
    for place, one in enumerate(run.rollouts):
        one.reward = 5.0 if place % 16 == 1 else 0.3 + place % 3 / 100
        one.rewards = {"accuracy": one.reward}
    said = examine(run).found[0].said
    assert said.startswith("right answers earn no more than wrong ones: accuracy"), said


def test_the_log_knows_of_completions_that_were_not_kept() -> None:
    rewards = [0.4 + 0.01 * step for step in range(20)]
    run = written([f"<answer>{place}</answer>" for place in range(4)], steps=20, paid=0.5, reward=rewards)
    assert "constant_reward" not in codes(run)
    run.steps = []
    assert codes(run)[0] == "constant_reward"


def test_rollouts_without_a_reward_say_how_to_name_it() -> None:
    rollouts = [Rollout(step, f"{step}?", "a b") for step in range(12)]
    run = RunTable(Path("a"), rollouts=rollouts)
    run.name_rewards()
    panel = examine(run)
    assert panel.found[0].code == "unjudged" and panel.headline.startswith("No column looks like a reward")
    assert "--columns reward=NAME" in panel.found[0].advice[0]
    run.steps = [{"step": step, "reward": 0.1 * step} for step in range(10)]
    assert "unjudged" not in codes(run)  # the log has it


@each(
    "question, gold",
    [
        ("What is 3 + 4?", "7"),
        ("What is 9 - 4?", "5"),
        ("9 - 4 = ?", None),
        ("Compute 9 - 4", "5"),
        ("What does 9 - 4 equal?", "5"),
        ("计算 9 - 4", "5"),
        ("(9 - 4) * 2", "10"),
        ("Answer in 2 - 3 sentences: why is the sky blue?", None),
        ("What happened in 1914 - 1918?", None),
        ("Who reigned 1837 - 1901?", None),
        ("What is 2 - 3 sentences of praise?", None),
        ("It was on 12 / 25 / 2024. Why?", None),
        ("Write (2 - 3) lines", None),
        ("Please think for a long time and with care about what the sum of these may be: 3 + 4", None),
    ],
)
def test_a_sum_is_worked_out_only_where_it_is_asked_for(question: str, gold: str | None) -> None:
    run = RunTable(Path("a"), rollouts=[Rollout(1, question, "5", 0.0)])
    Facts(run)
    assert run.rollouts[0].gold == gold


@each(
    "end, dropped",
    [("15 15", True), ("2+3=15 15\n", True), ("15 16", False), ("x" * 300_000, False), ("15", False), ("", False)],
)
def test_answers_that_stand_twice_show_dropped_tags(end: str, dropped: bool) -> None:
    assert _ends_twice(f"{end}") is dropped


def test_tags_are_not_missed_where_no_completion_is_known() -> None:
    steps: list[Any] = [{"step": step, "reward": 0.5, "rewards/format/mean": 0.0} for step in range(1, 9)]
    run = RunTable(Path("a"), steps=steps, special=("<think>", "</think>"))
    run.name_rewards()
    assert "special_token_tags" not in codes(run)


def test_one_long_prompt_is_no_fault_of_all() -> None:
    run = run_of(RISING)
    run.context = 1024
    run.rollouts[5].prompt = "word " * 10_000
    assert codes(run) == []
    for one in run.rollouts:
        one.prompt += "word " * 10_000
    assert codes(run)[0] == "prompt_too_long"


def test_rewards_logged_at_other_steps_stand_in_their_order() -> None:
    steps: list[Any] = [{"step": step, f"rewards/{'ab'[step % 2]}_correct/mean": step / 10} for step in range(1, 9)]
    run = RunTable(Path("a"), steps=steps)
    run.name_rewards()
    assert Facts(run).outcome.steps == tuple(range(1, 9))


def test_the_held_out_rate_of_a_stage_is_read() -> None:
    held = [0.5 - 0.012 * step for step in range(30)]
    assert codes(run_of(RISING, **{"held_out/pass_at_1": held}))[0] == "held_out_falls"
