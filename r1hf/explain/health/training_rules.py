"""Faults of training: it breaks, it is bent by the reward, or it stands still."""

from __future__ import annotations

import statistics

from r1hf.explain.health.diagnosis import Diagnosis, percent, some
from r1hf.explain.health.facts import Facts
from r1hf.explain.health.series import Series

_BROKEN = ("loss", "grad_norm", "kl", "entropy")


def not_finite(facts: Facts) -> Diagnosis | None:
    """To the end: a single infinite gradient is what scaling in fp16 skips."""
    fine = {name: int(row["step"] or 0) for row in facts.run.steps for name in row}  # the last step of each
    found = [(step, name) for step, name in facts.run.non_finite if name in _BROKEN and step > fine.get(name, -1)]
    if not found:
        return None
    step, name = min(found)
    later = facts.paid.last
    return Diagnosis(
        "not_finite",
        f"training broke at step {step}: {name} is not a finite number",
        (
            f"{len(found)} values that are NaN or infinite: {', '.join(sorted({name for _, name in found}))}",
            *([f"reward at the end {later:.2f}"] if later is not None else []),
            *_rate(facts),
        ),
        (
            "lower the learning rate by ten, and clip the gradient (max_grad_norm 1.0 or less)",
            "train in bf16 and not in fp16; look for rewards that are infinite",
            "begin again from a checkpoint before that step: later ones hold NaN",
        ),
    )


def diverged(facts: Facts) -> Diagnosis | None:
    """The reward fell to the ground, and the policy went far away."""
    paid = facts.paid
    if len(paid.values) < 4:
        return None
    lowest = min([0.0, *paid.values])
    end = (paid.last or 0.0) - lowest
    third = max(1, len(paid.values) // 3)
    pair = 3 * paid.noise * (third / 2 * (1 / 2 + 1 / third)) ** 0.5  # a mean of two steps is less sure
    heads = [((paid.first or 0.0) - lowest, 2 * paid.noise), (statistics.fmean(paid.values[:2]) - lowest, pair)]
    fits = [top for top, error in heads if top > 0.02 and end <= 0.4 * top and top - end >= error]
    begin, fell = max(fits, default=heads[0][0]), bool(fits)
    signs = list(_signs_of_distance(facts))
    if not (fell and (signs or end <= 0.1 * begin)) and not (_is_far_away(facts) and not facts.learns):
        return None
    return Diagnosis(
        "learning_rate_high" if signs else "collapse",
        "the policy fell apart: the learning rate is far too high"
        if signs
        else "the reward collapsed: the policy lost what it could do at the start",
        (f"reward {begin + lowest:.2f} at the start, {paid.last:.2f} at the end", *signs, *_rate(facts)),
        (
            "lower the learning rate by ten to a hundred (1e-6 is usual for full weights of a billion and more, 1e-5 "
            "for LoRA), with some warm-up steps",
            "hold the policy near its start with a little KL (beta 0.001 to 0.04), clip the gradient (max_grad_norm)",
        ),
        some(reversed(facts.rollouts)),
    )


def _is_far_away(facts: Facts) -> bool:
    """Whether the policy left its start for good at once, whatever the reward says of it."""
    if facts.kl and (facts.kl.last or 0.0) > 5:
        return True
    entropy = facts.entropy
    quiet = facts.quiet.last is not None and facts.quiet.last > 0.9 and (facts.quiet.start or 0.0) < 0.8
    return bool(
        entropy and entropy.start and entropy.start > 0.05 and (entropy.last or 0.0) < 0.02 * entropy.start and quiet
    )


def _signs_of_distance(facts: Facts) -> list[str]:
    signs = []
    if facts.kl and facts.kl.most is not None and facts.kl.most > max(1.0, 20 * abs(facts.kl.values[0])):
        signs.append(f"KL from the reference rose to {facts.kl.most:.3g}")
    if facts.grad and len(facts.grad.values) > 3:
        usual = statistics.median(facts.grad.values[:3])
        if (facts.grad.most or 0.0) > 20 * max(usual, 1e-3):
            signs.append(f"the gradient's norm rose from {usual:.3g} to {facts.grad.most:.3g}")
    if facts.entropy and facts.entropy.start:
        ratio = (facts.entropy.last or 0.0) / facts.entropy.start
        if ratio > 3 or ratio < 0.1:
            signs.append(f"entropy {facts.entropy.start:.3g} → {facts.entropy.last:.3g}")
    if facts.length.start and not 1 / 3 < (facts.length.last or 0.0) / facts.length.start < 2:
        signs.append(f"length {facts.length.start:.0f} → {facts.length.last:.0f} {facts.unit}")
    if facts.clipped and facts.clipped.values[0] < 0.5 and (facts.clipped.last or 0.0) > 0.9:
        signs.append(f"{percent(facts.clipped.last or 0.0)} of the completions run to the longest length")
    return signs


def hacked(facts: Facts) -> Diagnosis | None:
    """The reward rises and what it should stand for falls."""
    truth = facts.outcome if facts.outcome and _others(facts) else facts.right
    if not truth or len(truth.values) < 2 or not truth.moves(-1, 0.1, 1.5) or truth.gain > -0.25 * (truth.first or 0):
        return None
    form = facts.form.moves(1, 0.05) or (facts.form.first or 0) >= 0.9
    if not (facts.paid.moves(1, 0.03 * facts.scale) or facts.form.moves(1, 0.05)):
        return None
    if _runs_away(facts):
        return None  # said with more words by length_runaway
    what = " and ".join(facts.run.forms) if form else "the reward"
    return Diagnosis(
        "format_hacking" if form else "reward_hacking",
        f"the reward is hacked: {what} rises while fewer answers are right",
        (
            f"reward {facts.paid.words()}",
            *([f"{' and '.join(facts.run.forms)} {facts.form.words()}"] if facts.form else []),
            f"right answers {truth.words()}" + ("" if truth is facts.outcome else " (by r1hf's verifier)"),
            f"length {facts.length.words(0)} {facts.unit}",
        ),
        (
            "let the form pay only with a right answer, or give it a tenth of the answer's weight (reward_weights)",
            "close the shortcut: an empty thought or answer, a tag twice and a missing answer must earn nothing",
            "take the checkpoint with the most right answers, not the last one",
        ),
        some(reversed(facts.rollouts), lambda one: one.right is False) or some(reversed(facts.rollouts)),
    )


def form_learnt(facts: Facts) -> Diagnosis | None:
    """The form rises and no answer is ever right."""
    if not facts.outcome or max(facts.outcome.values) > 0.05 or not facts.form.moves(1, 0.1):
        return None
    names = " and ".join(facts.run.outcomes)
    return Diagnosis(
        "format_hacking",
        f"only the form is learnt: {' and '.join(facts.run.forms)} rises, {names} stays at {facts.outcome.last:.2f}",
        (f"{' and '.join(facts.run.forms)} {facts.form.words()}", f"{names} {facts.outcome.words()}"),
        (
            "are right answers among the completions? Then their reward does not find them (--data FILE)",
            "else the prompts are too hard: take easier ones, or begin after SFT",
            "let the form pay only with a right answer, or give it a tenth of the answer's weight",
        ),
        some(reversed(facts.rollouts)),
    )


def length_runaway(facts: Facts) -> Diagnosis | None:
    if not _runs_away(facts):
        return None
    follows = facts.reward_follows_length
    return Diagnosis(
        "length_runaway",
        "length runs away: completions grow and grow, and no more answers are right",
        (
            f"length {facts.length.words(0)} {facts.unit}",
            *([f"right answers {_truth(facts).words()}"] if _truth(facts) else []),
            f"reward {facts.paid.words()}",
            *([f"within groups reward follows length (correlation {follows:.2f})"] if follows else []),
        ),
        (
            "look for a reward that pays for length (steps counted, words counted, a cosine the wrong way round)",
            "pay for length nothing at all, or only where the answer is right; punish what is cut off "
            "(soft overlong punishment), or leave it out of the loss (mask_truncated_completions)",
            "loss_type dr_grpo or dapo does not favour long wrong answers, as a mean over each completion does",
        ),
        some(sorted(facts.rollouts, key=lambda one: -len(one.completion))),
    )


def _runs_away(facts: Facts) -> bool:
    length, truth = facts.length, _truth(facts)
    grows = length.moves(1, 8.0) and (length.last or 0) >= 1.7 * (length.first or 1.0)
    if not grows or (truth and truth.moves(1, 0.04, 1.5)):
        return False
    follows = facts.reward_follows_length
    if truth:
        return facts.paid.moves(1, 0.03 * facts.scale) or truth.moves(-1, 0.05)
    return follows is not None and follows >= 0.7


def _truth(facts: Facts) -> Series:
    """What says whether answers are right, apart from the reward as a whole."""
    if facts.outcome and _others(facts):
        return facts.outcome
    return facts.right


def _others(facts: Facts) -> bool:
    """Whether something else is paid than the outcome."""
    return len(facts.run.rewards) > len(facts.run.outcomes) > 0


def held_out_falls(facts: Facts) -> Diagnosis | None:
    held, train = facts.held_out, facts.outcome or facts.paid
    if len(held.values) < 2 or not train.moves(1, 0.05 * facts.scale):
        return None
    best = max(held.values)
    last = statistics.fmean(held.values[-2:]) if len(held.values) > 3 else held.values[-1]
    if best - last < max(0.1, 0.25 * abs(best)) or held.noise * 1.5 > best - last:
        return None
    step = held.steps[held.values.index(best)]
    return Diagnosis(
        "held_out_falls",
        "the reward rises and the held-out one falls: the run learns its training prompts, not the task",
        (
            f"reward in training {train.words()}",
            f"held out {best:.2f} at step {step}, {last:.2f} at the end",
            f"{facts.prompts} different prompts in the rollouts that are known",
        ),
        (
            f"take the checkpoint of step {step}",
            "use more and more varied prompts, fewer epochs, a lower learning rate, or some KL (beta)",
        ),
        some(reversed(facts.rollouts)),
    )


def too_much_kl(facts: Facts) -> Diagnosis | None:
    """The loss is all KL, and the reward stands still although groups differ."""
    beta = _beta(facts)
    if not _stands_still(facts) or beta is None or beta < 0.5:
        return None
    return Diagnosis(
        "kl_too_strong",
        f"KL holds the policy where it is: beta is about {beta:.2g}",
        (
            f"reward {facts.paid.words()} in {facts.count} steps, with signal in {_signal(facts)} of the groups",
            f"KL stays at {facts.kl.last:.2g}, and the loss is {beta:.2g} times the KL",
        ),
        ("lower beta: 0.001 in the paper, 0.0 is TRL's default, 0.04 is a lot",),
    )


def frozen(facts: Facts) -> Diagnosis | None:
    if not facts.grad or facts.grad.most or len(facts.grad.values) < 3 or not _has_signal(facts):
        return None
    return Diagnosis(
        "no_gradient",
        "no gradient reaches the weights: the policy cannot learn",
        (f"the gradient's norm is 0 in all steps, with signal in {_signal(facts)} of the groups",),
        (
            "are the weights frozen (requires_grad, a LoRA adapter that is not trained)? With gradient checkpointing "
            "and an adapter, call model.enable_input_require_grads()",
            "mask_truncated_completions leaves nothing to learn from where every completion is cut off",
        ),
    )


def rate_too_low(facts: Facts) -> Diagnosis | None:
    rate = facts.rate.most
    if rate is None or facts.count < 10 or (facts.grad and not facts.grad.most) or not _has_signal(facts):
        return None
    still = facts.kl.most is not None and facts.kl.most < 1e-6
    if facts.learns or not (rate < 1e-8 or still):
        return None
    return Diagnosis(
        "learning_rate_low",
        f"the policy does not move: the learning rate of {rate:.2g} is too low",
        (
            f"reward {facts.paid.words()} in {facts.count} steps, with signal in {_signal(facts)} of the groups",
            *([f"KL from the reference is at most {facts.kl.most:.2g}"] if facts.kl else []),
        ),
        (
            "1e-6 is usual for full weights, 1e-5 for LoRA; look for a schedule that is already at its end, and for "
            "weights that are frozen",
        ),
    )


def _beta(facts: Facts) -> float | None:
    """The weight of KL: logged, else found from the loss, whose other part is 0 in the mean for rewards that are
    compared within their group.
    """
    if given := [value for row in facts.run.steps if (value := row.get("beta")) is not None]:
        return given[-1]
    kl = dict(zip(facts.kl.steps, facts.kl.values, strict=True))
    pairs = [(kl[step], loss) for step, loss in zip(facts.loss.steps, facts.loss.values, strict=True) if step in kl]
    if len(pairs) < 8:
        return None
    distance, loss = zip(*pairs, strict=True)
    if min(statistics.pstdev(distance), statistics.pstdev(loss)) > 0 and statistics.correlation(distance, loss) > 0.6:
        return statistics.linear_regression(distance, loss).slope
    error = statistics.stdev(loss) / len(loss) ** 0.5
    mean, middle = statistics.fmean(loss), statistics.fmean(distance)
    return mean / middle if middle > 0 and mean > 3 * error else None


def _stands_still(facts: Facts) -> bool:
    return facts.count >= 10 and _has_signal(facts) and not facts.learns and not facts.paid.moves(-1, 0.1)


def _has_signal(facts: Facts) -> bool:
    return bool(facts.quiet) and (facts.quiet.mean or 0.0) <= 0.8


def _signal(facts: Facts) -> str:
    return percent(1 - (facts.quiet.mean or 0.0))


def _rate(facts: Facts) -> list[str]:
    return [f"learning rate {facts.rate.most:.3g}"] if facts.rate else []
