"""Reasoning RL: GRPO from Dev1 with accuracy, format and language consistency, giving Dev2 (section 3.2.1).

The language reward is the share of the thinking's words that are in the prompt's language. The paper adds it with
weight 1, the seeds with 0.2; `weights` sets it.

In:  model (Dev1), prompts (question, answer, language, task).
Out: the policy, Dev2.
Run: accelerate launch recipes/reasoning_rl.py --config recipes/configs/tiny/reasoning_rl.yaml
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from r1hf.commands.recipe import run
from r1hf.core.config import Parsed, parse
from r1hf.rewards import accuracy_reward, format_reward, language_consistency_reward
from r1hf.stage.stage import Stage
from r1hf.trainers.code import CodeConfig, check_code, code_rewards
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.rl import RLConfig, preflight_rl, rl_rows, shuffled, train_policy


@dataclass(kw_only=True)
class ReasoningRLConfig(CodeConfig, RLConfig):
    pass


CONFIGS = (ReasoningRLConfig, R1GRPOConfig)
REWARDS = ("accuracy", "format", "language")


def rewards(config: ReasoningRLConfig) -> dict[str, Callable[..., list[float | None]]]:
    return {
        "accuracy": accuracy_reward,
        "format": format_reward,
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
