"""What the on-policy recipe does: which trainer fits two tokenizers, and the run itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse
from urllib.request import urlopen

from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase, Trainer

from r1hf.core import foreign_code
from r1hf.core.config import Parsed, StageConfig
from r1hf.core.errors import ConfigError, StageError
from r1hf.core.source import Source
from r1hf.data.lengths import drop_long, token_counts
from r1hf.data.options import with_options_shown
from r1hf.data.rows import Row, check_rows, stage_rows
from r1hf.models.loading import check_chat_template, check_tokenizer, load_tokenizer, loading, training_arguments
from r1hf.models.vocabulary import compare, is_byte_level
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage
from r1hf.text import template_checks
from r1hf.trainers.adapters import AdapterConfig, check_adapter, lora, quantization
from r1hf.trainers.cross_tokenizer import R1GOLDTrainer, gold_config
from r1hf.trainers.engine import check_split
from r1hf.trainers.on_policy import (
    R1DistillationTrainer,
    R1OnPolicyConfig,
    R1ServerDistillationTrainer,
    fit_vocabulary,
    server_config,
)
from r1hf.trainers.table import table

COLUMNS = ("question",)
Method = Literal["same_vocabulary", "cross_tokenizer"]


@dataclass(kw_only=True)
class OnPolicyStageConfig(AdapterConfig, StageConfig):
    """A student to start from, a teacher, and questions."""

    model: str = field(metadata={"input": True, "help": "the student, after its SFT: a stage's directory or a Hub id"})
    teacher: str = field(
        metadata={"input": True, "help": "the teacher; with teacher_server its tokenizer alone is read from here"}
    )
    prompts: Source = field(metadata={"input": True, "help": f"questions, with the column {', '.join(COLUMNS)}"})
    method: Literal["auto", "same_vocabulary", "cross_tokenizer"] = field(
        default="auto", metadata={"help": "auto: what the two tokenizers, compared token by token, allow"}
    )
    teacher_server: str | None = field(
        default=None, metadata={"help": "address of a vLLM server with the teacher; none: the teacher in this process"}
    )
    max_prompt_length: int | None = field(
        default=None, metadata={"help": "most tokens of a prompt; longer ones are dropped and counted"}
    )
    expert_bias_speed: float = field(
        default=0.0, metadata={"help": "step of the experts' balancing biases (DeepSeek-V3: 0.001); 0 leaves them"}
    )


def preflight_on_policy(parsed: Parsed) -> None:
    """Adds what is wrong to `parsed.problems`."""
    preflight_inputs(parsed)
    config, args = parsed.configs
    if config is None:
        return
    check_adapter(parsed.problems, config, args)
    check_split(parsed.problems, args, config.model)
    rows = check_rows(parsed.problems, "prompts", config.prompts, COLUMNS, max_bad=config.max_bad_rows)
    _check_count(parsed.problems, rows, args)
    check_chat_template(parsed.problems, "model", config.model)
    address = urlparse(config.teacher_server or "http://server")
    if address.scheme not in ("http", "https") or not address.netloc:
        parsed.problems.append(
            f"teacher_server: {config.teacher_server!r} is no address such as http://localhost:8000"
        )
    try:
        if config.teacher_server and args is not None:
            server_config(args, config.teacher_server)
        if Path(config.model).is_dir() and Path(config.teacher).is_dir() and not parsed.problems:
            student = check_tokenizer(parsed.problems, "model", config.model)
            teacher = check_tokenizer(parsed.problems, "teacher", config.teacher)
            if student is not None and teacher is not None:
                choose(config, student, teacher)
    except ConfigError as error:
        parsed.problems += error.problems


def _check_count(problems: list[str], rows: list[Row], args: R1OnPolicyConfig | None) -> None:
    if not rows or args is None:
        return
    needed = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
    if len(rows) < needed:
        problems.append(
            f"prompts: {len(rows)} rows are fewer than one step takes ({needed}); give more, or a smaller batch"
        )


def choose(config: OnPolicyStageConfig, student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> Method:
    """The method that the two tokenizers allow, or the configured one. Raises ConfigError where it cannot be."""
    found = compare(student, teacher)
    method: Method = (
        config.method if config.method != "auto" else ("same_vocabulary" if found.agree else "cross_tokenizer")
    )
    if method == "same_vocabulary" and not found.agree:
        raise ConfigError(f"method: same_vocabulary needs one vocabulary, and {found}; set cross_tokenizer or auto")
    if method == "same_vocabulary":
        return method
    if config.teacher_server:
        raise ConfigError(
            f"teacher_server: {found}, and comparing their tokens takes the teacher's whole distributions, which no "
            "server gives; leave it out, so that the teacher is loaded here"
        )
    for key, tokenizer in (("model", student), ("teacher", teacher)):
        if not is_byte_level(tokenizer):
            raise ConfigError(
                f"{key}: {found}, and its tokenizer ({type(tokenizer).__name__}) is not of bytes, so that the two "
                "cannot be laid side by side; distil by SFT on the teacher's text (recipes/distill.py)"
            )
    if config.use_peft and config.load_in_4bit:
        raise ConfigError("load_in_4bit: TRL's cross-tokenizer trainer takes no quantised student; use LoRA alone")
    return method


def student_prompts(rows: Iterable[Row]) -> list[list[dict[str, str]]]:
    """Each question as a conversation."""
    return [[{"role": "user", "content": row["question"]}] for row in rows]


def make_trainer(
    config: OnPolicyStageConfig, args: R1OnPolicyConfig, rows: list[Row], tokenizer: Any, method: Method
) -> Trainer:
    """The trainer of `method`, with the teacher loaded here unless it is behind a server."""
    prompts = student_prompts(rows)
    training_arguments(args)
    shared = {"model": config.model, "processing_class": tokenizer, "peft_config": lora(config)}
    if method == "same_vocabulary" and config.teacher_server:
        return R1ServerDistillationTrainer(
            args=server_config(args, config.teacher_server),
            train_dataset=table([{"prompt": prompt} for prompt in prompts]),
            quantization_config=quantization(config),
            **shared,
        )
    teacher = load_teacher(config.teacher, args)
    if method == "same_vocabulary":
        trainer_args, args.teacher_model_init_kwargs = args, None
        fit_vocabulary(teacher, student_rows(config.model), len(tokenizer))
        return R1DistillationTrainer(
            teacher_model=teacher,
            args=trainer_args,
            train_dataset=table([{"prompt": prompt} for prompt in prompts]),
            quantization_config=quantization(config),
            **shared,
        )
    args.teacher_model_init_kwargs = None
    template = args.chat_template_kwargs or {}
    texts = tokenizer.apply_chat_template(prompts, add_generation_prompt=True, tokenize=False, **template)
    return R1GOLDTrainer(
        teacher_model=teacher,
        args=gold_config(args, config.teacher),
        train_dataset=table([{"prompt": text, "completion": ""} for text in texts]),
        **shared,
    )


def check_server(address: str) -> None:
    """Raises StageError where no vLLM server answers: TRL would wait a minute and then fail inside."""
    try:
        with urlopen(f"{address.rstrip('/')}/v1/models", timeout=10) as answer:
            json.load(answer)["data"][0]["id"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise StageError(
            f"teacher_server: no vLLM server answers at {address} ({error}); start one with the teacher "
            "(docs/distillation.md), or leave teacher_server out"
        ) from error


def load_teacher(source: str, args: R1OnPolicyConfig) -> Any:
    """The teacher for inference; `teacher_model_init_kwargs` may name another dtype than float32."""
    named = {"dtype": "float32", **(args.teacher_model_init_kwargs or {}), **foreign_code.WEIGHTS}
    with loading(source):
        return AutoModelForCausalLM.from_pretrained(source, **named).eval().requires_grad_(False)


def student_rows(source: str) -> int:
    """Rows of logits of a model, from its configuration."""
    from transformers import AutoConfig

    return int(AutoConfig.from_pretrained(source, **foreign_code.NO_CODE).get_text_config().vocab_size)


def tokenizers(stage: Stage) -> tuple[PreTrainedTokenizerBase, PreTrainedTokenizerBase]:
    """The student's and the teacher's, each with the end token of its own template."""
    config: OnPolicyStageConfig = stage.config  # type: ignore[assignment]
    found = load_tokenizer(config.model), load_tokenizer(config.teacher)
    for source, one in zip((config.model, config.teacher), found, strict=True):
        template_checks.check_ends(source, one)
    return found


def question_rows(stage: Stage, tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """The rows of `prompts`, without those that are longer than `max_prompt_length`."""
    config: OnPolicyStageConfig = stage.config  # type: ignore[assignment]
    rows = with_options_shown(stage_rows(stage, "prompts", COLUMNS))
    if config.max_prompt_length is None:
        return rows
    counts = token_counts(student_prompts(rows), tokenizer, add_generation_prompt=True)
    return drop_long(stage, "prompts", rows, counts, config.max_prompt_length, "max_prompt_length")


def student_trainer(
    stage: Stage,
    rows: list[Row],
    student: PreTrainedTokenizerBase,
    teacher: PreTrainedTokenizerBase,
    method: Method,
    args: R1OnPolicyConfig,
) -> Trainer:
    """The trainer of the stage's student on its own text; the terminal says what the two tokenizers allow."""
    config: OnPolicyStageConfig = stage.config  # type: ignore[assignment]
    stage.say(f"{method}: {compare(student, teacher)}")
    _note_templates(stage, student, teacher)
    args.output_dir = str(stage.checkpoints)
    if config.teacher_server:
        check_server(config.teacher_server)
    with loading(config.model):
        return make_trainer(config, args, rows, student, method)


def _note_templates(stage: Stage, student: Any, teacher: Any) -> None:
    """The teacher reads the student's own prompts: said where they look strange to it."""
    probe = [{"role": "user", "content": "2 + 3"}]
    one, two = (
        item.apply_chat_template(probe, add_generation_prompt=True, tokenize=False) if item.chat_template else None
        for item in (student, teacher)
    )
    if one != two:
        stage.say(f"note: the teacher reads the student's prompts, {one!r}; its own template would write {two!r}")
    if student.eos_token != teacher.eos_token:
        stage.say(
            f"note: the student ends its turns with {student.eos_token!r}, the teacher with {teacher.eos_token!r}"
        )
