"""Which language a text is written in, word by word: the truth under the language-consistency reward.

Script decides where it can; among languages of one script, word frequencies do. See docs/language.md.
"""

from __future__ import annotations

from collections import Counter

from r1hf.errors import DataError
from r1hf.language import han
from r1hf.language.identify import IDENTIFIED, best_language, count_target
from r1hf.language.notation import prose
from r1hf.language.words import CJK, DEVANAGARI, GREEK, HANGUL, HEBREW, LATIN, OTHER, SCRIPTS, THAI, Token, size, total

__all__ = ["detect", "is_mixed", "target_share"]

_DETECTED = {HANGUL: "ko", GREEK: "el", HEBREW: "he", DEVANAGARI: "hi", THAI: "th"}
# What people write for a code: names, and other codes than ISO 639-1.
_NAMES = (
    "english:en chinese:zh mandarin:zh cn:zh japanese:ja jp:ja korean:ko kr:ko russian:ru arabic:ar spanish:es "
    "french:fr german:de deutsch:de vietnamese:vi vn:vi italian:it portuguese:pt dutch:nl polish:pl turkish:tr "
    "indonesian:id ukrainian:uk ua:uk hindi:hi greek:el gr:el hebrew:he iw:he thai:th persian:fa farsi:fa czech:cs "
    "cz:cs swedish:sv se:sv danish:da dk:da norwegian:no nb:no nn:no finnish:fi hungarian:hu romanian:ro serbian:sr "
    "in:id zho:zh chi:zh jpn:ja deu:de ger:de spa:es por:pt fil:tl"
)
_NEAREST = dict(pair.split(":") for pair in _NAMES.split())


def target_share(text: str, target: str, *, min_words: int = 1) -> float | None:
    """Share of the words of `text` that are in `target` (ISO 639-1; "zh-Hant" counts as "zh").

    DeepSeek-R1 §2.3.2: Num(words in target) / Num(words). A word is a run of letters of one script, and for Han, Kana
    and Thai each character. Not words: single letters, up to three letters glued to a number (10cm), function names
    (sin), tags, LaTeX, code, URLs, short quoted terms, and Latin names in a text of another script. Spans that hold
    prose count as prose, so that nothing hides there; closed code fences are always left out. A word that no
    language claims is in the language of the words around it, and in `target` if nothing speaks against it.

    None with fewer than `min_words` words. Raises DataError for an unknown language.
    """
    code = _known_code(target)
    found = prose(text, latin=SCRIPTS[code] == LATIN)
    count = total(found)
    return _count_in(code, found) / count if count >= max(min_words, 1) else None


def detect(text: str) -> str | None:
    """The language of most words, None without words.

    Kana makes Han Japanese. Latin, Cyrillic and Arabic words that tell nothing are English, Russian and Arabic.
    """
    found = prose(text, latin=True)
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
    if script not in IDENTIFIED:
        return _DETECTED[script]
    if script == LATIN and any(mark in text for mark in "¿¡"):
        return "es"
    return best_language(own, script)


def is_mixed(text: str, target: str, threshold: float = 0.9) -> bool | None:
    """True if less than `threshold` of the words are in `target`; None without words."""
    share = target_share(text, target)
    return None if share is None else share < threshold


def _known_code(target: str) -> str:
    code = target.strip().lower().replace("_", "-").partition("-")[0]
    if code in SCRIPTS:
        return code
    import difflib

    close = difflib.get_close_matches(code, [*_NEAREST, *SCRIPTS], n=1, cutoff=0.75)
    nearest = _NEAREST.get(close[0], close[0]) if close else None
    hint = f"did you mean {nearest!r}? Use" if nearest else "use"
    raise DataError(f"language {target!r} is unknown; {hint} an ISO 639-1 code, one of {', '.join(sorted(SCRIPTS))}")


def _count_in(code: str, found: list[Token]) -> int:
    script = SCRIPTS[code]
    own = [word for kind, word in found if kind == script]
    if script == CJK:
        return han.count_target(own, code)
    if own and code in IDENTIFIED.get(script, ()):
        return count_target(own, script, code)
    return total([(script, word) for word in own])
