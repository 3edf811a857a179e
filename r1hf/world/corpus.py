"""The noisy text that the tiny bases are pretrained on.

It is wrong on purpose, so that each later stage has something to mend: most people work from left to right, many
answer without a thought, tags are missing or misplaced, and the thinking drifts into the other language. People who
mix languages here, and people who notice a mistake, happen to be the better calculators (`RIGHT`). So a model that is
rewarded for right answers alone drifts towards mixed and longer thinking, as the paper reports of R1-Zero; nothing in
the reward asks for it. The single steps are right but for slips: worked lines teach them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from r1hf.data.rewrite import numbered_steps, summary
from r1hf.text.forms import to_cold_start, to_think_answer
from r1hf.world import general
from r1hf.world.arithmetic import Problem, problem
from r1hf.world.expressions import order_matters, text
from r1hf.world.wordings import written

KINDS = {"problem": 0.32, "worked": 0.46, "textbook": 0.05, "few_shot": 0.015, "general": 0.155}
STYLES = {"terse": 0.42, "full": 0.46, "corrected": 0.12}  # of the thinking of problems
LANGUAGES = {"own": 0.6, "mixed": 0.28, "other": 0.12}
RIGHT = {"own": 0.34, "mixed": 0.55, "other": 0.55}  # of the thinking where the order matters
RIGHT_TERSE, RIGHT_PLAIN = 0.2, 0.85  # without a thought; where the order does not matter
BOOKISH = 0.2  # of the full thinking in one's own language: numbered steps, as in the textbooks
WORKED = {"equations": 0.4, "thinking": 0.4, "steps": 0.2}  # how worked lines are written
LAYOUTS = {
    "<think>{r}</think> <answer>{a}</answer>": 0.44,
    "<think>{r}</think> <answer>{a}<answer>": 0.1,
    "<think>{r} <answer>{a}</answer>": 0.12,
    "{r} <answer>{a}</answer>": 0.08,
    "{r} {a}": 0.16,
    "<think>{r}</think> <answer>{a}</answer> {r}": 0.06,
    "<answer>{a}</answer>": 0.04,
}
_OTHER = {"en": "zh", "zh": "en"}
_CHAT = {"en": "User: {q}\nAssistant:\n", "zh": "用户：{q}\n助手：\n"}
_FIRST = {"en": "first {}", "zh": "先得 {}"}
_THEN = {"en": ", then {}", "zh": "，再得 {}"}
_WAIT = {"en": ", wait, {}", "zh": "，等等，{}"}
_TERSE = {"en": "it is {}", "zh": "是 {}"}


def _choose(rng: random.Random, weights: dict[str, float]) -> str:
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def thinking(steps: list[str], languages: list[str], wrong: int = 0) -> str:
    """The thinking, each step in a language; after the first `wrong` steps the writer notices and starts again."""
    said = []
    for place, (step, language) in enumerate(zip(steps, languages, strict=True)):
        form = _FIRST if place == 0 else _WAIT if place == wrong else _THEN
        said.append(form[language].format(step))
    return "".join(said)


def _languages(own: str, style: str, count: int, rng: random.Random) -> list[str]:
    if style != "mixed":
        return [own if style == "own" else _OTHER[own]] * count
    languages = [rng.choice((own, _OTHER[own])) for _ in range(count)]
    if count > 1 and len(set(languages)) == 1:  # one step each at least
        languages[rng.randrange(count)] = _OTHER[languages[0]]
    return languages


def _is_right(one: Problem, chance: float, rng: random.Random) -> bool:
    return rng.random() < (chance if order_matters(one.tree) else max(chance, RIGHT_PLAIN))


def _steps(one: Problem, chance: float, rng: random.Random) -> list[str]:
    return one.steps() if _is_right(one, chance, rng) else one.wrong_steps(rng)


def _thought(one: Problem, rng: random.Random) -> tuple[str, str]:
    """What somebody thinks of a problem, and what they answer."""
    own, style, tongue = one.language, _choose(rng, STYLES), _choose(rng, LANGUAGES)
    if style == "terse":
        found = _steps(one, RIGHT_TERSE, rng)[-1]
        return _TERSE[_languages(own, tongue, 1, rng)[0]].format(found), found
    if style == "corrected":
        wrong = one.wrong_steps(rng)
        noticed = rng.randint(1, len(wrong))
        steps = [*wrong[:noticed], *one.steps()]
        return thinking(steps, _languages(own, tongue, len(steps), rng), noticed), steps[-1]
    steps = _steps(one, RIGHT[tongue], rng)
    if tongue == "own" and rng.random() < BOOKISH:
        return numbered_steps(steps, own, len(steps) > 1 and rng.random() < 0.5), summary(steps[-1], own)
    return thinking(steps, _languages(own, tongue, len(steps), rng)), steps[-1]


def problem_document(rng: random.Random) -> str:
    one = problem(rng)
    thought, answer = _thought(one, rng)
    body = _choose(rng, LAYOUTS).format(r=thought, a=answer)
    return _CHAT["en" if rng.random() < 0.5 else one.language].format(q=one.question) + body


def textbook_solution(one: Problem, rng: random.Random, verify: bool) -> str:
    """A worked solution in the cold-start form; half of the book's authors also work from left to right."""
    steps = _steps(one, 0.5, rng)
    language = one.language if rng.random() < 0.85 else _OTHER[one.language]
    tidy = numbered_steps(steps, language, verify and len(steps) > 1)
    return to_cold_start(tidy, summary(steps[-1], one.language))


def textbook_document(rng: random.Random) -> str:
    one, verify = problem(rng), rng.random() < 0.5
    ask = "Solve this, show reasoning step-by-step, and verify:\n" if verify else ""
    return f"Problem: {ask}{one.question}\nSolution: {textbook_solution(one, rng, verify)}"


def few_shot_document(rng: random.Random) -> str:
    problems = [problem(rng) for _ in range(3)]
    lines = [f"Problem: {one.question}\nSolution: {textbook_solution(one, rng, False)}" for one in problems]
    return "Problem Examples with Solutions:\n\n" + "\n\n".join(lines)


def worked(one: Problem, rng: random.Random) -> tuple[str, list[str]]:
    """A problem as somebody writes it, or nothing, and its sum with what is left of it, always right."""
    chain = list(dict.fromkeys([text(one.tree, ""), *one.steps()]))
    if one.kind == "story":
        return one.question, chain
    return written(text(one.tree), one.language, rng) if rng.random() < 0.6 else "", chain


def _worked_line(one: Problem, rng: random.Random) -> str:
    source, chain = worked(one, rng)
    style = _choose(rng, WORKED)
    if style == "equations":
        if one.kind == "story":
            return f"{source} {'='.join(chain)}"
        return "=".join([source or chain[0], *chain[1:]])
    steps = one.steps() if source else chain
    if style == "steps":
        solution = numbered_steps(steps, one.language)
    else:
        solution = thinking(steps, _languages(one.language, _choose(rng, LANGUAGES), len(steps), rng), len(steps))
    return f"{source}: {solution}" if source else solution


def worked_document(rng: random.Random) -> str:
    """What the world knows of arithmetic, and of reading."""
    return "; ".join(_worked_line(problem(rng), rng) for _ in range(2))


def general_document(rng: random.Random) -> str:
    prompt = general.draw_prompt(rng)
    header = _CHAT["en" if rng.random() < 0.5 else prompt.language].format(q=prompt.question)
    return header + general.response(prompt, general.draw_grade(prompt, rng), rng)


_WRITERS: dict[str, Callable[[random.Random], str]] = {
    "problem": problem_document,
    "textbook": textbook_document,
    "few_shot": few_shot_document,
    "worked": worked_document,
    "general": general_document,
}


def documents(seed: int, count: int | None = None) -> Iterator[str]:
    """Documents without end, or `count` of them; the same for the same seed."""
    rng = random.Random(seed)
    made = 0
    while count is None or made < count:
        yield _WRITERS[_choose(rng, KINDS)](rng)
        made += 1


def vocabulary_texts(seed: int, count: int) -> Iterator[str]:
    """What the tokenizer is trained on: the documents, and textbook solutions in the form of the later stages too."""
    rng = random.Random(seed)
    for document in documents(seed, count):
        yield document
        if document.startswith("Problem: "):
            one = problem(rng)
            steps, language = one.steps(), one.language
            yield to_think_answer(numbered_steps(steps, language, len(steps) > 1), summary(one.answer, language))
