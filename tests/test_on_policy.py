"""On-policy distillation for real on toy models: one vocabulary, two vocabularies, stopped and resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from small_run import CPU, SHAPE, answered, arguments, log, manifest, recipe, run_recipe, write
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Trainer

from r1hf.core.errors import ConfigError, StageError
from r1hf.models.loading import load_model, load_tokenizer, save_model
from r1hf.models.vocabulary import compare, is_byte_level
from r1hf.text.chat_templates import chat_template
from r1hf.trainers.cross_tokenizer import AlignedULD, R1GOLDTrainer, gold_config
from r1hf.trainers.on_policy import R1DistillationTrainer, R1OnPolicyConfig, fit_vocabulary, server_config
from r1hf.trainers.on_policy_distillation import OnPolicyStageConfig, choose, make_trainer
from r1hf.world.corpus import vocabulary_texts
from r1hf.world.models import build_model, train_tokenizer

STEP = {"per_device_train_batch_size": 8, "max_completion_length": 16, "max_steps": 2, "learning_rate": 1e-2}
STEP |= {"warmup_steps": 0, "logging_steps": 1, "lr_scheduler_type": "constant"}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with a tokenizer of its own: fewer tokens, another end of text."""
    directory = tmp_path_factory.mktemp("other") / "llama"
    tokenizer = train_tokenizer(vocabulary_texts(5, 200), 400)
    tokenizer.add_special_tokens({"eos_token": "<|end_of_text|>"})
    tokenizer.chat_template = chat_template()
    torch.manual_seed(3)
    model = build_model("llama", tokenizer, {**SHAPE, "num_key_value_heads": 2})
    save_model(model, tokenizer, directory)
    return directory


def trainer_of(student: Path, teacher: Path, output: Path, **given: Any) -> Any:
    config = OnPolicyStageConfig(output_dir=str(output), model=str(student), teacher=str(teacher), prompts="")
    args = R1OnPolicyConfig(output_dir=str(output), **{**CPU, **STEP, **given})
    tokenizer = load_tokenizer(str(student))
    method = choose(config, tokenizer, load_tokenizer(str(teacher)))
    return make_trainer(config, args, answered(12), tokenizer, method)


# Which trainer


def test_vocabularies_are_compared_and_not_names(tiny_base: Path, other: Path) -> None:
    base, llama, own = (load_tokenizer(str(path)) for path in (tiny_base, tiny_base / "student_llama_base", other))
    assert compare(base, llama).agree and "same" in str(compare(base, llama))
    found = compare(own, base)
    assert not found.agree and (found.student, found.teacher) == (len(own), len(base))
    assert 0 < found.same <= found.shared < found.student
    assert found.ends == ("<|end_of_text|>", "<|endoftext|>")


def test_the_same_tokens_under_other_ids_do_not_agree(tiny_base: Path) -> None:
    one, two = load_tokenizer(str(tiny_base)), load_tokenizer(str(tiny_base))
    one.add_tokens(["<a>", "<b>"])
    two.add_tokens(["<b>", "<a>"])
    found = compare(one, two)
    assert found.shared == len(one) and found.same == len(one) - 2 and not found.agree


def word_tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({"<e>": 0, "two": 1}, unk_token="<e>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<e>", pad_token="<e>")


def test_what_cannot_be_distilled_is_said(tiny_base: Path, other: Path) -> None:
    def chosen(student: Any = other, teacher: Any = tiny_base, **given: Any) -> str:
        config = OnPolicyStageConfig(output_dir="x", model="m", teacher="t", prompts="p", **given)
        return choose(config, *(load_tokenizer(str(i)) if isinstance(i, Path) else i for i in (student, teacher)))

    assert chosen() == "cross_tokenizer" and chosen(tiny_base) == "same_vocabulary"
    assert chosen(tiny_base, method="cross_tokenizer") == "cross_tokenizer"
    with pytest.raises(ConfigError, match=r"same_vocabulary needs one.*student has \d+ tokens and the teacher \d+"):
        chosen(method="same_vocabulary")
    with pytest.raises(ConfigError, match="teacher_server: .*no server gives"):
        chosen(teacher_server="http://localhost:8000")
    assert not is_byte_level(word_tokenizer())
    with pytest.raises(ConfigError, match="teacher: .*not of bytes.*distill.py"):
        chosen(teacher=word_tokenizer())


def test_a_server_is_asked_for_no_more_than_it_gives(tmp_path: Path) -> None:
    def settings(**given: Any) -> R1OnPolicyConfig:
        return R1OnPolicyConfig(output_dir=str(tmp_path), **CPU, **given)

    assert server_config(settings(beta=0.0, loss_top_k=8), "http://h:1").loss_top_k == 8
    made = server_config(settings(learning_rate=0.25, temperature=0.5), "http://h:1")
    assert (made.teacher_model_server_url, made.learning_rate, made.temperature) == ("http://h:1", 0.25, 0.5)
    with pytest.raises(ConfigError, match="loss_top_k: .*beta is 1.0"):
        server_config(settings(loss_top_k=2), "http://h:1")
    with pytest.raises(ValueError, match=r"beta must be in \[0.0, 1.0\], got 1.5"):
        settings(beta=1.5)


def test_models_of_one_tokenizer_may_be_padded_differently(tiny_base: Path) -> None:
    tokens, teacher = len(load_tokenizer(str(tiny_base))), load_model(str(tiny_base))
    teacher.resize_token_embeddings(tokens + 24, mean_resizing=False)
    fit_vocabulary(teacher, tokens + 8, tokens)
    assert teacher.config.vocab_size == tokens + 8
    with pytest.raises(ConfigError, match="set method cross_tokenizer"):
        fit_vocabulary(teacher, tokens + 16, tokens)


# Training


def losses(directory: Path) -> list[float]:
    return [row["loss"] for row in log(directory) if "loss" in row]


@pytest.mark.parametrize("student", ["base", "other"])
def test_the_student_comes_nearer_to_its_teacher(student: str, tiny_base: Path, other: Path, tmp_path: Path) -> None:
    start, teacher = tiny_base if student == "base" else other, tiny_base / "student_llama_base"
    rows = write(tmp_path / "rows.jsonl", answered(16))
    given = {**STEP, "max_steps": 12, "lr_scheduler_type": "linear", "model": start, "teacher": teacher}
    made = run_recipe("on_policy_distill", "on_policy.yaml", prompts=rows, output_dir=tmp_path / "made", **given)
    found = manifest(made)
    assert found["metrics"]["method"] == ("same_vocabulary" if student == "base" else "cross_tokenizer")
    assert found["metrics"]["prompts"] == 16 and found["metrics"]["optimizer_steps"] == 12
    assert set(found["inputs"]) == {"model", "teacher", "prompts"}
    assert sum(losses(made)[-3:]) < 0.7 * sum(losses(made)[:3])
    assert load_tokenizer(str(made)).get_vocab() == load_tokenizer(str(start)).get_vocab()
    assert AutoModelForCausalLM.from_pretrained(made).config.model_type == ("qwen2" if student == "base" else "llama")
    assert all(0 < row["completions/mean_length"] <= 16 for row in log(made) if "loss" in row)


def test_a_loss_that_is_no_number_stops_the_run(tiny_base: Path, other: Path, tmp_path: Path) -> None:
    for student in (tiny_base, other):
        trainer = trainer_of(student, tiny_base, tmp_path / student.name)
        with torch.no_grad():
            next(trainer.teacher_model.parameters()).fill_(float("nan"))
        with pytest.raises(StageError, match="step 1"):
            trainer.train()


def test_accumulated_micro_batches_weigh_as_one_batch(tiny_base: Path, other: Path, tmp_path: Path) -> None:
    one, two = (
        trainer_of(
            other,
            tiny_base,
            tmp_path / str(n),
            **{"per_device_train_batch_size": 8 // n, "max_steps": 1},
            gradient_accumulation_steps=n,
        )  # fmt: skip
        for n in (1, 2)
    )
    for trainer in (one, two):
        trainer.train()
    first, second = (trainer.state.log_history[0] for trainer in (one, two))
    assert second["loss"] == pytest.approx(first["loss"], rel=0.3)
    assert second["grad_norm"] == pytest.approx(first["grad_norm"], rel=0.5)


# Two tokenizers on one text


def written(trainer: R1GOLDTrainer) -> dict[str, Any]:
    """One micro-batch of the student's own text."""
    trainer.model.train()
    return trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))


def memorised_by(other: Path, target: Path) -> Path:
    """The Llama after some SFT, so that it ends what it writes."""
    rows = write(target / "rows.jsonl", answered(4))
    given = {"per_device_train_batch_size": 4, "max_steps": 120, "warmup_steps": 0, "learning_rate": 5e-3}
    return run_recipe("distill", model=other, data=rows, output_dir=target / "made", logging_steps=60, **given)


def test_cuts_meet_on_the_same_text_and_ends_meet_ends(tiny_base: Path, other: Path, tmp_path: Path) -> None:
    from trl.experimental.gold.gold_trainer import build_teacher_inputs_from_texts

    student = memorised_by(other, tmp_path)
    trainer = trainer_of(student, tiny_base, tmp_path / "out", max_completion_length=80)
    assert isinstance(trainer, R1GOLDTrainer)
    batch = written(trainer)
    texts, own, teachers = batch["original_completion_text"], trainer._tokenizer, trainer.teacher_tokenizer
    assert not any("<|end" in text for text in texts)
    ids, labels, _, offsets = build_teacher_inputs_from_texts(teachers, batch["original_prompt_text"], texts)
    ended = pairs = 0
    for row, text in enumerate(texts):
        used, taught = batch["labels"][row] != -100, labels[row] != -100
        mine, theirs = batch["labels"][row][used], ids[row][taught]
        groups = trainer.uld_loss_fn._align_by_byte_offsets(
            batch["byte_offsets"][row][used].tolist(), offsets[row][taught].tolist()
        )
        for one, two in zip(*groups, strict=True):
            if one and two:
                same = (own.decode(mine[one], skip_special_tokens=True), teachers.decode(theirs[two], True))
                assert same[0] == same[1], (same, text)
                pairs += 1
        if mine[-1] == own.eos_token_id:
            ended += 1
            assert [group[-1] for group in groups] == [[len(mine) - 1], [len(theirs) - 1]]
    assert ended >= 4 and pairs > 40


def test_a_row_ends_at_half_a_character(tiny_base: Path, other: Path, tmp_path: Path) -> None:
    trainer = trainer_of(other, tiny_base, tmp_path)
    own = load_tokenizer(str(other))
    half = own.convert_tokens_to_ids(own.tokenize("é")[0])
    good = own("two two")["input_ids"]
    rows = [[*good, half, *good, own.eos_token_id], [*good, own.eos_token_id], [half, *good]]
    width = max(map(len, rows))
    labels = torch.tensor([row + [-100] * (width - len(row)) for row in rows])
    batch = {"input_ids": labels.clamp_min(0), "labels": labels, "original_prompt_text": ["a", "b", "c"]}
    batch["original_completion_text"] = [own.decode(row) for row in rows]
    trainer._maybe_add_completion_byte_offsets(batch)
    assert batch["original_completion_text"] == ["two two", "two two", ""]
    assert [(row != -100).sum().item() for row in batch["labels"]] == [len(good), len(good) + 1, 0]
    assert trainer._metrics["train"]["completions/cut"] == [pytest.approx(2 / 3)]


def aligned(tiny_base: Path, other: Path, tmp_path: Path, strategy: str = "bayesian") -> AlignedULD:
    args = R1OnPolicyConfig(output_dir=str(tmp_path), uld_token_merge_strategy=strategy, **CPU)
    return AlignedULD(gold_config(args, str(tiny_base)), *(load_tokenizer(str(path)) for path in (other, tiny_base)))


@pytest.mark.parametrize("strategy", ["bayesian", "observed"])
def test_groups_are_merged_as_trl_merges_them(strategy: str, tiny_base: Path, other: Path, tmp_path: Path) -> None:
    loss = aligned(tiny_base, other, tmp_path, strategy)
    groups, ids = [[0], [1, 2, 3], [4], [5, 6]], [3, 1, 4, 1, 5, 9, 2]
    results = []
    for method in (
        type(loss).__mro__[1]._merge_probabilities_with_alignment_groups,
        type(loss)._merge_probabilities_with_alignment_groups,
    ):
        logits = torch.randn(7, 12, generator=torch.manual_seed(0)).requires_grad_()
        merged = method(loss, logits.softmax(-1), groups, ids)
        (merged.square().sum()).backward()
        results.append((merged.detach(), logits.grad))
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two)


def test_the_two_ends_are_twins(tiny_base: Path, other: Path, tmp_path: Path) -> None:
    loss = aligned(tiny_base, other, tmp_path)
    own, teachers = load_tokenizer(str(other)), load_tokenizer(str(tiny_base))
    assert own.eos_token != teachers.eos_token
    for token, index in teachers.get_vocab().items():
        if index in loss._vocab_mapping:
            text = own.convert_ids_to_tokens(loss._vocab_mapping[index])
            assert text == (own.eos_token if index == teachers.eos_token_id else token)
            assert loss.mapping_tensor[index] == loss._vocab_mapping[index]
    assert loss._vocab_mapping[teachers.eos_token_id] == own.eos_token_id


# Stopped and resumed


def comparable(trainer: Trainer) -> list[dict[str, Any]]:
    rows = trainer.state.log_history[:-1]
    return [{k: v for k, v in row.items() if "time" not in k and "per_second" not in k} for row in rows]


@pytest.mark.parametrize("kind", ["same_vocabulary", "cross_tokenizer"])
def test_a_resumed_run_is_the_run(kind: str, tiny_base: Path, other: Path, tmp_path: Path) -> None:
    """Over two epochs, two micro-batches a step, a row of the log every two steps; stopped at each kind of step."""
    student = tiny_base if kind == "same_vocabulary" else other
    given = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "max_steps": 5, "logging_steps": 2}

    def trained(name: str, start: str | None = None) -> Any:
        trainer = trainer_of(
            student, tiny_base / "student_llama_base", tmp_path / name, **given, save_strategy="steps", save_steps=1
        )
        assert isinstance(trainer, R1DistillationTrainer if kind == "same_vocabulary" else R1GOLDTrainer)
        trainer.train(resume_from_checkpoint=start)
        return trainer

    straight = trained("straight")
    assert straight.state.epoch > 1
    for step in (1, 4):
        again = trained(f"again{step}", str(tmp_path / "straight" / f"checkpoint-{step}"))
        weights = [dict(one.model.named_parameters()) for one in (straight, again)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
        assert comparable(again) == comparable(straight)


# The configuration


def problems(**given: Any) -> Callable[[], None]:
    def run() -> None:
        recipe("on_policy_distill").main(arguments("on_policy.yaml", **given))

    return run


def test_mistakes_are_found_before_anything_is_trained(tiny_base: Path, other: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", answered(4))
    given = {"model": other, "teacher": tiny_base, "prompts": rows, "output_dir": tmp_path / "made"}
    with pytest.raises(ConfigError) as caught:
        problems(**given, teacher_server="localhost:8000", max_prompt_length=0)()
    said = str(caught.value)
    assert "prompts: 4 rows are fewer than one step takes (64)" in said
    assert "teacher_server: 'localhost:8000' is no address" in said and "max_prompt_length: 0" in said
    with pytest.raises(ConfigError, match="method: same_vocabulary needs one vocabulary"):
        problems(**given, method="same_vocabulary", per_device_train_batch_size=2)()
    with pytest.raises(ConfigError, match="teacher: .* does not exist"):
        problems(**{**given, "teacher": tmp_path / "none"})()
    assert not (tmp_path / "made").exists()


def test_a_server_that_is_not_there_is_named(tiny_base: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "rows.jsonl", answered(4))
    given = {"model": tiny_base, "teacher": tiny_base, "prompts": rows, "output_dir": tmp_path / "made"}
    address = json.dumps("http://127.0.0.1:9")
    with pytest.raises(StageError, match="teacher_server: no vLLM server answers at http://127.0.0.1:9"):
        problems(**given, teacher_server=address, per_device_train_batch_size=2)()


@pytest.mark.parametrize("kind", ["same_vocabulary", "cross_tokenizer"])
def test_an_adapter_is_trained_and_merged(kind: str, tiny_base: Path, other: Path, tmp_path: Path) -> None:
    student = tiny_base if kind == "same_vocabulary" else other
    given = {"model": student, "teacher": tiny_base / "student_llama_base", "output_dir": tmp_path / "made"}
    rows = write(tmp_path / "rows.jsonl", answered(8))
    lora = {"use_peft": True, "lora_r": 4, "lora_alpha": 8, "learning_rate": 1e-2, "warmup_steps": 0}
    steps = {"max_steps": 2, "per_device_train_batch_size": 4, "max_completion_length": 12}
    made = run_recipe("on_policy_distill", "on_policy.yaml", prompts=rows, **given, **lora, **steps)
    assert manifest(made)["metrics"]["method"] == kind
    assert (made / "adapter" / "adapter_config.json").exists()
    before, after = (dict(load_model(str(path)).named_parameters()) for path in (student, made))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all("_proj" in name for name in changed)
