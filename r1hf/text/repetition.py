"""Text that goes round in circles: n-grams, sentences and paragraphs that come again, in any script."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

# One unit: a character of a script without spaces (Thai, Burmese, Khmer, Japanese, Chinese), a word, or a sign.
# Long words come in pieces, so that "hahaha…" repeats itself too.
_UNIT = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    r"|[^\W_]{1,16}|[^\w\s]|_"
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")
_PARAGRAPH = re.compile(r"\n\s*\n|\n")
_LOOP = re.compile(r"([^\n]{1,12}?)\1{7,}")  # a piece eight times without a break

# docs/data.md: which worked solutions of GSM8K and MATH-500 reach these.
_NGRAM, _LATEX_NGRAM, _NGRAM_SHARE, _LEAST_UNITS = 10, 20, 0.35, 20
_IN_A_ROW, _ROW_UNITS = 3, 3
_AGAIN, _AGAIN_UNITS = 4, 10
_SHARE, _SHARE_UNITS = 0.3, 4
_PARAGRAPH_UNITS = 40


def units(text: str) -> list[str]:
    """Words, signs, and single characters where a script has no spaces; small letters."""
    return _UNIT.findall(text.casefold())


def repeated_share(text: str, ngram_size: int) -> float:
    """The share of the n-grams in `text` that occurred before, 0.0 to below 1.0; 0.0 where there is none."""
    found = units(text)
    ngrams = list(zip(*(found[start:] for start in range(ngram_size)), strict=False))
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def repeats_itself(text: str) -> bool:
    """Whether a sentence or a paragraph comes again and again, or the text is one loop.

    A step that a check writes again, and a phrase that a long derivation comes back to, are no repetition.
    """
    # "hahaha…", but no row of dots, dashes or digits.
    if any(any(char.isalpha() for char in loop[1]) for loop in _LOOP.finditer(text)):
        return True
    sentences = _counted(_SENTENCE.split(text))
    if any(len(list(run)) >= _IN_A_ROW and len(one) >= _ROW_UNITS for one, run in groupby(sentences)):
        return True
    counts = Counter(sentences)
    if any(count >= _AGAIN and len(one) >= _AGAIN_UNITS for one, count in counts.items()):
        return True
    again = sum((count - 1) * len(one) for one, count in counts.items() if count > 2 and len(one) >= _SHARE_UNITS)
    whole = sum(map(len, sentences))
    if again > _SHARE * whole:
        return True
    paragraphs = Counter(one for one in _counted(_PARAGRAPH.split(text)) if len(one) >= _PARAGRAPH_UNITS)
    if any(count > 1 for count in paragraphs.values()):
        return True
    # Each line of a derivation writes the commands of the line before.
    size = _LATEX_NGRAM if "\\" in text else _NGRAM
    return whole >= _LEAST_UNITS and repeated_share(text, size) > _NGRAM_SHARE


def _counted(pieces: Sequence[str]) -> list[tuple[str, ...]]:
    return [found for piece in pieces if (found := tuple(units(piece)))]
