"""Units of measure at the end of an answer: which phrase is one, and which are the same.

A unit is a product of powers of symbols; every spelling of it ("m/s^2", "metres per second squared") has one name.
Nothing is converted: 1 km is not 1000 m.
"""

from __future__ import annotations

import re
from functools import lru_cache

from r1hf.verify.nouns import is_counter, is_noun, is_phrase
from r1hf.verify.unit_table import (
    CANON,
    CHINESE_PREFIXED,
    CHINESE_PREFIXES,
    MEANINGS,
    PREFIXED,
    PREFIXES,
    WHOLE,
    WORD_PREFIXES,
)

MAX_LENGTH = 60  # characters of a phrase that may be a unit

_BARE_LETTERS = frozenset("mshgNJWVACFKT")  # a lone letter that is a unit after a blank: "8 N", but not "14 x"
_PRODUCTS = frozenset("mg gm ms mh nm ns gh hm gs sm mm2 ms2".split())  # without a blank these are variables: 2mg

_SIGNS = str.maketrans(
    {
        "μ": "µ", "\u2126": "Ω", "\u212b": "Å", "⋅": "*", "·": "*", "×": "*", "²": "^2", "³": "^3", "º": "°", "~": " ",
        "\u2019": "'", "″": "''", "′": "'",
    }
)  # fmt: skip
_POWERS = {"square": "^2", "sq": "^2", "sq.": "^2", "cubic": "^3", "cu": "^3", "cu.": "^3"}
_AFTER = {"squared": "^2", "cubed": "^3"}
_FACTOR = re.compile(r"(.+?)\s*(?:(?:\^|\*\*)\s*\{?\s*\(?\s*([+-]?\d)\s*\)?\s*\}?)?")
_PLAIN_POWER = re.compile(r"([A-Za-z]{1,2})([23])")  # "cm2", "m3"
_DEGREES = re.compile(r"(?:°|degrees?|deg)\s*(C|F|Celsius|Fahrenheit|centigrade)", re.IGNORECASE)
_CHINESE_POWER = re.compile(r"(平方|立方)(.+)")
# Words behind a unit that say nothing of the value: "18 cm long", "18 people in total".
_TAIL = re.compile(
    r"(?:(.*?\S)\s+)?(?:in (?:total|all)|total|altogether|overall|left(?: over)?|remaining|only)"
    r"|(.*?\S)\s+(?:long|wide|tall|high|deep|thick|old|apart|away|each|apiece|worth"
    r"|in (?:length|width|height|depth|area|volume|weight))"
)
# Words behind a unit that give it a direction: 5 years later is not 5 years ago.
_DIRECTIONS = {
    **dict.fromkeys(("later", "late", "after", "from now"), "later"),
    **dict.fromkeys(("ago", "early", "earlier", "before"), "ago"),
    **dict.fromkeys(("higher", "above", "up", "taller", "longer", "older", "heavier", "faster", "warmer"), "up"),
    **dict.fromkeys(("lower", "below", "down", "shorter", "younger", "lighter", "slower", "colder"), "down"),
    **dict.fromkeys(("forward", "forwards", "ahead"), "forward"),
    **dict.fromkeys(("backward", "backwards", "behind", "back"), "backward"),
    **{"north": "north", "south": "south", "east": "east", "west": "west"},
}
_DIRECTED = re.compile(rf"(.*\S)\s+({'|'.join(sorted(_DIRECTIONS, key=len, reverse=True))})")
_OF = re.compile(r"(?:(.*?\S)\s+)?of\s+(.+)")
_EACH = re.compile(r"(.*\S)\s+(?:an?|each|every)\s+(\S+)")  # "18 hours a day"
_SCALES = frozenset(("degree", "degree C", "degree F", "degree R", "arcmin", "arcsec"))  # they have no powers


@lru_cache(maxsize=4096)
def unit_name(text: str, marked: bool = False) -> str | None:
    r"""The unit that `text` is, one name for all its spellings ("sq cm" and "cm^2" are "cm^2").

    "" for a noun that names what is counted ("eggs", "个") and is not compared; None if it is no unit. One-letter
    symbols are units only if `marked` as text (\text{m}) or set off; else they are variables.
    """
    text = " ".join(text.translate(_SIGNS).replace("\\cdot", "*").replace("\\times", "*").split())
    if not text or len(text) > MAX_LENGTH:
        return None
    if scale := _DEGREES.fullmatch(text):
        return "degree " + ("F" if scale[1][0] in "Ff" else "C")
    if not marked and bare_letters(text):
        return None
    for read in (_symbol, _compound, _counted):
        if (name := read(text)) is not None:
            return name
    return None


def bare_letters(text: str) -> bool:
    """Whether a phrase of one-letter symbols ("N", "m/s", "m^2") could be taken for variables."""
    words = re.findall(r"[^\W\d_]+", text)
    return all(len(word) == 1 and word.isascii() for word in words) and bool(words)


def are_unit_letters(text: str, blank: bool = True) -> bool:
    """Whether all its lone letters are units that people write after a blank."""
    return set(re.findall(r"[A-Za-z]", text)) <= _BARE_LETTERS or blank and text in ("L", "H")


def is_product(text: str) -> bool:
    """Whether `text`, right behind a number, is rather a product of variables ("2mg")."""
    return text in _PRODUCTS


def same_unit(first: str | None, second: str | None) -> bool:
    """A unit, or a direction, counts only where both answers name one."""
    if not first or not second or first == second:
        return True
    first, _, way = first.partition(">")
    second, _, other_way = second.partition(">")
    if way and other_way and way != other_way:
        return False
    return not first or not second or bool(_meanings(first) & _meanings(second))


@lru_cache(maxsize=1024)
def _meanings(name: str) -> frozenset[str]:
    """The names that an ambiguous unit may have: a pound is a weight or money, in products too."""
    found = {name}
    factors = name.split("*")
    for at, factor in enumerate(factors):
        symbol, sign, power = factor.partition("^")
        for meaning in MEANINGS.get(symbol, ()):
            found.add("*".join(sorted([*factors[:at], meaning + sign + power, *factors[at + 1 :]])))
    return frozenset(found)


def _symbol(text: str) -> str | None:
    return _word(text) or (_word(text[:-1]) if text.endswith(".") else None)


def _counted(text: str) -> str | None:
    """A noun, or a unit with words around it that do not change it."""
    if is_noun(text) or is_counter(text):
        return ""
    if tail := _TAIL.fullmatch(text):
        core = tail[1] or tail[2]
        return unit_name(core, marked=True) if core else ""
    if directed := _DIRECTED.fullmatch(text):
        core = unit_name(directed[1], marked=True)
        return None if core is None or ">" in core else f"{core}>{_DIRECTIONS[directed[2]]}"
    if (of := _OF.fullmatch(text)) and is_phrase(of[2]):
        if of[1]:
            return unit_name(of[1], marked=True)
        return _word(of[2].rsplit(" ", 1)[-1]) or ""  # "of an hour", "of the pizza"
    if each := _EACH.fullmatch(text):
        return _compound(f"{each[1]}/{each[2]}")
    for end in range(min(4, len(text) - 1), 0, -1):  # "公斤苹果"
        unit = None if text[0].isascii() else _word(text[:end])
        if unit and is_counter("个" + text[end:].removeprefix("的")):
            return unit
    return None


def _compound(text: str) -> str | None:
    """The canonical product of powers; nouns in it do not count ("dollars per apple"). None if it is none."""
    powers: dict[str, int] = {}
    parts = [part.strip() for part in re.split(r"\s*/\s*|每|\s*\bper\s+", text)]
    for place, part in enumerate(parts):
        if part.startswith("(") and part.endswith(")"):
            part = part[1:-1].strip()
        factors = _factors(part)
        if factors is None and not (is_noun(part) or is_counter(part)) and (place or part):
            return None
        for name, power in factors or ():
            powers[name] = powers.get(name, 0) + (-power if place else power)
    if len(powers) == 1 and set(powers) & _SCALES and not set(powers.values()) <= {1}:
        return None
    return "*".join(name if power == 1 else f"{name}^{power}" for name, power in sorted(powers.items()) if power)


def _factors(text: str) -> list[tuple[str, int]] | None:
    """(symbol, power) of each factor of "kg m^2", "square feet", "平方厘米"; None if one is unknown."""
    if chinese := _CHINESE_POWER.fullmatch(text):
        name = _word(chinese[2])
        return [(name, 2 if chinese[1] == "平方" else 3)] if name else None
    if "^" not in text and "*" not in text and (name := _symbol(text)):
        return _split(name)
    words = [word for word in re.split(r"\s*(?<!\*)\*(?!\*)\s*|\s+|(?<=[A-Za-z])-(?=[A-Za-z])", text) if word]
    found: list[tuple[str, int]] = []
    power = 1
    for word in words:
        if word.lower() in _POWERS:
            power = int(_POWERS[word.lower()][1])
            continue
        if word.lower() in _AFTER and found:
            found[-1] = (found[-1][0], int(_AFTER[word.lower()][1]))
            continue
        match = _FACTOR.fullmatch(_PLAIN_POWER.sub(r"\1^\2", word))
        name = _symbol(match[1]) if match else None
        if match is None or name is None:
            return None
        factors = _split(name)
        found += [(factor, own * int(match[2] or power)) for factor, own in factors]
        power = 1
    return found or None


def _split(name: str) -> list[tuple[str, int]]:
    """The factors of a canonical name: a "mph" in a product is h^-1*mi."""
    pairs = (factor.partition("^") for factor in name.split("*"))
    return [(factor, int(power or 1)) for factor, _, power in pairs]


def _word(word: str) -> str | None:
    """The name of one symbol or word, with its prefix. Case counts in short symbols: mM is no mm."""
    if known := CANON.get(word) or WHOLE.get(word):
        return known
    if len(word) > 1 and word[0] in PREFIXES and word[1:] in PREFIXED:
        return word[0].replace("µ", "u") + CANON.get(word[1:], word[1:])
    if not word.isascii() and word[:1] in CHINESE_PREFIXES and word[1:] in CHINESE_PREFIXED:
        return CHINESE_PREFIXES[word[0]] + CANON[word[1:]]
    lower = word.replace("-", " ").lower()
    if len(word) > 1 and (len(word) > 3 or word[1:].islower() or word.isupper()):
        if known := CANON.get(lower) or WHOLE.get(lower):
            return known
    for prefix, sign in WORD_PREFIXES.items():
        if lower.startswith(prefix) and (known := CANON.get(lower[len(prefix) :])) and len(lower) - len(prefix) > 2:
            return sign + known
    return None
