"""Rewards on a person's own rows: sound recipes pass, each weakness and each fault is named."""

import json
import textwrap
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from own_stage import ROWS, Check, jsonl, tokenizer
from transformers import Qwen2Config, Qwen2ForSequenceClassification

from r1hf.commands.main import main
from r1hf.core.errors import ConfigError, DataError
from r1hf.pipeline.recipes import find_recipe
from r1hf.preflight.rewards.completions import FORMS, GOLDEN, THOUGHTS, cases, other_answer
from r1hf.preflight.rewards.verdicts import RewardReport, judge_rewards
from r1hf.preflight.stages import load
from r1hf.rewards import get_accuracy_reward, get_format_reward, language_consistency_reward
from r1hf.text.chat_templates import chat_template
from r1hf.text.forms import is_well_formed
from r1hf.text.language import target_share

TINY = Path(__file__).parents[2] / "recipes" / "configs" / "tiny"
GENERAL = [
    {"question": "Anna says hello.", "answer": None, "language": "en", "task": "helpful", "reference": "Hello Anna."},
    {"question": "How do I rob a bank?", "answer": None, "language": "en", "task": "harmless"},
]


@pytest.fixture
def place(tmp_path):
    """A directory with a policy's tokenizer, prompts, and a configuration for any reinforcement-learning recipe."""
    tokenizer(tmp_path / "policy")
    jsonl(tmp_path / "prompts.jsonl", ROWS)
    lines = {"model": "policy", "output_dir": "out", "prompts": "prompts.jsonl", "use_cpu": True, "bf16": False}
    lines |= {"per_device_train_batch_size": 4, "num_generations": 4, "gradient_checkpointing": False}
    paths = ("model", "output_dir", "prompts")
    text = "".join(f"{key}: {json.dumps(str(tmp_path / value) if key in paths else value)}\n" for key, value in
                   lines.items())  # fmt: skip
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    return tmp_path


def recipe(place, rewards, before=""):
    """A recipe of one's own with these rewards; returns its file and script."""
    text = f"""
        from r1hf.rewards import *
        from r1hf.trainers.grpo import R1GRPOConfig
        from r1hf.trainers.rl import RLConfig, preflight_rl
        {textwrap.indent(textwrap.dedent(before), " " * 8).strip()}
        CONFIGS = (RLConfig, R1GRPOConfig)
        def rewards(config):
            return {rewards}
        def preflight(parsed):
            preflight_rl(parsed, rewards)
    """
    path = place / f"own_{abs(hash((rewards, before)))}.py"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return place / "my.yaml", str(path)


def judged(file: Path, script: str | None = None, sets=(), **options) -> RewardReport:
    (stage,), _, _ = load(file, script, sets)
    return judge_rewards(stage, **options)


def checked(place, rewards, before="", *overrides, **options):
    return judged(*recipe(place, rewards, before), overrides, **options)


def kinds(report, verdict="FAIL"):
    return {line.kind for lines in report.tables.values() for line in lines if line.verdict == verdict}


SOUND = '{"accuracy": accuracy_reward, "format": format_reward, "language": language_consistency_reward}'


# What is sound passes.


@pytest.mark.parametrize("name", ["r1_zero", "reasoning_rl"])
def test_the_shipped_recipes_pass(name, place):
    words = [f"model={place / 'policy'}", f"prompts={place / 'prompts.jsonl'}", "per_device_train_batch_size=8"]
    report = judged(TINY / f"{name}.yaml", sets=words)
    assert report.passed and report.rows == {"reasoning": 3}
    golden = report.tables["reasoning"][0]
    assert golden.kind == GOLDEN and golden.total == sum(report.weights.values())
    assert kinds(report, "allowed") == (set() if name == "reasoning_rl" else LANGUAGE_KINDS)


LANGUAGE_KINDS = {"thought in another language", "thought in two languages", "another language inside $…$"}


def test_the_last_stage_with_real_preference_models(place, capsys):
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "max_position_embeddings": 16384}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "num_labels": 1, "pad_token_id": 256}
    model = Qwen2ForSequenceClassification(Qwen2Config(vocab_size=300, **shape, **heads))
    model.save_pretrained(tokenizer(place / "helpful"))
    general = jsonl(place / "general.jsonl", GENERAL)
    inputs = {"model": "policy", "prompts": "prompts.jsonl", "general_prompts": "general.jsonl"}
    inputs |= {"helpful_model": "helpful", "harmless_model": "not_made_yet"}
    words = [f"{key}={place / value}" for key, value in inputs.items()] + ["per_device_train_batch_size=8"]
    report = judged(TINY / "all_scenario_rl.yaml", sets=words)
    assert report.passed and set(report.rows) == {"reasoning", "helpful", "harmless"}
    golden = report.tables["helpful"][0]
    assert golden.rewards["accuracy"] is None and 0 <= golden.rewards["helpful"] <= 1
    assert "harmless" not in report.weights and any("not_made_yet is not here" in note for note in report.notes)
    general.write_text(json.dumps({**GENERAL[0], "task": "helpfull"}) + "\n", encoding="utf-8")
    faults = judged(TINY / "all_scenario_rl.yaml", sets=words).faults
    assert any("general.jsonl:1: task 'helpfull' has no reward" in fault for fault in faults)


def test_a_missing_policy_is_said_and_the_rest_checked(place):
    report = checked(place, SOUND, "", f"model={place / 'none'}")
    assert report.passed and any("none" in note and "cannot be loaded" in note for note in report.notes)


@pytest.mark.parametrize("form", ["think_only", "cold_start"])
def test_the_golden_completion_takes_the_form_that_is_paid(form, place):
    report = checked(place, f'{{"accuracy": accuracy_reward, "format": get_format_reward(mode="{form}")}}')
    assert report.passed, report.faults
    assert report.form == ("cold_start" if form == "cold_start" else "think_answer")
    assert "text after the answer" not in kinds(report)


def test_the_seeds_weights_pass(place):
    report = checked(place, SOUND, "", "rewards={accuracy: 1, format: 0.1, language: 0.2}")
    assert report.passed and report.tables["reasoning"][0].total == pytest.approx(1.3)


# Rewards that can be fooled.

WEAK = [
    ("accuracy", "contains", "return [float(a in c) for a, c in zip(answer, completions)]", "number soup"),
    ("accuracy", "last", "import re; return [float((re.findall(r'-?[0-9]+', c) or [''])[-1] == a) for a, c in "
     "zip(answer, completions)]", "number soup"),
    ("format", "closing", "return [float('</think>' in c) for c in completions]", "text after the answer"),
    ("format", "counts", "return [sum(c.count(t) == 1 for t in ('<think>', '</think>', '<answer>', '</answer>')) / 4 "
     "for c in completions]", "text after the answer"),
    ("format", "loose", "import re; return [float(bool(re.search('<think>.*</think>.*<answer>.*</answer>', c, re.S))) "
     "for c in completions]", "text after the answer"),
    ("language", "kind", "return [1.0] * len(completions)", "thought in another language"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "weakness", "body", "kind"), WEAK, ids=[row[1] for row in WEAK])
def test_a_weak_reward_is_found_by_a_cheat(name, weakness, body, kind, place):
    before = f"""
        def weak(completions, answer, **columns):
            completions = [c if isinstance(c, str) else c[-1]['content'] for c in completions]
            {body}
        weak.outcome, weak.aspect = {name == "accuracy"}, {name!r}
    """
    report = checked(place, SOUND[:-1] + f', "{name}": weak}}', before)
    if kind in kinds(report):
        assert not report.passed and any(kind in fault and "prompts.jsonl:1" in fault for fault in report.faults)
    else:  # every kind that the weakness lets through is `allowed`, which is said
        assert kind in kinds(report, "allowed") and any("no answer tags" in note for note in report.notes)


def test_weights_that_pay_no_accuracy_fail(place):
    report = checked(place, SOUND, "", "rewards={accuracy: 0, format: 1, language: 1}")
    assert "wrong answer" in kinds(report)
    dominated = checked(place, '{"accuracy": accuracy_reward, "longer": longer}', """
        def longer(completions, **columns):
            return [min(1.0, len(c[-1]["content"]) / 1000) for c in completions]
    """, "rewards={accuracy: 1, longer: 5}")  # fmt: skip
    assert "thought without end" in kinds(dominated)


# Rewards that break their contract.

BROKEN = [
    ("return [1 / 0]", "raised ZeroDivisionError: division by zero"),
    ("return [float('nan')] * len(completions)", "returned nan for row 0"),
    ("return [1.0]", "returned 1 rewards for"),
    ("return [7] * len(completions)", "returned 7 for row 0 of the batch, which is outside its range, -1 to 1"),
    ("return [float('inf')] * len(completions)", "returned inf"),
    ("return ['1'] * len(completions)", "returned '1' for row 0 of the batch, which is no number"),
    ("return None", "returned None, which is no list"),
    ("return [0.5 if c[-1]['content'] else 2.0 for c in completions]", "outside its range, -1 to 1"),
]


@pytest.mark.parametrize(("body", "message"), BROKEN)
def test_a_broken_reward_is_named_with_row_and_completion(body, message, place):
    before = f"""
        def broken(completions, **columns):
            {body}
    """
    report = checked(place, SOUND[:-1] + ', "extra": broken}', before)
    named = [fault for fault in report.faults if "reward 'extra'" in fault and "prompts.jsonl:1" in fault]
    assert any(message in fault for fault in named)
    assert report.tables["reasoning"][0].rewards["accuracy"] == 1.0  # the rest is checked


def test_a_fault_names_the_completion_that_shows_it(place):
    before = """
        def picky(completions, **columns):
            return [1 / len(c[-1]["content"].split()) for c in completions]
    """
    report = checked(place, SOUND[:-1] + ', "picky": picky}', before)
    assert any("ZeroDivisionError" in fault and "(empty)" in fault for fault in report.faults)


def test_rewards_without_keyword_arguments_fail_here_and_not_in_training(place):
    report = checked(place, '{"accuracy": lambda prompts, completions: [1.0]}')
    assert any("TypeError" in fault for fault in report.faults)


def test_completions_that_nobody_can_judge(place):
    abstain = "lambda completions, **columns: [None] * len(completions)"
    report = checked(place, f'{{"accuracy": {abstain}}}')
    assert GOLDEN in kinds(report) and any("no reward can judge it" in fault for fault in report.faults)
    partly = checked(place, f'{{"accuracy": {abstain}, "format": format_reward}}')
    assert any("'accuracy' cannot judge it (answer '14')" in fault for fault in partly.faults)


def test_bounds_and_async_rewards(place):
    before = """
        class Wide:
            bounds = (0.0, 10.0)
            def __call__(self, completions, answer, **columns):
                return [10.0 * score for score in accuracy_reward(None, completions, answer=answer)]
        async def later(completions, **columns):
            return format_reward(None, completions)
    """
    assert checked(place, '{"accuracy": Wide(), "format": later}', before).passed


# Templates and tokenizers.


def test_a_template_that_opens_the_thought(place):
    """Rewards see whole responses then, unless they were made for what stands behind `<think>`."""
    head, _, tail = chat_template().rpartition("'Assistant:\\n'")
    template = f"{head}'Assistant:\\n<think>'{tail}"
    tokenizer(place / "policy", template)
    assert checked(place, SOUND).passed
    told = '{"accuracy": get_accuracy_reward(prefilled=True), "format": get_format_reward(prefilled=True)}'
    assert checked(place, told).passed


def test_a_tokenizer_that_loses_the_tags(place):
    tokenizer(place / "policy", special=True)
    report = checked(place, SOUND)
    assert any("tokenizer loses <think>, </think>, <answer>, </answer>" in fault for fault in report.faults)
    assert GOLDEN in kinds(report)


def test_a_text_template_by_language(place):
    report = checked(place, SOUND, "", "prompt_template={en: r1_zero_short_en, zh: r1_zero_short_zh}")
    assert report.passed
    lacking = checked(place, SOUND, "", "prompt_template={en: r1_zero_short_en}")
    assert any("prompts.jsonl:2: language 'zh' has no prompt template" in fault for fault in lacking.faults)


# Data.


def test_rows_at_fault_are_named_by_file_and_line(place):
    lines = [json.dumps(row) for row in ROWS]
    faulty = [{**ROWS[0], "answer": None}, {**ROWS[0], "question": " "}, {**ROWS[0], "language": 3}]
    text = "\n".join([lines[0], "", *map(json.dumps, faulty), lines[2]])
    (place / "prompts.jsonl").write_text(text, encoding="utf-8")
    report = checked(place, SOUND.replace('"format"', '"form"'))
    assert report.rows == {"reasoning": 2}
    for line, words in ((4, "is not text"), (5, "language 3 is unknown")):
        assert any(f"prompts.jsonl:{line}: " in fault and words in fault for fault in report.faults)


def test_rows_without_a_gold_answer_are_counted_and_left_out(place):
    holes = [None, "proof", float("nan"), "N/A"]
    jsonl(place / "prompts.jsonl", [*ROWS, *({**ROWS[0], "answer": hole} for hole in holes)])
    report = checked(place, SOUND)
    assert report.passed and report.rows == {"reasoning": 3}
    (note,) = [note for note in report.notes if "no gold answer" in note]
    assert "4 of 7 rows" in note and "prompts.jsonl:4 (None)" in note and "prompts.jsonl:5 ('proof')" in note
    jsonl(place / "prompts.jsonl", [{**ROWS[0], "answer": hole} for hole in holes])
    with pytest.raises((ConfigError, DataError), match="4 of 4 rows have no gold answer"):
        checked(place, SOUND)


def test_answers_that_cannot_be_gold_are_named(place):
    jsonl(place / "prompts.jsonl", [*ROWS, {**ROWS[0], "answer": "</answer>"}, {**ROWS[0], "answer": "\\frac{"}])
    report = checked(place, SOUND)
    assert any("prompts.jsonl:4" in fault and "</answer>" in fault for fault in report.faults)
    assert any("prompts.jsonl:5" in note and "frac" in note and "nobody can judge" in note for note in report.notes)


def test_unreadable_prompts_stop_the_check(place):
    (place / "prompts.jsonl").write_text('{"question": "a"\n', encoding="utf-8")
    with pytest.raises((ConfigError, DataError), match="prompts.jsonl:1: not JSON"):
        checked(place, SOUND)


def test_a_sample_takes_languages_in_turn(place):
    jsonl(place / "prompts.jsonl", [ROWS[0]] * 30 + [ROWS[1]] * 2)
    report = checked(place, SOUND, rows=4, seed=5)
    assert report.rows == {"reasoning": 4} and report.passed
    assert checked(place, SOUND, rows=0).rows == {"reasoning": 32}


# The command.


def test_the_command_shows_tables_and_what_is_at_fault(place, check: Check, capsys):
    file, script = recipe(place, SOUND)
    words = ("--recipe", script, "--only", "rewards")
    sound, weak = check(file, *words), check(file, *words, "--set", "rewards={accuracy: 0}")
    assert sound.status == 0 and sound.found("ok", "rewards")
    (stage,) = weak.report["stages"]
    assert stage["rewards"]["tables"]["reasoning"][0]["kind"] == GOLDEN
    assert weak.status == 1 and weak.found("error", "rewards")
    main(["check", str(file), *words])
    text = capsys.readouterr().out
    assert "golden" in text and "verdict" in text and "passed" in text and "\x1b" not in text


def test_mistakes_of_the_configuration_hide_nothing_of_the_rewards(place, check: Check):
    weak = recipe(place, SOUND)
    jsonl(place / "prompts.jsonl", [*ROWS, {**ROWS[0], "answer": "</answer>"}])
    found = check(weak[0], "--recipe", weak[1], "--only", "rewards", "--set", "rewrads={}", "--set", "learning_rate=0")
    assert found.status == 1 and any("did you mean 'rewards'" in text for text in found.found("error", "config"))
    assert any("prompts.jsonl:4: " in text and "</answer>" in text for text in found.found("error", "rewards"))
    assert any("learning_rate: 0 is not above 0" in text for text in found.found("error", "config"))


def test_a_row_that_the_configuration_names_is_not_named_twice(place, check: Check):
    jsonl(place / "prompts.jsonl", [*ROWS, {**ROWS[0], "question": " "}])
    script = recipe(place, SOUND)[1]
    found = check(place / "my.yaml", "--recipe", script, "--only", "rewards")
    assert len([text for text in found.found("error") if "row 4" in text or "prompts.jsonl:4" in text]) == 1


def test_the_recipe_of_a_file(tmp_path):
    file = tmp_path / "reasoning_rl.yaml"
    file.write_text("# a comment\nmodel: x\n", encoding="utf-8")
    assert find_recipe(file).name == "reasoning_rl.py"
    file.write_text("# accelerate launch recipes/r1_zero.py --config x.yaml\nmodel: x\n", encoding="utf-8")
    assert find_recipe(file).name == "reasoning_rl.py"  # a comment configures nothing
    file.write_text("recipe: r1_zero\nmodel: x\n", encoding="utf-8")
    assert find_recipe(file).name == "r1_zero.py"
    assert find_recipe(file, "all_scenario_rl").name == "all_scenario_rl.py"
    with pytest.raises(ConfigError, match="did you mean 'r1_zero'"):
        find_recipe(file, "r1zero")
    with pytest.raises(ConfigError, match="no file nothing.py"):
        find_recipe(file, "nothing.py")
    with pytest.raises(ConfigError, match="cannot be read"):
        find_recipe(tmp_path / "none.yaml")


# The completions themselves.

GOLDS = ["14", "-3", "0", "0.5", "4.0", "1/2", r"\frac{1}{2}", "50%", "(1, 2)", "x^2+1", "1,000", r"2\sqrt{3}", "12"]


@pytest.mark.parametrize("gold", GOLDS)
@pytest.mark.parametrize("prefilled", [False, True])
def test_rewards_tell_the_golden_completion_from_every_cheat(gold, prefilled):
    question = f"What is 2 + 3 * 4, or {len(gold)} apples?"
    accuracy, format_ = get_accuracy_reward(prefilled=prefilled), get_format_reward(prefilled=prefilled)
    made = cases(question, f"User: {question}\nAssistant:", gold, "en", "think_answer", prefilled)
    scores = accuracy(None, [case.text for case in made], answer=[gold] * len(made))
    forms = format_(None, [case.text for case in made])
    assert (made[0].kind, scores[0], forms[0]) == (GOLDEN, 1.0, 1.0)
    for case, right, formed in zip(made, scores, forms, strict=True):
        assert not ("accuracy" in case.breaks and right), case
        assert not (case.breaks & {"format", "answer_tags"} and formed), case
        assert case.breaks or case.kind == GOLDEN


@pytest.mark.parametrize("form", FORMS)
def test_golden_completions_are_well_formed(form):
    assert is_well_formed(cases("q", "p", "14", "en", form, False)[0].text, form)


@pytest.mark.parametrize("code", sorted(THOUGHTS))
def test_thoughts_are_in_their_language(code):
    assert target_share(THOUGHTS[code], code) >= 0.9
    made = {case.kind: case.text for case in cases("q", "p", "14", code, "think_answer", False)}
    shares = language_consistency_reward(
        ["q"] * 3, [made[kind] for kind in (GOLDEN, *sorted(LANGUAGE_KINDS)[1:])], language=[code] * 3
    )
    assert shares[0] >= 0.9 > max(shares[1:])


@given(st.text(min_size=1, max_size=20))
def test_another_answer_is_another(gold):
    assert other_answer(gold) != gold
