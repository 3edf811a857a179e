"""RL for all scenarios: GRPO from Dev3 on reasoning and general prompts, giving R1 (section 3.2.2; v1, 2.3.4).

Reasoning prompts are paid by rule, each general prompt by the one preference model that fits it (helpful: the answer;
harmless: the whole response), and all by format and language consistency. General prompts, and with them preference
rewards, enter only in the last part of the steps: the paper saw reward hacking when they ran for longer.

In:  model (Dev3), prompts (reasoning), general_prompts (task: helpful or harmless), helpful_model, harmless_model.
Out: the policy, R1.
Run: accelerate launch recipes/all_scenario_rl.py --config recipes/configs/tiny/all_scenario_rl.yaml
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from r1hf.commands.recipe import run
from r1hf.core.config import Parsed, parse
from r1hf.core.source import Source
from r1hf.data.rows import check_rows, check_tasks
from r1hf.data.schedule import prompts_per_step, schedule
from r1hf.models.loading import check_chat_template
from r1hf.rewards import accuracy_reward, format_reward, language_consistency_reward, only_for
from r1hf.rewards.preference import PreferenceReward
from r1hf.stage.stage import Stage
from r1hf.trainers.difficulty import ORDERED
from r1hf.trainers.grpo import R1GRPOConfig
from r1hf.trainers.rl import COLUMNS, RLConfig, check_paid_languages, preflight_rl, rl_rows, train_policy

TASKS = ("reasoning", "helpful", "harmless")
REWARDS = ("accuracy", "format", "language", "helpful", "harmless")


@dataclass(kw_only=True)
class AllScenarioConfig(RLConfig):
    general_prompts: Source = field(metadata={"input": True, "help": "prompts whose task is helpful or harmless"})
    helpful_model: str = field(metadata={"input": True, "help": "pairwise preference model, sees the answer"})
    harmless_model: str = field(metadata={"input": True, "help": "pointwise preference model, sees everything"})
    preference_steps: int = field(default=400, metadata={"help": "last steps, with general prompts (paper: 400)"})
    general_share: float = field(default=0.5, metadata={"help": "share of general prompts in those steps"})


CONFIGS = (AllScenarioConfig, R1GRPOConfig)


def rewards(config: AllScenarioConfig) -> dict[str, Callable[..., list[float | None]]]:
    helpful = PreferenceReward(config.helpful_model, "answer", "helpful_reward")
    harmless = PreferenceReward(config.harmless_model, "full", "harmless_reward")
    return {
        "accuracy": only_for(accuracy_reward, "reasoning", TASKS),
        "format": format_reward,
        "language": language_consistency_reward,
        "helpful": only_for(helpful, "helpful", TASKS),
        "harmless": only_for(harmless, "harmless", TASKS),
    }


def preflight(parsed: Parsed) -> None:
    reasoning = preflight_rl(parsed, REWARDS)
    config, args = parsed.configs
    if args is not None and args.max_steps < 1:
        parsed.problems.append("max_steps: must be set; the order of prompts is planned step by step")
    if args is not None and args.difficulty_sampling:
        parsed.problems.append(f"difficulty_sampling: {ORDERED}")
    if config is not None:
        general = check_rows(
            parsed.problems, "general_prompts", config.general_prompts, COLUMNS, max_bad=config.max_bad_rows
        )
        check_paid_languages(parsed, "general_prompts", general, REWARDS)
        check_tasks(parsed.problems, "prompts", reasoning, {"reasoning"})
        check_tasks(parsed.problems, "general_prompts", general, {"helpful", "harmless"})
        check_chat_template(parsed.problems, "helpful_model", config.helpful_model)
        check_chat_template(parsed.problems, "harmless_model", config.harmless_model)


def main(argv: list[str] | None = None) -> None:
    parsed = parse(CONFIGS, argv)
    preflight(parsed)
    config, args = parsed.configs
    with Stage(parsed, recipe=__file__) as stage:
        rows = schedule(
            rl_rows(stage, "prompts"),
            rl_rows(stage, "general_prompts"),
            steps=args.max_steps,
            last=config.preference_steps,
            per_step=prompts_per_step(args),
            share=config.general_share,
            seed=config.seed,
        )
        args.shuffle_dataset = False  # the order is the schedule
        stage.finish(train_policy(stage, rows, rewards(config), args))


if __name__ == "__main__":
    run(main)
