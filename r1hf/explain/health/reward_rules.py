"""Faults of the reward: what it pays for is not what is wanted, or it tells nothing apart."""

from __future__ import annotations

import statistics

from r1hf.explain.health.diagnosis import Diagnosis, percent, some
from r1hf.explain.health.facts import Facts
from r1hf.explain.health.judged import answer_of, spread
from r1hf.explain.runs.table import Rollout

_HIGH = 0.95


def right_unpaid(facts: Facts) -> Diagnosis | None:
    """r1hf's verifier finds right answers that earned no more than wrong ones."""
    right = [one for one in facts.judged if one.right]
    wrong = [one for one in facts.judged if not one.right]
    paid_right, paid_wrong = _paid(facts, right), _paid(facts, wrong)
    values = [*paid_right, *paid_wrong]
    if not values or min(values) == max(values) > 0:
        return None  # constant, and more than nothing
    if len(right) < 3 or len(right) < 0.04 * len(facts.judged) or not paid_right or not (facts.run.outcomes):
        return None
    if paid_wrong and _earns_less(paid_right, paid_wrong):
        return _inverted(facts, right, paid_right, paid_wrong)
    top = max(facts.outcome_of(one) or 0.0 for one in facts.rollouts)
    bottom = statistics.fmean(paid_wrong) if paid_wrong else 0.0
    low = bottom + 0.1 * max(0.0, top - bottom) + 1e-9
    unpaid = [one for one in right if (value := facts.outcome_of(one)) is not None and value <= low]
    if len(unpaid) < 0.75 * len(paid_right):
        return None
    names = " and ".join(facts.run.outcomes)
    graded = max(_paid(facts, unpaid)) > min(values) + 1e-9  # a score, of which even the lowest is not nothing
    nothing = "no more than wrong ones" if graded else "nothing"
    answers = [f"{answer_of(one)!r} for {one.gold!r:.60}" for one in some(unpaid)]
    return Diagnosis(
        "wrong_extraction",
        f"right answers earn {nothing}: {names} does not find the answer in the completions",
        (
            f"{_found_right(facts, right)}, and {percent(len(unpaid) / len(paid_right))} of them earned {nothing} "
            f"from {names}",
            f"answers beside their gold answers: {'; '.join(answers)}",
        ),
        (
            "try the reward by hand on a completion below: it looks for another mark (\\boxed{}, ####, <answer>) than "
            "the model writes, or compares texts that differ in blanks, signs or decimals",
            "compare values, not texts: r1hf.rewards.accuracy_reward, or trl.rewards.reasoning_accuracy_reward",
            "ask in the prompt for the mark that the reward looks for",
        ),
        some(unpaid),
    )


def _earns_less(right: list[float], wrong: list[float]) -> bool:
    """Whether right answers earn less in the mean, by more than chance and a tenth of the reward's range."""
    error = sum(statistics.variance(own) / len(own) if len(own) > 1 else 0.0 for own in (right, wrong)) ** 0.5
    width = max(*right, *wrong) - min(*right, *wrong)
    return statistics.fmean(wrong) - statistics.fmean(right) > max(0.1 * width, 3 * error)


def _inverted(facts: Facts, right: list[Rollout], paid_right: list[float], paid_wrong: list[float]) -> Diagnosis:
    means = f"{statistics.fmean(paid_right):.3g} in the mean, wrong ones {statistics.fmean(paid_wrong):.3g}"
    return Diagnosis(
        "inverted",
        f"right answers earn less than wrong ones: {' and '.join(facts.run.outcomes)} is turned round",
        (_found_right(facts, right), f"right answers earn {means}"),
        ("look for a sign or a comparison the wrong way round in the reward",),
        some(right),
    )


def _found_right(facts: Facts, right: list[Rollout]) -> str:
    return f"{len(right)} of {len(facts.judged)} completions looked at are right by r1hf's verifier"


def wrong_paid(facts: Facts) -> Diagnosis | None:
    """Wrong answers that earned as much as right ones."""
    known = [(one, value) for one in facts.judged if (value := facts.outcome_of(one)) is not None]
    if not known or not facts.run.outcomes:
        return None
    top = max(value for _, value in known)
    paid = [one for one, value in known if value >= 0.9 * top and top > 0]
    share = facts.share(_answers_wrongly, paid)
    if len(paid) < 8 or share is None or share < 0.3:
        return None
    return Diagnosis(
        "wrong_paid",
        f"wrong answers are paid: {percent(share)} of the completions with the highest reward are wrong",
        (
            f"{len(paid)} completions earned {top:.2f} from {' and '.join(facts.run.outcomes)}; by r1hf's verifier "
            f"{percent(share)} of them do not answer the gold answer",
        ),
        (
            'a gold answer that is looked for anywhere in the text is found in "140" and in the thought: read the '
            "final answer alone, and compare its value",
            "look at the gold answers: are they those of these questions?",
        ),
        some(paid, _answers_wrongly),
    )


def constant(facts: Facts) -> Diagnosis | None:
    """Every completion is paid alike, and it is more than nothing."""
    values = _all_paid(facts)
    if not values or max(values) - min(values) > 1e-6 or max(values) <= 0 or facts.count < 2:
        return None
    if facts.paid and max(facts.paid.values) - min(facts.paid.values) > 1e-6:
        return None  # the log knows of completions that are not here
    wrong = facts.share(lambda one: not one.right, facts.judged)
    if (wrong is not None and wrong < 0.05) or (wrong is None and facts.mixed_answers == 0.0 and max(values) >= _HIGH):
        return None  # all are right
    head = f"the reward is {max(values):g} for every completion: it tells nothing apart"
    seen = [f"{len(values)} values, all {max(values):g}"]
    if wrong is not None:
        seen.append(f"{percent(wrong)} of the answers looked at are wrong by r1hf's verifier, and paid alike")
    elif facts.mixed_answers:
        seen.append(f"in {percent(facts.mixed_answers)} of the groups different answers are paid alike")
    return Diagnosis(
        "constant_reward",
        head,
        tuple(seen),
        (
            "call the reward by hand with a right, a wrong and an empty completion",
            "look for a value that is given back on errors, for keyword arguments with other names than the data's "
            "columns, and for a reward model whose input is cut before the completion",
        ),
        some(facts.rollouts, lambda one: one.right is False) or some(facts.rollouts),
    )


def all_right(facts: Facts) -> Diagnosis | None:
    """Too easy from the start: no group has anything to compare."""
    paid = facts.outcome or facts.paid
    top = _top(facts)
    if not paid or not facts.quiet or (paid.first or 0) < _HIGH * top or (paid.last or 0) < 0.85 * top:
        return None
    if (facts.quiet.first or 0) < 0.8 or (facts.quiet.mean or 0) < 0.7:
        return None
    return Diagnosis(
        "all_right",
        "the prompts are too easy: nearly every completion is right from the first step, and nothing is left to learn",
        (f"reward {paid.words()}", f"{percent(facts.quiet.mean or 0)} of the groups were paid alike throughout"),
        (
            "take harder prompts: keep those that the model answers rightly between 10% and 80% of the time",
            "a sampling temperature of 1 keeps the completions apart",
        ),
        some(facts.rollouts),
    )


def all_wrong(facts: Facts) -> Diagnosis | None:
    paid = facts.outcome or facts.paid
    if not paid or facts.count < 2:
        return None
    lowest = min([0.0, *(value for one in facts.rollouts if (value := facts.outcome_of(one)) is not None)])
    if max(paid.values) > lowest + 0.05 or (paid.mean or 0.0) > lowest + 0.02:
        return None
    names = " and ".join(facts.run.outcomes) or "the reward"
    best = "by r1hf's verifier none is right either" if facts.judged else "no gold answer is logged to judge them by"
    answers = facts.share(lambda one: answer_of(one) is not None, spread(facts.rollouts, 200))
    doubt = (
        ": it does not find the answers, or all are wrong" if answers and answers >= 0.3 and not facts.judged else ""
    )
    length = facts.prompt_tokens
    return Diagnosis(
        "all_wrong",
        f"no completion is paid: {names} stayed at {paid.mean:.2f} in all {facts.count} steps{doubt}",
        (
            *([f"{percent(answers)} of the completions give an answer that can be read"] if answers else []),
            f"{len(facts.judged)} completions looked at: {best}",
            *([f"form {facts.form.words()}"] if facts.form else []),
            *([f"a prompt has {length:,.0f} tokens in the mean"] if length else []),
        ),
        (
            "read the completions below. Are right answers among them? Then the reward does not find them: give the "
            "gold answers with --data FILE to have them judged",
            "if they are wrong, the prompts are too hard: take easier ones, a larger model, a start after SFT, or "
            "more completions a prompt",
            "if they make no sense, look at the prompt: its chat template, its length against the model's context",
        ),
        some(facts.rollouts),
    )


def no_signal(facts: Facts) -> Diagnosis | None:
    """Prompts are paid differently, and the completions of one prompt never are."""
    quiet = facts.quiet
    if not quiet or min(quiet.values) < 0.9 or facts.count < 2 or not facts.mixed_answers:
        return None
    if facts.mixed_answers < 0.3 or len(facts.rollouts) < 8:
        return None
    return Diagnosis(
        "no_signal",
        "the completions of a prompt are all paid alike: the reward does not look at them",
        (
            f"{percent(quiet.mean or 0)} of the groups are paid alike, though in {percent(facts.mixed_answers)} of "
            "them the answers differ",
            f"reward {facts.paid.words()}",
        ),
        (
            "does the reward read the completion, or the prompt and the gold answer alone?",
            "call it by hand with a right and a wrong completion of one prompt",
        ),
        some(facts.rollouts),
    )


def form_alone(facts: Facts) -> Diagnosis | None:
    """Nothing judges the answer."""
    if not facts.run.forms or len(facts.run.forms) < len(facts.run.rewards) or not facts.form.moves(1, 0.05):
        return None
    return Diagnosis(
        "format_hacking",
        f"only the form is paid: {' and '.join(facts.run.forms)} rises, and no reward judges the answer",
        (
            f"{' and '.join(facts.run.forms)} {facts.form.words()}",
            *([f"right answers {facts.right.words()} (by r1hf's verifier)"] if facts.right else []),
        ),
        ("add a reward for the answer, and give the form a tenth of its weight",),
        some(reversed(facts.rollouts), lambda one: one.right is False) or some(reversed(facts.rollouts)),
    )


def abstaining(facts: Facts) -> Diagnosis | None:
    """A reward that judges some completions of a group and not others: left out of a sum, it weighs as a zero."""
    for name in facts.run.rewards:
        told = [[one.rewards.get(name) for one in group] for group in facts.groups]
        judged = [group for group in told if any(value is not None for value in group)]
        mixed = sum(None in group for group in judged)
        sign = -1 if sum(value or 0.0 for group in judged for value in group) > 0 else 1
        left_out = facts.of_rollouts(lambda one, name=name: float(one.rewards.get(name) is None))  # type: ignore[misc]
        if mixed < 0.1 * len(judged) or not left_out.moves(sign, 0.1) or not facts.paid.moves(1, 0.03 * facts.scale):
            continue
        first, last = percent(left_out.first or 0.0), percent(left_out.last or 0.0)
        return Diagnosis(
            "abstaining_reward",
            f"the policy is paid for {'' if sign < 0 else 'not '}being judged: {name} leaves out {first} of the "
            f"completions at first and {last} at the end",
            (
                f"reward {facts.paid.words()}",
                *([f"{' and '.join(facts.run.outcomes)} {facts.outcome.words()}"] if facts.outcome else []),
                f"{percent(mixed / len(judged))} of the groups that it judges have completions without it",
            ),
            (
                "a reward that is None is left out of that completion's sum, which within its group is a zero: let it "
                "return its usual value there, and None only where no completion of the row can be judged",
                f"or leave {name} out",
            ),
            some(reversed(facts.rollouts), lambda one, name=name: one.rewards.get(name) is not None),  # type: ignore[misc]
        )
    return None


def one_answer(facts: Facts) -> Diagnosis | None:
    """The completions of a group are copies of one another from the start."""
    same, quiet, paid = facts.same_in_groups, facts.quiet.first, facts.outcome or facts.paid
    if same is None or same < 0.75 or quiet is None or quiet < 0.6 or not paid:
        return None
    if (paid.first or 0.0) >= _HIGH * _top(facts) or max(paid.values) <= 0.05:
        return None  # all right, or all wrong: that is what keeps it from learning
    return Diagnosis(
        "no_variety",
        "the completions of a group are all the same: sampling gives nothing to compare",
        (
            f"{percent(same)} of what is written in a group is a copy of another completion of it",
            f"{percent(quiet)} of the groups were paid alike in the first steps",
            *([f"entropy {facts.entropy.words(3)}"] if facts.entropy else []),
        ),
        (
            "sample with temperature 1, top_p 1 and top_k 0; look at generation_config.json, whose values count where "
            "none are given",
            "a model after long SFT repeats one answer: begin from an earlier checkpoint",
        ),
        some(facts.rollouts),
    )


def _answers_wrongly(one: Rollout) -> bool:
    """It gives an answer, and that is wrong: where the verifier finds none, the reward may know better."""
    return one.right is False and answer_of(one) is not None


def _paid(facts: Facts, rollouts: list[Rollout]) -> list[float]:
    return [value for one in rollouts if (value := facts.outcome_of(one)) is not None]


def _all_paid(facts: Facts) -> list[float]:
    return [one.reward for one in facts.rollouts if one.reward is not None] or list(facts.paid.values)


def _top(facts: Facts) -> float:
    """The most that the outcome pays, 1 where nothing tells more."""
    values = [value for one in facts.rollouts if (value := facts.outcome_of(one)) is not None]
    return max(values) if values and max(values) > 1 else 1.0
