"""Reasoning RL: GRPO from Dev1 with accuracy, format and language consistency, giving Dev2 (section 3.2.1).

The language reward is the share of the thinking's words that are in the prompt's language. The paper adds it with
weight 1, the seeds with 0.2; `rewards` sets it.

In:  model (Dev1), prompts (question, answer, language, task).
Out: the policy, Dev2.
Run: accelerate launch recipes/reasoning_rl.py --config recipes/configs/tiny/reasoning_rl.yaml
"""

from __future__ import annotations

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed
from r1hf.rewards.table import Reward, build
from r1hf.trainers.adapters import write_model
from r1hf.trainers.callbacks import train
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.rl import RLConfig, policy_trainer, preflight_rl, rl_rows, shuffled

CONFIGS = (RLConfig, R1GRPOConfig)


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
