"""Settings of reinforcement learning that would silently do nothing, or something other than they say."""

from __future__ import annotations

from r1hf.preflight.settings.rule import TRL, Rule, length, no_reference, number, on_policy, rl

_CLIPPED = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")  # GRPOTrainer._compute_loss: both sides of epsilon

RL_RULES: tuple[Rule, ...] = (
    Rule(
        ("ref_model_sync_steps", "ref_model_mixup_alpha"),
        lambda v: rl(v) and not v.get("sync_ref_model"),
        "sync_ref_model is off: the reference is never refreshed",
        "set sync_ref_model true, or leave the key out",
        f"{TRL}, SyncRefModelCallback",
    ),
    Rule(
        ("sync_ref_model",),
        lambda v: no_reference(v) and bool(v.get("sync_ref_model")),
        "beta is 0, so there is no reference to refresh; TRL refuses it",
        "set beta above 0, or sync_ref_model false",
        f"{TRL}, GRPOTrainer.__init__",
        "error",
    ),
    Rule(
        ("ref_model_sync_steps",),
        lambda v: (
            rl(v)
            and bool(v.get("sync_ref_model"))
            and 0 < number(v, "max_steps", -1) < number(v, "ref_model_sync_steps")
        ),
        "later than the last step: the reference stays the start",
        "fine if meant; else fewer steps between refreshes",
        f"{TRL}, SyncRefModelCallback",
    ),
    Rule(
        ("use_bias_correction_kl",),
        lambda v: no_reference(v) and bool(v.get("use_bias_correction_kl")),
        "beta is 0: there is no KL term to correct",
        "leave it out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("epsilon_high",),
        lambda v: rl(v) and v.get("loss_type") not in (*_CLIPPED, "cispo") and v.get("epsilon_high") is not None,
        "this loss_type does not clip",
        f"loss_type {', '.join(_CLIPPED)} or cispo",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("epsilon",),
        lambda v: rl(v) and v.get("loss_type") in ("cispo", "sapo", "vespo"),
        "this loss_type has no lower clip: epsilon is not read",
        "cispo is bounded by epsilon_high; leave epsilon out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("delta",),
        lambda v: rl(v) and v.get("delta") is not None and v.get("loss_type") not in _CLIPPED,
        "only the two-sided clipped losses read delta",
        "leave it out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("sapo_temperature_neg", "sapo_temperature_pos"),
        lambda v: rl(v) and v.get("loss_type") != "sapo",
        "only loss_type sapo reads it",
        "leave it out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("vespo_k_pos", "vespo_k_neg", "vespo_lambda_pos", "vespo_lambda_neg"),
        lambda v: rl(v) and v.get("loss_type") != "vespo",
        "only loss_type vespo reads it",
        "leave it out",
        f"{TRL}, GRPOTrainer._compute_loss",
    ),
    Rule(
        ("epsilon", "epsilon_high", "delta"),
        on_policy,
        "each rollout is trained on once and in one step: the ratio is 1 and nothing is clipped",
        "fine if meant; minibatches or num_iterations above 1 make it bind",
        "arXiv 2402.03300, section 4.1.2",
        "note",
    ),
    Rule(
        ("entropy_coef_min", "entropy_coef_max", "entropy_coef_delta", "entropy_target"),
        lambda v: rl(v) and not v.get("use_adaptive_entropy"),
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
            and length(v) >= 4096
        ),
        "a ratio over the whole sequence: long thoughts are masked or deflated",
        "vllm_importance_sampling_mode: token_truncate",
        "huggingface/trl#5814",
    ),
    Rule(
        ("vllm_max_model_length",),
        lambda v: bool(v.get("use_vllm")) and 0 < number(v, "vllm_max_model_length") <= length(v),
        "no room for the prompt and max_completion_length together",
        "at least the longest prompt plus max_completion_length",
        "vLLM, max_model_len",
        "error",
    ),
    Rule(
        ("mask_truncated_completions",),
        lambda v: rl(v) and bool(v.get("mask_truncated_completions")) and 0 < length(v) < 64,
        "a completion that is cut off teaches nothing, and with so few tokens nearly all are",
        "raise max_completion_length",
        f"{TRL}, GRPOTrainer._generate_and_score_completions",
    ),
    Rule(
        ("num_completions_to_print", "log_unique_prompts", "log_completions_hub_repo"),
        lambda v: rl(v) and not v.get("log_completions"),
        "log_completions is off; r1hf writes rollouts by itself (log_rollouts)",
        "leave it out, or log_completions true with log_rollouts false",
        f"{TRL}, GRPOTrainer.log",
    ),
    Rule(
        ("rollout_steps", "rollout_keep"),
        lambda v: rl(v) and v.get("log_rollouts") is False,
        "log_rollouts is off",
        "set it true, or leave this out",
        "r1hf, trainers/step_metrics.py",
    ),
    Rule(
        ("reward_weights",),
        lambda v: rl(v) and v.get("reward_weights") is not None,
        "not read: rewards says what each reward counts",
        "rewards: {accuracy: 1.0, format: 1.0}",
        "r1hf, trainers/rl.py",
    ),
)
