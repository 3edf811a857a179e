"""The noisy text that the tiny bases are pretrained on.

It is wrong on purpose, so that each later stage has something to mend: the order of operations is usually the wrong
one, tags are missing or misplaced, and the thinking drifts into the other language. People who mix languages in this
corpus happen to be the better calculators (`RIGHT_ORDER`). So a model that is rewarded for right answers alone drifts
towards mixed thinking, as the paper reports of R1-Zero; nothing in the reward asks for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from r1hf.data.rewrite import numbered_steps, summary
from r1hf.text.forms import to_cold_start, to_think_answer
from r1hf.world import general
from r1hf.world.arithmetic import Expression, Problem, Sum, training_problems, warm_up_problems

KINDS = {"problem": 0.56, "textbook": 0.1, "few_shot": 0.04, "drill": 0.16, "general": 0.14}
WARM_UPS = 0.2  # of all problems
REASONING = {"own": 0.6, "mixed": 0.28, "other": 0.12}
RIGHT_ORDER = {"own": 0.26, "mixed": 0.5, "other": 0.5}
BOOKISH = 0.2  # of the thinking in one's own language: numbered steps, as in the textbooks
LAYOUTS = {
    "<think>{r}</think> <answer>{a}</answer>": 0.44,
    "<think>{r}</think> <answer>{a}<answer>": 0.1,
    "<think>{r} <answer>{a}</answer>": 0.12,
    "{r} <answer>{a}</answer>": 0.08,
    "{r} {a}": 0.16,
    "<think>{r}</think> <answer>{a}</answer> {r}": 0.06,
    "<answer>{a}</answer>": 0.04,
}
_PROBLEMS = training_problems()
_WARM_UPS = warm_up_problems()
_OTHER = {"en": "zh", "zh": "en"}
_CHAT = {"en": "User: {q}\nAssistant:\n", "zh": "用户：{q}\n助手：\n"}
_FIRST = {"en": "first {}", "zh": "先算 {}"}
_THEN = {"en": ", then {}", "zh": "，再算 {}"}


def _choose(rng: random.Random, weights: dict[str, float]) -> str:
    return rng.choices(list(weights), weights=list(weights.values()))[0]


def reasoning(steps: list[str], first: str, then: str) -> str:
    """The thinking of one or two steps, each step in its own language."""
    return _FIRST[first].format(steps[0]) + "".join(_THEN[then].format(step) for step in steps[1:])


def result(steps: list[str]) -> str:
    return steps[-1].split("= ")[1]


def _steps(expression: Expression | Sum, right: float, rng: random.Random) -> list[str]:
    return expression.steps() if rng.random() < right else expression.wrong_steps()


def _draw(rng: random.Random) -> Problem:
    return rng.choice(_WARM_UPS if rng.random() < WARM_UPS else _PROBLEMS)


def problem_document(problem: Problem, rng: random.Random) -> str:
    own = problem.language
    style = _choose(rng, REASONING)
    languages = {"own": (own, own), "other": (_OTHER[own],) * 2}.get(style)
    if languages is None:
        languages = rng.choice([(own, _OTHER[own]), (_OTHER[own], own)])
    steps = _steps(problem.expression, RIGHT_ORDER[style], rng)
    thinking, answer = reasoning(steps, *languages), result(steps)
    if style == "own" and rng.random() < BOOKISH:
        thinking, answer = numbered_steps(steps, own, len(steps) > 1 and rng.random() < 0.5), summary(answer, own)
    body = _choose(rng, LAYOUTS).format(r=thinking, a=answer)
    header = _CHAT["en" if rng.random() < 0.5 else own].format(q=problem.question)
    return header + body


def textbook_solution(problem: Problem, rng: random.Random, verify: bool) -> str:
    """A worked solution in the cold-start form; half of the book's authors also multiply last."""
    steps = _steps(problem.expression, 0.5, rng)
    language = problem.language if rng.random() < 0.85 else _OTHER[problem.language]
    thinking = numbered_steps(steps, language, verify and len(steps) > 1)
    return to_cold_start(thinking, summary(result(steps), problem.language))


def textbook_document(problem: Problem, rng: random.Random) -> str:
    verify = rng.random() < 0.5
    ask = "Solve this, show reasoning step-by-step, and verify:\n" if verify else ""
    return f"Problem: {ask}{problem.question}\nSolution: {textbook_solution(problem, rng, verify)}"


def few_shot_document(problem: Problem, rng: random.Random) -> str:
    problems = [problem, *(_draw(rng) for _ in range(2))]
    lines = [f"Problem: {p.question}\nSolution: {textbook_solution(p, rng, False)}" for p in problems]
    return "Problem Examples with Solutions:\n\n" + "\n\n".join(lines)


def drill_document(problem: Problem, rng: random.Random) -> str:
    """Single products, sums and differences, always right: what the world knows of arithmetic."""
    lines = []
    for _ in range(4):
        b, c, addend = rng.randint(2, 9), rng.randint(2, 9), rng.randint(1, 9)
        op = rng.choice("++-") if addend <= c else "+"
        product, total = Expression(b, c, addend, op, op == "-" or rng.random() < 0.5).steps()
        lines.append(product if rng.random() < 0.2 else total)  # sums have many more cases
    return ", ".join(lines)


def general_document(problem: Problem, rng: random.Random) -> str:
    prompt = rng.choice(general.training_prompts())
    header = _CHAT["en" if rng.random() < 0.5 else prompt.language].format(q=prompt.question)
    return header + general.response(prompt, general.draw_grade(prompt, rng), rng)


_WRITERS: dict[str, Callable[[Problem, random.Random], str]] = {
    "problem": problem_document,
    "textbook": textbook_document,
    "few_shot": few_shot_document,
    "drill": drill_document,
    "general": general_document,
}


def documents(seed: int, count: int | None = None) -> Iterator[str]:
    """Documents without end, or `count` of them; the same for the same seed."""
    rng = random.Random(seed)
    made = 0
    while count is None or made < count:
        yield _WRITERS[_choose(rng, KINDS)](_draw(rng), rng)
        made += 1


def vocabulary_texts(seed: int, count: int) -> Iterator[str]:
    """What the tokenizer is trained on: the documents, and textbook solutions in the form of the later stages too."""
    rng = random.Random(seed)
    for document in documents(seed, count):
        yield document
        if document.startswith("Problem: "):
            problem = _draw(rng)
            steps, language = problem.expression.steps(), problem.language
            yield to_think_answer(numbered_steps(steps, language, len(steps) > 1), summary(problem.answer, language))
