"""What a rule about settings is, and the words that rules are written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from r1hf.preflight.finding import Grade

Values = Mapping[str, Any]
TRL = "TRL 1.16"


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
    grade: Grade = "warning"


def rl(values: Values) -> bool:
    """Reinforcement learning."""
    return "num_generations" in values


def sft(values: Values) -> bool:
    """Supervised fine-tuning."""
    return "completion_only_loss" in values


def trains(values: Values) -> bool:
    """A trainer of any kind."""
    return "per_device_train_batch_size" in values


def number(values: Values, key: str, default: float = 0.0) -> float:
    """The value of a key, where it is a number."""
    value = values.get(key)
    return float(value) if isinstance(value, int | float) else default


def no_reference(values: Values) -> bool:
    """There is no KL term."""
    return rl(values) and number(values, "beta") == 0.0


def on_policy(values: Values) -> bool:
    """Each rollout feeds one optimizer step once, so that the ratio is 1 and nothing is clipped."""
    per = number(values, "steps_per_generation") or number(values, "gradient_accumulation_steps", 1)
    once = per <= number(values, "gradient_accumulation_steps", 1) and number(values, "num_iterations", 1) == 1
    return rl(values) and once and not values.get("use_vllm")


def length(values: Values) -> float:
    """Most tokens of a completion."""
    return number(values, "max_completion_length")


def flash(values: Values) -> bool:
    """Attention is by a flash kernel."""
    init = values.get("model_init_kwargs")
    return isinstance(init, Mapping) and "flash" in str(init.get("attn_implementation"))
