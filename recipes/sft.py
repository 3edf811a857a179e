"""Supervised fine-tuning, twice in the graph: on the cold-start data (Dev1), then on the mix (Dev3) (section 3).

The second SFT restarts from the BASE, not from Dev2 (the seeds say otherwise; the paper retrains V3-Base). Loss on
the completion only. The cold-start form `| special_token | ... | special_token | Summary: ...` is written here as
`<think> ... </think> <answer> ... </answer>`, the form of every later stage.

In:  model (the base), data (question, completion).
Out: the model.
Run: accelerate launch recipes/sft.py --config recipes/configs/tiny/pipeline.yaml --stage sft1
"""

from __future__ import annotations

from r1hf.commands.recipe import run
from r1hf.core.config import Parsed, parse
from r1hf.data.rows import stage_rows
from r1hf.data.targets import as_targets
from r1hf.stage.stage import Stage
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
