"""Tokenizers and templates that would spoil a training in silence, found before it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_run import answered, arguments, recipe, write
from test_trainers import policy_trainer, sft_trainer
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerBase

from r1hf.core.errors import ConfigError, DataError
from r1hf.models.loading import load_tokenizer
from r1hf.rewards import accuracy_reward
from r1hf.rewards.guard import guarded
from r1hf.text import template_checks


def copied(base: Path, directory: Path) -> Path:
    return shutil.copytree(base, directory, ignore=shutil.ignore_patterns("data", "student*", "manifest.json"))


def with_special_tags(base: Path) -> PreTrainedTokenizerBase:
    tokenizer = load_tokenizer(str(base))
    tokenizer.add_tokens([AddedToken("<reason>", special=True)], special_tokens=True)
    return tokenizer


def names(found: list[template_checks.Finding]) -> list[str]:
    return [finding.name for finding in found]


def test_our_own_tokenizer_is_sound(tiny_base: Path) -> None:
    assert not [finding for finding in template_checks.findings(load_tokenizer(str(tiny_base))) if finding.fatal]


def test_a_special_tag_is_found(tiny_base: Path) -> None:
    (found,) = template_checks.special_tags(with_special_tags(tiny_base), ["<think>", "<reason>"])
    assert found.fatal and "<reason>" in str(found) and "<think>" not in str(found)


def test_a_template_without_an_end_is_found(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    tokenizer.chat_template = tokenizer.chat_template.replace("content + eos_token", "content")
    assert names(template_checks.turn_end(tokenizer)) == ["turn_without_eos"]


def test_another_end_of_the_generation_config_counts(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    other = tokenizer.encode("</answer>", add_special_tokens=False)
    assert len(other) == 1
    tokenizer.chat_template = tokenizer.chat_template.replace("content + eos_token", "content + '</answer>'")
    assert names(template_checks.turn_end(tokenizer)) == ["turn_without_eos"]
    assert template_checks.turn_end(tokenizer, other) == []


def test_a_tokenizer_without_an_end_and_a_broken_template(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    tokenizer.chat_template = "{{ raise_exception('only for tools') }}"
    (found,) = template_checks.turn_end(tokenizer)
    assert "only for tools" in found.problem
    tokenizer.eos_token = None
    assert names(template_checks.turn_end(tokenizer)) == ["no_eos"]


def test_padding_with_the_end_is_a_warning(tiny_base: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    tokenizer.pad_token = tokenizer.eos_token
    (found,) = template_checks.padding(tokenizer)
    assert not found.fatal


@pytest.mark.parametrize(
    ("labels", "cut", "expected"),
    [
        ([[-100, 5, 2], [-100, -100, 2]], None, []),
        ([[-100, 5, -100], [-100, 6, -100]], None, ["end_untrained"]),
        ([[-100, 5, -100], [-100, 6, -100]], 3, []),
    ],
)
def test_an_end_that_no_row_trains_is_found(labels: list[list[int]], cut: int | None, expected: list[str]) -> None:
    ids = [[1, 5, 2]] * len(labels)
    assert names(template_checks.end_untrained(ids, labels, {2}, cut)) == expected


def test_preflight_shows_both_faults_of_a_model(tiny_base: Path, tmp_path: Path) -> None:
    """Before anything is trained, and with what to do."""
    model = copied(tiny_base, tmp_path / "model")
    path = model / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for token in content["added_tokens"]:
        token["special"] = token["special"] or token["content"] == "<think>"
    path.write_text(json.dumps(content), encoding="utf-8")
    settings = model / "tokenizer_config.json"
    content = json.loads(settings.read_text(encoding="utf-8"))
    for token in content.get("added_tokens_decoder", {}).values():
        token["special"] = token["special"] or token["content"] == "<think>"
    settings.write_text(json.dumps(content), encoding="utf-8")
    chat = model / "chat_template.jinja"
    chat.write_text(chat.read_text(encoding="utf-8").replace("content + eos_token", "content"), encoding="utf-8")

    prompts = write(tmp_path / "prompts.jsonl", answered(64))
    given = arguments("reasoning_rl.yaml", model=model, prompts=prompts, output_dir=tmp_path / "out")
    with pytest.raises(ConfigError) as error:
        recipe("reasoning_rl").main(given)
    text = str(error.value)
    assert "<think> as special" in text and "special=False" in text
    assert "no end token" in text and "eos_token" in text
    assert not (tmp_path / "out").exists()


def test_fine_tuning_refuses_rows_that_train_no_end(tiny_base: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    tokenizer.chat_template = tokenizer.chat_template.replace("content + eos_token", "content")
    with pytest.raises(DataError, match="no end token"):
        sft_trainer(tiny_base, tmp_path, answered(4), tokenizer)


def test_a_reward_without_its_column_ends_the_run(tiny_base: Path, tmp_path: Path) -> None:
    rows = [{name: value for name, value in row.items() if name != "answer"} for row in answered(16)]
    trainer = policy_trainer(tiny_base, tmp_path, [guarded(accuracy_reward)], rows=rows)
    with pytest.raises(DataError, match="accuracy.*needs the column 'answer'.*language"):
        trainer.train()


def test_a_row_without_the_column_is_named(tiny_base: Path, tmp_path: Path) -> None:
    rows = answered(64)
    del rows[40]["question"]
    prompts = write(tmp_path / "prompts.jsonl", rows)
    given = arguments("reasoning_rl.yaml", model=tiny_base, prompts=prompts, output_dir=tmp_path / "out")
    with pytest.raises(ConfigError, match="row 41: no column question"):
        recipe("reasoning_rl").main(given)
