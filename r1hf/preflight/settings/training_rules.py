"""Settings of any trainer, of fine-tuning and of adapters that would silently do nothing, or something else."""

from __future__ import annotations

from r1hf.preflight.settings.rule import TRL, Rule, flash, number, sft, trains

_PLAIN_SCHEDULES = ("constant", "linear", "cosine", "constant_with_warmup", "inverse_sqrt")

TRAINING_RULES: tuple[Rule, ...] = (
    Rule(
        ("num_train_epochs",),
        lambda v: trains(v) and number(v, "max_steps", -1) > 0,
        "max_steps decides when training ends",
        "leave one of the two out",
        "transformers, TrainingArguments.max_steps",
    ),
    Rule(
        ("save_total_limit", "save_steps"),
        lambda v: trains(v) and v.get("save_strategy") == "no",
        "save_strategy is no: no checkpoint is written, and an interrupted run starts anew",
        "save_strategy: steps",
        "transformers, TrainingArguments.save_strategy",
    ),
    Rule(
        ("save_steps",),
        lambda v: (
            trains(v)
            and v.get("save_strategy") == "steps"
            and 0 < number(v, "max_steps", -1) < number(v, "save_steps")
        ),
        "later than the last step: no checkpoint before the end",
        "fewer steps between checkpoints",
        "transformers, TrainingArguments.save_steps",
    ),
    Rule(
        ("eval_steps", "per_device_eval_batch_size"),
        lambda v: trains(v) and v.get("eval_strategy", "no") == "no",
        "eval_strategy is no, and r1hf's stages give the trainer no evaluation rows; recipes/evaluate.py evaluates",
        "leave it out",
        "transformers, TrainingArguments.eval_strategy",
    ),
    Rule(
        ("warmup_steps", "warmup_ratio"),
        lambda v: trains(v) and v.get("lr_scheduler_type") == "constant" and number(v, "warmup_steps") > 0,
        "lr_scheduler_type constant has no warm-up",
        "lr_scheduler_type: constant_with_warmup",
        "transformers, get_constant_schedule",
    ),
    Rule(
        ("warmup_steps",),
        lambda v: trains(v) and 0 < number(v, "max_steps", -1) <= number(v, "warmup_steps"),
        "the rate never reaches its peak",
        "fewer warm-up steps than max_steps",
        "transformers, get_scheduler",
    ),
    Rule(
        ("lr_scheduler_kwargs",),
        lambda v: trains(v) and bool(v.get("lr_scheduler_kwargs")) and v.get("lr_scheduler_type") in _PLAIN_SCHEDULES,
        "this lr_scheduler_type takes no such keyword: the trainer fails when it makes the schedule",
        "lr_scheduler_type: cosine_with_min_lr, or lr_scheduler_kwargs: null",
        "transformers, get_scheduler",
        "error",
    ),
    Rule(
        ("packing", "packing_strategy"),
        lambda v: sft(v) and bool(v.get("packing")) and v.get("packing_strategy") == "wrapped",
        "wrapped cuts wherever a packed row is full: a thought in one, its answer in the next",
        "packing_strategy: bfd, which keeps every row of at most max_length whole",
        f"{TRL}, SFTConfig.packing_strategy",
    ),
    Rule(
        ("packing_strategy", "eval_packing"),
        lambda v: sft(v) and not v.get("packing"),
        "packing is off",
        "set packing true, or leave it out",
        f"{TRL}, SFTConfig",
    ),
    Rule(
        ("packing", "padding_free"),
        lambda v: sft(v) and bool(v.get("packing") or v.get("padding_free")) and not flash(v),
        "without a flash attention kernel, the mask that keeps packed rows apart takes max_length² bytes or more",
        "model_init_kwargs: {attn_implementation: flash_attention_2}, or a max_length that has room",
        "transformers, masking_utils.find_packed_sequence_indices",
    ),
    Rule(
        ("truncation_mode",),
        lambda v: sft(v) and v.get("too_long") == "drop",
        "too_long is drop: no row is cut",
        "too_long: truncate, or leave it out",
        "r1hf, trainers/sft.py",
    ),
    Rule(
        ("assistant_only_loss",),
        lambda v: sft(v) and bool(v.get("assistant_only_loss")) and bool(v.get("completion_only_loss")),
        "rows are a prompt and a completion: completion_only_loss already leaves the prompt out",
        "leave it out",
        f"{TRL}, SFTConfig",
    ),
    Rule(
        ("use_liger_kernel",),
        lambda v: trains(v) and bool(v.get("use_liger_kernel")),
        "the fused loss is gone: only the kernels of layers remain, beside TRL's own fused LM head",
        "leave it out unless measured",
        f"{TRL}, GRPOTrainer.__init__, SFTTrainer.__init__",
    ),
    Rule(
        ("gradient_checkpointing_kwargs",),
        lambda v: trains(v) and not v.get("gradient_checkpointing"),
        "gradient_checkpointing is off",
        "set it true, or leave this out",
        "transformers, TrainingArguments",
    ),
    Rule(
        ("lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "lora_modules_to_save", "load_in_4bit"),
        lambda v: "use_peft" in v and not v["use_peft"],
        "use_peft is off: the whole model is trained",
        "set use_peft true, or leave it out",
        "r1hf, trainers/adapters.py",
    ),
    Rule(
        ("data_seed",),
        lambda v: v.get("data_seed") is not None and v.get("data_seed") != v.get("seed"),
        "another seed for the order of rows than for everything else",
        "leave it out: seed is for all",
        "transformers, TrainingArguments.data_seed",
    ),
)
