"""Settings that would silently do nothing, or something other than they say: one table, each line with its source."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from r1hf.doctor.item import Item, Status
from r1hf.rewards.table import weight_problems, weights_of

Values = Mapping[str, Any]
_CLIPPED = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")  # GRPOTrainer._compute_loss: both sides of epsilon
_UNIT = 1.0 - 1e-9
_PLAIN_SCHEDULES = ("constant", "linear", "cosine", "constant_with_warmup", "inverse_sqrt")


@dataclass(frozen=True)
class Rule:
    """keys: the rule is about a file that sets one of them (none: about any file). when: it applies. why: what would
    happen instead; advice: what to write. source: where that is written or done.
    """

    keys: tuple[str, ...]
    when: Callable[[Values], bool]
    why: str
    advice: str
    source: str
    status: Status = "warn"


def _rl(values: Values) -> bool:
    return "num_generations" in values


def _sft(values: Values) -> bool:
    return "completion_only_loss" in values


def _trains(values: Values) -> bool:
    return "per_device_train_batch_size" in values


def _number(values: Values, key: str, default: float = 0.0) -> float:
    value = values.get(key)
    return float(value) if isinstance(value, int | float) else default


def _no_reference(values: Values) -> bool:
    return _rl(values) and _number(values, "beta") == 0.0


def _on_policy(values: Values) -> bool:
    """Each rollout feeds one optimizer step once, so that the ratio is 1 and nothing is clipped."""
    per = _number(values, "steps_per_generation") or _number(values, "gradient_accumulation_steps", 1)
    once = per <= _number(values, "gradient_accumulation_steps", 1) and _number(values, "num_iterations", 1) == 1
    return _rl(values) and once and not values.get("use_vllm")


def _length(values: Values) -> float:
    return _number(values, "max_completion_length")


TRL = "TRL 1.16"
RULES: tuple[Rule, ...] = (
    Rule(
        ("ref_model_sync_steps", "ref_model_mixup_alpha"),
        lambda v: _rl(v) and not v.get("sync_ref_model"),
        "sync_ref_model is off: the reference is never refreshed",
        "set sync_ref_model true, or leave the key out",
        f"{TRL}, SyncRefModelCallback",
    ),
    Rule(
        ("sync_ref_model",),
        lambda v: _no_reference(v) and bool(v.get("sync_ref_model")),
        "beta is 0, so there is no reference to refresh; TRL refuses it",
        "set beta above 0, or sync_ref_model false",
        f"{TRL}, GRPOTrainer.__init__",
        "fail",
    ),
    Rule(
        ("ref_model_sync_steps",),
        lambda v: (
            _rl(v)
            and bool(v.get("sync_ref_model"))
            and 0 < _number(v, "max_steps", -1) < _number(v, "ref_model_sync_steps")
        ),
        "later than the last step: the reference stays the start",
        "fine if meant; else fewer steps between refreshes",
        f"{TRL}, SyncRefModelCallback",
    ),
    Rule(
        ("use_bias_correction_kl",),
        lambda v: _no_reference(v) and bool(v.get("use_bias_correction_kl")),
        "beta is 0: there is no KL term to correct",
        "leave it out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("epsilon_high",),
        lambda v: _rl(v) and v.get("loss_type") not in (*_CLIPPED, "cispo") and v.get("epsilon_high") is not None,
        "this loss_type does not clip",
        f"loss_type {', '.join(_CLIPPED)} or cispo",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("epsilon",),
        lambda v: _rl(v) and v.get("loss_type") in ("cispo", "sapo", "vespo"),
        "this loss_type has no lower clip: epsilon is not read",
        "cispo is bounded by epsilon_high; leave epsilon out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("delta",),
        lambda v: _rl(v) and v.get("delta") is not None and v.get("loss_type") not in _CLIPPED,
        "only the two-sided clipped losses read delta",
        "leave it out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("sapo_temperature_neg", "sapo_temperature_pos"),
        lambda v: _rl(v) and v.get("loss_type") != "sapo",
        "only loss_type sapo reads it",
        "leave it out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("vespo_k_pos", "vespo_k_neg", "vespo_lambda_pos", "vespo_lambda_neg"),
        lambda v: _rl(v) and v.get("loss_type") != "vespo",
        "only loss_type vespo reads it",
        "leave it out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("epsilon", "epsilon_high", "delta"),
        _on_policy,
        "each rollout is trained on once and in one step: the ratio is 1 and nothing is clipped",
        "fine if meant; minibatches or num_iterations above 1 make it bind",
        "arXiv 2402.03300, section 4.1.2",
        "ok",
    ),
    Rule(
        ("entropy_coef_min", "entropy_coef_max", "entropy_coef_delta", "entropy_target"),
        lambda v: _rl(v) and not v.get("use_adaptive_entropy"),
        "use_adaptive_entropy is off: the coefficient stays",
        "set use_adaptive_entropy true, or leave it out",
        f"{TRL}, GRPOConfig",
    ),
    Rule(
        (),
        lambda v: (
            bool(v.get("use_vllm"))
            and bool(v.get("vllm_importance_sampling_correction", True))
            and str(v.get("vllm_importance_sampling_mode", "")).startswith("sequence")
            and _length(v) >= 4096
        ),
        "a ratio over the whole sequence: long thoughts are masked or deflated",
        "vllm_importance_sampling_mode: token_truncate",
        "huggingface/trl#5814",
    ),
    Rule(
        ("vllm_max_model_length",),
        lambda v: bool(v.get("use_vllm")) and 0 < _number(v, "vllm_max_model_length") <= _length(v),
        "no room for the prompt and max_completion_length together",
        "at least the longest prompt plus max_completion_length",
        "vLLM, max_model_len",
        "fail",
    ),
    Rule(
        ("mask_truncated_completions",),
        lambda v: _rl(v) and bool(v.get("mask_truncated_completions")) and 0 < _length(v) < 64,
        "a completion that is cut off teaches nothing, and with so few tokens nearly all are",
        "raise max_completion_length",
        f"{TRL}, GRPOTrainer._generate_and_score_completions",
    ),
    Rule(
        ("num_train_epochs",),
        lambda v: _trains(v) and _number(v, "max_steps", -1) > 0,
        "max_steps decides when training ends",
        "leave one of the two out",
        "transformers, TrainingArguments.max_steps",
    ),
    Rule(
        ("save_total_limit", "save_steps"),
        lambda v: _trains(v) and v.get("save_strategy") == "no",
        "save_strategy is no: no checkpoint is written, and an interrupted run starts anew",
        "save_strategy: steps",
        "transformers, TrainingArguments.save_strategy",
    ),
    Rule(
        ("save_steps",),
        lambda v: (
            _trains(v)
            and v.get("save_strategy") == "steps"
            and 0 < _number(v, "max_steps", -1) < _number(v, "save_steps")
        ),
        "later than the last step: no checkpoint before the end",
        "fewer steps between checkpoints",
        "transformers, TrainingArguments.save_steps",
    ),
    Rule(
        ("eval_steps", "per_device_eval_batch_size"),
        lambda v: _trains(v) and v.get("eval_strategy", "no") == "no",
        "eval_strategy is no, and r1hf's stages give the trainer no evaluation rows; recipes/evaluate.py evaluates",
        "leave it out",
        "transformers, TrainingArguments.eval_strategy",
    ),
    Rule(
        ("warmup_steps", "warmup_ratio"),
        lambda v: _trains(v) and v.get("lr_scheduler_type") == "constant" and _number(v, "warmup_steps") > 0,
        "lr_scheduler_type constant has no warm-up",
        "lr_scheduler_type: constant_with_warmup",
        "transformers, get_constant_schedule",
    ),
    Rule(
        ("warmup_steps",),
        lambda v: _trains(v) and 0 < _number(v, "max_steps", -1) <= _number(v, "warmup_steps"),
        "the rate never reaches its peak",
        "fewer warm-up steps than max_steps",
        "transformers, get_scheduler",
    ),
    Rule(
        ("lr_scheduler_kwargs",),
        lambda v: _trains(v) and bool(v.get("lr_scheduler_kwargs")) and v.get("lr_scheduler_type") in _PLAIN_SCHEDULES,
        "this lr_scheduler_type takes no such keyword: the trainer fails when it makes the schedule",
        "lr_scheduler_type: cosine_with_min_lr, or lr_scheduler_kwargs: null",
        "transformers, get_scheduler",
        "fail",
    ),
    Rule(
        ("packing", "packing_strategy"),
        lambda v: _sft(v) and bool(v.get("packing")) and v.get("packing_strategy") == "wrapped",
        "wrapped cuts wherever a packed row is full: a thought in one, its answer in the next",
        "packing_strategy: bfd, which keeps every row of at most max_length whole",
        f"{TRL}, SFTConfig.packing_strategy",
    ),
    Rule(
        ("packing_strategy", "eval_packing"),
        lambda v: _sft(v) and not v.get("packing"),
        "packing is off",
        "set packing true, or leave it out",
        f"{TRL}, SFTConfig",
    ),
    Rule(
        ("packing", "padding_free"),
        lambda v: _sft(v) and bool(v.get("packing") or v.get("padding_free")) and not _flash(v),
        "without a flash attention kernel, the mask that keeps packed rows apart takes max_length² bytes or more",
        "model_init_kwargs: {attn_implementation: flash_attention_2}, or a max_length that has room",
        "transformers, masking_utils.find_packed_sequence_indices",
    ),
    Rule(
        ("truncation_mode",),
        lambda v: _sft(v) and v.get("too_long") == "drop",
        "too_long is drop: no row is cut",
        "too_long: truncate, or leave it out",
        "r1hf, trainers/sft.py",
    ),
    Rule(
        ("assistant_only_loss",),
        lambda v: _sft(v) and bool(v.get("assistant_only_loss")) and bool(v.get("completion_only_loss")),
        "rows are a prompt and a completion: completion_only_loss already leaves the prompt out",
        "leave it out",
        f"{TRL}, SFTConfig",
    ),
    Rule(
        ("use_liger_kernel",),
        lambda v: _trains(v) and bool(v.get("use_liger_kernel")),
        "the fused loss is gone: only the kernels of layers remain, beside TRL's own fused LM head",
        "leave it out unless measured",
        f"{TRL}, GRPOTrainer.__init__, SFTTrainer.__init__",
    ),
    Rule(
        ("gradient_checkpointing_kwargs",),
        lambda v: _trains(v) and not v.get("gradient_checkpointing"),
        "gradient_checkpointing is off",
        "set it true, or leave this out",
        "transformers, TrainingArguments",
    ),
    Rule(
        ("num_completions_to_print", "log_unique_prompts", "log_completions_hub_repo"),
        lambda v: _rl(v) and not v.get("log_completions"),
        "log_completions is off; r1hf writes rollouts by itself (log_rollouts)",
        "leave it out, or log_completions true with log_rollouts false",
        f"{TRL}, GRPOTrainer.log",
    ),
    Rule(
        ("rollout_steps", "rollout_keep"),
        lambda v: _rl(v) and v.get("log_rollouts") is False,
        "log_rollouts is off",
        "set it true, or leave this out",
        "r1hf, trainers/step_metrics.py",
    ),
    Rule(
        ("reward_weights",),
        lambda v: _rl(v) and v.get("reward_weights") is not None,
        "not read: rewards says what each reward counts",
        "rewards: {accuracy: 1.0, format: 1.0}",
        "r1hf, trainers/rl.py",
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


def _flash(values: Values) -> bool:
    init = values.get("model_init_kwargs")
    return isinstance(init, Mapping) and "flash" in str(init.get("attn_implementation"))


def check_settings(values: Values, given: Collection[str], languages: Collection[Any] | None = None) -> list[Item]:
    """A line for each rule that applies. given: the keys that the file or the command line sets. languages: what the
    rows' column `language` holds, None where it is not known.
    """
    items = []
    for rule in RULES:
        named = [key for key in rule.keys if key in given]
        if (named or not rule.keys) and rule.when(values):
            shown = ", ".join(f"{key} {_short(values.get(key))}" for key in named) or "settings"
            items.append(Item(rule.status, "settings", f"{shown}: {rule.why}", f"{rule.advice} ({rule.source})"))
    items += _rewards(values, languages)
    return items or [Item("ok", "settings", f"none of {len(RULES)} that would do nothing")]


def _rewards(values: Values, languages: Collection[Any] | None) -> list[Item]:
    chosen = values.get("rewards")
    if not isinstance(chosen, Mapping) or "language" not in chosen or weight_problems(chosen):
        return []
    paid = weights_of(chosen)["language"]
    if not paid or languages is None or any(languages):
        return []
    found = "rewards: language is paid, and no row names its language"
    return [Item("warn", "settings", found, "add the column `language` (en, zh, …), or weigh it 0")]


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if len(text) < 40 else text[:37] + "…"
