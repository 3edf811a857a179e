"""R1-Zero: reinforcement learning on the base, no supervised data (arXiv 2501.12948v2, section 2).

GRPO from the base with the paper's template and two rule rewards of equal weight, accuracy and format. Language
consistency is measured (weight 0) and not paid: watch it fall. With a student's base as `model`, the same recipe is
the paper's comparison of distillation with direct RL on a small model (v1, section 4.1).

In:  model (a base), prompts (question, answer, language, task).
Out: the policy.
Run: accelerate launch recipes/r1_zero.py --config recipes/configs/tiny/r1_zero.yaml
Deviations: format checks think and answer tags, as the template asks; with `format: {weight: 1, mode: think_only}`
among the rewards it is the paper's check.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed
from r1hf.rewards.table import Reward, build
from r1hf.trainers.adapters import write_model
from r1hf.trainers.callbacks import train
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.rl import RLConfig, policy_trainer, preflight_rl, rl_rows, shuffled


@dataclass(kw_only=True)
class R1ZeroConfig(RLConfig):
    rewards: dict[str, Any] = field(
        default_factory=lambda: {"accuracy": 1.0, "format": 1.0, "language": 0.0},
        metadata={"help": "as in every RL stage; by default language is measured and not paid"},
    )


CONFIGS = (R1ZeroConfig, R1GRPOConfig)


def rewards(config: RLConfig) -> dict[str, Reward]:
    return build(config.rewards)


def preflight(parsed: Parsed) -> None:
    preflight_rl(parsed, rewards)


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        config, args = stage.parsed.configs
        prompts = shuffled(rl_rows(stage, "prompts"), config.seed)
        trainer = policy_trainer(stage, prompts, rewards(config), args)
        metrics = train(trainer, stage)
        write_model(stage, trainer)
        stage.finish({**metrics, "prompts": len(prompts)})


if __name__ == "__main__":
    run(main)
