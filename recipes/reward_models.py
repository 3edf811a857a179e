"""Two preference models for the last stage (section 3.2.2 of arXiv 2501.12948v2; v1, section 2.3.4).

Helpfulness is judged pairwise and sees the answer only, so that it leaves the thinking alone; harmlessness is judged
pointwise and sees the whole response, thinking included. Both are small sequence classifiers on a base's body.

In:  model (the body), helpful pairs (question, chosen, rejected), harmless rows (question, response, safe), and
     held-out rows of both.
Out: helpful/ and harmless/, each an ordinary Transformers directory.
Run: accelerate launch recipes/reward_models.py --config recipes/configs/tiny/reward_models.yaml
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed, StageConfig
from r1hf.core.source import Source
from r1hf.data.rows import Row, check_rows, stage_rows
from r1hf.rewards.preference import PreferenceReward
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.libraries import set_seed
from r1hf.stage.stage import Stage
from r1hf.trainers.callbacks import train
from r1hf.trainers.reward_model import R1RewardConfig, new_reward_model, pairwise_trainer, pointwise_trainer
from r1hf.trainers.sharded import whole_weights
from r1hf.trainers.training_tokenizer import TemplateConfig, check_training_template, training_tokenizer

PAIRS, POINTS = ("question", "chosen", "rejected"), ("question", "response", "safe")
COLUMNS = {"helpful": PAIRS, "helpful_test": PAIRS, "harmless": POINTS, "harmless_test": POINTS}


@dataclass(kw_only=True)
class RewardModelsConfig(TemplateConfig, StageConfig):
    model: str = field(metadata={"input": True, "help": "the language model whose body both start from"})
    helpful: Source = field(metadata={"input": True, "help": f"pairs: {', '.join(PAIRS)}"})
    helpful_test: Source = field(metadata={"input": True, "help": "held-out pairs"})
    harmless: Source = field(metadata={"input": True, "help": f"rows: {', '.join(POINTS)}"})
    harmless_test: Source = field(metadata={"input": True, "help": "held-out rows"})


CONFIGS = (RewardModelsConfig, R1RewardConfig)


def preflight(parsed: Parsed) -> None:
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is not None:
        for key, columns in COLUMNS.items():
            check_rows(parsed.problems, key, getattr(config, key), columns, max_bad=config.max_bad_rows)
        check_training_template(parsed.problems, config)


def fit(stage: Stage, name: str, args: R1RewardConfig, rows: Sequence[Row]) -> dict[str, Any]:
    """Trains and saves one of the two."""
    config: RewardModelsConfig = stage.config
    args = copy.deepcopy(args)
    args.output_dir = str(stage.checkpoints / name)
    set_seed(config.seed)
    tokenizer = training_tokenizer(config)
    model = new_reward_model(config.model, tokenizer)
    make = pairwise_trainer if name == "helpful" else pointwise_trainer
    trainer = make(model, tokenizer, args, rows)
    metrics = train(trainer, stage, name)
    weights = whole_weights(trainer)
    if trainer.accelerator.is_main_process:
        trainer.accelerator.unwrap_model(trainer.model).save_pretrained(stage.work / name, state_dict=weights)
        tokenizer.save_pretrained(stage.work / name)
    trainer.accelerator.wait_for_everyone()  # all of them judge with it next
    return metrics


def helpful_accuracy(reward: PreferenceReward, rows: Sequence[Row]) -> float:
    """Share of held-out pairs whose chosen response scores higher."""
    questions = [row["question"] for row in rows]
    chosen = reward.scores(questions, [row["chosen"] for row in rows])
    rejected = reward.scores(questions, [row["rejected"] for row in rows])
    return sum(a > b for a, b in zip(chosen, rejected, strict=True)) / len(rows)


def harmless_accuracy(reward: PreferenceReward, rows: Sequence[Row]) -> float:
    """Share of held-out responses that are put on the right side of one half."""
    scores = reward.scores([row["question"] for row in rows], [row["response"] for row in rows])
    return sum((score > 0) == bool(row["safe"]) for score, row in zip(scores, rows, strict=True)) / len(rows)


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        config, args = stage.parsed.configs
        rows = {
            key: stage_rows(stage, key, columns) for key, columns in COLUMNS.items()
        }  # all before any is trained on
        trained = {name: fit(stage, name, args, rows[name]) for name in ("helpful", "harmless")}
        helpful = PreferenceReward(str(stage.work / "helpful"), "answer", "helpful")
        harmless = PreferenceReward(str(stage.work / "harmless"), "full", "harmless")
        stage.finish(
            {
                "helpful_accuracy": helpful_accuracy(helpful, rows["helpful_test"]),
                "harmless_accuracy": harmless_accuracy(harmless, rows["harmless_test"]),
                "training": trained,
            }
        )


if __name__ == "__main__":
    run(main)
