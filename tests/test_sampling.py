"""The batch sampler on a real toy model: the same for the same seed, in order, and honest about lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_run import answered

from r1hf.models.loading import load_model, load_tokenizer
from r1hf.models.sampling import Completion, Sampler
from r1hf.models.transformers_sampling import TransformersSampler
from r1hf.text import prompt_templates as templates

QUESTIONS = [row["question"] for row in answered(8)]


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> Sampler:
    return TransformersSampler(str(tiny_base), batch_size=8)


@pytest.fixture(scope="module")
def learned(memorised: Path) -> Sampler:
    return TransformersSampler(str(memorised), batch_size=8)


def test_the_same_seed_gives_the_same_samples_and_another_seed_others(base: Sampler) -> None:
    prompts = base.chat(QUESTIONS)
    first = base.sample(prompts, 2, max_new_tokens=12, seed=1)
    torch.rand(7)  # what went before must not matter
    assert base.sample(prompts, 2, max_new_tokens=12, seed=1) == first
    assert base.sample(prompts, 2, max_new_tokens=12, seed=2) != first


def test_n_samples_of_each_prompt_which_differ(base: Sampler) -> None:
    groups = base.sample(base.chat(QUESTIONS[:3]), 5, max_new_tokens=12, seed=3)
    assert [len(group) for group in groups] == [5, 5, 5]
    assert all(len({sample.text for sample in group}) > 1 for group in groups)
    assert base.sample([], 3) == []


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_order_is_that_of_the_prompts(memorised: Path, batch_size: int) -> None:
    """Prompts are sampled by length; each answer must come back to its own question."""
    sampler = TransformersSampler(str(memorised), batch_size)
    rows = [row for pair in zip(answered(8), answered(8)[::-1], strict=True) for row in pair]
    groups = sampler.sample(sampler.chat([row["question"] for row in rows]), 2, temperature=0.01, max_new_tokens=60)
    for row, group in zip(rows, groups, strict=True):
        assert [sample.text for sample in group] == [row["completion"]] * 2


def test_tokens_do_not_count_the_end_token_or_padding(learned: Sampler) -> None:
    rows = answered(8)
    groups = learned.sample(learned.chat(QUESTIONS), 1, temperature=0.01, max_new_tokens=60)
    lengths = [len(learned.tokenizer(row["completion"])["input_ids"]) for row in rows]
    assert len(set(lengths)) > 1, "the rows of one batch must end at different places"
    assert [(sample.tokens, sample.truncated) for (sample,) in groups] == [(length, False) for length in lengths]


def test_truncated_means_that_the_limit_was_reached_without_an_end(learned: Sampler) -> None:
    row = answered(1)[0]
    length = len(learned.tokenizer(row["completion"])["input_ids"])
    for limit, ended in ((length + 1, True), (length, False), (length - 1, False), (1, False)):
        ((sample,),) = learned.sample(learned.chat([row["question"]]), 1, temperature=0.01, max_new_tokens=limit)
        assert sample.truncated is not ended
        assert sample.tokens == min(limit, length)
        assert row["completion"].startswith(sample.text)


def test_lengths_do_not_depend_on_the_batch(learned: Sampler, memorised: Path) -> None:
    prompts = learned.chat(QUESTIONS)
    one = TransformersSampler(str(memorised), 1).sample(prompts, 1, temperature=0.01, max_new_tokens=60)
    assert learned.sample(prompts, 1, temperature=0.01, max_new_tokens=60) == one


def test_padding_is_on_the_left_and_changes_nothing(learned: Sampler) -> None:
    """A short prompt beside a long one gives the short one's own most likely continuation."""
    prompts = learned.chat([QUESTIONS[0], "A much longer question, " * 8])
    batch = learned.tokenizer(prompts, return_tensors="pt", padding=True)
    assert batch["attention_mask"][:, -1].tolist() == [1, 1] and batch["attention_mask"][0, 0] == 0
    together = learned.sample(prompts, 1, temperature=0.001, max_new_tokens=60)
    assert together[0][0].text == answered(1)[0]["completion"]


def test_a_tokenizer_that_pads_on_the_right_is_set_right(tiny_base: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_base))
    tokenizer.padding_side = "right"
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).padding_side == "left"


def test_prompts_through_the_chat_template_or_a_text_template(base: Sampler) -> None:
    assert base.chat(["Hi."]) == ["User: Hi.\nAssistant:\n"]
    assert base.chat(["{x}?"], "r1_zero_en") == [templates.render("r1_zero_en", "{x}?")]


def test_temperature_0_takes_the_likeliest_token(learned: Sampler) -> None:
    prompts = learned.chat(QUESTIONS)
    greedy = learned.sample(prompts, 1, temperature=0, top_p=0.9, max_new_tokens=20, seed=1)
    assert greedy == learned.sample(prompts, 1, temperature=0, max_new_tokens=20, seed=2)
    assert greedy == learned.sample(prompts, 1, temperature=1e-4, max_new_tokens=20)


def test_temperature_and_top_p_are_those_asked_for(learned: Sampler) -> None:
    prompts = learned.chat(["What color is the sky?"] * 4)
    cold = learned.sample(prompts, 4, temperature=0.001, max_new_tokens=20)
    narrow = learned.sample(prompts, 4, temperature=1.0, top_p=1e-6, max_new_tokens=20)
    hot = learned.sample(prompts, 4, temperature=3.0, max_new_tokens=20)
    assert len({sample.text for group in cold + narrow for sample in group}) == 1
    assert len({sample.text for group in hot for sample in group}) > 1


def test_the_models_own_generation_settings_do_not_leak_in(tiny_base: Path) -> None:
    """Hub models ship settings (a repetition penalty, a nucleus); evaluation and data must not depend on them."""
    plain = TransformersSampler(load_model(str(tiny_base)), 8, load_tokenizer(str(tiny_base)))
    tuned = TransformersSampler(load_model(str(tiny_base)), 8, load_tokenizer(str(tiny_base)))
    settings = tuned.model.generation_config
    settings.temperature, settings.top_p, settings.top_k = 0.1, 0.1, 3
    settings.repetition_penalty, settings.min_p, settings.no_repeat_ngram_size = 9.0, 0.9, 1
    prompts = plain.chat(QUESTIONS[:2])
    assert plain.sample(prompts, 2, max_new_tokens=16) == tuned.sample(prompts, 2, max_new_tokens=16)


def test_eager_attention_gives_the_same_likeliest_tokens(learned: Sampler, memorised: Path) -> None:
    """It adds a mask to its scores, where truth values are ones and zeros: such a model is left to `generate`."""
    model = load_model(str(memorised))
    model.set_attn_implementation("eager")
    eager, prompts = TransformersSampler(model, 8, learned.tokenizer), learned.chat(["Hi.", *QUESTIONS[:3]])
    wanted = learned.sample(prompts, 1, temperature=0, max_new_tokens=30)
    assert eager.sample(prompts, 1, temperature=0, max_new_tokens=30) == wanted


def test_every_end_token_of_the_model_ends_a_sample(memorised: Path) -> None:
    """Instruct models have several; the one that ended a sample is no part of it."""
    sampler = TransformersSampler(str(memorised), 8)
    row = answered(1)[0]
    ids = sampler.tokenizer(row["completion"])["input_ids"]
    place = len(ids) // 2
    second = ids[place]
    place = ids.index(second)
    sampler.model.generation_config.eos_token_id = [sampler.tokenizer.eos_token_id, second]
    ((sample,),) = sampler.sample(sampler.chat([row["question"]]), 1, temperature=0.01, max_new_tokens=place + 1)
    assert sample == Completion(sampler.tokenizer.decode(ids[:place]), place, truncated=False)
