"""The last stage's two preference models (arXiv 2501.12948v2, section 3.2.2): helpful pairwise, safe pointwise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase, Trainer
from trl import RewardConfig, RewardTrainer

from r1hf.core.foreign_code import WEIGHTS
from r1hf.data.rows import Row
from r1hf.models.loading import forget_code, loading
from r1hf.rewards.preference import judged_text
from r1hf.trainers.memory import FitsMemory, MemoryConfig
from r1hf.trainers.memory_batches import PairMemory
from r1hf.trainers.nonfinite import FiniteSteps
from r1hf.trainers.resume import ExactResume
from r1hf.trainers.table import table


@dataclass
class R1RewardConfig(MemoryConfig, RewardConfig):
    """`RewardConfig` with the paper's values for both models: 6e-6, one epoch, 8,192 tokens."""

    learning_rate: float = field(default=6e-6, metadata={"help": "peak learning rate (paper: 6e-6)"})
    num_train_epochs: float = field(default=1.0, metadata={"help": "passes over the data (paper: 1)"})
    max_length: int | None = field(default=8192, metadata={"help": "longest row in tokens (paper: 8192)"})
    report_to: str | list[str] | None = field(default="none", metadata={"help": "trackers, e.g. wandb"})
    logging_steps: float = field(default=1, metadata={"help": "steps between rows of log.jsonl"})


class PairwiseTrainer(ExactResume, FiniteSteps, PairMemory, RewardTrainer):
    """TRL's `RewardTrainer`, resumed exactly, stopped by what is no number, and in parts where memory is short."""


class PointwiseTrainer(ExactResume, FiniteSteps, FitsMemory, Trainer):
    """Transformers' `Trainer`, likewise."""


def new_reward_model(source: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A language model's body with a new scalar head, which is drawn from torch's generator."""
    name, _, revision = source.partition("@")
    with loading(source):
        model = AutoModelForSequenceClassification.from_pretrained(
            name,
            revision=revision or None,
            num_labels=1,
            pad_token_id=tokenizer.pad_token_id,
            # One binary label: Transformers then takes binary cross-entropy, where one label alone means regression.
            problem_type="multi_label_classification",
            dtype="float32",
            **WEIGHTS,
        )
    forget_code(model)
    return model


def pairwise_trainer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, args: R1RewardConfig, rows: Iterable[Row]
) -> PairwiseTrainer:
    """Bradley-Terry on rows of `question`, `chosen`, `rejected`; sees the answer without the thinking."""
    data = [
        {side: judged_text(tokenizer, row["question"], row[side], "answer") for side in ("chosen", "rejected")}
        for row in rows
    ]
    return PairwiseTrainer(model=model, args=args, train_dataset=table(data), processing_class=tokenizer)


def pointwise_trainer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, args: R1RewardConfig, rows: Sequence[Row]
) -> PointwiseTrainer:
    """Binary cross-entropy on rows of `question`, `response`, `safe`; sees the whole response."""
    texts = [judged_text(tokenizer, row["question"], row["response"], "full") for row in rows]
    data = Dataset.from_dict(
        {
            "input_ids": tokenizer(texts, truncation=True, max_length=args.max_length)["input_ids"],
            "label": [[float(row["safe"])] for row in rows],
        }
    )

    def collate(examples: list[Row]) -> dict[str, torch.Tensor]:
        batch = tokenizer.pad({"input_ids": [e["input_ids"] for e in examples]}, return_tensors="pt")
        return {**batch, "labels": torch.tensor([e["label"] for e in examples])}

    return PointwiseTrainer(model=model, args=args, train_dataset=data, data_collator=collate)
