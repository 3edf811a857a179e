"""The starting point: a tokenizer and small base models, pretrained on the noisy text of the tiny world.

The paper starts from DeepSeek-V3-Base, a practitioner from Qwen or Llama on the Hub; neither is on an offline laptop.
So this stage makes a Qwen2-architecture base and writes the world's prompts and preference data as plain files. Run
again with another shape, it makes the smaller bases of the students: of one seed, all have the same tokenizer. It has
no counterpart in the paper.

In:  nothing.
Out: the first model at the root of the output directory, each further one in a directory of its name, data/*.jsonl.
Run: accelerate launch recipes/base.py --config recipes/configs/tiny/base.yaml
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase, TrainingArguments, default_data_collator
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed, StageConfig
from r1hf.data.packing import pack
from r1hf.models.loading import save_model
from r1hf.stage.libraries import set_seed
from r1hf.stage.stage import Stage
from r1hf.text.chat_templates import chat_template
from r1hf.trainers.callbacks import train
from r1hf.trainers.muon import muon_adamw
from r1hf.trainers.resume import ExactResume
from r1hf.world.corpus import documents, vocabulary_texts
from r1hf.world.files import write_datasets
from r1hf.world.models import build_model, train_tokenizer


@dataclass(kw_only=True)
class BaseConfig(StageConfig):
    """Sizes of the tiny world."""

    models: dict[str, dict[str, Any]] = field(
        metadata={"help": "name -> architecture, share of max_steps, and the shape; the first goes to the output root"}
    )
    documents: int = field(default=100_000, metadata={"help": "documents of the corpus"})
    datasets: bool = field(default=True, metadata={"help": "write the world's prompts and preference data too"})
    vocab_size: int = field(default=512, metadata={"help": "tokens of the tokenizer, tags included"})
    tokenizer_documents: int = field(default=8_000, metadata={"help": "documents that the tokenizer is trained on"})
    block_size: int = field(default=128, metadata={"help": "tokens of a training row"})
    muon_learning_rate: float = field(
        default=0.0,
        metadata={"help": "Muon on the layers' matrices at this rate, learning_rate for the rest; 0: optim"},
    )
    expert_bias_speed: float = field(
        default=0.0, metadata={"help": "step of the experts' balancing biases (DeepSeek-V3: 0.001); 0 leaves them"}
    )


CONFIGS = (BaseConfig, TrainingArguments)


def preflight(parsed: Parsed) -> None:
    config, args = parsed.configs
    if config is not None:
        if not config.models:
            parsed.problems.append("models: names no model")
        for name, shape in config.models.items():
            found = shape.get("architecture")
            if found is None:
                parsed.problems.append(f"models: {name} names no architecture (qwen2, llama, ...)")
            elif found not in CONFIG_MAPPING_NAMES:
                parsed.problems.append(f"models: {name}: architecture {found!r} is unknown (qwen2, llama, ...)")
    if args is not None and args.max_steps < 1:
        parsed.problems.append("max_steps: must be set; the corpus has no natural end")


def pretrain(
    stage: Stage, name: str, tokenizer: PreTrainedTokenizerBase, blocks: Dataset, args: TrainingArguments
) -> dict[str, Any]:
    """Trains one base from scratch and saves it."""
    config: BaseConfig = stage.config
    shape = dict(config.models[name])
    architecture, share = shape.pop("architecture"), shape.pop("share", 1.0)
    root = name == next(iter(config.models))
    set_seed(config.seed)
    model = build_model(architecture, tokenizer, shape)
    args = copy.deepcopy(args)
    args.max_steps = max(1, round(args.max_steps * share))
    args.output_dir = str(stage.checkpoints / name)
    optimizer = muon_adamw(model, args, config.muon_learning_rate) if config.muon_learning_rate else None
    trainer = ExactResume(
        model=model,
        args=args,
        train_dataset=blocks,
        data_collator=default_data_collator,
        optimizers=(optimizer, None),
    )
    metrics = train(trainer, stage, stage.name if root else name)
    save_model(model, tokenizer, stage.work if root else stage.work / name)
    return {**metrics, "parameters": model.num_parameters()}


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        config, args = stage.parsed.configs
        counts = write_datasets(stage.work / "data", config.seed) if config.datasets else {}
        tokenizer = train_tokenizer(vocabulary_texts(config.seed, config.tokenizer_documents), config.vocab_size)
        tokenizer.chat_template = chat_template()
        blocks = pack(islice(documents(config.seed), config.documents), tokenizer, config.block_size)
        models = {name: pretrain(stage, name, tokenizer, blocks, args) for name in config.models}
        stage.finish(
            {"models": models, "rows": counts, "vocabulary": len(tokenizer), "tokens": len(blocks) * config.block_size}
        )


if __name__ == "__main__":
    run(main)
