"""The keys of an evaluation, and what can be found wrong with them before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from r1hf.core.config import Parsed
from r1hf.core.errors import ConfigError, DataError
from r1hf.core.source import Source
from r1hf.data.language_column import check_languages
from r1hf.data.rows import Row, check_rows, check_tasks
from r1hf.evaluation import chat, general, pairs
from r1hf.evaluation.judge_keys import (
    EvaluationJudgeKeys,
    check_judge_templates,
    check_served_judge,
    rewarding,
)
from r1hf.evaluation.judged import GENERAL, PROBLEMS, Reading
from r1hf.evaluation.measure import check_labelled
from r1hf.evaluation.programs import with_tests
from r1hf.evaluation.prompting import Gold, with_options
from r1hf.models.loading import check_chat_template, check_tokenizer
from r1hf.models.sampler_config import check_sampler
from r1hf.sandbox import check_sandbox
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.text import prompt_templates as templates
from r1hf.verify.choice import verify_choice
from r1hf.verify.code_cases import parse_tests
from r1hf.verify.code_layouts import ROW_KEYS
from r1hf.verify.ifeval import check_installed, instructions_of

COLUMNS = ("question", "answer", "language", "task")
PARTS = ("prompts", "longer_prompts")  # the inputs that hold problems


@dataclass(kw_only=True)
class EvaluateConfig(EvaluationJudgeKeys):
    models: list[str] = field(metadata={"input": True, "help": "stage directories or Hub ids"})
    base_model: str | None = field(
        default=None, metadata={"input": True, "help": "the base that the models came from: evaluated too, first"}
    )
    base_template: str | None = field(
        default=None, metadata={"help": "text template that the base is asked with; none: its chat template"}
    )
    prompts: Source = field(metadata={"input": True, "help": f"held-out problems: {', '.join(COLUMNS)}"})
    longer_prompts: Source | None = field(
        default=None,
        metadata={"input": True, "help": "harder problems, counted apart from `prompts`"},
    )
    general_prompts: Source | None = field(
        default=None,
        metadata={
            "input": True,
            "help": "held-out general prompts, judged by `judge`, or by rule with reference, required, forbidden",
        },
    )
    contamination: bool = field(
        default=True, metadata={"help": "look for the questions in the data that the models learned from"}
    )
    training_data: Source | None = field(
        default=None, metadata={"input": True, "help": "such data, besides what the models' manifests name"}
    )
    benchmark: str | None = field(default=None, metadata={"help": "name of the problems, as results show it"})
    source: str | None = field(default=None, metadata={"help": "where the problems are published", "request": False})
    licence: str | None = field(default=None, metadata={"help": "the problems' licence", "request": False})
    instruction: str | None = field(
        default=None,
        metadata={"help": "what is asked: text with {question}, {options}, {starter_code}; none: the question"},
    )
    options: list[str] = field(
        default_factory=list,
        metadata={"help": "columns with a choice's options; with `answer` among them they are shuffled"},
    )
    gold: Gold = field(default="answer", metadata={"help": "place: a choice's answer is the option's number from 0"})
    reading: Reading = field(
        default="prose", metadata={"help": "how an answer is read: strict: a box, tag or statement; prose: any text"}
    )
    force_think: bool = field(default=False, metadata={"help": "end each prompt in <think>, as the paper did"})
    k: int = field(default=4, metadata={"help": "samples a problem (paper: 64 for AIME and GPQA, 16 for MATH-500)"})
    general_k: int = field(default=8, metadata={"help": "samples a general prompt"})
    temperature: float = field(default=0.6, metadata={"help": "0: the likeliest token each time (paper: 0.6)"})
    top_p: float = field(default=0.95, metadata={"help": "nucleus (paper: 0.95)"})
    max_new_tokens: int = field(default=32768, metadata={"help": "tokens of a sample (paper: 32768)"})
    shown: list[str] = field(default_factory=list, metadata={"help": "questions whose answers go to samples.jsonl"})


def preflight(parsed: Parsed) -> None:
    """Adds what is wrong to `parsed.problems`."""
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is None:
        return
    if config.instruction is not None and "{question}" not in config.instruction:
        parsed.problems.append("instruction: {question} does not stand in it, so every question would be the same")
    rows = [row for key in PARTS for row in _checked(parsed, config, key)]
    ruled = () if config.judge_called else ("reference",)
    asked = check_rows(
        parsed.problems,
        "general_prompts",
        config.general_prompts,
        (*COLUMNS, *ruled),
        max_bad=config.max_bad_rows,
    )
    check_tasks(parsed.problems, "general_prompts", asked, set(GENERAL))
    check_rows(parsed.problems, "training_data", config.training_data, max_bad=1.0)
    known = {row["question"] for row in rows + asked}
    for question in config.shown if known else ():
        if question not in known:
            parsed.problems.append(f"shown: {question!r} is among none of prompts, longer_prompts and general_prompts")
    check_sampler(parsed.problems, config)
    _check_judge(parsed, config, rows)
    if config.force_think and config.sampler == "openai" and config.openai.get("api") == "chat":
        parsed.problems.append("force_think: a chat server ends the prompt itself; write openai: {api: completions}")
    for model in config.models:
        check_chat_template(parsed.problems, "models", model)
    if config.base_template is None:
        check_chat_template(parsed.problems, "base_model", config.base_model)
    elif config.base_model is not None:
        check_tokenizer(parsed.problems, "base_model", config.base_model)
        templates.check(parsed.problems, "base_template", config.base_template)
    if not config.models:
        parsed.problems.append("models: names none; give directories or Hub ids")
    if len({model_name(model) for model, _ in sources(config)}) < len(sources(config)):
        parsed.problems.append("models: two have the same name; results are kept by name")


@dataclass(frozen=True)
class AsTheyAre:
    """Of rows that no benchmark lays out: their options are in `choices`, and the answer names one."""

    options: Sequence[str] = ()
    gold: Gold = "answer"


def _checked(parsed: Parsed, config: EvaluateConfig, key: str) -> list[Row]:
    """The problems of an input, and what is wrong with them."""
    rows = check_rows(parsed.problems, key, getattr(config, key), COLUMNS, max_bad=config.max_bad_rows)
    check_tasks(parsed.problems, key, rows, PROBLEMS)
    check_languages(parsed, key, rows, None)
    _check_judgeable(parsed.problems, config, key, rows)
    return rows


def _check_judgeable(problems: list[str], config: EvaluateConfig, key: str, rows: list[Row]) -> None:
    """Adds what would leave a row without a verdict: its column is missing, or cannot be read."""
    if any(row["task"] == "ifeval" for row in rows):
        try:
            check_installed()
        except ConfigError as error:
            problems += [f"{key}: {problem}" for problem in error.problems]
            return
    faults = [(number, fault) for number, row in enumerate(rows, 1) if (fault := row_fault(row, config)) is not None]
    problems += [f"{key}: row {number}: {fault}" for number, fault in faults[:5]]
    if len(faults) > 5:
        problems.append(f"{key}: {len(faults) - 5} more rows are at fault")
    if any(row["task"] == "code" for row in rows):
        try:
            check_sandbox()
        except ConfigError as error:
            problems += [f"{key}: programs cannot be judged here: {problem}" for problem in error.problems]


def _check_judge(parsed: Parsed, config: EvaluateConfig, rows: Sequence[Row]) -> None:
    """Adds what is wrong with the judge's keys. rows: the problems that can be read before the start."""
    problems = parsed.problems
    check_served_judge(problems, config)
    judge = config.judge_called
    if judge is None:
        problems += lacks_judge(config, rows)
        return
    if rows and config.general_prompts is None and all(row["task"] != pairs.TASK for row in rows):
        parsed.notes.append(f"judge: {judge} is not asked: no row has task {pairs.TASK}, and no general_prompts")
    if judge in (config.base_model, *config.models):
        parsed.notes.append(f"judge: {judge} judges itself too, and models prefer their own answers")
    if gave := rewarding(judge, config.models):
        problems.append(
            f"judge: {judge} is {gave}, by which these models were rewarded: they have learned to please it; name "
            "another model"
        )
    check_judge_templates(problems, config.judge_templates)
    templates.check(problems, "judge_pair_template", config.judge_pair_template, pairs.FIELDS)
    if config.judge_labelled is not None:
        if config.general_prompts is None:
            problems.append("judge_labelled: would not be read: it measures the judge of general_prompts alone")
        labelled = check_labelled(problems, config.judge_labelled, general.LABELLED, config.max_bad_rows)
        check_tasks(problems, "judge_labelled", labelled, set(GENERAL))


def lacks_judge(config: EvaluateConfig, rows: Sequence[Row]) -> list[str]:
    """What is wrong where rows of task `pair` have nobody who judges them."""
    if config.judge_called is not None or all(row["task"] != pairs.TASK for row in rows):
        return []
    return [f"judge: rows of task {pairs.TASK} are judged by a model; name one that gave no reward (judge: MODEL)"]


def ready(row: Row, config: EvaluateConfig | AsTheyAre) -> Row:
    """A row with what its verdict needs. Raises DataError where that cannot be made of it."""
    return with_tests(with_options(row, config.options, config.gold))


def row_fault(row: Row, config: EvaluateConfig | AsTheyAre) -> str | None:
    """Why nothing could be said about an answer to a row; None where something can."""
    try:
        row = ready(row, config)
        if row["task"] == "choice" and verify_choice("", row["answer"], row.get("choices")) is None:
            return f"task choice, and the answer {row['answer']!r} names no option; give its letter or text"
        if row["task"] == "code":
            if not row.get("tests"):
                return "task code, and no tests; name the column that holds them (columns: {tests: NAME})"
            parse_tests(row["tests"], {key: row.get(key) for key in ROW_KEYS})
        if row["task"] == "ifeval":
            instructions_of(row)
    except DataError as error:
        return str(error)
    if row["task"] == "gym" and not row.get("gym"):
        return "task gym, and no column gym; r1hf.verify.gym_rows makes such rows"
    if row["task"] == pairs.TASK:
        return pairs.fault(row)
    return chat.fault(row) if row["task"] == chat.TASK else None


def sources(config: EvaluateConfig) -> list[tuple[str, str | None]]:
    """The models, each with the text template that it is asked with; None: its own chat template."""
    base = [(config.base_model, config.base_template)] if config.base_model is not None else []
    return [*base, *((model, None) for model in config.models)]


def model_name(source: str) -> str:
    """`runs/tiny/r1_zero` -> r1_zero, `org/name@main` -> name."""
    return Path(source.partition("@")[0]).name
