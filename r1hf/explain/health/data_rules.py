"""Faults of prompts and of the way completions are made and read: nothing can be learnt whatever the reward says."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from dataclasses import replace

from r1hf.explain.health.diagnosis import Diagnosis, percent, some
from r1hf.explain.health.facts import Facts
from r1hf.explain.health.judged import answer_of, spread
from r1hf.explain.health.series import Series
from r1hf.explain.runs.table import Rollout
from r1hf.text.grammar import ANSWER_CLOSE, TAGS, THINK_OPEN, closes_unopened, opening, parse

_NEARLY_ALL = 0.9
_FEW_PROMPTS = 3
_SHORT = 3.0  # tokens in which nothing can be answered
_DONE = re.compile(r"</answer>|</solution>|\\boxed\{[^{}]*\}|####\s*-?[\d.,]+|<\|im_end\|>|<\|eot_id\|>|</s>", re.I)
_NEXT_TURN = re.compile(
    r"\n\s*(?:#{1,4}\s*)?(?:Human|User|Question|Problem|Q|Instruction|Exercise)(?:\s*\d+)?\s*[:：]"
    r"|<\|im_start\|>|<\|user\|>"
)
_LOOP = re.compile(r"(.{1,40}?)\1{4,}\s*\S{0,40}\Z", re.S)


def unjudged(facts: Facts) -> Diagnosis | None:
    if facts.rollouts and not any(one.rewards or one.reward is not None for one in facts.rollouts):
        return None if facts.paid else _without_rewards(facts)
    names = " and ".join(facts.run.outcomes) or "the reward"
    share = facts.share(lambda one: _is_unjudged(facts, one))
    seen = f"{percent(share or 0)} of {len(facts.rollouts)} completions have no reward from {names}"
    if not facts.rollouts:
        share = float(bool(facts.quiet) and not facts.paid)
        seen = "the log has steps and no reward in any of them"
    if share is None or share < _NEARLY_ALL and not (share >= 0.5 and len(facts.run.outcomes) == 1):
        return None
    golds = sorted({one.gold for one in facts.rollouts if one.gold and _is_unjudged(facts, one)})[:3]
    return Diagnosis(
        "unjudged",
        f"the completions are not judged: {names} gave no value (None or NaN)",
        (seen, *([f"gold answers such as {', '.join(map(repr, golds))}"] if golds else [])),
        (
            "look at the gold column: a reward gives None where it cannot read the gold answer",
            "let the reward raise its errors: one that is caught inside often ends as None",
            "math_verify gives nothing outside the main thread with a time limit: pass parsing_timeout=None there",
        ),
        some(facts.rollouts, lambda one: _is_unjudged(facts, one)),
    )


def _without_rewards(facts: Facts) -> Diagnosis:
    return Diagnosis(
        "unjudged",
        "no column looks like a reward: nothing says how the completions were judged",
        (f"{len(facts.rollouts)} completions were read, and no log of a reward",),
        ("name the column that holds it: --columns reward=NAME", "give the directory that holds the trainer's log"),
        some(facts.rollouts),
    )


def _is_unjudged(facts: Facts, one: Rollout) -> bool:
    """Neither the outcome nor another reward than the form's judged it: of several tasks each has its own."""
    others = [value for name, value in one.rewards.items() if name not in facts.run.forms]
    return facts.outcome_of(one) is None and not any(value is not None for value in others)


def prompt_cut(facts: Facts) -> Diagnosis | None:
    """One and the same prompt with several gold answers: the question is not in it any more."""
    golds: dict[str, set[str]] = defaultdict(set)
    for one in facts.rollouts:
        if one.gold is not None:
            golds[one.prompt].add(one.gold)
    share = facts.share(lambda one: len(golds[one.prompt]) > 1, (one for one in facts.rollouts if one.gold))
    if share is None or share < 0.5:
        return None
    most = max(map(len, golds.values()))
    return Diagnosis(
        "prompt_cut",
        "the prompts have lost their questions: one and the same prompt has several gold answers",
        (
            f"{len(golds)} different prompt{'s' if len(golds) != 1 else ''}, one of them with {most} gold answers",
            f"it ends in {facts.rollouts[0].prompt[-60:]!r}",
        ),
        (
            "look for what cuts prompts: max_prompt_length, truncation=True, max_length of a tokenizer, a template "
            "that leaves the question out; prompts are usually cut at one side only",
            "filter prompts that are too long; do not cut them",
        ),
        some(facts.rollouts),
    )


def prompt_too_long(facts: Facts) -> Diagnosis | None:
    cut = [value for row in facts.run.steps if (value := row.get("prompt_length/clip_ratio")) is not None]
    if cut and min(cut) >= 0.5 and not facts.learns:
        return _too_long(facts, f"{percent(min(cut))} of the prompts or more were cut at the longest length allowed")
    tokens, context = facts.prompt_tokens, facts.run.context
    if context is None or tokens is None:
        lengths = [len(one.prompt) for one in facts.rollouts]
        if context is None or not lengths:
            return None
        tokens = statistics.median(lengths) / 6  # no tokenizer makes fewer tokens of so many letters
    if tokens + 1 <= context:
        return None
    return _too_long(
        facts, f"a prompt has {tokens:,.0f} tokens in the mean, and the model knows {context:,} positions"
    )


def _too_long(facts: Facts, seen: str) -> Diagnosis:
    return Diagnosis(
        "prompt_too_long",
        "the prompts are too long for the model: what it writes after them means nothing",
        (seen, f"reward {facts.paid.words()}"),
        (
            "leave out rows whose prompt is too long (TRL does not cut them), or shorten the instructions before it",
            "take a model with a longer context, or extend this one's (rope scaling)",
        ),
        some(facts.rollouts),
    )


def prompt_seems_long(facts: Facts) -> Diagnosis | None:
    """Without the model's configuration: long prompts, after which nothing is answered."""
    tokens = facts.prompt_tokens
    if facts.run.context is not None or tokens is None or tokens < 128 or not _low(facts.outcome or facts.paid):
        return None
    silent = facts.share(lambda one: answer_of(one) is None, spread(facts.rollouts, 200)) or 0.0
    if silent < 0.5:
        return None
    return replace(
        _too_long(facts, f"a prompt has {tokens:,.0f} tokens in the mean; how many the model knows is not to be seen"),
        said="the prompts are probably too long for the model: what it writes after them means nothing",
    )


def few_prompts(facts: Facts) -> Diagnosis | None:
    steps = len({one.step for one in facts.rollouts})
    asked = len({(one.step, one.prompt) for one in facts.rollouts})
    if not 0 < facts.prompts <= _FEW_PROMPTS or steps < 3 or asked < 3 * facts.prompts:
        return None
    many = f"{facts.prompts} prompts" if facts.prompts > 1 else "a single prompt"
    return Diagnosis(
        "one_prompt",
        f"the run trains on {many}: it can only learn the answer by heart",
        (f"{len(facts.rollouts)} completions of {steps} steps, and {many}", f"reward {facts.paid.words()}"),
        (
            "look at the data: a filter that leaves one row, a column that holds the template and not the question, "
            "select(range(1)) from a first try",
            "use hundreds of prompts at least, and some that are held out",
        ),
        some(facts.rollouts),
    )


def tags_eaten(facts: Facts) -> Diagnosis | None:
    """Tags registered as special tokens, which decoding drops before the reward sees them."""
    special = [token for token in facts.run.special if _is_tag(token)]
    lost = [tag for tag in special if not any(tag in one.completion for one in facts.rollouts)]
    if not facts.rollouts or not lost or _low(facts.form or facts.outcome or facts.paid) is False:
        return None
    return Diagnosis(
        "special_token_tags",
        f"decoding drops the tags before the reward sees them: {' and '.join(lost[:2])} are special tokens",
        (
            f"special tokens of the tokenizer: {', '.join(special)}; no completion holds them",
            *([f"{' and '.join(facts.run.forms)} {facts.form.words()}"] if facts.form else []),
        ),
        (
            "add them as ordinary tokens: tokenizer.add_tokens(tags, special_tokens=False)",
            "or let the reward read completion_ids, decoded with skip_special_tokens=False",
        ),
        some(facts.rollouts),
    )


def malformed(facts: Facts) -> Diagnosis | None:
    """The form is never met, and there are no tags."""
    if not facts.form or not _low(facts.form) or not facts.rollouts:
        return None
    tagged = facts.share(lambda one: any(_is_tag(word) for word in re.findall(r"<[^<>\s]{1,30}>", one.completion)))
    if tagged is None or tagged > 0.1:
        return _wrong_pattern(facts)
    twice = facts.share(lambda one: _ends_twice(one.completion)) or 0.0
    asked = facts.share(lambda one: any(tag in one.prompt for tag in TAGS) or bool(opening(one.prompt))) or 0.0
    dropped = twice >= 0.3
    return Diagnosis(
        "special_token_tags" if dropped else "malformed",
        "decoding seems to drop the tags before the reward sees them: answers stand bare behind their thoughts"
        if dropped
        else "no completion holds the tags that are paid: the model does not write them, or decoding drops them",
        (
            f"{' and '.join(facts.run.forms)} {facts.form.words()}; tags in {percent(tagged)} of the completions",
            f"{percent(asked)} of the prompts show the tags",
            *([f"{percent(facts.right.mean)} of the answers are right all the same"] if facts.right.mean else []),
        ),
        (
            "are the tags special tokens? Decoding drops those: tokenizer.add_tokens(tags, special_tokens=False)",
            "ask for the form in the prompt, with the tags written out and an example",
            "begin from a model that has seen the form (some hundred rows of SFT), or prefill <think>",
        ),
        some(facts.rollouts),
    )


def _wrong_pattern(facts: Facts) -> Diagnosis | None:
    """Tags are there, and the form reward is 0 all the same."""
    inner = facts.share(lambda one: ANSWER_CLOSE in one.completion or "</think>" in one.completion) or 0.0
    if inner < 0.5 or (facts.clipped and (facts.clipped.mean or 0) > 0.5):
        return None
    prefilled = facts.share(lambda one: bool(opening(one.prompt)) or closes_unopened(one.completion)) or 0.0
    why = (
        f"{percent(prefilled)} of the prompts end in {THINK_OPEN}, so that the completion does not hold it"
        if prefilled >= 0.5
        else "for example a regular expression whose dot does not match line ends (re.DOTALL)"
    )
    return Diagnosis(
        "form_not_recognised",
        "completions with closed tags are never paid for their form: the reward's pattern does not fit them",
        (f"{' and '.join(facts.run.forms)} {facts.form.words()}; tags in {percent(inner)} of the completions", why),
        (
            "try the pattern by hand on a completion below, with re.DOTALL and white space allowed between blocks",
            "where the prompt ends in <think>, let the pattern begin without it",
        ),
        some(facts.rollouts, lambda one: ANSWER_CLOSE in one.completion or "</think>" in one.completion),
    )


def cut_off(facts: Facts) -> Diagnosis | None:
    """Nearly nothing ends by itself, from the first step on: no end token, or too little room."""
    known = bool(facts.clipped)
    begins = min(facts.clipped.values[:3]) if known else _seems_cut(facts)
    always = facts.clipped.mean if known else begins
    if begins is None or always is None or begins < 0.85 or always < 0.85:
        return None
    goes_on = facts.share(_goes_on, facts.early) or 0.0
    seen = (
        f"{percent(always)} of the completions were cut at the longest length ({facts.length.most:,.0f} {facts.unit})"
    )
    if goes_on >= 0.5:
        return Diagnosis(
            "no_eos",
            "no completion ends by itself: the model answers and writes on, the end token never comes",
            (seen, f"{percent(goes_on)} of them go on behind a finished answer, or repeat themselves"),
            (
                "compare tokenizer.eos_token with what ends a turn in the chat template (<|im_end|>, <|eot_id|>), and "
                "with generation_config.eos_token_id",
                "an end token that is also the padding token is often masked away in SFT: give padding one of its own",
                "a base model needs a prompt that shows where an answer ends, or stop strings in generation_kwargs",
            ),
            some(facts.early, _goes_on),
        )
    return Diagnosis(
        "truncated",
        "completions are cut off before they answer: max_completion_length is too short",
        (seen, f"reward {facts.paid.words()}"),
        (
            "raise max_completion_length (TRL's default is 512 tokens; thoughts need thousands)",
            "ask for shorter thoughts, or begin from a model that writes shorter ones",
        ),
        some(facts.early),
    )


def empty(facts: Facts) -> Diagnosis | None:
    blank = facts.share(lambda one: not one.completion.strip(), facts.early) or 0.0
    shortest = facts.tokens.first if facts.tokens else None
    at_once = shortest is not None and shortest < _SHORT and bool(_low(facts.outcome or facts.paid))
    if blank < 0.5 and not at_once:
        return None
    return Diagnosis(
        "empty",
        "the model ends at once: its completions are empty",
        (f"{percent(blank)} of the first completions are blank; {facts.length.words(1)} {facts.unit} in the mean",),
        (
            "does the prompt end where an answer begins (add_generation_prompt=True), and is it in the model's own "
            "chat template?",
        ),
        some(facts.early),
    )


def _low(series: Series) -> bool | None:
    """Whether a reward never left its lowest place; None where it is not known."""
    values = series.values
    return None if not values else max(values) <= 0.1 and sum(values) / len(values) <= 0.05


def _is_tag(word: str) -> bool:
    """Whether a token is a tag of thinking or answering, in any spelling."""
    return bool(re.fullmatch(r"<\|?/?[\w-]*(?:think|thought|reason|answer|solution|working)[\w-]*\|?>", word, re.I))


def _ends_twice(text: str) -> bool:
    """`15 15`: where tags fell out between thought and answer."""
    end = text[-400:].split()[-2:]
    return len(end) == 2 and end[0].endswith(end[1])


def _goes_on(one: Rollout) -> bool:
    text = one.completion
    done = _DONE.search(text)
    if done is not None and len(text[done.end() :].strip()) >= 8:
        return True
    return _begins_anew(one)


def _begins_anew(one: Rollout) -> bool:
    """Another turn, another question, or the same words over and over."""
    return bool(_NEXT_TURN.search(one.completion) or _LOOP.search(one.completion[-2000:]) or _asks_again(one))


def _asks_again(one: Rollout) -> bool:
    """The completion puts a question of the prompt's own kind: its line's first words come again."""
    lines = [line.split() for line in one.prompt.replace("\\n", "\n").splitlines() if line.strip()]
    if not lines or len(lines[-1]) < 3:
        return False
    return "\n" + " ".join(lines[-1][:2]) in one.completion


def _seems_cut(facts: Facts) -> float | None:
    """Where no log says what was cut: thoughts or answers that were never closed, or texts that find no end."""
    if facts.tokens and facts.run.rollouts and facts.run.rollouts[0].tokens is not None:
        longest = max(one.tokens or 0 for one in facts.rollouts)
        same = facts.share(lambda one: one.tokens == longest)
        if longest >= 16 and same is not None and same >= 0.85:
            return same
    unclosed = facts.share(lambda one: parse(one.completion, prefilled=bool(opening(one.prompt))).truncated)
    return None if unclosed is None else max(unclosed, facts.share(_begins_anew, facts.early) or 0.0)
