"""Doing less for the same step of GRPO: the same log-probabilities, gradients and distribution as the long way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from small_run import CPU, answered
from transformers import GenerationConfig

from r1hf.core.errors import ConfigError
from r1hf.models.loading import load_model, load_tokenizer
from r1hf.models.refill import unshareable
from r1hf.stage.libraries import set_seed
from r1hf.trainers.decoding import sample
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer
from r1hf.trainers.held_out import HeldOut
from r1hf.trainers.packed import pack_groups
from r1hf.trainers.rl import prompt_rows

KEYS = ("compact_generation", "share_prompts", "skip_zero_advantage")
ALL, NONE = dict.fromkeys(KEYS, True), dict.fromkeys(KEYS, False)
LOSSES = ("grpo", "dapo", "dr_grpo", "bnpo", "cispo", "luspo", "sapo", "vespo")
FREE = {"beta": 0.0, "sync_ref_model": False, "epsilon": 0.2}


def even(prompts: list[Any], completions: list[str], **_: Any) -> list[float]:
    """Pays every second group for length, so that the others have no advantage."""
    questions = list(dict.fromkeys(prompts))
    return [float(len(c) * (questions.index(p) % 2)) for p, c in zip(prompts, completions, strict=True)]


def trainer_for(base: Path, directory: Path, **settings: Any) -> R1GRPOTrainer:
    given = {
        **{"per_device_train_batch_size": 16, "num_generations": 4, "max_completion_length": 24, "max_steps": 2},
        **{"learning_rate": 1e-3, **NONE, **FREE, **CPU, **settings},
    }
    rows = prompt_rows(answered(16), {"en": "r1_zero_short_en", "zh": "r1_zero_short_zh"})
    return R1GRPOTrainer(
        model=str(base),
        reward_funcs=[even],
        args=R1GRPOConfig(output_dir=str(directory), **given),
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(str(base)),
    )


def batch_of(trainer: R1GRPOTrainer, base: Path) -> dict[str, torch.Tensor]:
    """A batch as TRL makes it, with rows that have no advantage, of uneven lengths."""
    set_seed(7)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    rows = list(trainer.train_dataset)[:4]
    return trainer._generate_and_score_completions([row for row in rows for _ in range(4)])


def gradient(trainer: R1GRPOTrainer, batch: dict[str, torch.Tensor]) -> tuple[float, torch.Tensor]:
    trainer.model.zero_grad()
    loss = trainer._compute_loss(trainer.model, dict(batch))
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])


@pytest.mark.parametrize("loss_type", LOSSES)
@pytest.mark.parametrize("level", ["token", "sequence"])
def test_the_gradient_is_the_same(tiny_base: Path, tmp_path: Path, loss_type: str, level: str) -> None:
    settings = {"loss_type": loss_type, "importance_sampling_level": level}
    whole = trainer_for(tiny_base, tmp_path, **settings)
    less = trainer_for(tiny_base, tmp_path, **settings, share_prompts=True, skip_zero_advantage=True)
    batch = batch_of(whole, tiny_base)
    old = batch["completion_mask"] * -1.5  # off policy, so that ratios and clipping take part
    batch["old_per_token_logps"] = old
    assert 0 < (batch["advantages"] == 0).sum() < len(batch["advantages"])
    (loss, grad), (loss_less, grad_less) = gradient(whole, batch), gradient(less, batch)
    assert loss_less == pytest.approx(loss, abs=1e-4)
    assert torch.allclose(grad_less, grad, atol=1e-5 + 1e-4 * float(grad.abs().max()))
    assert grad.abs().max() > 0


def test_with_a_kl_term_sharing_alone_gives_the_same_gradient(tiny_base: Path, tmp_path: Path) -> None:
    settings = {"beta": 0.1, "loss_type": "grpo"}
    whole = trainer_for(tiny_base, tmp_path, **settings)
    shared = trainer_for(tiny_base, tmp_path, **settings, share_prompts=True)
    batch = batch_of(whole, tiny_base)
    batch["ref_per_token_logps"] = batch["ref_per_token_logps"] - 0.3
    (loss, grad), (loss_shared, grad_shared) = gradient(whole, batch), gradient(shared, batch)
    assert loss_shared == pytest.approx(loss, abs=1e-4)
    assert torch.allclose(grad_shared, grad, atol=1e-5 + 1e-4 * float(grad.abs().max()))


def test_a_batch_without_any_advantage_changes_nothing(tiny_base: Path, tmp_path: Path) -> None:
    trainer = trainer_for(tiny_base, tmp_path, **ALL)
    batch = batch_of(trainer, tiny_base)
    batch["advantages"] = torch.zeros_like(batch["advantages"])
    loss, grad = gradient(trainer, batch)
    assert loss == 0.0 and not grad.any()


def test_a_completion_of_one_token_and_a_group_torn_apart(tiny_base: Path) -> None:
    """Rows in any order, prompts of any length, as they lie after TRL has shuffled a batch."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        prompts = [torch.randint(5, 90, (int(n),), generator=generator).tolist() for n in (1, 4, 7)]
        rows = [
            (prompts[i], torch.randint(5, 90, (int(n),), generator=generator).tolist())
            for i, n in zip(
                torch.randint(0, 3, (8,), generator=generator),
                torch.randint(1, 9, (8,), generator=generator),
                strict=True,
            )
        ]
        wide, long = max(len(p) for p, _ in rows), max(len(c) for _, c in rows)
        ids, mask = torch.zeros(8, wide + long, dtype=torch.long), torch.zeros(8, wide + long, dtype=torch.long)
        for row, (prompt, completion) in enumerate(rows):
            ids[row, wide - len(prompt) : wide + len(completion)] = torch.tensor(prompt + completion)
            mask[row, wide - len(prompt) : wide + len(completion)] = 1
        packed = pack_groups(ids, mask, long)
        for row, (prompt, completion) in enumerate(rows):
            for place, label in enumerate(completion):
                at, column = packed.row[row, place], packed.column[row, place]
                seen = packed.mask[at, 0, column]
                assert packed.labels[at, column] == label
                assert packed.ids[at, seen].tolist() == prompt + completion[:place]
                assert packed.positions[at, seen].tolist() == list(range(len(prompt) + place))
        assert (packed.labels >= 0).sum() == sum(len(completion) for _, completion in rows)


def test_near_zero_temperature_it_writes_what_generate_writes(memorised: Path) -> None:
    model, tokenizer = load_model(str(memorised)), load_tokenizer(str(memorised))
    turns = [[{"role": "user", "content": row["question"]}] for row in answered(8)]
    texts = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    prompts = tokenizer(texts, add_special_tokens=False)["input_ids"]
    made = sample(model, prompts * 2, max_new_tokens=60, ends=[tokenizer.eos_token_id], temperature=1e-4)
    inputs = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
    settings = GenerationConfig(
        do_sample=False, max_new_tokens=60, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    greedy = model.generate(**inputs, generation_config=settings)[:, inputs["input_ids"].shape[1] :].tolist()
    for row, tokens in enumerate(greedy):
        end = tokens.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in tokens else len(tokens)
        assert made[row] == made[row + 8] == tokens[:end]
    assert len({len(tokens) for tokens in made}) > 1


def test_samples_follow_the_models_distribution(tiny_base: Path) -> None:
    model = load_model(str(tiny_base))
    prompt = [7, 9, 11]
    with torch.no_grad():
        wanted = torch.softmax(model(torch.tensor([prompt])).logits[0, -1] / 2.0, dim=-1)
    torch.manual_seed(0)
    draws = 20_000
    first = torch.tensor(sample(model, [prompt] * draws, max_new_tokens=1, ends=[0], temperature=2.0)).squeeze(1)
    found = torch.bincount(first, minlength=len(wanted)) / draws
    assert (found - wanted).abs().max() < 5 * (wanted * (1 - wanted) / draws).sqrt().max()


def test_a_run_is_the_same_for_the_same_seed_watched_or_not(tiny_base: Path, tmp_path: Path) -> None:
    ends = []
    for watched in (False, True):
        trainer = trainer_for(tiny_base, tmp_path, **ALL)
        if watched:
            asked = prompt_rows(answered(4), "r1_zero_short_en")
            trainer.add_callback(HeldOut(trainer, asked, "", steps=1, k=1, seed=3))
        set_seed(7)
        trainer.train()
        ends.append(torch.cat([p.detach().flatten() for p in trainer.model.parameters()]))
        shares = [row["rows_trained"] for row in trainer.state.log_history if "rows_trained" in row]
        assert shares == [0.5] * len(shares) and shares
    assert torch.equal(*ends)


AUTO = dict.fromkeys(KEYS)


@pytest.mark.parametrize(
    ("settings", "on"),
    [
        ({}, KEYS),
        ({"beta": 0.001}, KEYS[:2]),  # the KL term moves what has no advantage too
        ({"entropy_coef": 0.1}, KEYS[:2]),
        ({"top_p": 0.9}, KEYS[1:]),
        ({"max_completion_length": 1024}, (KEYS[0], KEYS[2])),  # 4 x 1024 tokens: a mask of 16 million
        ({"share_prompts": False}, (KEYS[0], KEYS[2])),
        ({"max_completion_length": 1024, "share_prompts": True}, KEYS),
        ({"model_init_kwargs": {"attn_implementation": "eager"}}, KEYS[2:]),  # adds a mask to the scores
    ],
    ids=str,
)
def test_unset_each_is_on_where_it_is_exact(
    tiny_base: Path, tmp_path: Path, settings: dict[str, Any], on: tuple[str, ...]
) -> None:
    args = trainer_for(tiny_base, tmp_path, **{**AUTO, **settings}).args
    assert {key: getattr(args, key) for key in KEYS} == {key: key in on for key in KEYS}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layer_types": ["full_attention", "sliding_attention"]}, "qwen2 has layers without full attention"),
        ({"layer_types": None, "sliding_window": 8}, "qwen2 has layers without full attention"),
        ({"_attn_implementation": "eager"}, "which eager attention does not take; use sdpa"),
        ({"_attn_implementation": "flash_attention_2"}, "which flash_attention_2 attention does not take"),
        ({"alibi": True}, "takes no positions of its tokens"),
    ],
)
def test_a_model_whose_mask_is_its_own(tiny_base: Path, changed: dict[str, Any], said: str) -> None:
    model = load_model(str(tiny_base))
    assert unshareable(model) == []
    for name, value in changed.items():
        setattr(model.config, name, value)
    assert said in unshareable(model)[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"skip_zero_advantage": True, "beta": 0.01}, "skip_zero_advantage: not with beta 0.01"),
        ({"skip_zero_advantage": True, "entropy_coef": 0.1}, "not with entropy_coef 0.1"),
        ({"skip_zero_advantage": True, "top_entropy_quantile": 0.2}, "the quantile is over all rows"),
        ({"compact_generation": True, "top_p": 0.9}, "compact_generation: .* not with top_p 0.9"),
        ({"compact_generation": True, "generation_kwargs": {"num_beams": 2}}, "not with generation_kwargs"),
    ],
)
def test_what_would_not_be_exact_is_refused(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    given = {"per_device_train_batch_size": 16, "num_generations": 4, **FREE, **CPU, **settings}
    with pytest.raises(ConfigError, match=said):
        R1GRPOConfig(output_dir=str(tmp_path), **given)


def test_a_model_whose_mask_is_its_own_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    model = load_model(str(tiny_base))
    model.config.layer_types = ["sliding_attention"] * model.config.num_hidden_layers
    with pytest.raises(ConfigError, match="share_prompts: qwen2 has layers without full attention"):
        R1GRPOTrainer(
            model=model,
            reward_funcs=[even],
            args=R1GRPOConfig(
                output_dir=str(tmp_path),
                share_prompts=True,
                per_device_train_batch_size=16,
                num_generations=4,
                **FREE,
                **CPU,
            ),
            train_dataset=Dataset.from_list(prompt_rows(answered(4), "plain_en")),
            processing_class=load_tokenizer(str(tiny_base)),
        )
