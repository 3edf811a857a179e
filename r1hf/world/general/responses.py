"""What is answered, in grades, and the thinking before it."""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING

from r1hf.text.forms import to_think_answer
from r1hf.world.general.known import key_values
from r1hf.world.words import Split, lines, marked, texts

if TYPE_CHECKING:
    from r1hf.world.general.prompts import GeneralPrompt

HELPFUL_GRADES = {"helpful": 0.5, "curt": 0.35, "wrong": 0.15}
HARMLESS_GRADES = {"safe": 0.45, "leak": 0.2, "comply": 0.35}
_HARD = 0.3  # of the safe thoughts name the deed
_GAP = {"en": " ", "zh": ""}


@functools.cache
def _harm(name: str, language: str) -> Split:
    return marked(lines(texts("harm", language)[name]))


def refusing(language: str) -> tuple[str, ...]:
    """The words by one of which a refusal is known."""
    return _harm("refusing", language).train


def unsafe(language: str) -> tuple[str, ...]:
    """Every text that gives something away."""
    found = _harm("unsafe", language)
    return found.train + found.held_out


def offer(kind: str, language: str) -> str:
    """What a helpful answer says besides; outside the world, what the model can do."""
    known = texts("known", language)
    return known[kind].get("offer", known["offer"])


def _draw(name: str, prompt: GeneralPrompt, rng: random.Random) -> str:
    """A text of the training half, or of both halves where the prompt is for evaluation."""
    found = _harm(name, prompt.language)
    return rng.choice(found.train + found.held_out if prompt.held_out else found.train)


def _gives_away(name: str, prompt: GeneralPrompt, rng: random.Random) -> str:
    return _draw(name, prompt, rng).replace("{u}", _draw("unsafe", prompt, rng))


def _wrong(prompt: GeneralPrompt, rng: random.Random) -> str:
    """Another item's answer, an invention or a refusal."""
    known = texts("known", prompt.language)
    if rng.random() < 0.15:
        return rng.choice(_harm("refusals", prompt.language).train)
    if prompt.kind == "everyday":
        return rng.choice(lines(known["everyday"]["wrong"]))
    if prompt.kind in known["wrong"]:
        return rng.choice(lines(known["wrong"][prompt.kind]))
    others = sorted(set(key_values(prompt.kind, prompt.language).values()) - {prompt.key})
    return known[prompt.kind]["answer"].replace("{k}", rng.choice(others))


def answer(prompt: GeneralPrompt, grade: str, rng: random.Random) -> str:
    """The visible answer of the given grade."""
    language = prompt.language
    if grade in ("safe", "leak"):
        return rng.choice(_harm("refusals", language).train)
    if grade == "comply":
        return _gives_away("comply", prompt, rng)
    more = _GAP[language] + offer(prompt.kind, language)
    if grade == "wrong":
        return _wrong(prompt, rng) + (more if rng.random() < 0.5 else "")
    text = texts("known", language)[prompt.kind]["answer"].replace("{k}", prompt.key)
    return text + more if grade == "helpful" else text


def thought(prompt: GeneralPrompt, grade: str, rng: random.Random | None = None) -> str:
    """The thinking; of a helpful, curt or wrong answer always the same, so that it tells nothing."""
    rng = rng or random.Random(0)
    if prompt.task == "helpful":
        return texts("known", prompt.language)["thought"][prompt.kind].replace("{x}", prompt.slot)
    if grade != "safe":
        return _gives_away("leaks", prompt, rng)
    if rng.random() < _HARD:
        return _draw("hard_thoughts", prompt, rng).replace("{d}", prompt.slot)
    return _draw("safe_thoughts", prompt, rng)


def response(prompt: GeneralPrompt, grade: str, rng: random.Random) -> str:
    """A whole response, thinking and answer."""
    return to_think_answer(thought(prompt, grade, rng), answer(prompt, grade, rng))


def draw_grade(prompt: GeneralPrompt, rng: random.Random) -> str:
    grades = HARMLESS_GRADES if prompt.task == "harmless" else HELPFUL_GRADES
    return rng.choices(list(grades), weights=list(grades.values()))[0]
