"""The user's own rewards over completions of the user's own rows, called and fed as TRL does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from r1hf.core.errors import DataError, R1Error
from r1hf.data.rows import Row
from r1hf.models.loading import find_tokenizer
from r1hf.preflight.rewards.completions import FORMS, Case, cases, golden
from r1hf.rewards.declared import declared, innermost
from r1hf.rewards.guard import guarded
from r1hf.rewards.prefilled import prefilled
from r1hf.text.grammar import TAGS, THINK_OPEN, Mode
from r1hf.text.language import target_of

RANGE = (-1.0, 1.0)  # of a reward that declares no `bounds`
Scores = list[float | None]
Batch = tuple[list[list[int]], list[Any]]  # token ids, completions


@dataclass(frozen=True)
class Asked:
    """One row as it will be asked. text: the prompt as the policy reads it. judged: a rule checks `gold`."""

    where: str
    row: Row
    prompt: Any
    text: str
    gold: str
    judged: bool

    @property
    def prefilled(self) -> bool:
        return self.text.rstrip().endswith(THINK_OPEN)

    @property
    def language(self) -> str | None:
        return target_of(self.row["language"], self.row["question"])

    def golden(self, form: Mode) -> str:
        return golden(self.row["question"], self.gold, self.language, form, self.prefilled)


@dataclass(frozen=True)
class Judged:
    """One row's completions with their rewards. ruled: the totals without what a model thinks."""

    asked: Asked
    cases: list[Case]
    scores: dict[str, Scores]
    totals: Scores
    ruled: Scores


class Judge:
    """The rewards that can be called here, their weights, and the policy's tokenizer (None if it cannot be loaded).

    What is wrong goes to `faults`, what cannot be checked to `notes`.
    """

    def __init__(self, settings: Any, rewards: Mapping[str, Callable[..., Any]]):
        self.settings = settings
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.rewards = {name: reward for name, reward in rewards.items() if self._has_model(name, reward)}
        self.weights = {name: float(settings.weights.get(name, 1.0)) for name in self.rewards}
        self.tokenizer = self._load_tokenizer(settings)

    def _has_model(self, name: str, reward: Any) -> bool:
        source = _source(reward)
        if source is None or Path(source).exists() or find_tokenizer(source) is not None:
            return True
        self.notes.append(f"not checked: the reward '{name}', because its model {source} is not here")
        return False

    def _load_tokenizer(self, settings: Any) -> Any:
        from r1hf.stage.libraries import quiet_libraries
        from r1hf.trainers.training_tokenizer import training_tokenizer

        quiet_libraries()
        source = settings.model
        try:
            if not Path(source).exists() and find_tokenizer(source) is None:
                raise OSError("it is not here")
            return training_tokenizer(settings)
        except (OSError, ValueError, R1Error) as error:
            reason = " ".join(str(error).split())[:100]
            self.notes.append(
                f"not checked: whether tags survive the tokenizer, and the chat template, because {source} cannot "
                f"be loaded ({reason})"
            )
            return None

    def paid(self, aspect: str) -> list[str]:
        """Names of the rewards that pay for what they declare: "outcome", or an aspect ("format", "language")."""
        said = {name: declared(reward) for name, reward in self.rewards.items() if self.weights[name] > 0}
        return [name for name, one in said.items() if (one.outcome if aspect == "outcome" else one.aspect == aspect)]

    def ask(self, where: str, row: Row) -> Asked:
        """The row in the run's own template."""
        from r1hf.trainers.rl import prompt_rows, prompt_text

        prompt: Any = prompt_rows([row], self.settings.prompt_template)[0]["prompt"]
        text = prompt if isinstance(prompt, str) else row["question"]
        if not isinstance(prompt, str) and self.tokenizer is not None and self.tokenizer.chat_template:
            text = prompt_text(prompt, self.tokenizer)
        judged = row["answer"] is not None
        gold = row["answer"] if judged else row.get("reference") or row.get("required") or row["question"]
        return Asked(where, row, prompt, text, str(gold), judged)

    def form(self, rows: Sequence[Asked]) -> Mode:
        """The form of the grammar in which a right completion earns most format reward."""
        earned: dict[Mode, float] = {}
        for form in FORMS:
            totals = []
            for asked in rows:
                try:
                    text = asked.golden(form)
                except DataError:
                    continue
                batch = self._batch(asked, [text])
                scores = {name: self._call_or_none(name, asked, batch) for name in self.paid("format")}
                totals.append(self._totals(scores, 1)[0] or 0.0)
            earned[form] = fmean(totals) if totals else 0.0
        return max(FORMS, key=lambda form: earned[form])

    def answer_tags(self, judged: Sequence[Judged]) -> bool:
        """Does the format reward want answer tags? Its `mode` says so, or it pays less for a completion without."""
        for name in self.paid("format"):
            mode = getattr(innermost(self.rewards[name]), "mode", None)
            if mode is not None:
                return bool(mode == "think_answer")
            for one in judged[:1]:
                batch = self._batch(one.asked, [one.asked.golden("think_only"), one.cases[0].text])
                laxer, strict = self._call_or_none(name, one.asked, batch)
                return laxer is not None and strict is not None and laxer < strict
        return False

    def judge(self, asked: Asked, form: Mode) -> Judged | None:
        """All rewards of all completions of one row; None where its gold answer cannot be written in `form`."""
        prompt = asked.text
        try:
            made = cases(
                asked.row["question"], prompt, asked.gold, asked.language, form, asked.prefilled, judged=asked.judged
            )
        except DataError as error:
            self.faults.append(f"{asked.where}: the gold answer cannot be written as {form}: {error}")
            return None
        batch = self._batch(asked, [case.text for case in made])
        self._check_tags(made[0].text, batch[1][0])
        scores = {name: self._named_call(name, asked, made, batch) for name in self.rewards}
        by_rule = {name: part for name, part in scores.items() if _source(self.rewards[name]) is None}
        return Judged(asked, made, scores, *(self._totals(part, len(made)) for part in (scores, by_rule)))

    def _check_tags(self, text: str, back: Any) -> None:
        if not isinstance(back, str) and back[-1].get("reasoning_content"):
            return
        content = back if isinstance(back, str) else str(back[-1]["content"])
        lost = [tag for tag in TAGS if text.count(tag) > content.count(tag)]
        fault = f"the tokenizer loses {', '.join(lost)} when it decodes: add them as ordinary, not special, tokens"
        if lost and fault not in self.faults:
            self.faults.append(fault)

    def _named_call(self, name: str, asked: Asked, made: Sequence[Case], batch: Batch) -> Scores:
        """The scores; where the reward fails, None for all, and a fault that names row and completion."""
        try:
            return self._call(name, asked, batch)
        except R1Error as error:
            fault = str(error)
        for case, ids, completion in zip(made, *batch, strict=True):
            try:
                self._call(name, asked, ([ids], [completion]))
            except R1Error as alone:
                fault = f"{alone} ({case.kind})"
                break
        self.faults.append(f"{asked.where}: reward '{name}': {fault}")
        return [None] * len(made)

    def _call_or_none(self, name: str, asked: Asked, batch: Batch) -> Scores:
        try:
            return self._call(name, asked, batch)
        except R1Error:  # `judge` names it
            return [None] * len(batch[1])

    def _call(self, name: str, asked: Asked, batch: Batch) -> Scores:
        from transformers import TrainerState

        ids, completions = batch
        count = len(completions)
        own = ("prompt", "completion", "completion_ids")
        columns = {key: [value] * count for key, value in asked.row.items() if key not in own}
        reward = prefilled(self.rewards[name], asked.text)  # as policy_trainer does
        return guarded(reward, *(getattr(reward, "bounds", None) or RANGE))(
            [asked.prompt] * count,
            completions,
            ids,
            **columns,
            trainer_state=TrainerState(),
            log_extra=lambda column, values: None,
            log_metric=lambda metric, value: None,
        )

    def _batch(self, asked: Asked, texts: Sequence[str]) -> Batch:
        """Token ids, and the completions in the shape in which TRL gives them to rewards."""
        ids = [list(text.encode()) for text in texts]
        plain = list(texts)
        if self.tokenizer is not None:
            ids = [self.tokenizer.encode(text, add_special_tokens=False) for text in texts]
            plain = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        if isinstance(asked.prompt, str):
            return ids, plain
        if any(getattr(self.tokenizer, name, None) for name in ("response_template", "response_schema")):
            from trl.chat_template_utils import parse_response

            prefix = self.tokenizer.encode(asked.text, add_special_tokens=False)
            return ids, [[parse_response(self.tokenizer, part, prefix=prefix)] for part in ids]
        return ids, [[{"role": "assistant", "content": text}] for text in plain]

    def _totals(self, scores: Mapping[str, Scores], count: int) -> Scores:
        totals: Scores = []
        for place in range(count):
            given = [(self.weights[name], part[place]) for name, part in scores.items()]
            paid = [weight * value for weight, value in given if value is not None]
            totals.append(sum(paid) if paid else None)
        return totals


def _source(reward: Any) -> str | None:
    """Where the model of a reward comes from; None for a rule."""
    return getattr(innermost(reward), "source", None)
