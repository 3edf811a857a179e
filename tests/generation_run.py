"""A generation in a process of its own, to be killed: python generation_run.py FOLDER MODEL --sampler vllm …"""

import sys
from pathlib import Path

from small_run import answered

from r1hf.core.config import parse
from r1hf.models.generation import generate
from r1hf.models.sampler_config import SamplingConfig, load_sampler
from r1hf.models.sampling import Limits


def main(folder: str, model: str, *words: str) -> None:
    (config,) = parse((SamplingConfig,), ["--output_dir=made", "--max_bad_samples=1", *words]).configs
    questions = [row["question"] for row in answered(40)]
    with load_sampler(config, model) as sampler:
        prompts = sampler.chat(questions)
        made = generate(Path(folder), sampler, prompts, 2, Limits(max_new_tokens=24), config)
    assert sum(len(group) for group in made.groups()) == 80


if __name__ == "__main__":
    main(*sys.argv[1:])
