"""A run that ended well and learnt nothing: what its log shows of it, and the likeliest reasons with what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from r1hf.rewards.declared import Declared

Row = Mapping[str, Any]
_MOST = 0.9  # of completions cut or unjudged: a warning, whatever was learnt from the rest
_MANY = 0.5  # a likely reason of a reward that stayed where it was
_FEW = 0.05
_SHORT = 3.0  # tokens in which nothing can be answered


def warnings_of(
    rows: Sequence[Row], limit: int | None, rewards: Mapping[str, Declared] | None = None
) -> dict[str, str]:
    """Name -> sentence for what went wrong in a finished RL run, from the rows of its log; empty where all is well.

    limit: `max_completion_length`. rewards: what each declares, by its name in the log. Names: reward (it never left
    0), signal (no group's completions differed in reward), cut and unjudged (of nearly all completions).
    """
    rewards = rewards or {}
    outcomes = [f"rewards/{name}/mean" for name, one in rewards.items() if one.outcome]
    forms = [f"rewards/{name}/mean" for name, one in rewards.items() if one.aspect == "format"]
    paid = [max(known) for row in rows if (known := _known(row.get(name) for name in outcomes or ["reward"]))]
    quiet = _series(rows, "groups/no_signal") or _series(rows, "frac_reward_zero_std")
    steps = f"{len(paid)} logged step{'s' if len(paid) != 1 else ''}"
    reasons = list(_reasons(rows, outcomes, forms, limit))
    if paid and not any(paid):
        what = ", ".join(name.split("/")[1] for name in outcomes) or "the reward"
        return {"reward": _sentence(f"{what} stayed at 0 in all {steps}: nothing right was rewarded", reasons)}
    if quiet and min(quiet) >= 1.0:
        head = f"in all {steps} the completions of each prompt were rewarded alike: there was no signal to learn from"
        return {"signal": _sentence(head, reasons)}
    cut, unjudged = _mean(rows, "completions/clipped_ratio"), _mean(rows, "completions/unjudged")
    found = {}
    if cut is not None and cut >= _MOST:
        found["cut"] = _cut(cut, limit)
    if unjudged is not None and unjudged >= _MOST:
        found["unjudged"] = _unjudged(unjudged, "any reward")
    return found


def _known(values: Iterable[Any]) -> list[float]:
    return [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]


def _series(rows: Sequence[Row], name: str) -> list[float]:
    return _known(row.get(name) for row in rows)


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values = _series(rows, name)
    return sum(values) / len(values) if values else None


def _sentence(head: str, reasons: Sequence[str]) -> str:
    return "; ".join([f"{head}. Likeliest reasons", *reasons]).replace("reasons; ", "reasons: ", 1)


def _reasons(rows: Sequence[Row], outcomes: Sequence[str], formats: Sequence[str], limit: int | None) -> Iterator[str]:
    """What the log points to, what would explain all the rest first."""
    shares = [(_mean(rows, name.replace("/mean", "/unjudged")) or 0.0, name.split("/")[1]) for name in outcomes]
    if shares and min(shares)[0] >= _MANY:
        yield _unjudged(*min(shares))
    length, cut = _mean(rows, "completions/mean_length"), _mean(rows, "completions/clipped_ratio")
    if cut is not None and cut >= _MANY:
        yield _cut(cut, limit)
    elif length is not None and length < _SHORT:
        yield (
            f"completions have {length:.1f} tokens in the mean: the model ends at once; is the prompt of its own "
            "chat template (prompt_template, chat_template), and does it end where an answer begins?"
        )
    forms = [value for name in formats if (value := _mean(rows, name)) is not None]
    if forms and max(forms) <= _FEW:
        yield (
            f"the format reward is {max(forms):.2f} in the mean: the model does not write <think> and <answer>, from "
            "which answers are read; ask for them (prompt_template: r1_zero_en), or start from a model after sft.py"
        )
    wrong, right = _mean(rows, "groups/all_wrong"), _mean(rows, "groups/all_right")
    if wrong is not None and wrong >= _MOST and not (forms and max(forms) <= _FEW):
        yield (
            f"{wrong:.0%} of groups are all wrong: the prompts are too hard for this model; take easier ones, a "
            "larger model, or more completions a prompt (num_generations)"
        )
    if right is not None and right >= _MOST:
        yield f"{right:.0%} of groups are all right: the prompts are too easy; take harder ones"
    yield "for the rest, read what the policy wrote with its rewards: r1hf rollouts"


def _cut(share: float, limit: int | None) -> str:
    text = f"{share:.0%} of completions were cut at max_completion_length {limit}"
    if share >= 1.0:
        return (
            f"{text}, and none ended by itself: raise it, or see with r1hf check whether the model's end token is "
            "that of its chat template; a base needs one that it knows (chat_template: auto), or a prompt_template"
        )
    return f"{text}: raise it, or ask for shorter thoughts"


def _unjudged(share: float, reward: str) -> str:
    return (
        f"{share:.0%} of completions were not judged by {reward}: the rows' answers cannot be read, or their task is "
        "another reward's; r1hf check --only rewards shows which"
    )
