"""Which language a text is written in, word by word: the truth under the language-consistency reward.

Script decides where it can; among languages of one script, word frequencies do. See docs/language.md.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from r1hf.text.language import han
from r1hf.text.language.codes import SCRIPTS, known_code, language_code, names_none, unknown
from r1hf.text.language.han import is_traditional
from r1hf.text.language.identify import IDENTIFIED, best_language, count_target, lists
from r1hf.text.language.notation import prose
from r1hf.text.language.words import CJK, LATIN, OTHER, Token, size, total

__all__ = [
    "detect",
    "is_listed",
    "is_mixed",
    "is_traditional",
    "language_code",
    "names_none",
    "target_counts",
    "target_of",
    "target_share",
    "unknown",
]

# Per script the language to expect: the first one of the table that is mostly written in it.
_EXPECTED = {scripts[0]: code for code, scripts in reversed(SCRIPTS.items())}
# Letters that one language of a script has and those that are likelier have not; the first that is found decides.
_OWN_LETTERS = {
    "arabic": {"ps": "ټډړږښڼ", "ug": "ۆۈېە", "sd": "ڄڃڇڻڙ", "ku": "ێڕڵ"},
    "bengali": {"as": "ৰৱ"},
    "cyrillic": {"kk": "ұ", "tg": "ҷӣӯ", "tt": "җ", "ba": "ҙҫ", "be": "ў", "ky": "ң", "mn": "үө"},
    "latin": {"az": "ə", "ha": "ɓɗƙ", "yo": "ṣ"},
}


def target_share(text: str, target: str, *, min_words: int = 1) -> float | None:
    """Share of the words of `text` that are in `target` (ISO 639-1; "zh-Hant" counts as "zh").

    DeepSeek-R1 §2.3.2: Num(words in target) / Num(words). A word is a run of letters of one script, and for Han, Kana,
    Thai, Lao, Khmer and Burmese each letter. Not words: single letters, up to three letters glued to a number (10cm),
    function names (sin), tags, LaTeX, code, URLs, short quoted terms, and in a text of another script Latin names,
    points, formulas, identifiers and paths. What holds prose counts as prose, so that nothing hides there. A word that
    no language claims is in the language of the words around it, and in `target` if nothing speaks against it; a
    target without a word list has the words that no larger language claims.

    None with fewer than `min_words` words. Raises DataError for an unknown language.
    """
    own, count = target_counts(text, target)
    return own / count if count >= max(min_words, 1) else None


def target_counts(text: str, target: str) -> tuple[int, int]:
    """(words in `target`, all words), counted as for `target_share`."""
    code = known_code(target)
    found = prose(text, latin=LATIN in SCRIPTS[code])
    return _count_in(code, found), total(found)


def target_of(language: Any, question: str) -> str | None:
    """The language to ask for: the row's own, or that of its question where it names none.

    None if the row's language is unknown, or the question tells none: then nothing can be judged.
    """
    return detect(question) if names_none(language) else language_code(language)


def detect(text: str) -> str | None:
    """The language of most words, None without words, or where they are mostly in no language's list.

    Kana makes Han Japanese. Latin, Cyrillic and Arabic words that tell nothing are English, Russian and Arabic.
    """
    found = prose(text, latin=True, thorough=True)
    counts: Counter[str] = Counter()
    for token in found:
        counts[token[0]] += size(token)
    counts.pop(OTHER, None)
    if not counts.total():
        return None
    script = counts.most_common(1)[0][0]
    own = [word for kind, word in found if kind == script]
    if script == CJK:
        return "ja" if han.kana_signs("".join(own)) * 10 >= counts[CJK] else "zh"
    if script == LATIN and any(mark in text for mark in "¿¡"):
        return "es"
    signs = set("".join(word for word in own if len(word) > 1))
    for code, letters in _OWN_LETTERS.get(script, {}).items():
        if signs.intersection(letters):
            return code
    return best_language(own, script) if script in IDENTIFIED else _EXPECTED[script]


def is_listed(code: str) -> bool:
    """Whether `code` is told from the other languages of its scripts by more than what these do not claim."""
    return all(script not in IDENTIFIED or lists(code, script) for script in SCRIPTS[code])


def is_mixed(text: str, target: str, threshold: float = 0.9) -> bool | None:
    """True if less than `threshold` of the words are in `target`; None without words."""
    share = target_share(text, target)
    return None if share is None else share < threshold


def _count_in(code: str, found: list[Token]) -> int:
    return sum(
        _count_script(code, script, [word for kind, word in found if kind == script]) for script in SCRIPTS[code]
    )


def _count_script(code: str, script: str, own: list[str]) -> int:
    if script == CJK:
        return han.count_target(own, code)
    if own and script in IDENTIFIED:
        return count_target(own, script, code)
    return total([(script, word) for word in own])
