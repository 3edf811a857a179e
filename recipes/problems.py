"""Problems for a small real model: reasoning-gym's tasks with worked solutions, and the tiny world's general prompts.

The paper has its own prompts and annotators. Here reasoning-gym makes problems without end, each judged by its task's
own scorer, and for some of them a rule writes what an annotator would: those solutions join the cold-start rows. The
general prompts, preference pairs and safety rows are the tiny world's in English.

In:  nothing.
Out: train.jsonl (prompts of RL), worked.jsonl (solved, other problems), held_out.jsonl, general and preference rows.
Run: accelerate launch recipes/problems.py --config recipes/configs/smollm2-135m/problems.yaml
Deviations: solutions by rule stand for the annotators.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed, StageConfig
from r1hf.core.errors import ConfigError
from r1hf.data.rows import Row, write_rows
from r1hf.world.files import write_general
from r1hf.world.gym import check_set, problems, without, worked


@dataclass(kw_only=True)
class ProblemsConfig(StageConfig):
    """How many problems of which kinds."""

    sets: dict[str, dict[str, Any]] = field(
        metadata={"help": "reasoning-gym task -> its settings; `stories`: the tiny world's word problems"}
    )
    train: int = field(default=300, metadata={"help": "prompts of a set for reinforcement learning"})
    worked: int = field(default=80, metadata={"help": "solved problems of a set"})
    held_out: int = field(default=30, metadata={"help": "problems of a set for evaluation"})
    general: float = field(default=0.25, metadata={"help": "share of the tiny world's pairs and safety rows"})


CONFIGS = (ProblemsConfig,)


def preflight(parsed: Parsed) -> None:
    (config,) = parsed.configs
    for name, settings in (config.sets if config is not None else {}).items():
        try:
            check_set(name, settings)
        except ConfigError as error:
            parsed.problems += error.problems


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        (config,) = stage.parsed.configs
        rows: dict[str, list[Row]] = {"held_out": [], "worked": [], "train": []}
        for name, settings in config.sets.items():
            asked: set[str] = set()  # held out first: nothing of it is asked again
            for place, part in enumerate(rows):
                seed = config.seed + 1_000_000 * place
                rows[part] += problems(name, settings, getattr(config, part), seed, part == "held_out", asked)
        write_rows(stage.work / "held_out.jsonl", map(without, rows["held_out"]))
        write_rows(stage.work / "train.jsonl", map(without, rows["train"]))
        write_rows(stage.work / "worked.jsonl", worked(rows["worked"]))
        counts = {part: len(found) for part, found in rows.items()}
        stage.finish({"rows": counts | write_general(stage.work, config.seed, ("en",), config.general)})


if __name__ == "__main__":
    run(main)
