"""The trainers, run for real on toy models: the loss is on the target, rewards steer, equal seeds are equal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from small_run import CPU, answered
from transformers import PreTrainedTokenizerBase, Trainer, TrainerCallback

from r1hf.core.config import StageConfig, parse
from r1hf.core.errors import DataError, StageError
from r1hf.data.rows import Row, load_rows
from r1hf.models.loading import load_model, load_tokenizer
from r1hf.stage.libraries import set_seed
from r1hf.stage.stage import Stage
from r1hf.trainers.callbacks import train
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer, check_prompt_count
from r1hf.trainers.rl import prompt_rows
from r1hf.trainers.sft import R1SFTConfig, R1SFTTrainer
from r1hf.trainers.sft_rows import sft_dataset
from r1hf.world import general


def test_the_rate_of_fine_tuning_falls_to_a_tenth(tiny_base: Path, tmp_path: Path) -> None:
    trainer = sft_trainer(tiny_base, tmp_path, answered(16), max_steps=4, per_device_train_batch_size=4)
    trainer.train()
    rates = [row["learning_rate"] for row in trainer.state.log_history if "learning_rate" in row]
    assert rates[0] == pytest.approx(5e-5)
    assert trainer.lr_scheduler.get_last_lr()[0] == pytest.approx(5e-6)


# Supervised fine-tuning


def sft_trainer(
    base: Path,
    directory: Path,
    rows: Iterable[Row],
    tokenizer: PreTrainedTokenizerBase | None = None,
    **settings: Any,
) -> R1SFTTrainer:
    args = R1SFTConfig(output_dir=str(directory), **{**CPU, "max_steps": 1, **settings})
    tokenizer = tokenizer or load_tokenizer(str(base))
    return R1SFTTrainer(model=str(base), args=args, train_dataset=sft_dataset(rows), processing_class=tokenizer)


def test_the_loss_is_on_the_target_and_its_end_only(tiny_base: Path, tmp_path: Path) -> None:
    rows = answered(6) + general.sft_rows(6, seed=1)
    trainer = sft_trainer(tiny_base, tmp_path, rows, per_device_train_batch_size=12)
    tokenizer = trainer.processing_class
    (batch,) = trainer.get_train_dataloader()
    trained, context = [], []
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        used = labels != -100
        assert torch.equal(ids[used], labels[used])
        trained.append(tokenizer.decode(labels[used]))
        context.append(tokenizer.decode(ids[~used], skip_special_tokens=True))
    assert sorted(trained) == sorted(row["completion"] + tokenizer.eos_token for row in rows)
    assert sorted(context) == sorted(f"User: {row['question']}\nAssistant:\n" for row in rows)


def stripping(base: Path) -> PreTrainedTokenizerBase:
    """DeepSeek's own published template, as TRL ships it: it cuts the thinking out of every assistant turn."""
    tokenizer = load_tokenizer(str(base))
    template = resources.files("trl") / "chat_templates" / "deepseek_r1_distill.jinja"
    tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


def test_a_template_that_drops_the_reasoning_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="template drops part of the target.*<think>"):
        sft_trainer(tiny_base, tmp_path, answered(4), stripping(tiny_base))


def test_it_is_refused_wherever_the_first_thought_stands(tiny_base: Path, tmp_path: Path) -> None:
    """A mix is shuffled: its first row may well be a plain answer that the template leaves alone."""
    rows = [{"question": "Hi.", "completion": "Hello."}, *answered(4)]
    with pytest.raises(DataError, match="template drops part of the target"):
        sft_trainer(tiny_base, tmp_path, rows, stripping(tiny_base))


def test_a_row_beyond_the_limit_is_not_blamed_on_the_template(tiny_base: Path, tmp_path: Path) -> None:
    try:
        sft_trainer(tiny_base, tmp_path, answered(4), max_length=24)
    except DataError as error:
        assert "max_length" in str(error) and "template" not in str(error)


def test_our_template_passes_with_any_order_of_rows(tiny_base: Path, tmp_path: Path) -> None:
    rows = answered(3) + [{"question": "Hi.", "completion": "Hello."}] + general.sft_rows(3, seed=2)
    for start in range(len(rows)):
        sft_trainer(tiny_base, tmp_path, rows[start:] + rows[:start])


def test_a_model_is_left_where_it_was_and_learns(tiny_base: Path, tmp_path: Path) -> None:
    trainer = sft_trainer(tiny_base, tmp_path, answered(8), max_steps=12, learning_rate=3e-3, logging_steps=1)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[-1] < losses[0] - 0.5
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}


# GRPO


def by_length(prompts: list[Any], completions: list[str], **columns: Any) -> list[float]:
    return [float(len(text)) for text in completions]


def by_vowels(prompts: list[Any], completions: list[str], **columns: Any) -> list[float]:
    return [float(sum(char in "aeiou" for char in text)) for text in completions]


def second_half_only(prompts: list[Any], completions: list[str], **columns: Any) -> list[float | None]:
    return [None if n < len(completions) / 2 else 1.0 for n in range(len(completions))]


def policy_trainer(
    base: Path,
    directory: Path,
    rewards: list[Callable[..., Any]],
    rows: list[Row] | None = None,
    template: dict[str, str] | str | None = "r1_zero_short_en",
    **settings: Any,
) -> R1GRPOTrainer:
    defaults = {"per_device_train_batch_size": 16, "num_generations": 4, "max_completion_length": 12, "max_steps": 2}
    args = R1GRPOConfig(output_dir=str(directory), **{**CPU, **defaults, "learning_rate": 1e-3, **settings})
    return R1GRPOTrainer(
        model=str(base),
        reward_funcs=rewards,
        args=args,
        train_dataset=Dataset.from_list(prompt_rows(rows or answered(16), template)),
        processing_class=load_tokenizer(str(base)),
    )


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def logged(trainer: Trainer) -> list[Row]:
    """The log without what the clock wrote."""
    return [
        {key: value for key, value in row.items() if "time" not in key and "runtime" not in key and "_per_" not in key}
        for row in trainer.state.log_history
    ]


def trained(trainer: R1GRPOTrainer) -> R1GRPOTrainer:
    set_seed(trainer.args.seed)
    trainer.train()
    return trainer


def test_the_same_seed_gives_the_same_weights_and_log_and_another_seed_others(tiny_base: Path, tmp_path: Path) -> None:
    one, two = (trained(policy_trainer(tiny_base, tmp_path, [by_length])) for _ in range(2))
    other = trained(policy_trainer(tiny_base, tmp_path, [by_length], seed=8))
    start = load_model(str(tiny_base)).state_dict()
    assert same(weights(one), weights(two)) and logged(one) == logged(two)
    assert not same(weights(one), start)
    assert not same(weights(one), weights(other)) and logged(one) != logged(other)


def test_the_reward_steers_the_policy(tiny_base: Path, tmp_path: Path) -> None:
    settings = {"max_steps": 20, "learning_rate": 5e-3, "beta": 0.0, "sync_ref_model": False}
    trainer = trained(policy_trainer(tiny_base, tmp_path, [by_vowels], **settings))
    rewards = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 1


def test_a_weight_of_zero_logs_and_does_not_pay(tiny_base: Path, tmp_path: Path) -> None:
    both = trained(policy_trainer(tiny_base, tmp_path, [by_length, by_vowels], reward_weights=[1.0, 0.0]))
    alone = trained(policy_trainer(tiny_base, tmp_path, [by_length]))
    paid = trained(policy_trainer(tiny_base, tmp_path, [by_length, by_vowels], reward_weights=[1.0, 1.0]))
    assert same(weights(both), weights(alone)) and not same(weights(both), weights(paid))
    for row in logged(both)[:-1]:
        assert row["reward"] == pytest.approx(row["rewards/by_length/mean"])
        assert row["rewards/by_vowels/mean"] > 0


def test_what_a_reward_could_not_judge_is_logged(tiny_base: Path, tmp_path: Path) -> None:
    trainer = trained(policy_trainer(tiny_base, tmp_path, [by_length, second_half_only]))
    for row in logged(trainer)[:-1]:
        assert row["rewards/by_length/unjudged"] == 0.0
        assert row["rewards/second_half_only/unjudged"] == 0.5
        assert row["rewards/second_half_only/mean"] == 1.0


@pytest.mark.parametrize(
    "template", [None, {"en": "r1_zero_short_en", "zh": "r1_zero_short_zh"}], ids=["chat", "text"]
)
def test_rewards_get_the_columns_and_the_whole_completion(
    tiny_base: Path, tmp_path: Path, template: dict[str, str] | None
) -> None:
    seen: list[dict[str, Any]] = []

    def spy(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
        seen.append({"prompts": prompts, "completions": completions, **columns})
        return [0.0] * len(completions)

    trained(policy_trainer(tiny_base, tmp_path, [spy], template=template, max_steps=1))
    (call,) = seen
    rows = {row["question"]: row for row in answered(16)}
    assert len(call["completions"]) == 16 and len(set(call["question"])) == 4
    for prompt, completion, question, gold, language in zip(
        call["prompts"], call["completions"], call["question"], call["answer"], call["language"], strict=True
    ):
        assert (rows[question]["answer"], rows[question]["language"]) == (gold, language)
        if template is None:
            assert prompt == [{"role": "user", "content": question}]
            assert completion[0]["role"] == "assistant" and isinstance(completion[0]["content"], str)
        else:
            assert prompt == ("User: {}\nAssistant:\n" if language == "en" else "用户：{}\n助手：\n").format(question)
            assert isinstance(completion, str)
    assert call["trainer_state"].max_steps == 1


def test_tags_in_a_completion_reach_the_reward(memorised: Path, tmp_path: Path) -> None:
    """Special tokens would vanish here, and with them the format reward."""
    texts: list[str] = []

    def spy(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
        texts.extend(completion[0]["content"] for completion in completions)
        return [0.0] * len(completions)

    settings = {"max_completion_length": 60, "max_steps": 1, "temperature": 0.1}
    trained(policy_trainer(memorised, tmp_path, [spy], answered(8), None, **settings))
    assert set(texts) <= {row["completion"] for row in answered(8)}


# The stage around a trainer


def stage_at(directory: Path) -> Stage:
    return Stage(parse((StageConfig,), ["--output_dir", str(directory / "made"), "--num_threads", "1"]), __file__)


def test_row_13_training_on_nothing_is_an_error(tiny_base: Path, tmp_path: Path) -> None:
    """Three prompts where a generation batch needs four: TRL runs to its end and says nothing."""
    trainer = policy_trainer(tiny_base, tmp_path, [by_length], answered(3))
    with pytest.raises(StageError, match="made made 0 optimizer steps of the 2 asked for; the data do not fill"):
        with stage_at(tmp_path) as stage:
            train(trainer, stage)
    assert not (tmp_path / "made").exists()


def test_fewer_steps_than_asked_for_is_an_error(tiny_base: Path, tmp_path: Path) -> None:
    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_training_stop = True

    trainer = sft_trainer(tiny_base, tmp_path, answered(8), max_steps=3)
    trainer.add_callback(Stop())
    with pytest.raises(StageError, match="1 optimizer steps of the 3 asked for"):
        with stage_at(tmp_path) as stage:
            train(trainer, stage)


def test_the_log_and_the_metrics(tiny_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = policy_trainer(tiny_base, tmp_path, [by_length, second_half_only], max_steps=3)
    with stage_at(tmp_path) as stage:
        metrics = train(trainer, stage)
        rows = load_rows(str(stage.log.path))
        (stage.work / "out.txt").write_text("x")
        stage.finish(metrics)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert {"reward", "rewards/by_length/mean", "completions/mean_length", "kl", "entropy"} <= set(rows[0])
    assert metrics["optimizer_steps"] == 3
    assert metrics["rewards/by_length/mean"] == rows[-1]["rewards/by_length/mean"]
    assert not [name for name in metrics if "time" in name or "per_second" in name]
    assert "{'loss'" not in capsys.readouterr().out


def test_a_second_model_of_a_stage_has_its_name_in_the_log(tiny_base: Path, tmp_path: Path) -> None:
    with stage_at(tmp_path) as stage:
        train(sft_trainer(tiny_base, tmp_path, answered(8), logging_steps=1), stage, "student")
        text = stage.log.path.read_text()
        (stage.work / "out.txt").write_text("x")
        stage.finish({})
    assert '"run": "student"' in text


@pytest.mark.parametrize(("prompts", "said"), [(3, True), (4, False), (0, False)])
def test_the_check_of_the_number_of_prompts_is_trls_own_limit(tmp_path: Path, prompts: int, said: bool) -> None:
    args = R1GRPOConfig(output_dir=str(tmp_path), **CPU, per_device_train_batch_size=16, num_generations=4)
    problems: list[str] = []
    check_prompt_count(problems, "prompts", answered(prompts), args)
    assert bool(problems) is said
    if said:
        assert (
            "3 prompts are fewer than one generation batch needs (4 = generation_batch_size 16 / num_gen"
            in problems[0]
        )
    check_prompt_count(problems, "prompts", answered(1), None)
    assert bool(problems) is said
