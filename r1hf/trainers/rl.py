"""What the reinforcement-learning recipes share: configuration, prompts, and the run itself."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r1hf.core.config import Parsed, StageConfig
from r1hf.core.errors import ConfigError, DataError
from r1hf.core.source import Source
from r1hf.data.language_column import check_languages
from r1hf.data.lengths import drop_long, token_counts
from r1hf.data.rows import Row, check_rows, stage_rows
from r1hf.models.loading import check_tokenizer, loading, training_arguments
from r1hf.rewards.faults import judged_rows
from r1hf.rewards.guard import guarded
from r1hf.rewards.prefilled import prefilled
from r1hf.stage.stage import Stage, preflight_inputs
from r1hf.text import prompt_templates as templates
from r1hf.trainers.adapters import AdapterConfig, check_adapter, export, lora, quantization
from r1hf.trainers.callbacks import train
from r1hf.trainers.dressing import TemplateConfig, check_dress, dressed_tokenizer
from r1hf.trainers.engine import check_engine, check_split
from r1hf.trainers.grpo import R1GRPOTrainer, check_prompt_count
from r1hf.trainers.sharded import whole_weights
from r1hf.trainers.table import table

COLUMNS = ("question", "answer", "language", "task")


@dataclass(kw_only=True)
class RLConfig(TemplateConfig, AdapterConfig, StageConfig):
    """A policy, its prompts, and the weight of each reward."""

    model: str = field(metadata={"input": True, "help": "the policy to start from: a stage's directory or a Hub id"})
    prompts: Source = field(metadata={"input": True, "help": f"prompts with the columns {', '.join(COLUMNS)}"})
    prompt_template: dict[str, str] | str | None = field(
        default=None,
        metadata={
            "help": "text template by name or file, for all or by language; none: the tokenizer's chat template"
        },
    )
    max_prompt_length: int | None = field(
        default=None,
        metadata={"help": "most tokens of a prompt under its template; longer ones are dropped and counted"},
    )
    expert_bias_speed: float = field(
        default=0.0, metadata={"help": "step of the experts' balancing biases (DeepSeek-V3: 0.001); 0 leaves them"}
    )
    weights: dict[str, float] = field(
        default_factory=dict, metadata={"help": "reward name -> weight; 0 logs a reward without paying it"}
    )


def preflight_rl(parsed: Parsed, rewards: Iterable[str]) -> list[Row]:
    """Adds what is wrong to `parsed.problems` and returns the prompts as far as they can be read."""
    preflight_inputs(parsed)
    config, args = parsed.configs
    if config is None:
        return []
    check_adapter(parsed.problems, config, args)
    check_engine(parsed.problems, args)
    check_split(parsed.problems, args, config.model)
    check_weights(parsed.problems, config.weights, list(rewards))
    rows = check_rows(parsed.problems, "prompts", config.prompts, COLUMNS, max_bad=config.max_bad_rows)
    check_prompt_count(parsed.problems, "prompts", rows, args)
    check_paid_languages(parsed, "prompts", rows, list(rewards))
    if config.prompt_template is None:
        check_dress(parsed.problems, config)
        return rows
    check_tokenizer(parsed.problems, "model", config.model)
    if isinstance(config.prompt_template, str):
        check_templates(parsed.problems, "prompt_template", config.prompt_template)
    else:
        check_templates(parsed.problems, "prompt_template", *config.prompt_template.values())
        lacking = {row["language"] for row in rows} - set(config.prompt_template)
        if named := sorted(str(language) for language in lacking if language is not None):
            parsed.problems.append(f"prompt_template: no template for prompts in {', '.join(named)}")
        if None in lacking:
            parsed.problems.append(f"prompt_template: {_no_language(config.prompt_template)}")
    return rows


def _no_language(template: Mapping[str, str]) -> str:
    return (
        f"there is one for each language ({', '.join(template)}), and some rows have none (language: null); give them "
        "one (values: {language: en}), or name one template for all"
    )


def check_paid_languages(parsed: Parsed, key: str, rows: Sequence[Row], rewards: Collection[str]) -> None:
    """`check_languages` where the reward `language` counts."""
    if "language" in rewards and parsed.configs[0].weights.get("language", 1.0):
        check_languages(parsed, key, rows, "weigh the reward 'language' 0")


def check_weights(problems: list[str], weights: Mapping[str, float], known: Sequence[str]) -> None:
    """Adds what is wrong with `weights`; a reward that it does not name counts 1."""
    for name, weight in weights.items():
        if name not in known:
            problems.append(f"weights: unknown reward '{name}'; this stage has {', '.join(known)}")
        elif not math.isfinite(weight):
            problems.append(f"weights: {name} counts {weight}, which is no finite number")
    if not any(weights.get(name, 1.0) for name in known):
        problems.append("weights: every reward counts 0, so that all advantages are 0; pay at least one reward")


def check_templates(problems: list[str], key: str, *wanted: str) -> None:
    """Adds a problem for each prompt template that is neither known nor a file."""
    for name in sorted(set(wanted)):
        try:
            templates.load(name)
        except ConfigError as error:
            problems += [f"{key}: {problem}" for problem in error.problems]


def prompt_rows(rows: Iterable[Row], template: Mapping[str, str] | str | None) -> list[Row]:
    """Adds TRL's `prompt`: a text where a template is named, else a conversation for the tokenizer's chat template."""
    made = []
    for row in rows:
        if template is None:
            prompt: Any = [{"role": "user", "content": row["question"]}]
        else:
            name = template if isinstance(template, str) else _template_for(row["language"], template)
            prompt = templates.render(name, row["question"])
        made.append({**row, "prompt": prompt})
    names = dict.fromkeys(name for row in made for name in row)  # `datasets` keeps the first row's columns only
    return [{name: row.get(name) for name in names} for row in made]


def _template_for(language: str | None, template: Mapping[str, str]) -> str:
    """The template of a row's language. Raises DataError where there is none: rows of the Hub are read only now."""
    if language is not None and language in template:
        return template[language]
    raise DataError(
        f"prompt_template: {_no_language(template)}"
        if language is None
        else f"prompt_template: no template for prompts in {language}; there are {', '.join(template)}"
    )


def prompt_text(prompt: Any, tokenizer: Any) -> str:
    """A prompt as the policy reads it."""
    if isinstance(prompt, str):
        return prompt
    return str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True))


def rl_rows(stage: Stage, key: str) -> list[Row]:
    """The rows of a prompt field, without those whose prompt is longer than `max_prompt_length`."""
    config: RLConfig = stage.config  # type: ignore[assignment]
    rows = stage_rows(stage, key, COLUMNS)
    if config.max_prompt_length is None:
        return rows
    prompts = [row["prompt"] for row in prompt_rows(rows, config.prompt_template)]
    counts = token_counts(prompts, dressed_tokenizer(config), add_generation_prompt=True)
    return drop_long(stage, key, rows, counts, config.max_prompt_length, "max_prompt_length")


def shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    return random.Random(seed).sample(list(rows), len(rows))


def train_policy(
    stage: Stage, rows: Sequence[Row], rewards: Mapping[str, Callable[..., list[float | None]]], args: Any
) -> dict[str, Any]:
    """Runs GRPO and saves the policy at the root of the stage. Rewards count 1 unless `weights` says otherwise.

    Raises DataError where a reward can judge nothing by more than `max_bad_rows` of the rows.
    """
    config: RLConfig = stage.config  # type: ignore[assignment]
    notes: list[str] = []
    rows, faults = judged_rows(rows, rewards, config.max_bad_rows, notes)
    for text in notes:
        stage.say(f"prompts: {text}")
        stage.note("unjudged", "prompts", faults)
    tokenizer = dressed_tokenizer(config)
    prompted = prompt_rows(rows, config.prompt_template)
    asked = prompt_text(prompted[0]["prompt"], tokenizer)
    args.output_dir = str(stage.checkpoints)
    args.reward_weights = [float(config.weights.get(name, 1.0)) for name in rewards]
    training_arguments(args)
    with loading(config.model):
        trainer = R1GRPOTrainer(
            model=config.model,
            reward_funcs=[guarded(prefilled(reward, asked)) for reward in rewards.values()],
            args=args,
            train_dataset=table(prompted),
            processing_class=tokenizer,
            peft_config=lora(config),
            quantization_config=quantization(config),
        )
    if trainer.rollouts is not None:
        trainer.rollouts.directory = stage.work / "rollouts"
    metrics = train(trainer, stage)
    weights = whole_weights(trainer)
    if trainer.accelerator.is_main_process:
        export(trainer.accelerator.unwrap_model(trainer.model), tokenizer, stage.work, config, config.model, weights)
    return {**metrics, "prompts": len(rows)}
