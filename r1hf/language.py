"""Which language a text is written in, by script, word by word: the truth under the language-consistency reward.

Languages that share a script (English and French) are not told apart here.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from r1hf.errors import DataError
from r1hf.grammar import SEPARATOR, TAGS

LATIN, HAN, KANA, HANGUL, CYRILLIC, ARABIC = "latin", "han", "kana", "hangul", "cyrillic", "arabic"
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
_SIGNS = {
    HAN: "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
    KANA: "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff",
    THAI: "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46",
}
_KNOWN = "".join(_LETTERS.values()) + "".join(_SIGNS.values())
_WORD = re.compile(
    rf"(?P<{LATIN}>[{_LETTERS[LATIN]}]+(?:['’-][{_LETTERS[LATIN]}]+)*)"
    + "".join(rf"|(?P<{name}>[{letters}]+)" for name, letters in _LETTERS.items() if name != LATIN)
    + "".join(rf"|(?P<{name}>[{signs}])" for name, signs in _SIGNS.items())
    + rf"|(?P<{OTHER}>(?:(?![{_KNOWN}])[^\W\d_])+)"
)
_SCRIPTS = {"zh": {HAN}, "ja": {HAN, KANA}, "ko": {HANGUL}, "el": {GREEK}, "he": {HEBREW}, "th": {THAI}}
_SCRIPTS |= {code: {CYRILLIC} for code in "ru uk bg be sr mk kk".split()}
_SCRIPTS |= {code: {ARABIC} for code in "ar fa ur".split()}
_SCRIPTS |= {code: {DEVANAGARI} for code in "hi mr ne".split()}
_SCRIPTS |= {
    code: {LATIN}
    for code in "en fr de es it pt nl pl cs sk sv da no fi et lv lt hu ro hr sl tr vi id ms sw ca eu gl tl".split()
}
_DETECTED = {LATIN: "en", HAN: "zh", KANA: "ja", HANGUL: "ko", CYRILLIC: "ru", ARABIC: "ar"}
_DETECTED |= {GREEK: "el", HEBREW: "he", DEVANAGARI: "hi", THAI: "th"}

_FUNCTION_NAMES = frozenset(
    "sin cos tan cot sec csc log ln exp max min mod gcd lcm sqrt frac arcsin arccos arctan".split()
)
_MARKS = re.compile("|".join(re.escape(mark) for mark in (*TAGS, SEPARATOR, SEPARATOR.replace(" ", ""))))
_FENCE = re.compile(r"```.*?```|~~~.*?~~~", re.DOTALL)
_URL = re.compile(r"(?:https?://|www\.)[!-~]+|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+")
_INLINE = re.compile(
    r"\$\$(.{1,500}?)\$\$|\$([^$\n]{1,200})\$|\\\((.{1,500}?)\\\)|\\\[(.{1,500}?)\\\]|`([^`\n]{1,200})`"
    r"|\\begin\{(?:equation|align|aligned|gather|cases|array|[bpv]?matrix)\*?\}(.{1,500}?)\\end\{",
    re.DOTALL,
)
_COMMAND = re.compile(r"\\([A-Za-z]+)")
# Only commands that exist are notation: a backslash before an ordinary word hides nothing.
_COMMAND_NAMES = _FUNCTION_NAMES | frozenset(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho sigma "
    "tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega dfrac tfrac cfrac "
    "times cdot div pm mp leq geq neq le ge ne lt gt approx equiv sim cong propto infty partial nabla sum prod "
    "int iint oint lim binom choose left right big Big bigg Bigg text textbf textit mathrm mathbf mathbb mathcal "
    "mathsf operatorname mbox boxed fbox begin end quad qquad hspace ldots cdots dots vdots ddots overline "
    "underline hat bar vec tilde angle circ degree triangle parallel perp in notin subset subseteq cup cap "
    "emptyset setminus forall exists implies iff to rightarrow leftarrow Rightarrow Leftarrow Leftrightarrow "
    "longrightarrow mapsto land lor neg therefore because mid nmid pmod bmod lfloor rfloor lceil rceil langle "
    "rangle prime star ast displaystyle textstyle hline tag label phantom underbrace overbrace stackrel substack "
    "limits item".split()
)
_GLUED_LETTERS = 3
_PROSE_WORDS = 3


def target_share(text: str, target: str) -> float | None:
    """Share of the words of `text` that are in `target` (ISO 639-1; "zh-Hant" counts as "zh"), None without words.

    DeepSeek-R1 §2.3.2: Num(words in target) / Num(words). A word is a run of letters of one script, and for Han, Kana
    and Thai each character. Not words: variables (single letters), up to three letters glued to a number (10cm),
    function names (sin), tags, LaTeX, code and URLs. `$…$` and code spans that hold prose count as prose, so that
    nothing hides there; closed code fences are always left out. Raises DataError for an unknown language.
    """
    scripts = _scripts_of(target)
    counts = _count(text)
    total = sum(counts.values())
    if not total:
        return None
    return sum(counts[script] for script in scripts) / total


def detect(text: str) -> str | None:
    """The language of the script with most words ("en" for Latin), None without words. Kana makes Han Japanese."""
    counts = _count(text)
    if counts[KANA] * 10 >= counts[HAN] + counts[KANA] > 0:
        counts[KANA] += counts.pop(HAN, 0)
    counts.pop(OTHER, None)
    return _DETECTED[counts.most_common(1)[0][0]] if counts.total() else None


def is_mixed(text: str, target: str, threshold: float = 0.9) -> bool | None:
    """True if less than `threshold` of the words are in `target`; None without words."""
    share = target_share(text, target)
    return None if share is None else share < threshold


def _scripts_of(target: str) -> set[str]:
    code = target.strip().lower().replace("_", "-").partition("-")[0]
    if code not in _SCRIPTS:
        raise DataError(f"language {target!r} is unknown; use an ISO 639-1 code, one of {', '.join(sorted(_SCRIPTS))}")
    return _SCRIPTS[code]


def _count(text: str) -> Counter[str]:
    if not text.isascii():
        # Full-width and mathematical letters are Latin letters.
        text = unicodedata.normalize("NFKC", text)
    text = _without_notation(text)
    return Counter(match.lastgroup or OTHER for match in _WORD.finditer(text) if _is_word(match))


def _is_word(match: re.Match[str]) -> bool:
    """Not so: a variable (x, α), a function name, up to three letters glued to a number (10cm, 3rd)."""
    if match.lastgroup not in (LATIN, GREEK):
        return True
    word, start = match[0], match.start()
    if len(word) == 1 or word.lower() in _FUNCTION_NAMES:
        return False
    return not (len(word) <= _GLUED_LETTERS and start and match.string[start - 1].isdigit())


def _without_notation(text: str) -> str:
    if "<" in text or "|" in text:
        text = _MARKS.sub(" ", text)
    if "```" in text or "~~~" in text:
        text = _FENCE.sub(" ", text)
    if "://" in text or "www." in text or "@" in text:
        text = _URL.sub(" ", text)
    if "$" in text or "`" in text or "\\" in text:
        text = _without_commands(_INLINE.sub(_prose_or_nothing, text))
    return text


def _without_commands(text: str) -> str:
    return _COMMAND.sub(lambda command: " " if command[1] in _COMMAND_NAMES else command[0], text)


def _prose_or_nothing(span: re.Match[str]) -> str:
    """Keep a span that is written in words; drop one that is notation."""
    inside = _without_commands(span[span.lastindex or 0])
    words = [match.lastgroup for match in _WORD.finditer(inside) if _is_word(match)]
    return f" {inside} " if len(words) >= _PROSE_WORDS or any(script != LATIN for script in words) else " "
