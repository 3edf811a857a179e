"""GRPO's arithmetic for one question, step by step: rewards, advantages, clipped objective, KL term, loss.

Every number that training uses comes from the code that trains (`r1hf.rewards`, and TRL through
`r1hf.trainers.replay`); only the comparisons beside them are worked out here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.yamlfile import nearest
from r1hf.text import prompt_templates as templates
from r1hf.text.forms import is_well_formed
from r1hf.trainers.advantage import group_advantages

LOSS_TYPES = ("grpo", "dr_grpo", "dapo", "bnpo")
SCALINGS = ("group", "batch", "none")
REWARDS = ("accuracy", "format", "language")
POLICIES = ("logprobs", "old_logprobs", "ref_logprobs")
Logps = list[list[float]]
_SIZES = ("ratio", "objective", "kl")


@dataclass(frozen=True)
class Group:
    """One question, its gold answer, and the completions that are compared with one another.

    logps: for each of POLICIES the log-probabilities of each completion's tokens (one number stands for the whole
    completion, as in the paper's formula); a policy that is missing is equal to the one before it.
    language: the target of the language reward (ISO 639-1); None: that of the question.
    """

    question: str
    answer: str | None
    completions: tuple[str, ...]
    language: str | None = None
    logps: Mapping[str, Logps] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    """A worked example of the seed articles, with the options that it takes."""

    group: Group
    weights: dict[str, float]
    empty_language: float | None
    std: float | None  # the article's own, rounded


EXAMPLES = {
    "rewards": Example(
        Group(
            "What is 2 + 3 * 4?",
            "14",
            (
                "<think>2 + 3 = 5, 5 * 4 = 20</think>  <answer> 20</answer>",
                "<think>3 * 4 = 12, 2 + 12 = 14</think> <answer>14</answer>",
                "<answer>14</answer>",
                "<think>...一些胡言乱语的推理...</think>  <answer> 7<answer>",
            ),
            "en",
            # The article gives none: chosen so that one ratio passes 11 and one falls below 0.8.
            {
                "logprobs": [[-14.0], [-9.5], [-3.9], [-23.5]],
                "old_logprobs": [[-13.9], [-12.0], [-4.0], [-22.0]],
                "ref_logprobs": [[-13.8], [-12.4], [-4.1], [-21.9]],
            },
        ),
        {"accuracy": 1.0, "format": 0.1},
        None,
        0.5,
    ),
    "language": Example(
        Group(
            "What is 2 + 3 * 4?",
            "14",
            (
                "<think> 2 + 3 = 5, 5 * 4 = 20 </think> <answer> 20 </answer>",
                "<think> 3 * 4 = 12, 2 + 12 = 14 </think> <answer> 14 </answer>",
            ),
            "en",
        ),
        {"accuracy": 1.0, "language": 0.2},
        1.0,
        None,
    ),
}


@dataclass(frozen=True)
class Options:
    """What is varied. `grpo` holds keys of `R1GRPOConfig`; what it lacks has the default of training."""

    weights: Mapping[str, float]
    format_mode: str = "think_only"
    prefilled: bool = False
    empty_language: float | None = 1.0
    std: float | None = None
    grpo: Mapping[str, Any] = field(default_factory=dict)


def explain(groups: Sequence[Group], options: Options) -> dict[str, Any]:
    """All figures, ready for JSON, rounded to six places (training is in float32); None for what overflows.

    Raises ConfigError with everything that is wrong with the groups and the options.
    """
    _check(groups, options)
    from r1hf.trainers.replay import replay

    rows = [
        {"prompt": templates.render("r1_zero_en", group.question), "answer": group.answer, "language": group.language}
        for group in groups
        for _ in group.completions
    ]
    texts = [text for group in groups for text in group.completions]
    settings = {
        **options.grpo,
        "num_generations": len(groups[0].completions),
        "reward_weights": list(options.weights.values()),
    }
    trainer = replay(rows, texts, _logps(groups), _rewards(options), settings)
    batches = {scaling: trainer.score(scaling) for scaling in SCALINGS}
    args = trainer.args
    scale = options.grpo.get("scale_rewards", "group")
    terms = trainer.terms(batches[scale], args.loss_type)
    losses = {
        loss_type: {scaling: trainer.loss(batches[scaling], loss_type) for scaling in SCALINGS}
        for loss_type in LOSS_TYPES
    }
    advantages = {scaling: batch["advantages"].tolist() for scaling, batch in batches.items()}
    result: dict[str, Any] = {
        "settings": {
            **{"weights": dict(options.weights), "format_mode": options.format_mode, "prefilled": options.prefilled},
            **{"empty_language": options.empty_language, "scale_rewards": scale, "loss_type": args.loss_type},
            **{"epsilon": trainer.epsilon_low, "epsilon_high": trainer.epsilon_high, "beta": trainer.kl_weight},
            "importance_sampling_level": args.importance_sampling_level,
            "max_completion_length": args.max_completion_length,
        },
        "groups": _groups(groups, options, trainer.scores, advantages, terms, trainer.kl_weight),
        "losses": losses,
        "loss": losses[args.loss_type][scale],
    }
    result["notes"] = notes(groups, options, result)
    return _rounded(result)


def _groups(
    groups: Sequence[Group],
    options: Options,
    scores: Sequence[Sequence[float | None]],
    advantages: Mapping[str, Sequence[float]],
    terms: Sequence[Any],
    beta: float,
) -> list[dict[str, Any]]:
    made = []
    start = 0
    parts = _logps(groups)
    for group in groups:
        rows = range(start, start + len(group.completions))
        start = rows.stop
        named = [dict(zip(options.weights, scores[row], strict=True)) for row in rows]
        totals = [_total(one, options.weights) for one in named]
        compared = _compared(totals, options.std)
        completions = [
            {
                "name": f"o{place + 1}",
                "text": group.completions[place],
                "rewards": named[place],
                "weighted": {name: _times(value, options.weights[name]) for name, value in named[place].items()},
                "total": totals[place],
                "advantages": {scaling: values[row] for scaling, values in advantages.items()},
                "by_hand": {kind: values[place] for kind, values in compared.items()},
                **{policy: part[row] if group.logps else None for policy, part in zip(POLICIES, parts, strict=True)},
                "ratio": _ratio(parts[0][row], parts[1][row]),
                **vars(terms[row]),
                "term": terms[row].objective - beta * terms[row].kl,
            }
            for place, row in enumerate(rows)
        ]
        judged = [total for total in totals if total is not None]
        made.append(
            {
                **{"question": group.question, "answer": group.answer, "language": group.language},
                "mean": statistics.fmean(judged) if judged else None,
                "std": {
                    "sample": statistics.stdev(judged) if len(judged) > 1 else None,
                    "population": statistics.pstdev(judged) if judged else None,
                },
                "completions": completions,
            }
        )
    return made


def _compared(totals: Sequence[float | None], std: float | None) -> dict[str, list[float | None]]:
    """The advantages under other standard deviations than TRL's, for comparison."""
    judged = [total for total in totals if total is not None]
    kinds: dict[str, str | float] = {"sample": "sample", "population": "population"}
    if std is not None:
        kinds[f"std_{std:g}"] = std
    compared: dict[str, list[float | None]] = {}
    for name, kind in kinds.items():
        values = iter(group_advantages(judged, std=kind))
        compared[name] = [None if total is None else next(values) for total in totals]
    return compared


def notes(groups: Sequence[Group], options: Options, result: Mapping[str, Any]) -> list[str]:
    """What a reader of the figures should know."""
    lines = []
    if len(groups) == 1:
        lines.append("batch equals group here: there is one group, so the batch has the group's spread")
    for place, group in enumerate(result["groups"], 1):
        where = f"group {place}: " if len(groups) > 1 else ""
        totals = [one["total"] for one in group["completions"] if one["total"] is not None]
        if totals and max(totals) == min(totals):
            lines.append(f"{where}all totals are equal, so every advantage is 0: this group teaches nothing")
        unjudged = [one["name"] for one in group["completions"] if one["total"] is None]
        if unjudged:
            lines.append(
                f"{where}no reward could judge {', '.join(unjudged)}: left out of mean and spread, advantage 0"
            )
    if result["settings"]["epsilon"] >= 1:
        lines.append(
            f"epsilon {result['settings']['epsilon']:g}: no ratio is below 1 - epsilon, so only a completion with "
            f"A > 0 and a ratio above {1 + result['settings']['epsilon_high']:g} is clipped"
        )
    if not any(group.logps for group in groups):
        lines.append("no log-probabilities given: the first update after sampling, where each ratio is 1 and KL is 0")
    if any(math.isinf(one[key]) for group in result["groups"] for one in group["completions"] for key in _SIZES):
        lines.append("a dash stands for a number that is too large for training's float32")
    if groups[0].completions == EXAMPLES["rewards"].group.completions:
        lines += _article_notes(options, groups[0].logps == EXAMPLES["rewards"].group.logps)
    if groups[0].completions == EXAMPLES["language"].group.completions and options.empty_language is not None:
        lines.append(
            f"the thoughts hold numbers and no words; 0/0 counts {options.empty_language:g}, as in the article's "
            "example and in training. The paper adds language with weight 1"
        )
    return lines


def _article_notes(options: Options, made_up: bool) -> list[str]:
    lines = [
        "the article's standard deviation of 0.5 is rounded: its totals have 0.55 (sample) and 0.4763 (population); "
        "TRL divides by the sample's plus 0.0001. Its signs hold under all of them"
    ]
    if made_up:
        lines.append(
            "the article gives no log-probabilities; those above are made up (--logprobs, --old-logprobs, "
            "--ref-logprobs)"
        )
    if "format" in options.weights and not is_well_formed(EXAMPLES["rewards"].group.completions[3]):
        paid = options.format_mode == "think_only"
        lines.append(
            "o4 never closes its answer (<answer> 7<answer>): "
            + (
                "think_only pays its format, as the article's table does; the article's own rule (section 6.2, "
                "--format-mode think_answer) would not"
                if paid
                else "think_answer, the article's own rule (section 6.2), does not pay its format; its table does "
                "(--format-mode think_only)"
            )
        )
        lines.append("the paper pays accuracy and format equally: --weights accuracy=1,format=1")
    return lines


def _rewards(options: Options) -> dict[str, Callable[..., list[float | None]]]:
    from r1hf.rewards import get_accuracy_reward, get_format_reward, get_language_consistency_reward

    known: dict[str, Callable[..., list[float | None]]] = {
        "accuracy": get_accuracy_reward(prefilled=options.prefilled),
        "format": get_format_reward(mode=options.format_mode, prefilled=options.prefilled),
        "language": get_language_consistency_reward(empty=options.empty_language, prefilled=options.prefilled),
    }
    return {name: known[name] for name in options.weights}


def _logps(groups: Sequence[Group]) -> tuple[Logps, Logps, Logps]:
    """Log-probabilities of all completions under the policy, the sampling policy and the reference."""
    parts: tuple[Logps, Logps, Logps] = ([], [], [])
    for group in groups:
        current = group.logps.get(POLICIES[0]) or [[-1.0]] * len(group.completions)
        for part, policy in zip(parts, POLICIES, strict=True):
            current = group.logps.get(policy) or current
            part.extend(current)
    return parts


def _total(scores: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    paid = [value * weights[name] for name, value in scores.items() if value is not None]
    return sum(paid) if paid else None


def _ratio(new: Sequence[float], old: Sequence[float]) -> float:
    """Of the whole completion; infinite where a float cannot hold it."""
    change = sum(new) - sum(old)
    return math.exp(change) if change < 700 else math.inf


def _times(value: float | None, weight: float) -> float | None:
    return None if value is None else value * weight


def _check(groups: Sequence[Group], options: Options) -> None:
    problems = [
        f"weights: no reward '{name}'; {nearest(name, REWARDS)}" for name in options.weights if name not in REWARDS
    ]
    if not options.weights:
        problems.append(f"weights: name at least one of {', '.join(REWARDS)}")
    sizes = {len(group.completions) for group in groups}
    if not groups or min(sizes) < 2:
        problems.append("completions: an advantage compares the completions of a group; give at least 2")
    elif len(sizes) > 1:
        problems.append(f"completions: groups must be of one size, found {', '.join(map(str, sorted(sizes)))}")
    for place, group in enumerate(groups, 1):
        if group.answer is None and "accuracy" in options.weights:
            problems.append(f"group {place}: no answer, which the accuracy reward needs")
        for number, text in enumerate(group.completions, 1):
            if any("\ud800" <= char <= "\udfff" for char in text):
                problems.append(f"group {place}: completion {number} is not valid Unicode text")
    if problems:
        raise ConfigError(problems)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if not isinstance(value, float):
        return value
    return round(value, 6) + 0.0 if math.isfinite(value) else None
