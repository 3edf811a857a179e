"""What r1hf takes from TRL is still there, and the paper's values are written down where TRL's are others."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import step_metrics_run
from tables import each
from trl import DistillationTrainer, GRPOConfig, GRPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
from trl.models import unwrap_model_for_generation
from trl.trainer import grpo_trainer
from trl.trainer.utils import RepeatSampler

from r1hf.trainers.cross_tokenizer import GOLDConfig, GOLDTrainer, ULDLoss
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.on_policy import ServerDistillationConfig, ServerDistillationTrainer
from r1hf.trainers.presets import PRESETS
from r1hf.trainers.reward_model import R1RewardConfig
from r1hf.trainers.sft import R1SFTConfig

# What r1hf overrides or leans on in TRL (its minor versions move things): a change here must be looked at by a person.

_LOGPS = ["batch_size", "compute_entropy", "compute_aux_loss"]
_IMAGES = [
    *["pixel_values", "image_grid_thw", "num_images", "pixel_attention_mask", "spatial_shapes", "num_tiles"],
    *["image_sizes", "token_type_ids", "mm_token_type_ids", "image_position_ids"],
]
_EPOCH = [
    *["self", "model", "epoch", "train_dataloader", "steps_in_epoch", "num_update_steps_per_epoch", "trial"],
    *["ignore_keys_for_eval", "start_time", "resume_from_checkpoint", "epochs_trained"],
    "steps_trained_in_current_epoch",
]
SIGNATURES: list[tuple[Callable[..., Any], list[str]]] = [
    (GRPOTrainer._calculate_rewards, ["self", "inputs", "prompts", "completions", "completion_ids_list"]),
    (GRPOTrainer._get_train_sampler, ["self", "dataset"]),
    (GRPOTrainer._prepare_inputs, ["self", "generation_batch"]),
    (GRPOTrainer._generate, ["self", "prompts"]),
    (
        GRPOTrainer._generate_single_turn,
        ["self", "prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images"],
    ),
    (GRPOTrainer.training_step, ["self", "model", "inputs", "num_items_in_batch"]),
    (GRPOTrainer.compute_loss, ["self", "model", "inputs", "return_outputs", "num_items_in_batch"]),
    (GRPOTrainer._load_optimizer_and_scheduler, ["self", "checkpoint"]),
    (GRPOTrainer._load_from_checkpoint, ["self", "resume_from_checkpoint", "model"]),
    (GRPOTrainer._clip_grad_norm, ["self", "model"]),
    (GRPOTrainer._run_epoch, _EPOCH),
    (
        GRPOTrainer._get_per_token_logps_and_entropies,
        ["self", "model", "input_ids", "attention_mask", "logits_to_keep", *_LOGPS, *_IMAGES],
    ),
    (
        RepeatSampler.__init__,
        ["self", "data_source", "mini_repeat_count", "batch_size", "repeat_count", "shuffle", "seed"],
    ),
    (
        unwrap_model_for_generation,
        ["model", "accelerator", "gather_deepspeed3_params", "generation_kwargs", "gradient_checkpointing_kwargs"],
    ),
    (SFTTrainer.compute_loss, ["self", "model", "inputs", "return_outputs", "num_items_in_batch"]),
    (RewardTrainer.compute_loss, ["self", "model", "inputs", "return_outputs", "num_items_in_batch"]),
    *[
        (kind.compute_loss, ["self", "model", "inputs", "return_outputs", "num_items_in_batch"])
        for kind in (DistillationTrainer, ServerDistillationTrainer, GOLDTrainer)
    ],
    (GOLDTrainer._maybe_add_completion_byte_offsets, ["self", "updated_slice"]),
    (ULDLoss._initialize_vocabulary_mapping, ["self"]),
    (ULDLoss._merge_probabilities_with_alignment_groups, ["self", "probs", "alignment_groups", "token_ids"]),
    (grpo_trainer.VLLMGeneration.generate, ["self", "prompts", "images", "num_generations", "profiler"]),
    *[
        (getattr(grpo_trainer.VLLMGeneration, name), ["self"])
        for name in ("_init_vllm", "_iter_named_params", "sync_weights")
    ],
    (GRPOTrainer._compute_loss, ["self", "model", "inputs"]),
    (GRPOTrainer._generate_and_score_completions, ["self", "inputs"]),
    (GRPOTrainer.log, ["self", "logs", "start_time"]),
    (GRPOTrainer._save_checkpoint, ["self", "model", "trial"]),
    (GRPOTrainer.create_model_card, ["self", "model_name", "dataset_name", "tags"]),
    (
        SFTTrainer._prepare_dataset,
        ["self", "dataset", "processing_class", "args", "packing", "formatting_func", "dataset_name"],
    ),
]
ARGUMENTS: list[tuple[type, set[str]]] = [
    (GRPOTrainer, {"model", "reward_funcs", "args", "train_dataset", "processing_class"}),
    (SFTTrainer, {"model", "args", "train_dataset", "processing_class"}),
    (RewardTrainer, {"model", "args", "train_dataset", "processing_class"}),
    *[
        (kind, {"model", "teacher_model", "args", "train_dataset", "processing_class", "peft_config"})
        for kind in (DistillationTrainer, GOLDTrainer)
    ],
]
FIELDS: dict[type, set[str]] = {
    GRPOConfig: {
        *{"beta", "epsilon", "num_generations", "num_iterations", "loss_type", "importance_sampling_level"},
        *{"scale_rewards", "use_bias_correction_kl", "sync_ref_model", "ref_model_sync_steps"},
        *{"ref_model_mixup_alpha", "temperature", "generation_batch_size", "steps_per_generation"},
        *{"max_completion_length", "reward_weights", "shuffle_dataset", "model_init_kwargs", "learning_rate"},
    },
    # what a preset sets is TRL's, or one of ours
    R1GRPOConfig: {key for preset in PRESETS.values() for key in preset},
    SFTConfig: {"completion_only_loss", "max_length", "packing", "model_init_kwargs", "chat_template_path"},
    RewardConfig: {"max_length", "center_rewards_coefficient", "num_train_epochs"},
    GOLDConfig: {
        *{"use_uld_loss", "uld_use_hybrid_loss", "uld_token_merge_strategy", "lmbda", "max_length"},
        *{"uld_skip_student_eos", "uld_skip_teacher_eos", "uld_student_temperature", "uld_teacher_temperature"},
    },
    ServerDistillationConfig: {"teacher_model_server_url", "loss_top_k", "loss_add_tail"},
}


@each("method, names", SIGNATURES, ids=lambda value: getattr(value, "__qualname__", ""))
def test_trls_methods_are_the_ones_we_know(method: Callable[..., Any], names: list[str]) -> None:
    assert list(inspect.signature(method).parameters) == names


def test_trls_arguments_and_fields_are_the_ones_we_know() -> None:
    for trainer, arguments in ARGUMENTS:
        assert arguments <= set(inspect.signature(trainer.__init__).parameters), trainer.__name__
    for config, names in FIELDS.items():
        assert names <= {item.name for item in dataclasses.fields(config)}, config.__name__


# Attributes that are no part of TRL's interface, on a trainer that has trained
ATTRIBUTES = {
    *{
        "_step",
        "_metrics",
        "_logs",
        "_buffered_inputs",
        "_tokenizer",
        "ref_model",
        "beta",
        "loss_type",
        "eos_token_ids",
    },
    *{"num_generations", "num_generations_eval", "num_iterations", "reward_funcs", "reward_func_names"},
    *{"reward_weights", "scale_rewards", "importance_sampling_level", "max_completion_length", "temperature"},
    *{"current_gradient_accumulation_steps", "model_wrapped", "_tr_loss", "_total_loss_scalar"},
    *{"_globalstep_last_logged", "eos_token_ids"},
}
BATCH = {"prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages", "num_items_in_batch"}


def test_a_trainer_has_the_attributes_and_batches_we_use(tmp_path: Path) -> None:
    trainer = step_metrics_run.trainer(tmp_path, max_steps=2, steps_per_generation=2, per_device_train_batch_size=8)
    trainer.train()
    assert {name for name in ATTRIBUTES if not hasattr(trainer, name)} == set()
    assert set(trainer._buffered_inputs[0]) >= BATCH and len(trainer._buffered_inputs) == 2
    assert trainer._step == 2 and trainer._buffered_inputs[0]["advantages"].shape == (8,)


# The paper's values, as arXiv 2501.12948v2 publishes them

PAPER: list[tuple[type, dict[str, Any]]] = [
    # sections 2.1, 3.2: lr 3e-6, KL 0.001, 16 outputs a question, 1 inner epoch, reference := policy every 400 steps,
    # temperature 1; epsilon 10 (section 3.2.1). Equations 1 to 3: k3 as it is, A = (r - mean) / std.
    (
        R1GRPOConfig,
        {
            **{"learning_rate": 3e-6, "beta": 0.001, "epsilon": 10.0, "num_generations": 16, "num_iterations": 1},
            **{"sync_ref_model": True, "ref_model_sync_steps": 400, "ref_model_mixup_alpha": 1.0, "temperature": 1.0},
            **{"use_bias_correction_kl": False, "scale_rewards": "group", "loss_type": "grpo"},
            **{"importance_sampling_level": "token"},
        },
    ),
    # section B.4: 2 to 3 epochs, cosine 5e-5 to 5e-6, 32,768 tokens.
    (
        R1SFTConfig,
        {
            **{"learning_rate": 5e-5, "num_train_epochs": 2.0, "max_length": 32768, "completion_only_loss": True},
            **{"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
        },
    ),
    # section 3.2.2 and B.4: both preference models 6e-6, one epoch, 8,192 tokens.
    (R1RewardConfig, {"learning_rate": 6e-6, "num_train_epochs": 1.0, "max_length": 8192}),
]


@pytest.mark.parametrize(("config", "values"), PAPER, ids=lambda value: getattr(value, "__name__", ""))
def test_the_papers_values_are_set_and_not_inherited(tmp_path: Path, config: type, values: dict[str, Any]) -> None:
    batch = {"per_device_train_batch_size": 16} if config is R1GRPOConfig else {}
    args = config(output_dir=str(tmp_path), use_cpu=True, bf16=False, **batch)
    assert {name: getattr(args, name) for name in values} == values
    assert set(values) <= set(vars(config)["__annotations__"]), "each is written down, none is TRL's default"
