"""The keys of a stage that asks a judging model, and the asking: its error rate first, then samples without a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from r1hf.core.source import MAX_BAD
from r1hf.data.drawing import Asking, Drawing
from r1hf.data.filters import Verdict
from r1hf.data.rows import Row, stage_rows
from r1hf.evaluation.judge import TEMPLATES, Judge
from r1hf.evaluation.judge_keys import JudgeKeys, check_judge_templates
from r1hf.evaluation.measure import LABELLED, check_labelled, measure, told
from r1hf.models.loading import check_chat_template
from r1hf.models.sampler_config import load_sampler

_RUN = ("code", "gym")  # tasks that are run, and not read


@dataclass(kw_only=True)
class SampleJudgeKeys(JudgeKeys):
    judge_templates: list[str] = field(
        default_factory=lambda: list(TEMPLATES),
        metadata={"help": "its prompts, one for each order in which an answer is shown; all must agree"},
    )

    def made(self, ask: Asking, seed: int, name: str) -> Judge:
        return Judge(ask, self.judge_retries, self.judge_max_new_tokens, seed, name, templates=self.judge_templates)


def check_judge(problems: list[str], config: SampleJudgeKeys, max_bad: float = MAX_BAD) -> None:
    """Adds what is wrong with the judge's keys. One whose error rate is not measured is refused."""
    if config.judge is None:
        if config.judge_labelled is not None:
            problems.append("judge_labelled: would not be read: name the model that judges (judge: MODEL)")
        return
    check_chat_template(problems, "judge", config.judge)
    check_judge_templates(problems, config.judge_templates)
    if config.judge_labelled is None:
        problems.append(
            f"judge: how often {config.judge} is wrong must be measured: name labelled rows with the columns "
            f"{', '.join(LABELLED)} (judge_labelled: FILE)"
        )
        return
    check_labelled(problems, config.judge_labelled, LABELLED, max_bad)


def judged(
    draw: Drawing, config: Any, rows: Sequence[Row], texts: Sequence[str], verdicts: Sequence[Verdict]
) -> tuple[list[Verdict], dict[str, Any]]:
    """The verdicts with the judge's where the rules say nothing, and what is known of the judge ({} without one).

    Rows without a reference, and programs, stay unjudged.
    """
    found = list(verdicts)
    asked = [
        place
        for place, (row, verdict) in enumerate(zip(rows, verdicts, strict=True))
        if verdict.right is None and row.get("answer") and row.get("task") not in _RUN
    ]
    if config.judge is None or not asked:
        return found, {}
    labelled = stage_rows(draw.stage, "judge_labelled", LABELLED)
    with load_sampler(config, config.judge) as sampler:
        ask = draw.asking(sampler)
        figures, _ = measure(config.made(ask, config.seed + 1, "judge_measured"), labelled)
        draw.stage.say(f"judge: {told(figures)}")
        judge = config.made(ask, config.seed + 2, "judge")
        judgements = judge.judge([rows[place] for place in asked], [texts[place] for place in asked])
    for place, one in zip(asked, judgements, strict=True):
        found[place] = one.verdict
    return found, {"model": config.judge, "measured": figures, "asked": len(asked), "said": dict(judge.counts)}
