"""Supervised fine-tuning on prompt and completion, the loss on the completion only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from r1hf.core.config import Parsed, StageConfig
from r1hf.core.errors import DataError
from r1hf.core.source import Source
from r1hf.data.rows import stage_rows
from r1hf.data.stream import check_stream
from r1hf.evaluation.cleaning_keys import REMOVED, CleaningKeys, check_cleaning
from r1hf.models.loading import loading, training_arguments
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage
from r1hf.text import template_checks
from r1hf.trainers.adapters import AdapterConfig, check_adapter, lora, quantization
from r1hf.trainers.memory import MemoryConfig
from r1hf.trainers.memory_batches import TunedMemory
from r1hf.trainers.nonfinite import FiniteSteps
from r1hf.trainers.resume import ExactResume
from r1hf.trainers.reviewed import INPUT, Undecided, add_reviews, reviewed
from r1hf.trainers.sft_rows import COLUMNS, mapped, prepare
from r1hf.trainers.training_tokenizer import TemplateConfig, check_training_template, training_tokenizer


@dataclass(kw_only=True)
class SFTStageConfig(CleaningKeys, TemplateConfig, AdapterConfig, StageConfig):
    """A model to start from and rows to learn."""

    model: str = field(metadata={"input": True, "help": "the base to start from: a stage's directory or a Hub id"})
    data: Source = field(metadata={"input": True, "help": f"rows with the columns {', '.join(COLUMNS)}"})
    undecided: Undecided = field(
        default="keep", metadata={"help": "rows of a reviewed stage on which nobody decided: trained on, or left out"}
    )
    expert_bias_speed: float = field(
        default=0.0, metadata={"help": "step of the experts' balancing biases (DeepSeek-V3: 0.001); 0 leaves them"}
    )
    too_long: Literal["drop", "truncate"] = field(
        default="drop", metadata={"help": "rows longer than max_length: dropped and counted, or cut at its end"}
    )


@dataclass
class R1SFTConfig(MemoryConfig, SFTConfig):
    """`SFTConfig` with R1's settings: cosine 5e-5 -> 5e-6, 2 epochs, long contexts (arXiv 2501.12948v2, B.4)."""

    learning_rate: float = field(default=5e-5, metadata={"help": "peak learning rate (paper: 5e-5)"})
    lr_scheduler_type: str = field(default="cosine_with_min_lr", metadata={"help": "schedule (paper: cosine)"})
    lr_scheduler_kwargs: dict[str, Any] | str | None = field(
        default_factory=lambda: {"min_lr_rate": 0.1}, metadata={"help": "the rate ends at a tenth of its peak"}
    )
    num_train_epochs: float = field(default=2.0, metadata={"help": "passes over the data (paper: 2 to 3)"})
    max_length: int | None = field(default=32768, metadata={"help": "longest row in tokens (paper: 32768)"})
    completion_only_loss: bool | None = field(default=True, metadata={"help": "no loss on the prompt"})
    report_to: str | list[str] | None = field(default="none", metadata={"help": "trackers, e.g. wandb"})
    logging_steps: float = field(default=1, metadata={"help": "steps between rows of log.jsonl"})


class R1SFTTrainer(ExactResume, FiniteSteps, TunedMemory, SFTTrainer):
    """TRL's `SFTTrainer`, refusing a chat template that would silently train away the reasoning."""

    _tag_names = ["trl", "sft", "r1hf"]

    def _prepare_dataset(
        self, dataset: Dataset, processing_class: Any, args: Any, packing: bool, *more: Any, **named: Any
    ) -> Dataset:
        if "completion" in dataset.column_names:
            for row in dataset:
                self._check_target(row, processing_class)
        prepared = super()._prepare_dataset(dataset, processing_class, args, packing, *more, **named)
        self._check_end(prepared, processing_class, args, packing)
        return prepared

    def _check_end(self, prepared: Any, tokenizer: Any, args: Any, packing: bool) -> None:
        if not isinstance(prepared, Dataset) or "labels" not in prepared.column_names:
            return
        some = prepared.select(range(min(len(prepared), 64)))
        ends = template_checks.end_ids(tokenizer)
        limit = None if packing else args.max_length  # a row at the limit has lost its end to it
        for found in template_checks.end_untrained(some["input_ids"], some["labels"], ends, limit):
            raise DataError(str(found))

    def _check_target(self, row: dict[str, Any], tokenizer: Any) -> None:
        if isinstance(row["completion"], str):
            return
        text = row["completion"][-1]["content"]
        trained = tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
        if template_checks.dropped(text, trained):
            raise DataError(
                f"the chat template drops part of the target: the row's completion is {text[:80]!r}, but only "
                f"{trained[:80]!r} would be trained on; use a template that keeps the reasoning (r1hf's chat.jinja)"
            )


def preflight_sft(parsed: Parsed) -> None:
    """Adds what is wrong to `parsed.problems`, and to its inputs what people decided about the rows."""
    add_reviews(parsed)
    preflight_inputs(parsed)
    config, args = parsed.configs[0], parsed.configs[-1]
    if config is not None:
        check_adapter(parsed.problems, config, args)
        check_stream(parsed.problems, "data", config.data, COLUMNS, config.max_bad_rows)
        check_cleaning(parsed.problems, config, config.max_bad_rows)
        check_training_template(parsed.problems, config)


def sft_rows(stage: Stage, args: R1SFTConfig) -> Dataset:
    """The rows of `data` as people decided on them, as prompts and targets, without those that are longer than
    `max_length`, leaks and near-duplicates: a table that the main process writes, and that all map into their memory.
    """
    config: SFTStageConfig = stage.config  # type: ignore[assignment]
    folder, most = stage.checkpoints / "rows", args.max_length if config.too_long == "drop" else None
    tokenizer, decided = training_tokenizer(config), None
    if INPUT in stage.parsed.inputs or config.undecided == "drop":  # few enough rows for memory
        decided = reviewed(stage, stage_rows(stage, "data", COLUMNS), config.undecided)
    told = stage.agreed(lambda: prepare(config, folder, tokenizer, most, stage.work / REMOVED, decided))()
    for group, name, value in told["notes"]:
        stage.note(group, name, value)
    for text in told["said"]:
        stage.say(text)
    return mapped(folder)


def sft_trainer(stage: Stage, rows: Dataset, args: R1SFTConfig) -> R1SFTTrainer:
    """The trainer of the stage's model on `rows`."""
    config: SFTStageConfig = stage.config  # type: ignore[assignment]
    args.output_dir = str(stage.checkpoints)
    training_arguments(args)
    with loading(config.model):
        return R1SFTTrainer(
            model=config.model,
            args=args,
            train_dataset=rows,
            processing_class=training_tokenizer(config),
            peft_config=lora(config),
            quantization_config=quantization(config),
        )
