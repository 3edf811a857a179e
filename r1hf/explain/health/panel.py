"""The health panel: every rule in the order in which causes hide effects, and the figures beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from r1hf.explain.health import data_rules as data
from r1hf.explain.health import reward_rules as reward
from r1hf.explain.health import training_rules as training
from r1hf.explain.health.diagnosis import Diagnosis
from r1hf.explain.health.facts import Facts
from r1hf.explain.health.series import Series
from r1hf.explain.runs.table import RunTable

# What makes everything after it meaningless comes first.
RULES: tuple[Callable[[Facts], Diagnosis | None], ...] = (
    training.not_finite,
    data.unjudged,
    data.prompt_cut,
    data.prompt_too_long,
    data.cut_off,
    reward.one_answer,
    training.diverged,
    data.few_prompts,
    data.tags_eaten,
    data.malformed,
    reward.constant,
    reward.right_unpaid,
    reward.abstaining,
    reward.all_right,
    data.empty,
    data.prompt_seems_long,
    training.form_learnt,
    reward.all_wrong,
    reward.no_signal,
    reward.form_alone,
    training.length_runaway,
    training.hacked,
    training.held_out_falls,
    reward.wrong_paid,
    training.frozen,
    training.rate_too_low,
    training.too_much_kl,
)

# What follows from nearly every other fault: said only where nothing came before.
_CONSEQUENCES = {
    *("all_right", "all_wrong", "no_variety", "no_signal", "empty", "wrong_paid", "collapse", "learning_rate_high"),
    "no_gradient",
}


@dataclass(frozen=True)
class Panel:
    """headline: the first line of the answer. found: what is wrong, the likeliest cause first."""

    headline: str
    found: tuple[Diagnosis, ...]
    facts: Facts


def examine(run: RunTable) -> Panel:
    facts = Facts(run)
    found: list[Diagnosis] = []
    for rule in RULES:
        one = rule(facts)
        known = {other.code for other in found}
        if one is not None and one.code not in known and not (known and one.code in _CONSEQUENCES):
            found.append(one)
    return Panel(_headline(facts, found), tuple(found), facts)


def _headline(facts: Facts, found: list[Diagnosis]) -> str:
    if found:
        return found[0].said[0].upper() + found[0].said[1:] + "."
    return f"No fault found: {_course(facts)}."


def _course(facts: Facts) -> str:
    paid = facts.outcome or facts.paid
    steps = f"{facts.count} step{'s' if facts.count != 1 else ''}"
    if not paid:
        return f"there are no rewards to judge by in {steps}"
    name = " and ".join(facts.run.outcomes) if facts.outcome else "reward"
    if facts.learns:
        return f"{name} rose from {paid.first:.2f} to {paid.last:.2f} in {steps}"
    if facts.count < 10:
        return f"{name} {paid.words()} in {steps}, which is too few to say more"
    if paid.moves(-1, 0.03 * facts.scale):
        return f"{name} fell from {paid.first:.2f} to {paid.last:.2f} in {steps}, and nothing shows why"
    return f"{name} {paid.words()} in {steps}, which is within its noise: train for longer before you judge"


def figures(facts: Facts) -> dict[str, Series]:
    """The figures that are known, by the name under which they are shown."""
    named = {
        "reward": facts.paid,
        "outcome": facts.outcome,
        "form": facts.form,
        "right by r1hf's verifier": facts.right,
        "held out": facts.held_out,
        "groups paid alike": facts.quiet,
        f"length in {facts.unit}": facts.length,
        "cut off": facts.clipped,
        "KL": facts.kl,
        "entropy": facts.entropy,
        "gradient norm": facts.grad,
        "learning rate": facts.rate,
    }
    return {name: series for name, series in named.items() if series}
