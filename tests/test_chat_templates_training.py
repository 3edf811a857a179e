"""The chat templates through the real trainers: TRL's labels, a student that learns, RL's rewards, and vLLM."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from chat_bases import BASES, save
from small_run import SFT, answered, arguments, recipe, run_recipe, write
from test_chat_templates import EXAMPLES
from test_trainers import sft_trainer
from transformers import AutoTokenizer, GenerationConfig
from vllm_run import ask, vllm

from r1hf.core.errors import ConfigError
from r1hf.evaluation import judge
from r1hf.models.loading import load_tokenizer
from r1hf.models.transformers_sampling import TransformersSampler
from r1hf.preflight.settings.round_trip import check_template
from r1hf.rewards import accuracy_reward, format_reward, get_format_reward, only_for
from r1hf.rewards.prefilled import prefilled
from r1hf.text.chat_templates import FAMILIES, dress

PLAIN = {"question": "Hello.", "completion": "Hello!"}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base of each family as it comes: no chat template, and an end token that ends documents."""
    directory = tmp_path_factory.mktemp("bases")
    return {name: save(BASES[name](), name, directory / name) for name in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefill", [False, True])
@pytest.mark.parametrize("assistant_only", [False, True])
def test_trl_trains_the_completion_and_its_end(
    family: str, prefill: bool, assistant_only: bool, bases: dict[str, Path], tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(str(bases[family]))
    dress(tokenizer, "auto", prefill)
    rows = [*answered(3), PLAIN]
    more = {"per_device_train_batch_size": 4, "assistant_only_loss": assistant_only}
    trainer = sft_trainer(bases[family], tmp_path, rows, tokenizer, **more)
    (batch,) = trainer.get_train_dataloader()
    found = {}
    for ids, labels, real in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
        used = labels != -100
        assert torch.equal(ids[used], labels[used])
        found[tokenizer.decode(ids[~used & real.bool()])] = tokenizer.decode(labels[used])
    assert len(found) == len(rows)
    for row in rows:
        question = [{"role": "user", "content": row["question"]}]
        asked = tokenizer.apply_chat_template(question, add_generation_prompt=True, tokenize=False)
        target = row["completion"]
        if prefill:
            target = target.removeprefix("<think>") if row is not PLAIN else f"</think>\n\n{target}"
        assert found[asked] == target + tokenizer.eos_token


def test_what_cannot_be_dressed_is_told_before_training(bases: dict[str, Path], tmp_path: Path) -> None:
    data = write(tmp_path / "rows.jsonl", answered(8))
    given = {"model": bases["qwen"], "data": data, "output_dir": tmp_path / "out"}
    for more, words in (
        ({}, "has no chat template"),
        ({"prefill_think": True}, "prefill_think: needs chat_template"),
        ({"chat_template": "llama"}, "chat_template: the chat template 'llama' writes <|eot_id|>"),
        ({"chat_template": "chat", "prefill_think": True}, "cannot prefill"),
    ):
        with pytest.raises(ConfigError) as error:
            recipe("distill").main(arguments("distill.yaml", **given, **more))
        assert words in str(error.value)


def test_the_check_judges_the_template_that_will_be_used(bases: dict[str, Path]) -> None:
    def found(**values: Any) -> list[str]:
        tokenizer = load_tokenizer(str(bases["llama"]))
        items = check_template({"completion_only_loss": True, **values}, tokenizer, str(bases["llama"]))
        return [f"{item.grade}: {item.found}" for item in items]

    assert any("error: the tokenizer" in one and "no chat template" in one for one in found())
    good = found(chat_template="auto", prefill_think=True)
    assert not [one for one in good if one.startswith("error")], good
    assert any("<think> is prefilled" in one for one in good)
    assert any("error: " in one and "fits 'llama'" in one for one in found(chat_template="qwen"))


def test_rewards_see_the_tag_that_the_prompt_holds() -> None:
    prompt = "Why?<think>\n"
    text, more = "2 + 2 = 4\n</think>\n\n<answer>4</answer>", {"answer": ["4"], "task": ["reasoning"]}
    whole, turns = f"<think>\n{text}", [[{"role": "assistant", "content": text}]]
    split = [[{"role": "assistant", "reasoning_content": "2 + 2 = 4", "content": "<answer>4</answer>"}]]
    for reward in (format_reward, accuracy_reward, only_for(accuracy_reward, "reasoning", ("reasoning",))):
        opened: Callable[..., Any] = prefilled(reward, prompt)
        assert [opened([""], given, **more) for given in ([text], turns, split)] == [[1.0]] * 3
        assert prefilled(reward, "Why?") is reward and opened.__name__ == reward.__name__
        assert reward(prompts=[""], completions=[whole], **more) == [1.0]
    assert format_reward([""], [text]) == [0.0]
    own = get_format_reward(prefilled=True)
    assert prefilled(own, prompt) is own
    routed = only_for(own, "reasoning", ("reasoning",))
    assert prefilled(routed, prompt) is routed


@pytest.fixture(scope="module", params=list(FAMILIES))
def student(request: pytest.FixtureRequest, bases: dict[str, Path], tmp_path_factory: Any) -> Path:
    """Four right answers by heart, prompts that end in <think>."""
    directory = tmp_path_factory.mktemp("student")
    data = write(directory / "rows.jsonl", answered(4))
    training = {**SFT, "max_steps": 220, "learning_rate": 5e-3, "logging_steps": 50, "max_length": None}
    dressed = {"chat_template": "auto", "prefill_think": True}
    return run_recipe(
        "distill", model=bases[request.param], data=data, output_dir=directory / "out", **training, **dressed
    )


@pytest.mark.slow
def test_a_prefilled_student_through_sampling_rl_and_vllm(student: Path, tmp_path: Path) -> None:
    rows, sampler = answered(4), TransformersSampler(str(student))
    tokenizer = AutoTokenizer.from_pretrained(student)
    prompts = sampler.chat([row["question"] for row in rows])
    assert all(prompt.endswith("<think>\n") for prompt in prompts)
    samples = [one for (one,) in sampler.sample(prompts, 1, temperature=0.01, max_new_tokens=80)]
    judged = [judge(row, one) for row, one in zip(rows, samples, strict=True)]
    assert [(one.correct, one.well_formed) for one in judged] == [(True, True)] * 4
    assert GenerationConfig.from_pretrained(student).eos_token_id == tokenizer.eos_token_id

    tuned = {"max_steps": 1, "num_generations": 4, "per_device_train_batch_size": 16, "max_completion_length": 80}
    tuned |= {"logging_steps": 1, "warmup_steps": 0, "temperature": 0.1}
    prompted = write(tmp_path / "prompts.jsonl", rows)
    run_recipe("reasoning_rl", model=student, prompts=prompted, output_dir=tmp_path / "rl", **tuned)
    first = json.loads((tmp_path / "rl/log.jsonl").read_text().splitlines()[0])
    assert first["rewards/format_reward/mean"] > 0.9 and first["rewards/accuracy_reward/mean"] > 0.9

    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed: its part was left out")
    with vllm(str(student), os.environ, length=512) as port:
        same_tokens(port, student, tokenizer)
        for row, one in zip(rows, samples, strict=True):
            messages = [{"role": "user", "content": row["question"]}]
            asked = {"model": str(student), "messages": messages, "temperature": 0, "max_tokens": 80}
            choice = ask(port, "/v1/chat/completions", asked)["choices"][0]
            assert choice["finish_reason"] == "stop" and f"<think>\n{choice['message']['content']}" == one.text


def same_tokens(port: int, student: Path, tokenizer: Any) -> None:
    """vLLM makes the prompts of Transformers, whatever the choice and the history."""
    for messages in EXAMPLES:
        for options in ({}, {"prefill_think": False}, {"keep_reasoning": True}):
            body = {"model": str(student), "messages": messages, "chat_template_kwargs": options}
            prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False, **options)
            assert ask(port, "/tokenize", body)["tokens"] == list(prompt), (messages, options)
