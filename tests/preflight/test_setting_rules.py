"""Every rule about settings that do nothing speaks where it should, and is silent about the recipes' own files."""

from __future__ import annotations

import pytest

from r1hf.preflight.settings.rules import RULES, check_rules
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.sft import R1SFTConfig

RL = {"num_generations": 8, "per_device_train_batch_size": 8, "beta": 0.001, "loss_type": "grpo", "epsilon": 0.2}
RL |= {"sync_ref_model": True, "ref_model_sync_steps": 400, "max_completion_length": 512, "steps_per_generation": 8}
RL |= {"gradient_accumulation_steps": 1, "save_strategy": "steps", "lr_scheduler_type": "linear", "max_steps": 1000}
SFT = {"completion_only_loss": True, "per_device_train_batch_size": 8, "max_length": 1024, "too_long": "drop"}
SFT |= {"save_strategy": "steps", "lr_scheduler_type": "linear", "packing": False}
FLASH = {"model_init_kwargs": {"attn_implementation": "flash_attention_2"}}
VLLM = {"use_vllm": True, "vllm_mode": "colocate", "vllm_importance_sampling_mode": "token_truncate"}

# (the file's kind, what it sets, a word of what is said); without the last part the file says what it means.
CASES = [
    (RL, {"sync_ref_model": False, "ref_model_sync_steps": 400}, "never refreshed"),
    (RL, {"beta": 0.0, "sync_ref_model": True}, "no reference"),
    (RL, {"ref_model_sync_steps": 5000}, "later than the last step"),
    (RL, {"beta": 0.0, "sync_ref_model": False, "use_bias_correction_kl": True}, "no KL term"),
    (RL, {"loss_type": "sapo", "epsilon_high": 0.3}, "does not clip"),
    (RL, {"loss_type": "cispo", "epsilon": 0.2}, "no lower clip"),
    (RL, {"loss_type": "cispo", "delta": 4.0}, "two-sided"),
    (RL, {"sapo_temperature_pos": 1.0}, "only loss_type sapo"),
    (RL, {"vespo_k_pos": 2.0}, "only loss_type vespo"),
    (RL, {"epsilon": 10.0, "steps_per_generation": 1}, "nothing is clipped"),
    (RL, {"entropy_target": 0.2}, "use_adaptive_entropy is off"),
    (
        RL,
        VLLM | {"vllm_importance_sampling_mode": "sequence_mask", "max_completion_length": 32768},
        "whole sequence",
    ),
    (RL, VLLM | {"vllm_max_model_length": 512}, "no room"),
    (RL, {"mask_truncated_completions": True, "max_completion_length": 32}, "cut off"),
    (RL, {"num_train_epochs": 2.0}, "max_steps decides"),
    (RL, {"save_strategy": "no", "save_total_limit": 2}, "no checkpoint is written"),
    (RL, {"save_steps": 5000}, "no checkpoint before the end"),
    (SFT, {"eval_steps": 10}, "evaluate.py"),
    (SFT, {"lr_scheduler_type": "constant", "warmup_steps": 10}, "no warm-up"),
    (SFT, {"max_steps": 10, "warmup_steps": 10}, "never reaches its peak"),
    (SFT, {"lr_scheduler_kwargs": {"min_lr_rate": 0.1}}, "takes no such keyword"),
    (SFT, FLASH | {"packing": True, "packing_strategy": "wrapped"}, "wrapped cuts"),
    (SFT, {"packing_strategy": "bfd_split"}, "packing is off"),
    (SFT, {"packing": True, "packing_strategy": "bfd_split"}, "keeps packed rows apart"),
    (SFT, {"truncation_mode": "keep_end"}, "no row is cut"),
    (SFT, {"assistant_only_loss": True}, "already leaves the prompt out"),
    (SFT, {"use_liger_kernel": True}, "fused loss is gone"),
    (SFT, {"gradient_checkpointing_kwargs": {"use_reentrant": False}}, "gradient_checkpointing is off"),
    (RL, {"num_completions_to_print": 4}, "log_completions is off"),
    (RL, {"log_rollouts": False, "rollout_steps": 5}, "log_rollouts is off"),
    (RL, {"reward_weights": [1.0, 0.0]}, "rewards says"),
    (SFT, {"use_peft": False, "lora_r": 8}, "use_peft is off"),
    (SFT, {"seed": 1, "data_seed": 2}, "another seed"),
]


def said(values, given):
    return [item for item in check_rules(values, given) if not item.found.startswith("none of")]


@pytest.mark.parametrize(("base", "sets", "words"), CASES, ids=[words for *_, words in CASES])
def test_each_is_found(base, sets, words):
    found = said(base | sets, set(sets))
    assert any(words in item.found for item in found), found


def test_there_is_a_case_for_every_rule():
    found = [item.found for base, sets, _ in CASES for item in check_rules(base | sets, set(sets))]
    assert not [rule.why for rule in RULES if not any(text.endswith(rule.why) for text in found)]


def test_nothing_is_said_of_keys_that_the_file_does_not_set():
    for base, sets, _ in CASES:
        always = {rule.why for rule in RULES if not rule.keys}
        assert all(item.found.endswith(tuple(always)) for item in said(base | sets, set()))


def test_every_key_of_a_rule_is_one_that_a_file_can_set():
    known = set(R1GRPOConfig.__dataclass_fields__) | set(R1SFTConfig.__dataclass_fields__)
    later = {"warmup_ratio"}  # older transformers
    adapters = {"lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_modules_to_save", "load_in_4bit"}
    unknown = {key for rule in RULES for key in rule.keys} - known - later - adapters
    assert not unknown


def test_a_language_reward_needs_rows_with_a_language():
    values = RL | {"rewards": {"accuracy": 1.0, "language": 1.0}}
    assert any("no row names its language" in item.found for item in check_rules(values, (), {None}))
    assert not any("no row" in item.found for item in check_rules(values, (), {"en", None}))
