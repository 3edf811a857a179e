"""Every example and number of the seed articles, as fixtures/seed-fixtures.json keeps them."""

import json
from pathlib import Path

import pytest

from r1hf.rewards import (
    accuracy_reward,
    get_format_reward,
    get_language_consistency_reward,
    language_consistency_reward,
    question_text,
)
from r1hf.text import prompt_templates as templates
from r1hf.text.forms import is_well_formed
from r1hf.text.grammar import parse
from r1hf.trainers.advantage import TRL_EPS, group_advantages
from r1hf.verify import final_answer, verify_math

SEED = json.loads((Path(__file__).parent / "fixtures" / "seed-fixtures.json").read_text(encoding="utf-8"))
QUESTION, GOLD = SEED["question"], SEED["gold"]


def rewards_of(reward, outputs):
    rows = list(outputs.values())
    return reward(
        prompts=[QUESTION] * len(rows), completions=rows, answer=[GOLD] * len(rows), language=["en"] * len(rows)
    )


# Section 7: the template and the output it asks for.


def test_template():
    assert templates.load("r1_zero_en") == SEED["s7_template"]
    text = templates.render("r1_zero_en", QUESTION)
    assert text.endswith(SEED["s7_rendered_tail"])
    assert question_text(text) == QUESTION


def test_template_in_chinese():
    text = templates.render("r1_zero_zh_hans", SEED["question_zh"])
    assert SEED["question_zh"] in text and question_text(text) == SEED["question_zh"]


def test_sample_output():
    sample = SEED["s7_sample_output"]
    assert is_well_formed(sample) and is_well_formed(sample, "think_only")
    assert parse(sample).reasoning.startswith("Order of operations:")
    assert final_answer(sample) == GOLD


# Section 8: the four outputs, their rewards and their advantages.


def test_accuracy_of_the_four_outputs():
    assert rewards_of(accuracy_reward, SEED["s8_outputs"]) == SEED["s8_accuracy"]


@pytest.mark.parametrize("mode", ["think_only", "think_answer"])
def test_format_and_total_of_the_four_outputs(mode):
    formats = rewards_of(get_format_reward(mode=mode, value=0.1), SEED["s8_outputs"])
    assert formats == SEED[f"s8_format_{mode}"]
    totals = [acc + form for acc, form in zip(rewards_of(accuracy_reward, SEED["s8_outputs"]), formats, strict=True)]
    assert totals == pytest.approx(SEED[f"s8_total_{mode}"])


SCALES = {
    "seed_0.5": {"std": SEED["adv_think_only"]["std_seed"]},
    "sample": {"std": "sample"},
    "trl_sample_plus_1e-4": {"std": "sample", "eps": TRL_EPS},
    "population": {"std": "population"},
    "no_scale": {"std": "none"},
}


@pytest.mark.parametrize("scale", SCALES)
def test_advantages_of_the_four_outputs(scale):
    advantages = group_advantages(SEED["s8_total_think_only"], **SCALES[scale])
    assert advantages == pytest.approx(SEED["adv_think_only"][scale], abs=1e-6)
    # What the article says in words: o2 and o3 are encouraged, o1 and o4 discouraged.
    assert [advantage > 0 for advantage in advantages] == [False, True, True, False]


@pytest.mark.parametrize("scale", ["sample", "population"])
def test_advantages_under_strict_format(scale):
    advantages = group_advantages(SEED["s8_total_think_answer"], std=scale)
    assert advantages == pytest.approx(SEED["adv_think_answer"][scale], abs=1e-6)


def test_advantages_under_the_papers_equal_weights():
    expected = SEED["adv_paper_equal_weights"]
    accuracy = rewards_of(accuracy_reward, SEED["s8_outputs"])
    formats = rewards_of(get_format_reward(mode="think_only"), SEED["s8_outputs"])
    rewards = [acc + form for acc, form in zip(accuracy, formats, strict=True)]
    assert rewards == expected["rewards"]
    assert group_advantages(rewards) == pytest.approx(expected["sample"])


# Sections 10 and 11: cold start.


def test_few_shot_prompt():
    assert templates.render("few_shot", QUESTION) == SEED["s10_1_fewshot"]


def test_few_shot_solutions():
    solutions = [part.partition("Solution: ")[2] for part in SEED["s10_1_fewshot"].split("\n\n")[1:3]]
    first, second = (parse(solution) for solution in solutions)
    assert all(is_well_formed(solution, "cold_start") for solution in solutions)
    assert first.reasoning.startswith("First, find the square root of 9")
    assert (first.answer, final_answer(first)) == ("The answer is 8.", "8")
    assert second.reasoning.endswith("Distance = 60 * 2 = 120 miles.")
    assert second.answer == "Train travels 120 miles."
    assert verify_math(final_answer(second, fallback="last_number"), "120") is True


def test_direct_prompt():
    assert templates.render("direct", QUESTION) == SEED["s10_2_direct"]


def test_messy_output_still_answers():
    messy = parse(SEED["s10_3_messy"])
    assert messy.reasoning == "ummm... multiply 3 and 4... get 12... then add 2..."
    assert final_answer(messy) == GOLD
    assert is_well_formed(SEED["s10_3_messy"])


def test_input_of_supervised_finetuning():
    assert templates.render("plain_en", QUESTION) == SEED["s11_input"]
    assert question_text(SEED["s11_input"]) == QUESTION


# Section 12: the language-consistency reward.


def test_language_consistency():
    outputs, weights = SEED["s12_outputs"], SEED["s12_weights"]
    accuracy = rewards_of(accuracy_reward, outputs)
    language = rewards_of(language_consistency_reward, outputs)
    assert language == SEED["s12_language"]
    totals = [
        weights["accuracy"] * acc + weights["language"] * lang for acc, lang in zip(accuracy, language, strict=True)
    ]
    assert totals == pytest.approx(SEED["s12_total"])


def test_language_consistency_can_abstain_without_words():
    assert rewards_of(get_language_consistency_reward(empty=None), SEED["s12_outputs"]) == [None, None]
