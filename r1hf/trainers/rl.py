"""What the reinforcement-learning recipes share: configuration, its checks, prompts, and the trainer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.config import Parsed, StageConfig
from r1hf.core.errors import ConfigError, DataError
from r1hf.core.given import COMMAND_LINE
from r1hf.core.source import Source
from r1hf.data.language_column import check_languages
from r1hf.data.lengths import drop_long, token_counts
from r1hf.data.options import with_options_shown
from r1hf.data.pass_rates import check_bounds, within
from r1hf.data.rows import Row, check_rows, stage_rows
from r1hf.models.loading import check_tokenizer, loading, training_arguments
from r1hf.rewards.faults import judged_rows
from r1hf.rewards.guard import guarded
from r1hf.rewards.own import is_own, own_file, try_reward
from r1hf.rewards.prefilled import prefilled
from r1hf.rewards.table import (
    TABLE,
    Reward,
    located,
    name_problems,
    task_problems,
    unknown,
    weight_problems,
    weights_of,
)
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage
from r1hf.text import prompt_templates as templates
from r1hf.text.grammar import opening
from r1hf.trainers.adapters import AdapterConfig, check_adapter, lora, quantization
from r1hf.trainers.engine import check_engine, check_split
from r1hf.trainers.grpo import R1GRPOConfig, R1GRPOTrainer, check_prompt_count
from r1hf.trainers.held_out import HeldOut, HeldOutConfig, check_held_out, held_out_rows
from r1hf.trainers.table import table
from r1hf.trainers.training_tokenizer import TemplateConfig, check_training_template, training_tokenizer

COLUMNS = ("question", "answer", "language", "task")


@dataclass(kw_only=True)
class RLConfig(HeldOutConfig, TemplateConfig, AdapterConfig, StageConfig):
    """A policy, its prompts, and its rewards with their weights."""

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
    min_pass_rate: float | None = field(
        default=None,
        metadata={"help": "least share of right samples of a prompt (column pass_rate, from rejection sampling)"},
    )
    max_pass_rate: float | None = field(
        default=None, metadata={"help": "greatest share of right samples; below 1 leaves out what is solved already"}
    )
    expert_bias_speed: float = field(
        default=0.0, metadata={"help": "step of the experts' balancing biases (DeepSeek-V3: 0.001); 0 leaves them"}
    )
    rewards: dict[str, Any] = field(
        default_factory=lambda: {"accuracy": 1.0, "format": 1.0, "language": 1.0},
        metadata={"help": "reward or FILE.py:FUNCTION -> weight (0 logs it, unpaid), or {weight: 1, its options}"},
    )

    @property
    def weights(self) -> dict[str, float]:
        return weights_of(self.rewards)


def preflight_rl(parsed: Parsed, make_rewards: Callable[[Any], Mapping[str, Reward]]) -> list[Row]:
    """Adds what is wrong to `parsed.problems` and returns the prompts as far as they can be read.

    make_rewards: the recipe's function from its configuration to its rewards.
    """
    preflight_inputs(parsed)
    config, args = parsed.configs
    if config is None:
        return []
    check_adapter(parsed.problems, config, args)
    check_engine(parsed.problems, args)
    check_split(parsed.problems, args, config.model)
    rows = check_rows(parsed.problems, "prompts", config.prompts, COLUMNS, max_bad=config.max_bad_rows)
    rows = check_bounds(parsed.problems, config, rows)
    check_prompt_count(parsed.problems, "prompts", rows, args)
    check_rewards(parsed, make_rewards, rows)
    check_held_out(parsed)
    if config.prompt_template is None:
        check_training_template(parsed.problems, config)
        return rows
    check_tokenizer(parsed.problems, "model", config.model)
    named = config.prompt_template
    check_templates(parsed.problems, "prompt_template", *([named] if isinstance(named, str) else named.values()))
    if not isinstance(named, str):
        lacking = {row["language"] for row in rows} - set(named)
        if unknown := sorted(str(language) for language in lacking if language is not None):
            parsed.problems.append(f"prompt_template: no template for prompts in {', '.join(unknown)}")
        if None in lacking:
            parsed.problems.append(f"prompt_template: {_no_language(named)}")
    return rows


def check_rewards(parsed: Parsed, make_rewards: Callable[[Any], Mapping[str, Reward]], rows: list[Row]) -> None:
    """Adds what is wrong with the rewards themselves, with one's own on the first rows, and with the rows for them."""
    config: RLConfig = parsed.configs[0]
    config.rewards = located(config.rewards, _folder(parsed))
    try:
        rewards = make_rewards(config)
    except ConfigError as error:
        parsed.problems += error.problems
        return
    if files := sorted({str(own_file(name)) for name in config.rewards if is_own(name)}):
        parsed.inputs["rewards"] = files  # another function under the same name is another run
    parsed.problems += [f"prompts: {problem}" for problem in task_problems(rewards, rows)]
    parsed.problems += name_problems(rewards)
    parsed.problems += [unknown(name, rewards) for name in config.rewards if name not in (*rewards, *TABLE)]
    for name, reward in rewards.items():
        if is_own(name) and rows:
            try_reward(parsed.problems, name, reward, rows, config.prompt_template is None)
    check_paid_languages(parsed, "prompts", rows)


def _no_language(template: Mapping[str, str]) -> str:
    return (
        f"there is one for each language ({', '.join(template)}), and some rows have none (language: null); give them "
        "one (values: {language: en}), or name one template for all"
    )


def _folder(parsed: Parsed) -> Path:
    """Where the file lies that names the rewards, or the configuration where the command line does."""
    given = parsed.said.values.get("rewards")
    if given is not None and given.where != COMMAND_LINE:
        return Path(given.where.rpartition(":")[0]).parent
    return Path(parsed.said.files[0]).parent if parsed.said.files else Path()


def check_paid_languages(parsed: Parsed, key: str, rows: Sequence[Row]) -> None:
    """`check_languages` where the reward `language` counts."""
    chosen = parsed.configs[0].rewards
    if chosen.get("language") and not weight_problems(chosen) and weights_of(chosen)["language"]:
        check_languages(parsed, key, rows, "weigh the reward 'language' 0")


def check_templates(problems: list[str], key: str, *wanted: str) -> None:
    """Adds a problem for each prompt template that is neither known nor a file."""
    for name in sorted(set(wanted)):
        templates.check(problems, key, name)


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
    rows = with_options_shown(stage_rows(stage, key, COLUMNS))
    if key == "prompts" and not (config.min_pass_rate is None and config.max_pass_rate is None):
        chosen = within(rows, config.min_pass_rate, config.max_pass_rate)
        stage.say(f"{key}: {len(chosen)} of {len(rows)} have a pass rate within the bounds")
        stage.note("pass_rates", key, {"rows": len(rows), "used": len(chosen)})
        rows = chosen
    if config.max_prompt_length is None:
        return rows
    prompts = [row["prompt"] for row in prompt_rows(rows, config.prompt_template)]
    counts = token_counts(prompts, training_tokenizer(config), add_generation_prompt=True)
    return drop_long(stage, key, rows, counts, config.max_prompt_length, "max_prompt_length")


def shuffled(rows: Sequence[Row], seed: int) -> list[Row]:
    return random.Random(seed).sample(list(rows), len(rows))


def policy_trainer(
    stage: Stage, rows: Sequence[Row], rewards: Mapping[str, Reward], args: R1GRPOConfig
) -> R1GRPOTrainer:
    """GRPO on the stage's policy, each reward with the weight that the configuration gives it.

    Raises DataError where a reward can judge nothing by more than `max_bad_rows` of the rows.
    """
    config: RLConfig = stage.config  # type: ignore[assignment]
    if problems := task_problems(rewards, rows):  # rows of the Hub are read only now
        raise DataError("; ".join(problems))
    notes: list[str] = []
    rows, faults = judged_rows(rows, rewards, config.max_bad_rows, notes)
    for text in notes:
        stage.say(f"prompts: {text}")
        stage.note("unjudged", "prompts", faults)
    tokenizer = training_tokenizer(config)
    prompted = prompt_rows(rows, config.prompt_template)
    asked = prompt_text(prompted[0]["prompt"], tokenizer)
    args.output_dir = str(stage.checkpoints)
    args.reward_weights = [config.weights.get(name, 1.0) for name in rewards]
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
    if config.held_out is not None:
        watched = prompt_rows(held_out_rows(config, config.seed), config.prompt_template)
        every, k = config.held_out_steps, config.held_out_k
        trainer.add_callback(HeldOut(trainer, watched, opening(asked), every, k, config.seed))
    return trainer
