"""Supervised fine-tuning, twice in the graph: on the cold-start data (Dev1), then on the mix (Dev3) (section 3).

The second SFT restarts from the BASE, not from Dev2 (the seeds say otherwise; the paper retrains V3-Base). Loss on
the completion only. The cold-start form `| special_token | ... | special_token | Summary: ...` is written here as
`<think> ... </think> <answer> ... </answer>`, the form of every later stage.

In:  model (the base), data (question, completion).
Out: the model.
Run: accelerate launch recipes/sft.py --config recipes/configs/tiny/pipeline.yaml --stage sft1
"""

from __future__ import annotations

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed
from r1hf.trainers.adapters import write_model
from r1hf.trainers.callbacks import train
from r1hf.trainers.sft import R1SFTConfig, SFTStageConfig, preflight_sft, sft_rows, sft_trainer

CONFIGS = (SFTStageConfig, R1SFTConfig)


def preflight(parsed: Parsed) -> None:
    preflight_sft(parsed)


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        _, args = stage.parsed.configs
        rows = sft_rows(stage, args)
        trainer = sft_trainer(stage, rows, args)
        metrics = train(trainer, stage)
        write_model(stage, trainer)
        stage.finish({**metrics, "rows": len(rows)})


if __name__ == "__main__":
    run(main)
