"""Distillation: a student's base is fine-tuned on the mix that the teacher's pipeline made (section 3.4; v1, 2.4).

Supervised fine-tuning only, as in the paper. Its twin, the same student trained by RL directly, is `r1_zero.py` with
the student's base as `model`.

In:  model (the student's base), data (question, completion).
Out: the student.
Run: accelerate launch recipes/distill.py --config recipes/configs/tiny/distill.yaml
"""

from __future__ import annotations

from r1hf.config import Parsed, parse
from r1hf.data.rows import stage_rows
from r1hf.data.targets import as_targets
from r1hf.stage import Stage, run
from r1hf.trainers.sft import COLUMNS, R1SFTConfig, SFTStageConfig, finetune, preflight_sft

CONFIGS = (SFTStageConfig, R1SFTConfig)


def preflight(parsed: Parsed) -> None:
    preflight_sft(parsed)


def main(argv: list[str] | None = None) -> None:
    parsed = parse(CONFIGS, argv)
    preflight(parsed)
    config, args = parsed.configs
    with Stage(parsed, recipe=__file__) as stage:
        rows = as_targets(stage_rows(stage, "data", COLUMNS))
        stage.finish(finetune(stage, rows, args))


if __name__ == "__main__":
    run(main)
