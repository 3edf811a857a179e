"""Words by script: what counts as a word, and which scripts write which language."""

from __future__ import annotations

import functools
import re

LATIN, CJK, HANGUL, CYRILLIC, ARABIC = "latin", "cjk", "hangul", "cyrillic", "arabic"
GREEK, HEBREW, DEVANAGARI, THAI, OTHER = "greek", "hebrew", "devanagari", "thai", "other"

# A run of letters is one word; Han, Kana and Thai are written without spaces, so each character is one.
_LETTERS = {
    LATIN: "A-Za-zªºÀ-ÖØ-öø-ʯḀ-ỿ",
    CYRILLIC: "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    ARABIC: "\u0620-\u065f\u066e-\u06d3\u06d5-\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08ff",
    HANGUL: "\u1100-\u11ff\u3130-\u318f\uac00-\ud7ff",
    GREEK: "\u0370-\u03ff\u1f00-\u1fff",
    HEBREW: "\u0591-\u05f4",
    DEVANAGARI: "\u0900-\u0963\u0970-\u097f",
}
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff"
# The prolonged sound mark ー stands inside words and is none.
_SIGNS = {CJK: f"{HAN}{KANA}\u30fc", THAI: "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"}


def _run(letters: str) -> str:
    """A word that may hold apostrophes and hyphens: don't, grand-mère, п'ять."""
    return rf"[{letters}]+(?:['’-][{letters}]+)*"


def _latin(letters: str) -> str:
    """No variables (x, x-y; é and à are words), and after a digit no word of up to three letters (10cm, 3rd)."""
    variables = rf"(?![A-Za-z](?:['’-][A-Za-z])*(?!['’-]?[{letters}]))"
    return rf"(?:(?<![\d{letters}])|(?=[{letters}]{{4}})){variables}{_run(letters)}"


# U+2000 to U+2BFF are marks and symbols.
_BEYOND_LATIN = re.compile("[^\x00-\u024f\u1e00-\u1eff\u2000-\u2bff]")


# Compiled when first needed: the large classes take most of the time that importing this module would.
@functools.cache
def _latin_words(letters: str) -> re.Pattern[str]:
    return re.compile(_latin(letters))


@functools.cache
def _any_words() -> re.Pattern[str]:
    known = "".join(_LETTERS.values()) + "".join(_SIGNS.values())
    others = {name: letters for name, letters in _LETTERS.items() if name not in (LATIN, CYRILLIC)} | _SIGNS
    return re.compile(
        rf"(?P<{LATIN}>{_latin(_LETTERS[LATIN])})|(?P<{CYRILLIC}>{_run(_LETTERS[CYRILLIC])})"
        + "".join(rf"|(?P<{name}>[{letters}]+)" for name, letters in others.items())
        + rf"|(?P<{OTHER}>(?:(?![{known}])[^\W\d_])+)"
    )


SCRIPTS = {"zh": CJK, "ja": CJK, "ko": HANGUL, "el": GREEK, "he": HEBREW, "th": THAI}
SCRIPTS |= dict.fromkeys("ru uk bg be sr mk kk".split(), CYRILLIC)
SCRIPTS |= dict.fromkeys("ar fa ur".split(), ARABIC)
SCRIPTS |= dict.fromkeys("hi mr ne".split(), DEVANAGARI)
SCRIPTS |= dict.fromkeys(
    "en fr de es it pt nl pl cs sk sv da no fi et lv lt hu ro hr sl tr vi id ms sw ca eu gl tl is".split(), LATIN
)

FUNCTION_NAMES = frozenset(
    "sin cos tan cot sec csc log ln exp max min mod gcd lcm sqrt frac arcsin arccos arctan".split()
)
_UNITS = "mm cm dm km kg mg ml dl cl kB MB GB TB kW MW kWh Hz kHz MHz GHz mph kmh lbs".split()
_NO_WORDS = FUNCTION_NAMES.union(
    _UNITS, *((name.upper(), name.title()) for name in FUNCTION_NAMES), (chr(code) for code in range(0x370, 0x400))
)

# (script, text): one word, or a run of Han and Kana, or of Thai, each sign of which is a word.
Token = tuple[str, str]


def tokens(text: str) -> list[Token]:
    """The words of `text`.

    Not words: a variable (x, α, x-y), a function name, a unit, up to three letters after a digit (10cm).
    """
    # Most texts are all in Latin letters, and then a plain pattern is enough, and several times faster.
    if text.isascii() or not _BEYOND_LATIN.search(text):
        pattern = _latin_words("A-Za-z" if text.isascii() else _LETTERS[LATIN])
        return [(LATIN, word) for word in pattern.findall(text) if word not in _NO_WORDS]
    found = _any_words().finditer(text)
    return [(match.lastgroup or OTHER, match[0]) for match in found if match[0] not in _NO_WORDS]


def size(token: Token) -> int:
    """How many words a token is."""
    if token[0] == CJK:
        return len(token[1]) - token[1].count("ー")
    return len(token[1]) if token[0] == THAI else 1


def total(found: list[Token]) -> int:
    return sum(map(size, found))
