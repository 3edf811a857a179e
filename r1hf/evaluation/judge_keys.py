"""The keys of a stage that asks a judging model, what can be found wrong with them, and the asking."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.source import Source
from r1hf.data.drawing import Asking, Drawing
from r1hf.evaluation import general, pairs
from r1hf.evaluation.ancestors import ancestors, inputs_of
from r1hf.evaluation.judge import FIELDS
from r1hf.models.loading import check_chat_template
from r1hf.models.sampler_config import SamplingConfig, check_sampler, load_sampler
from r1hf.stage.manifest import input_record
from r1hf.stage.stage import Stage
from r1hf.text import prompt_templates as templates


@dataclass(kw_only=True)
class JudgeKeys:
    judge: str | None = field(
        default=None, metadata={"input": True, "help": "a chat model that judges what no rule does"}
    )
    judge_labelled: Source | None = field(
        default=None, metadata={"input": True, "help": "rows that people have labelled: its error rate is measured"}
    )
    judge_retries: int = field(default=2, metadata={"help": "how often a reply without a verdict is asked for again"})
    judge_max_new_tokens: int = field(default=1024, metadata={"help": "tokens of a reply, with the judge's thought"})


@dataclass(kw_only=True)
class EvaluationJudgeKeys(JudgeKeys, SamplingConfig):
    """The judge is sampled by the keys of `SamplingConfig`, unless servers answer for it."""

    judge_servers: list[str] = field(
        default_factory=list,
        metadata={
            "help": "OpenAI-compatible servers that answer for the judge, such as http://10.0.0.5:8000/v1",
            "request": False,
        },
    )
    judge_name: str | None = field(
        default=None,
        metadata={
            "help": "what judge_servers call the judge; without `judge`, one that is neither here nor on the Hub"
        },
    )

    judge_templates: list[str] = field(
        default_factory=lambda: list(general.TEMPLATES),
        metadata={"help": "the judge's prompts for general prompts, one for each order; all must agree"},
    )
    judge_pair_template: str = field(
        default=pairs.TEMPLATE,
        metadata={"help": f"its prompt for rows of task {pairs.TASK}, with {', '.join(pairs.FIELDS)}"},
    )

    @property
    def judge_called(self) -> str | None:
        """The judge by its directory or Hub id, or as servers call it; None where no model judges."""
        return self.judge or self.judge_name


def check_served_judge(problems: list[str], config: EvaluationJudgeKeys) -> None:
    """Adds what is wrong with the keys that say who the judge is."""
    if config.judge_called is None:
        unread = [key for key in ("judge_labelled", "judge_servers") if getattr(config, key)]
        problems += [f"{key}: would not be read: name the model that judges (judge: MODEL)" for key in unread]
        return
    if config.judge_servers:
        found: list[str] = []
        check_sampler(found, sampled_as(config))
        problems += [f"judge_{problem}" for problem in found if problem.startswith("servers: ")]
        return
    if config.judge_name is not None:
        problems.append(
            f"judge_name: {config.judge_name} is what servers call a judge, and none are named (judge_servers: [URL])"
        )
    check_chat_template(problems, "judge", config.judge)


def check_judge_templates(problems: list[str], names: Sequence[str]) -> None:
    """Adds a problem for each prompt that is neither known nor a file with all fields, and where there is none."""
    if not names:
        problems.append("judge_templates: [] names no prompt; leave the key out for the two of r1hf")
    for name in names:
        templates.check(problems, "judge_templates", name, FIELDS)


def sampled_as(config: EvaluationJudgeKeys) -> SamplingConfig:
    """The configuration by which the judge is sampled: its own servers, or the engine of the stage."""
    if not config.judge_servers:
        return config
    named = {"models": {config.judge: config.judge_name}} if config.judge and config.judge_name else {}
    engine: dict[str, Any] = {"sampler": "openai", "servers": config.judge_servers, "openai": {"api": "chat", **named}}
    return dataclasses.replace(config, **engine, vllm={}, ray={}, workers=None, dtype="float32")


@contextmanager
def asking(stage: Stage, config: EvaluationJudgeKeys, judge: str) -> Iterator[Asking]:
    """Asks the judge; its replies are kept while the stage is under way."""
    own = sampled_as(config)
    with load_sampler(own, judge) as sampler:
        yield Drawing(stage, own).asking(sampler)


def rewarding(judge: str, models: Iterable[str]) -> str | None:
    """The input by which `judge` gave rewards to one of `models` or to what they came from, as `helpful_model of r1`.

    By the manifests: None where it gave none, and where nothing is known of the models.
    """
    stages, _ = ancestors(models)
    for manifest in stages:
        for key, records in inputs_of(manifest).items():
            if not key.endswith("_model"):
                continue
            if any(_is_same(judge, record) for record in records):
                return f"{key} of {manifest.stage}"
    return None


def _is_same(judge: str, record: dict[str, Any]) -> bool:
    """Whether an input of a stage is the judge: the same path, repository or served name, or the same files."""
    path = record["path"].partition("@")[0]
    if judge.partition("@")[0] in (path, Path(path).name) or Path(judge).resolve() == Path(path).resolve():
        return True
    return Path(judge).is_dir() and input_record(judge, check=False)["fingerprint"] == record["fingerprint"]
