"""R1-Zero: reinforcement learning on the base, no supervised data (arXiv 2501.12948v2, section 2).

GRPO from the base with the paper's template and two rule rewards of equal weight, accuracy and format. Language
consistency is measured (weight 0) and not paid: watch it fall. With a student's base as `model`, the same recipe is
the paper's comparison of distillation with direct RL on a small model (v1, section 4.1).

In:  model (a base), prompts (question, answer, language, task).
Out: the policy.
Run: accelerate launch recipes/r1_zero.py --config recipes/configs/tiny/r1_zero.yaml
Deviations: format checks think and answer tags, as the template asks; `--format_mode think_only` is the paper's check.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from r1hf.commands.recipe import run
from r1hf.core.config import Parsed, parse
from r1hf.rewards import accuracy_reward, get_format_reward, language_consistency_reward
from r1hf.stage.stage import Stage
from r1hf.trainers.code import CodeConfig, check_code, code_rewards
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.rl import RLConfig, preflight_rl, rl_rows, shuffled, train_policy


@dataclass(kw_only=True)
class R1ZeroConfig(CodeConfig, RLConfig):
    format_mode: Literal["think_answer", "think_only"] = field(
        default="think_answer", metadata={"help": "tags that the format reward wants"}
    )


CONFIGS = (R1ZeroConfig, R1GRPOConfig)
REWARDS = ("accuracy", "format", "language")


def rewards(config: R1ZeroConfig) -> dict[str, Callable[..., list[float | None]]]:
    return {
        "accuracy": accuracy_reward,
        "format": get_format_reward(mode=config.format_mode),
        "language": language_consistency_reward,
        **code_rewards(config),
    }


def preflight(parsed: Parsed) -> None:
    preflight_rl(parsed, (*REWARDS, *check_code(parsed)))


def main(argv: list[str] | None = None) -> None:
    parsed = parse(CONFIGS, argv)
    preflight(parsed)
    config, args = parsed.configs
    with Stage(parsed, recipe=__file__) as stage:
        rows = shuffled(rl_rows(stage, "prompts"), config.seed)
        stage.finish(train_policy(stage, rows, rewards(config), args))


if __name__ == "__main__":
    run(main)
