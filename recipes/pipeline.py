"""Run DeepSeek-R1's stages in order, each as its own process; what is complete and unchanged is skipped.

    python recipes/pipeline.py --config recipes/configs/tiny/pipeline.yaml
    python recipes/pipeline.py --config recipes/configs/tiny/pipeline.yaml --list

`--from`, `--until` and `--only` select stages, `--force` redoes them, `--seed` and `--run_dir` make another run,
`--set r1_zero.max_steps=20` changes one value. Stopped or killed at any moment, the same command goes on.
"""

from functools import partial
from pathlib import Path

from r1hf.commands.recipe import run_script
from r1hf.pipeline.command import main

if __name__ == "__main__":
    run_script(partial(main, Path(__file__).parent))
