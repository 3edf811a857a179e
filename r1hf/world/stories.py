"""Word problems: an expression of the world told as a small story, in English or Chinese."""

from __future__ import annotations

import functools
import hashlib
import random
import re
from dataclasses import dataclass

from r1hf.world.words import HELD_OUT, as_typed, in_words, items, lines, texts

WORDS = 0.3  # of the stories write their small numbers as words
_OWN = ("fruit", "meal", "object", "ware", "animal", "bag")
_LISTS = {name: (name,) for name in _OWN} | {"food": ("fruit", "meal"), "thing": ("fruit", "meal", "object")}
_NOT_SHAPES = {"boys", "girls", "place", *_OWN}
_SLOT = re.compile(r"\{([+#]?)(\w+)(?:([:#])(\w+))?\}")
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_PLURALS = {"person": "people", "child": "children", "class": "classes"}
# One of something takes another verb: 1 is left, one bird leaves.
_AGREE = re.compile(
    r"\b((?:1|one)(?: more)?(?: [a-z]+)? )"
    r"(are|have|were|come|get|leave|run|go|pop|play|fly|lie|stay|remain|give|cost|hold|do)\b"
)
_SINGULAR = {"are": "is", "have": "has", "were": "was", "go": "goes", "fly": "flies", "do": "does"}
_PRONOUNS = {
    "en": {"he": ("he", "she"), "him": ("him", "her"), "his": ("his", "her")},
    "zh": {"he": ("他", "她")},
}


@dataclass(frozen=True)
class Story:
    """A template of a problem. `shape` is what it asks for, such as `a * b + c`, its letters as they stand in it."""

    shape: str
    text: str
    language: str

    @property
    def letters(self) -> tuple[str, ...]:
        return tuple(sorted(set(re.findall("[a-e]", self.shape))))

    def fits(self, values: dict[str, int]) -> bool:
        """Whether the numbers make sense: nothing is taken that is not there, groups have two or more."""
        if any(value < 1 for value in values.values()):
            return False
        return _lowest(self.shape, values) >= 0 and all(values[factor] >= 2 for factor in _factors(self.shape))

    def tell(self, values: dict[str, int], rng: random.Random) -> str:
        """The question with names, things and these numbers in it.

        Raises:
            ValueError: where the numbers do not fit, see `fits`.
        """
        if set(values) != set(self.letters) or not self.fits(values):
            raise ValueError(f"{values} do not fit a story of {self.shape}")
        text = _CHOICE.sub(lambda choice: rng.choice(choice[1].split("|")), self.text)
        told = _Teller(self.language, values, rng).tell(text)
        return as_typed(told, self.language, rng, polite=False)


def _factors(shape: str) -> set[str]:
    return set(re.findall(r"([a-e]) \*", shape)) | set(re.findall(r"\* ([a-e])", shape))


def _lowest(shape: str, values: dict[str, int]) -> int:
    """The lowest value on the way, parentheses and products first."""
    lowest = 0
    text = re.sub("[a-e]", lambda letter: str(values[letter[0]]), shape)
    for pattern in (r"\((\d+) ([+-]) (\d+)\)", r"(\d+) (\*) (\d+)", r"(?<![\d-])(-?\d+) ([+-]) (\d+)"):
        while found := re.search(pattern, text):
            left, sign, right = int(found[1]), found[2], int(found[3])
            value = {"+": left + right, "-": left - right, "*": left * right}[sign]
            lowest = min(lowest, value)
            text = text[: found.start()] + str(value) + text[found.end() :]
    return lowest


@functools.cache
def _nouns(kind: str, language: str) -> tuple[tuple[str, str], ...]:
    """English: singular and plural. Chinese: noun and measure word; a container is its own measure word."""
    found = []
    for item in items("\n".join(texts("stories", language)[name] for name in _LISTS[kind])):
        if language == "en":
            singular, _, plural = item.partition("/")
            found.append((singular, plural or f"{singular}s"))
        else:
            measure, _, noun = item.partition(" ")
            found.append((noun, measure))
    return tuple(found)


class _Teller:
    """Fills the slots of one story; the same slot says the same thing each time."""

    def __init__(self, language: str, values: dict[str, int], rng: random.Random):
        self.language, self.values, self.rng = language, values, rng
        self.words = rng.random() < WORDS
        self.nouns: dict[str, tuple[str, str]] = {}
        people = texts("stories", language)
        self.girl = rng.random() < 0.5
        own, either = people["girls" if self.girl else "boys"], people["girls"] + ";" + people["boys"]
        self.fixed = {"name": rng.choice(items(own)), "place": rng.choice(items(people["place"]))}
        self.fixed["name2"] = rng.choice([name for name in items(either) if name != self.fixed["name"]])
        self.fixed |= {word: forms[self.girl] for word, forms in _PRONOUNS[language].items()}

    def tell(self, text: str) -> str:
        told = _SLOT.sub(self._fill, text)
        if self.language == "zh":
            return told
        told = _AGREE.sub(lambda found: found[1] + _SINGULAR.get(found[2], f"{found[2]}s"), told)
        told = re.sub(r"\bare ((?:1|one) )", r"is \1", told)
        if self.values.get("b") == 2 and self.rng.random() < 0.7:
            told = re.sub(r"\b(2|two) times as many", "twice as many", told)
        return told if text[0].islower() else re.sub(r"(^|[.?] )([a-z])", lambda found: found[0].upper(), told)

    def _noun(self, kind: str) -> tuple[str, str]:
        if kind not in self.nouns:
            base = kind.rstrip("2")
            if base not in _LISTS:
                return kind, _PLURALS.get(kind, f"{kind}s")
            free = [noun for noun in _nouns(base, self.language) if noun not in self.nouns.values()]
            self.nouns[kind] = self.rng.choice(free)
        return self.nouns[kind]

    def _number(self, letter: str) -> str:
        value = self.values[letter]
        if not self.words or value > 12:
            return str(value)
        return "两" if self.language == "zh" and value == 2 else in_words(value, self.language)

    def _fill(self, slot: re.Match[str]) -> str:
        mark, name, link, kind = slot.groups()
        if name in self.values:
            number = self._number(name)
            if not kind:
                return number
            noun, other = self._noun(kind)
            if self.language == "en":
                return f"{number} {noun if self.values[name] == 1 else other}"
            return number + other + (noun if link == ":" else "")
        low = name[0].lower() + name[1:]
        said = self.fixed[low] if low in self.fixed else self._named(mark, low)
        return said[0].upper() + said[1:] if low != name else said

    def _named(self, mark: str, name: str) -> str:
        if self.language == "zh":
            noun, measure = self._noun(name)
            return measure if mark or not noun else noun
        if name.endswith("s"):
            return self._noun(name[:-1])[1]
        singular = self._noun(name)[0]
        return f"{'an' if singular[0] in 'aeiou' else 'a'} {singular}" if mark else singular


@functools.cache
def _split(language: str) -> tuple[tuple[Story, ...], tuple[Story, ...]]:
    sides: tuple[list[Story], list[Story]] = ([], [])
    for shape, block in texts("stories", language).items():
        if shape in _NOT_SHAPES:
            continue
        found = lines(block)
        ranked = sorted(found[2:], key=lambda text: hashlib.sha256(f"r1hf stories / {text}".encode()).hexdigest())
        count = max(1, round(HELD_OUT * len(found)))
        sides[1].extend(Story(shape, text, language) for text in ranked[:count])
        sides[0].extend(Story(shape, text, language) for text in found[:2] + ranked[count:])
    return tuple(sides[0]), tuple(sides[1])


def stories(language: str, held_out: bool) -> tuple[Story, ...]:
    """The templates of a language: those for training, or those whose wording is for evaluation only."""
    return _split(language)[held_out]
