"""The rollouts of a page: columns that the browser filters, whole groups spread over the run, long texts cut."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from r1hf.explain.health.diagnosis import Diagnosis
from r1hf.explain.health.judged import answer_of, spread
from r1hf.explain.report.examined import Examined
from r1hf.explain.report.text import visible
from r1hf.explain.runs.columns import messages_of
from r1hf.explain.runs.table import Rollout
from r1hf.rewards._common import question_text
from r1hf.rewards.declared import RIGHT
from r1hf.text.grammar import parse
from r1hf.text.language import detect
from r1hf.trainers.advantage import TRL_EPS, group_advantages

MOST = 10_000  # rollouts of a page
_TOLD = 800  # characters that a language is told by
Group = list[Rollout]


class Browser:
    """Which rollouts a page shows, and where each of them is found."""

    def __init__(self, stages: Sequence[Examined], most: int = MOST):
        self.sets: dict[str, list[Group]] = {}
        self._places: dict[int, tuple[str, int]] = {}
        self._still: dict[str, dict[str, Any]] = {}
        self._stages = {one.name: one for one in stages if one.panel.facts.rollouts}
        counts = {name: len(one.panel.facts.rollouts) for name, one in self._stages.items()}
        for name, one in self._stages.items():
            room = most * counts[name] // max(most, sum(counts.values()))
            self.sets[name] = _chosen(one, room)
            ordered = (rollout for group in self.sets[name] for rollout in group)
            self._places |= {id(rollout): (name, place) for place, rollout in enumerate(ordered)}

    def link(self, one: Rollout) -> str | None:
        """The page's own address of a rollout; None where it is not on the page."""
        found = self._places.get(id(one))
        return None if found is None else f"#rollout/{quote(found[0], safe='')}/{found[1]}"

    def columns(self, limit: int) -> list[dict[str, Any]]:
        """The sets, a completion cut to `limit` characters."""
        for name, groups in self.sets.items():
            if name not in self._still:
                self._still[name] = _columns(self._stages[name], groups)
        return [{**self._still[name], **_texts(groups, limit)} for name, groups in self.sets.items()]


def _chosen(one: Examined, most: int) -> list[Group]:
    """Whole groups, evenly over the steps, and those of the rollouts that the diagnoses name."""
    found: dict[tuple[int, str], Group] = defaultdict(list)
    for rollout in one.panel.facts.rollouts:
        found[rollout.step, rollout.group or rollout.prompt].append(rollout)
    groups = sorted(found.values(), key=lambda group: group[0].step)
    named = {id(rollout) for diagnosis in one.panel.found for rollout in diagnosis.rollouts}
    size = max(1.0, len(one.panel.facts.rollouts) / len(groups))
    kept = {id(group) for group in spread(groups, max(1, int(most / size)))}
    kept |= {id(group) for group in groups if any(id(rollout) in named for rollout in group)}
    return [group for group in groups if id(group) in kept]


def _texts(groups: Sequence[Group], limit: int) -> dict[str, Any]:
    """The columns that depend on how long a text may be."""
    ones = [one for group in groups for one in group]
    completions = [cut_middle(visible(one.completion), limit) for one in ones]
    prompts = dict.fromkeys(one.prompt for one in ones)
    return {
        "limit": limit,
        "prompts": [cut_middle(visible(question_text(messages_of(prompt)).strip()), limit)[0] for prompt in prompts],
        "text": [text for text, _ in completions],
        "cut": [left for _, left in completions],
        "think": [_thought(text) for text, _ in completions],
    }


def _columns(stage: Examined, groups: Sequence[Group]) -> dict[str, Any]:
    run, facts = stage.panel.facts.run, stage.panel.facts
    ones = [one for group in groups for one in group]
    prompts = {prompt: place for place, prompt in enumerate(dict.fromkeys(one.prompt for one in ones))}
    names = list(dict.fromkeys(name for one in ones for name in one.rewards))
    return {
        "name": stage.name,
        "total": len(facts.rollouts),
        "whole": run.whole,
        "rewards": names,
        "prompt": [prompts[one.prompt] for one in ones],
        "group": [place for place, group in enumerate(groups) for _ in group],
        "step": [one.step for one in ones],
        "reward": [_short(one.reward) for one in ones],
        "parts": [[_short(one.rewards.get(name)) for one in ones] for name in names],
        "advantage": [_short(value) for group in groups for value in _advantages(group)],
        "worked": not any(one.advantage is not None for one in ones),
        "tokens": [_short(one.tokens) for one in ones],
        "unit": "tokens" if any(one.tokens is not None for one in ones) else "characters",
        "truncated": [None if one.truncated is None else int(one.truncated) for one in ones],
        "right": [_right(stage, one) for one in ones],
        "verifier": [None if one.right is None else int(one.right) for one in ones],
        "language": _languages(ones),
        "read": [cut_middle(visible(answer_of(one) or ""), 120)[0] for one in ones],
        "gold": [None if one.gold is None else cut_middle(visible(one.gold), 120)[0] for one in ones],
        "reason": [None if one.reason is None else cut_middle(visible(one.reason), 300)[0] for one in ones],
        "place": [one.place for one in ones],
    }


def _right(stage: Examined, one: Rollout) -> int | None:
    """What the run's own outcome rewards say, else r1hf's verifier."""
    facts = stage.panel.facts
    paid = facts.outcome_of(one) if facts.run.outcomes and one.rewards else None
    if paid is not None:
        return int(paid >= RIGHT)
    return None if one.right is None else int(one.right)


def _advantages(group: Group) -> Iterable[float | None]:
    """Those that were logged; else GRPO's, from the group's rewards."""
    paid = [one.reward for one in group if one.reward is not None]
    if any(one.advantage is not None for one in group) or len(paid) < 2:
        return [one.advantage for one in group]
    worked = iter(group_advantages(paid, eps=TRL_EPS))
    return [None if one.reward is None else next(worked) for one in group]


def _languages(ones: Sequence[Rollout]) -> list[str | None]:
    known: dict[str, str | None] = {}
    for one in ones:
        text = one.completion[:_TOLD]
        if text not in known:
            known[text] = detect(text)
    return [known[one.completion[:_TOLD]] for one in ones]


def _thought(text: str) -> list[int] | None:
    """Where the thought begins and ends in a completion, None without one."""
    reasoning = parse(text).reasoning
    start = text.find(reasoning.strip()) if reasoning and reasoning.strip() else -1
    if start < 0 or not reasoning:
        return None
    return [_units(text[:start]), _units(text[: start + len(reasoning.strip())])]


def _units(text: str) -> int:
    """The length of a text as a browser counts it."""
    return len(text) + sum(char > "\uffff" for char in text)


def cut_middle(text: str, limit: int) -> tuple[str, int]:
    """The beginning and the end of a long text, and how many characters are left out between them."""
    if len(text) <= limit * 1.1:
        return text, 0
    head, tail = limit * 2 // 3, limit // 3
    left = len(text) - head - tail
    return f"{text[:head]}\n[… {left:,} characters left out …]\n{text[-tail:]}", left


def _short(value: float | None) -> float | int | None:
    if value is None or not math.isfinite(value):
        return None
    short = round(value, 4)
    return int(short) if short == int(short) else short


def linked(one: Diagnosis, browser: Browser) -> list[tuple[str, str]]:
    """(where it is on the page, what it says) of the rollouts that show a diagnosis."""
    pairs = [(browser.link(rollout), rollout) for rollout in one.rollouts]
    return [
        (link, f"step {rollout.step}: {cut_middle(visible(rollout.completion.strip() or '(nothing)'), 90)[0]}")
        for link, rollout in pairs
        if link is not None
    ]
