"""RL for all scenarios: GRPO from Dev3 on reasoning and general prompts, giving R1 (section 3.2.2; v1, 2.3.4).

Reasoning prompts are paid by rule, each general prompt by the one preference model that fits it (helpful: the answer;
harmless: the whole response), and all by format and language consistency. General prompts, and with them preference
rewards, enter only in the last part of the steps: the paper saw reward hacking when they ran for longer.

In:  model (Dev3), prompts (reasoning), general_prompts (task: helpful or harmless), helpful_model, harmless_model.
Out: the policy, R1.
Run: accelerate launch recipes/all_scenario_rl.py --config recipes/configs/tiny/all_scenario_rl.yaml
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed
from r1hf.core.source import Source
from r1hf.data.rows import check_rows, check_tasks
from r1hf.data.schedule import prompts_per_step, schedule
from r1hf.models.loading import check_chat_template
from r1hf.rewards.preference import PreferenceReward
from r1hf.rewards.table import Reward, build
from r1hf.trainers.adapters import write_model
from r1hf.trainers.callbacks import train
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.rl import COLUMNS, RLConfig, check_paid_languages, policy_trainer, preflight_rl, rl_rows

GENERAL = ("helpful", "harmless")


@dataclass(kw_only=True)
class AllScenarioConfig(RLConfig):
    general_prompts: Source = field(metadata={"input": True, "help": "prompts whose task is helpful or harmless"})
    helpful_model: str = field(metadata={"input": True, "help": "pairwise preference model, sees the answer"})
    harmless_model: str = field(metadata={"input": True, "help": "pointwise preference model, sees everything"})
    preference_steps: int = field(default=400, metadata={"help": "last steps, with general prompts (paper: 400)"})
    general_share: float = field(default=0.5, metadata={"help": "share of general prompts in those steps"})
    rewards: dict[str, Any] = field(
        default_factory=lambda: dict.fromkeys(("accuracy", "format", "language", *GENERAL), 1.0),
        metadata={"help": "as in every RL stage, and helpful and harmless, the two preference models"},
    )


CONFIGS = (AllScenarioConfig, R1GRPOConfig)


def rewards(config: AllScenarioConfig) -> dict[str, Reward]:
    helpful = PreferenceReward(config.helpful_model, "answer", "helpful_reward", ("helpful",))
    harmless = PreferenceReward(config.harmless_model, "full", "harmless_reward", ("harmless",))
    return build(config.rewards, {"helpful": helpful, "harmless": harmless})


def preflight(parsed: Parsed) -> None:
    reasoning = preflight_rl(parsed, rewards)
    config, args = parsed.configs
    if args is not None and args.max_steps < 1:
        parsed.problems.append("max_steps: must be set; the order of prompts is planned step by step")
    if config is not None:
        allowed = config.max_bad_rows
        general = check_rows(parsed.problems, "general_prompts", config.general_prompts, COLUMNS, max_bad=allowed)
        check_paid_languages(parsed, "general_prompts", general)
        if strange := {str(row["task"]) for row in reasoning} & set(GENERAL):
            parsed.problems.append(f"prompts: task {', '.join(sorted(strange))} belongs to general_prompts")
        check_tasks(parsed.problems, "general_prompts", general, set(GENERAL) & set(config.rewards))
        check_chat_template(parsed.problems, "helpful_model", config.helpful_model)
        check_chat_template(parsed.problems, "harmless_model", config.harmless_model)


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        config, args = stage.parsed.configs
        prompts = schedule(
            rl_rows(stage, "prompts"),
            rl_rows(stage, "general_prompts"),
            steps=args.max_steps,
            last=config.preference_steps,
            per_step=prompts_per_step(args),
            share=config.general_share,
            seed=config.seed,
        )
        args.shuffle_dataset = False  # the order is the schedule
        trainer = policy_trainer(stage, prompts, rewards(config), args)
        metrics = train(trainer, stage)
        write_model(stage, trainer)
        stage.finish({**metrics, "prompts": len(prompts)})


if __name__ == "__main__":
    run(main)
