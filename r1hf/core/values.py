"""Values with which a run could only fail late, or end having done nothing: refused while the configuration is read.

By the name of the key, so that a stage's own keys and those of TRL and Transformers are judged alike, in every recipe.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from r1hf.core.files import sibling
from r1hf.core.foreign_code import asked_for
from r1hf.core.yamlfile import nearest

_ABOVE_0, _FROM_0, _FROM_1 = "(0, inf)", "[0, inf)", "[1, inf)"
_SHARE, _SHARE_ABOVE_0, _SHARE_BELOW_1 = "[0, 1]", "(0, 1]", "[0, 1)"
_PORT = "[1, 65535]"
_SEED = "[0, 4294967295]"  # numpy's

# key -> (interval of the values that can work, what to write).
LIMITS: dict[str, tuple[str, str]] = {
    "learning_rate": (_ABOVE_0, "a rate of 0 or less leaves the weights as they are; write one such as 1e-6"),
    "num_train_epochs": (_ABOVE_0, "write how often to pass over the data, or max_steps alone"),
    "max_steps": (_FROM_1, "write the number of steps, or -1 to let num_train_epochs decide"),
    "warmup_steps": (_FROM_0, "write 0 for none, steps, or a share of all steps below 1"),
    "per_device_train_batch_size": (_FROM_1, "write how many rows one device takes at once"),
    "per_device_eval_batch_size": (_FROM_1, "write how many rows one device takes at once"),
    "gradient_accumulation_steps": (_FROM_1, "write how many micro-batches make a step; 1 for no accumulation"),
    "optimizer_batch_size": (_FROM_1, "write the completions of a step, or leave it out"),
    "generation_batch_size": (_FROM_1, "write the completions of a generation, or leave it out"),
    "steps_per_generation": (_FROM_1, "write the micro-batches that share a generation, or leave it out"),
    "minibatches": (_FROM_1, "write the steps that share a generation, or leave it out"),
    "num_generations": ("[2, inf)", "a group needs at least two completions to compare"),
    "num_generations_eval": (_FROM_1, "write the completions a prompt, or leave it out"),
    "num_iterations": (_FROM_1, "write how often each rollout is trained on; the paper's is 1"),
    "max_completion_length": (_FROM_1, "write the most tokens of a completion, thought included"),
    "max_prompt_length": (_FROM_1, "write the most tokens of a prompt, or leave it out"),
    "max_length": (_FROM_1, "write the most tokens of a row, or null for no limit"),
    "max_new_tokens": (_FROM_1, "write the most tokens of a sample, thought included"),
    "max_tokens": (_FROM_1, "write the most tokens of a sample that is kept"),
    "max_grad_norm": ("[0, inf]", "write the norm that gradients are cut to, or 0 for no cut"),
    "weight_decay": (_FROM_0, "write 0 for none"),
    "adam_beta1": (_SHARE_BELOW_1, "0.9 is usual"),
    "adam_beta2": (_SHARE_BELOW_1, "0.999 is usual"),
    "adam_epsilon": (_ABOVE_0, "1e-8 is usual"),
    "label_smoothing_factor": (_SHARE_BELOW_1, "write 0 for none"),
    "neftune_noise_alpha": (_FROM_0, "leave it out for no noise"),
    "router_aux_loss_coef": (_FROM_0, "write 0 for none"),
    "center_rewards_coefficient": (_FROM_0, "leave it out for none"),
    "expert_bias_speed": (_FROM_0, "write 0 to leave the biases; DeepSeek-V3's is 0.001"),
    "logging_steps": (_ABOVE_0, "write the steps between rows of the log"),
    "save_steps": (_ABOVE_0, "write the steps between checkpoints, or save_strategy: 'no' for none"),
    "eval_steps": (_ABOVE_0, "leave it out"),
    "dataloader_num_workers": (_FROM_0, "write 0 to load rows in the trainer's process"),
    "dataset_num_proc": (_FROM_1, "leave it out for one process"),
    "max_bad_rows": (_SHARE, "write the share of rows that may be unusable, or 0 to stop at the first"),
    "seed": (_SEED, "write a whole number from 0 on"),
    "data_seed": (_SEED, "leave it out: seed is for all"),
    "num_threads": (_FROM_1, "write how many threads torch takes, or leave it out"),
    # Reinforcement learning and on-policy distillation
    "temperature": (_ABOVE_0, "samples must differ for a policy to learn from them; the paper's is 1"),
    "top_p": (_SHARE_ABOVE_0, "write the share of probability that samples are drawn from; 1 is all of it"),
    "top_k": (_FROM_0, "write how many tokens samples are drawn from, or 0 for all"),
    "min_p": (_SHARE, "leave it out for none"),
    "repetition_penalty": (_ABOVE_0, "write 1 for none"),
    "beta": (_FROM_0, "write 0 for no KL term; a negative one drives the policy away from its reference"),
    "epsilon": (_ABOVE_0, "write how far the ratio may leave 1; the paper's is 10"),
    "epsilon_high": (_ABOVE_0, "write how far the ratio may rise above 1, or leave it out: epsilon then counts"),
    "delta": (_ABOVE_0, "leave it out for no second bound"),
    "ref_model_sync_steps": (_FROM_1, "write the steps between syncs; the paper's is 400"),
    "ref_model_mixup_alpha": (_SHARE_ABOVE_0, "write the policy's share in the new reference; 1 is the policy"),
    "top_entropy_quantile": (_SHARE_ABOVE_0, "write the share of tokens that count; 1 is all"),
    "off_policy_mask_threshold": (_ABOVE_0, "leave it out for no mask"),
    "sapo_temperature_pos": (_ABOVE_0, "1.0 is usual"),
    "sapo_temperature_neg": (_ABOVE_0, "1.05 is usual"),
    "entropy_coef": (_FROM_0, "write 0 for none"),
    "lora_r": (_FROM_1, "write the adapter's rank, such as 16"),
    "lora_alpha": (_FROM_1, "an adapter that counts nothing cannot learn; twice lora_r is usual"),
    "lora_dropout": (_SHARE_BELOW_1, "write 0 for none"),
    "vllm_gpu_memory_utilization": (_SHARE_ABOVE_0, "write vLLM's share of the GPU's memory, such as 0.3"),
    "vllm_max_model_length": (_FROM_1, "write the most tokens of prompt and completion together"),
    "vllm_tensor_parallel_size": (_FROM_1, "write the GPUs that share one copy of the model"),
    "vllm_server_timeout": (_ABOVE_0, "write the seconds to wait"),
    "vllm_request_timeout": (_ABOVE_0, "write the seconds to wait for one answer"),
    "vllm_server_port": (_PORT, "write the port of the server"),
    "vllm_group_port": (_PORT, "write a free port"),
    # Stages that make or sample
    "documents": (_FROM_1, "write the documents of the corpus"),
    "tokenizer_documents": (_FROM_1, "write the documents that the tokenizer is trained on"),
    "vocab_size": (_FROM_1, "write the tokens of the tokenizer"),
    "block_size": ("[2, inf)", "write the tokens of a training row"),
    "batch_size": (_FROM_1, "write the sequences that are generated at once"),
    "server_timeout": (_ABOVE_0, "write the seconds to wait for one sample"),
    "server_patience": (_ABOVE_0, "write the seconds to wait for any answer"),
    "workers": (_FROM_1, "write the engines of this machine, or leave it out"),
    "shard_size": (_FROM_1, "write the samples that are kept together, or leave it out"),
    "max_bad_samples": (_SHARE, "write the share of samples that may be no answer, or 0 to stop at the first"),
    "k": (_FROM_1, "write the samples a problem"),
    "general_k": (_FROM_1, "write the samples a general prompt"),
    "samples": (_FROM_1, "write the samples a prompt"),
    "problems": (_FROM_1, "write the problems that each method is given"),
    "rows_per_method": (_FROM_1, "write the most rows to keep of a method"),
    "min_rows_per_method": (_FROM_0, "write the fewest rows of a method, or 0 to go on with none"),
    "max_paragraph": (_FROM_0, "write the most words and signs of a paragraph, or 0 for any number"),
    "min_pass_rate": (_SHARE, "write the least share of right samples of a prompt, or leave it out"),
    "max_pass_rate": (_SHARE, "write the greatest share of right samples of a prompt, or leave it out"),
    "keep_per_prompt": (_FROM_1, "write the most samples to keep of a prompt, or leave it out for all"),
    "judge_retries": (_FROM_0, "write how often a reply without a verdict is asked for again"),
    "judge_max_new_tokens": (_FROM_1, "write the tokens of a judge's reply, with its thought"),
    "min_language_share": (_SHARE, "write the least share of words in the row's language"),
    "general_ratio": (_FROM_0, "write the general rows for each reasoning row; the paper's is 1/3"),
    "general_share": (_SHARE, "write the share of general prompts in the last steps"),
    "preference_steps": (_FROM_0, "write the last steps, with general prompts; the paper's is 400"),
}
_MEANS_OFF = {"max_steps": -1}
_GREEDY = (_FROM_0, "write 0 for the likeliest token each time, or the paper's 0.6")

# What TRL reads at the first loss, long after the model is loaded.
_RATIOS = ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask")
CHOICES: dict[str, tuple[str, ...]] = {
    "loss_type": ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "luspo", "sapo", "vespo"),
    "importance_sampling_level": ("token", "sequence"),
    "scale_rewards": ("group", "batch", "none"),
    "multi_objective_aggregation": ("sum_then_normalize", "normalize_then_sum"),
    "vllm_importance_sampling_mode": _RATIOS,
}


def refuse(key: str, value: Any, keys: Collection[str]) -> None:
    """Raises ValueError where no run could use `value`. keys: all that the schema has, which say what it is for."""
    if (foreign := asked_for(key, value)) is not None:
        raise ValueError(foreign)
    if key.endswith("_init_kwargs") and isinstance(value, str) and not value.lstrip().startswith("{"):
        raise ValueError(f"{value!r:.60} is not a mapping; write it as {{dtype: bfloat16}}")
    if key == "chat_template_path" and value is not None:
        raise ValueError("r1hf reads it from elsewhere; write chat_template: auto, a name, or a .jinja file")
    if isinstance(value, str) and key in CHOICES and "num_generations" in keys and value not in CHOICES[key]:
        raise ValueError(f"{value!r} is unknown; {nearest(value, CHOICES[key])}")
    if key not in LIMITS or isinstance(value, bool) or not isinstance(value, int | float):
        return
    limits, advice = _GREEDY if key == "temperature" and "sampler" in keys else LIMITS[key]
    wrong = _outside(value, limits)
    if wrong and value != _MEANS_OFF.get(key):
        raise ValueError(f"{value:.12g} {wrong}; {advice}")


def _outside(value: float, interval: str) -> str | None:
    """What is wrong with a value outside `interval`, written as in mathematics: `(0, 1]`."""
    low, high = interval[1:-1].split(", ")
    if math.isnan(value) or (math.isinf(value) and not (interval.endswith("inf]") and value > 0)):
        return "is not a finite number"
    if value < float(low) or (value == float(low) and interval[0] == "("):
        return f"is {'not above' if interval[0] == '(' else 'below'} {low}"
    if value > float(high) or (value == float(high) and interval[-1] == ")"):
        return f"is {'not below' if interval[-1] == ')' else 'above'} {high}"
    return None


def contradictions(values: Mapping[str, Any], typed: Collection[str]) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) where keys that are well by themselves do not go together.

    values: of all keys, defaults included. typed: the keys that the command line sets.
    """
    steps, warmup = values.get("max_steps"), values.get("warmup_steps")
    # A file's run cut short for a trial (`--max_steps 5`) keeps its warm-up.
    trial = "max_steps" in typed and "warmup_steps" not in typed
    if isinstance(steps, int) and isinstance(warmup, int | float) and 0 < steps < warmup and not trial:
        yield (
            "warmup_steps",
            f"{warmup:g} of max_steps {steps}: the rate would never reach learning_rate; write fewer warmup_steps",
        )
    if values.get("temperature") == 0 and "sampler" in values:
        counts = ("samples", "k", *(["general_k"] if values.get("general_prompts") else []))
        for name in (name for name in counts if (values.get(name) or 1) > 1):
            yield name, f"{values[name]} samples at temperature 0 are all the same; write 1, or a temperature above 0"
    if values.get("resume_from_checkpoint") is not None and values.get("output_dir"):
        wrong = _resume(str(values["resume_from_checkpoint"]), str(values["output_dir"]), bool(values.get("restart")))
        if wrong:
            yield "resume_from_checkpoint", f"{values['resume_from_checkpoint']} {wrong}"


def _resume(value: str, output_dir: str, restart: bool) -> str | None:
    """Why a stage would not go on from this checkpoint."""
    alone = "a stage goes on by itself from the last checkpoint of its own; leave the key out"
    if value.lower() == "false":
        return f"would not be read: {alone}, or write restart: true to begin anew"
    if restart:
        return "contradicts restart: true, which begins anew; leave one of the two out"
    if value.lower() == "true":
        return None
    path, own = Path(value), sibling(Path(output_dir), "partial")
    if not path.exists():
        return f"does not exist; {alone}"
    if not (path / "trainer_state.json").is_file():
        return f"is not a checkpoint of a trainer (it has no trainer_state.json); {alone}, or start from it as model"
    if own.resolve() not in path.resolve().parents:
        return f"belongs to another run, and this one keeps its own in {own}; {alone}, or start from it as model"
    newer = [other.name for other in path.parent.glob("checkpoint-*") if _step(other) > _step(path)]
    if newer:
        return f"is not the last: {', '.join(sorted(newer))} came after it, and {alone}"
    return None


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1
