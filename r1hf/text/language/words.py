"""Words by script: what counts as a word."""

from __future__ import annotations

import functools
import re
import unicodedata

LATIN, CJK, HANGUL, CYRILLIC, ARABIC = "latin", "cjk", "hangul", "cyrillic", "arabic"
DEVANAGARI, THAI, OTHER = "devanagari", "thai", "other"

# A run of letters is one word; the scripts of _SIGNS are written without spaces, so each letter there is one.
_LETTERS = {
    LATIN: "A-Za-zªºÀ-ÖØ-öø-ʯḀ-ỿ",
    CYRILLIC: "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    ARABIC: "\u0620-\u065f\u066e-\u06d3\u06d5-\u06ef\u06fa-\u06ff\u0750-\u077f\u08a0-\u08ff",
    HANGUL: "\u1100-\u11ff\u3130-\u318f\uac00-\ud7ff",
    "greek": "\u0370-\u03ff\u1f00-\u1fff",
    "hebrew": "\u0591-\u05f4",
    DEVANAGARI: "\u0900-\u0963\u0970-\u097f",
}
HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff"
# The prolonged sound mark ー stands inside words and is none.
_SIGNS = {CJK: f"{HAN}{KANA}\u30fc", THAI: "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46"}
# First and last character of blocks whose letters and marks make words, and of those written without spaces.
_BLOCKS = {
    "armenian": "\u0530\u058f",
    "syriac": "\u0700\u074f",
    "thaana": "\u0780\u07bf",
    "nko": "\u07c0\u07ff",
    "bengali": "\u0980\u09ff",
    "gurmukhi": "\u0a00\u0a7f",
    "gujarati": "\u0a80\u0aff",
    "oriya": "\u0b00\u0b7f",
    "tamil": "\u0b80\u0bff",
    "telugu": "\u0c00\u0c7f",
    "kannada": "\u0c80\u0cff",
    "malayalam": "\u0d00\u0d7f",
    "sinhala": "\u0d80\u0dff",
    "tibetan": "\u0f00\u0fff",
    "georgian": "\u10a0\u10ff\u1c90\u1cbf\u2d00\u2d2f",
    "ethiopic": "\u1200\u139f\u2d80\u2ddf\uab00\uab2f",
    "cherokee": "\u13a0\u13ff\uab70\uabbf",
    "mongolian": "\u1800\u18af",
    "olchiki": "\u1c50\u1c7f",
    "tifinagh": "\u2d30\u2d7f",
    "meetei": "\uaae0\uaaff\uabc0\uabff",
}
_SIGN_BLOCKS = {"lao": "\u0e80\u0eff", "myanmar": "\u1000\u109f\ua9e0\ua9ff\uaa60\uaa7f", "khmer": "\u1780\u17ff"}
_ACCENTS = "\u0300-\u036f"  # that no letter is joined with: Yoruba's ọ́, a stressed и́
WITHOUT_SPACES = frozenset([*_SIGNS, *_SIGN_BLOCKS])


def _letters_of(block: str, kinds: str) -> str:
    """A character class of the letters of a block; `kinds`: L for letters, LM with the marks on them."""
    signs = [chr(code) for n in range(0, len(block), 2) for code in range(ord(block[n]), ord(block[n + 1]) + 1)]
    return "".join(sign for sign in signs if unicodedata.category(sign)[0] in kinds)


def _run(letters: str, joints: str = "'’-") -> str:
    """A word that may hold apostrophes and hyphens: don't, grand-mère, п'ять."""
    more = f"[{letters}{_ACCENTS}]"
    return rf"[{letters}]{more}*(?:[{joints}]{more}+)*"


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
    signs = _SIGNS | {name: _letters_of(block, "L") for name, block in _SIGN_BLOCKS.items()}
    runs = _LETTERS | {name: _letters_of(block, "LM") for name, block in _BLOCKS.items()}
    known = "".join(runs.values()) + "".join(signs.values())
    joined = {
        name: _run(letters, "\u200c\u200d")
        for name, letters in runs.items()
        if name not in (LATIN, CYRILLIC, ARABIC, HANGUL)
    }
    # The scripts met most come first: the alternatives are tried in turn.
    patterns = {LATIN: _latin(runs[LATIN]), CYRILLIC: _run(runs[CYRILLIC])}
    patterns |= {name: f"[{runs[name]}]+" for name in (ARABIC, HANGUL)}
    patterns |= {CJK: f"[{signs[CJK]}]+"} | joined | {name: f"[{letters}]+" for name, letters in signs.items()}
    patterns |= {OTHER: rf"(?:(?![{known}])[^\W\d_])+"}
    # A word begins with a letter: between words, no alternative is tried.
    return re.compile(rf"(?=[^\W\d_])(?:{'|'.join(f'(?P<{name}>{pattern})' for name, pattern in patterns.items())})")


FUNCTION_NAMES = frozenset(
    "sin cos tan cot sec csc log ln exp max min mod gcd lcm sqrt frac arcsin arccos arctan sinh cosh tanh lim "
    "argmax argmin".split()
)
_UNITS = (
    "mm cm dm km nm kg mg ml mL dl cl kB KB MB GB TB kW MW kWh Hz kHz MHz GHz mph kmh lbs mol kmol mmol kJ kN kV kA "
    "mA mV kPa MPa eV keV MeV GeV dB rpm ms ns"
).split()
NO_WORDS = FUNCTION_NAMES.union(
    _UNITS, *((name.upper(), name.title()) for name in FUNCTION_NAMES), (chr(code) for code in range(0x370, 0x400))
)

# (script, text): one word, or a run of a script without spaces, each sign of which is a word.
Token = tuple[str, str]


def has_other_scripts(text: str) -> bool:
    """Whether there may be words that are not in Latin letters."""
    return not text.isascii() and _BEYOND_LATIN.search(text) is not None


def tokens(text: str) -> list[Token]:
    """The words of `text`.

    Not words: a variable (x, α, x-y), a function name, a unit, up to three letters after a digit (10cm).
    """
    # Most texts are all in Latin letters, and then a plain pattern is enough, and several times faster.
    if not has_other_scripts(text):
        pattern = _latin_words("A-Za-z" if text.isascii() else _LETTERS[LATIN])
        return [(LATIN, word) for word in pattern.findall(text) if word not in NO_WORDS]
    found = _any_words().finditer(text)
    return [(match.lastgroup or OTHER, match[0]) for match in found if match[0] not in NO_WORDS]


def size(token: Token) -> int:
    """How many words a token is."""
    if token[0] == CJK:
        return len(token[1]) - token[1].count("ー")
    return len(token[1]) if token[0] in WITHOUT_SPACES else 1


def total(found: list[Token]) -> int:
    return sum(map(size, found))
