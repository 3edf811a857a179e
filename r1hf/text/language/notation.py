"""What is taken out of a text before its words are counted: tags, LaTeX, code, URLs, short quoted terms, names."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable

from r1hf.text.grammar import SEPARATOR, TAGS
from r1hf.text.language.stripping import has_function_words, is_function_word, strip_notation
from r1hf.text.language.words import FUNCTION_NAMES, LATIN, WITHOUT_SPACES, Token, has_other_scripts, tokens, total

_MARKS = re.compile("|".join(re.escape(mark) for mark in (*TAGS, SEPARATOR, SEPARATOR.replace(" ", ""))))
_FENCE = re.compile(r"```(.*?)```|~~~(.*?)~~~|\[asy\](.{0,5000}?)\[/asy\]", re.DOTALL)
_ADDRESS = re.compile(r"(?:https?://|www\.)[!-~]+|[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+")
_SUFFIX = r"\.(?:com|org|net|edu|gov|io|ai|cn|jp|ru|de|fr|py|js|txt|csv|json|md)\b"
_DOMAIN = re.compile(rf"\b[A-Za-z0-9][\w-]{{0,62}}(?:\.[\w-]{{1,63}}){{0,3}}{_SUFFIX}(?:/[!-~]*)?", re.ASCII)
_HAS_DOMAIN = re.compile(_SUFFIX, re.ASCII)
_INLINE = re.compile(
    r"\$\$(?P<display>.{1,1500}?)\$\$|\$(?P<dollar>[^$\n]{1,200})\$|\\\((?P<round>.{1,1500}?)\\\)"
    r"|\\\[(?P<square>.{1,1500}?)\\\]|`(?P<code>[^`\n]{1,200})`"
    r"|\\begin\{(?:equation|align|aligned|gather|cases|array|[bpv]?matrix)\*?\}(?P<block>.{1,1500}?)\\end\{\w*\*?\}",
    re.DOTALL,
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[A-Za-z]{1,12}\*?\}(?:\{[lcr|]{1,20}\})?")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
# Only commands that exist are notation: a backslash before an ordinary word hides nothing.
_COMMAND_NAMES = FUNCTION_NAMES | frozenset(
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
_CODE_WORDS = frozenset(
    "def return import from as for in while if else elif print lambda class try except None True False and or not is "
    "pass break continue with yield range len int str float list dict set sum max min const let var function".split()
)
_CODE_SIGN = re.compile(r"[(){}\[\]=;_<>+*/%|&#]|(?<=\w)\.(?=\w)|(?<=[\w)]):(?=\s|$)")
_WORD = re.compile(r"[^\W\d_]+")
# A word of prose, which ends the search for texts of notation alone.
_PLAIN_WORD = re.compile(r"(?:^|[\s(])[^\W\d_A-Z][^\W\d_A-Z]{2,}(?![^\s.,;:!?)])")
_PROSE_WORDS = 3
_FACTORS = 3

_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "‹": "›", "「": "」", "『": "』", "《": "》"}
_QUOTED = re.compile(
    "|".join(f"{open_}([^{open_}{close}\n]{{1,40}}){close}" for open_, close in _QUOTES.items()) + "|„([^„”\n]{1,40})”"
)
_QUOTE = re.compile(f"[{''.join(_QUOTES)}]")
_QUOTED_WORDS, _QUOTED_SIGNS = 3, 6
_ASIDE_FLOOR, _ASIDE_SHARE = 3, 4
_NAME_WORDS = 2


def prose(text: str, *, latin: bool, thorough: bool = False) -> list[Token]:
    """The words of `text` without notation; `latin`: the language asked for is written in Latin letters.

    thorough: identifiers go out of a text of Latin letters too, where they seldom matter.

    What short code spans, formulas and quoted terms hold is left out, unless it is more than three words and more
    than a quarter of the others: no text can be cut up and hidden in them.
    """
    if not text.isascii():
        # Full-width and mathematical letters are Latin letters.
        text = unicodedata.normalize("NFKC", text)
    text = _without_marks(text)
    bare = not latin or has_other_scripts(text)
    # Among Latin prose, notation is in the language around it.
    free = bare or thorough or not _PLAIN_WORD.search(text)
    aside: list[str] = []
    plain = _without_spans(text, aside)
    found = _words(plain, bare) if free else tokens(plain)
    if aside and _too_many(total(tokens(" ".join(aside))), found):
        plain = _without_spans(text, None)
        found = _words(plain, bare) if free else tokens(plain)
    return found if latin else _without_names(found)


def _words(text: str, bare: bool) -> list[Token]:
    names: list[str] = []
    found = tokens(strip_notation(text, names, bare=bare))
    return tokens(strip_notation(text, None, bare=bare)) if _too_many(len(set(names)), found) else found


def _too_many(aside: int, found: list[Token]) -> bool:
    return aside > _ASIDE_FLOOR and aside > total(found) // _ASIDE_SHARE


def _without_marks(text: str) -> str:
    if "<" in text or "|" in text:
        text = _MARKS.sub(" ", text)
    if "```" in text or "~~~" in text or "[/asy]" in text:
        text = _FENCE.sub(_fence, text)
    if "://" in text or "www." in text or "@" in text:
        text = _ADDRESS.sub(_address, text)
    return _DOMAIN.sub(_address, text) if _HAS_DOMAIN.search(text) else text


def _fence(fence: re.Match[str]) -> str:
    """Nothing of a program; of what is none, the words."""
    inside = fence[fence.lastindex or 0]
    words = [word for _, word in tokens(inside) if word not in _CODE_WORDS]
    signs = sum(1 for _ in _CODE_SIGN.finditer(inside))
    return " " if 2 * signs >= len(words) or len(words) <= _PROSE_WORDS else f" {inside} "


def _address(address: re.Match[str]) -> str:
    words = _WORD.findall(address[0])
    return f" {' '.join(words)} " if has_function_words(words) else " "


def _without_spans(text: str, aside: list[str] | None) -> str:
    """The text without formulas, code spans and quoted terms; their words go to `aside`, and stay where it is None."""
    if "$" in text or "`" in text or "\\" in text:
        text = _without_commands(_INLINE.sub(_keeper(aside, _formula_or_code), text))
    if _QUOTE.search(text):
        text = _QUOTED.sub(_keeper(aside, _short_term), text)
    return text


def _keeper(aside: list[str] | None, judge: Callable[[re.Match[str]], tuple[str, bool]]) -> Callable[..., str]:
    def keep(span: re.Match[str]) -> str:
        inside, out = judge(span)
        if out and aside is not None:
            aside.append(inside)
            return " "
        return f" {inside} "

    return keep


def _formula_or_code(span: re.Match[str]) -> tuple[str, bool]:
    """The words of a span, and whether it is notation: not so with three words, or words that are not Latin."""
    inside = _without_commands(span[span.lastindex or 0])
    found = tokens(inside)
    if any(script != LATIN for script, _ in found):
        return inside, False
    if has_function_words(word for _, word in found if word not in _CODE_WORDS):
        return inside, False
    if span.lastgroup == "code":
        signs = sum(1 for _ in _CODE_SIGN.finditer(inside))
        found = [token for token in found if token[1] not in _CODE_WORDS]
        if signs and signs >= len(found):
            return "", True
        return inside, len(found) < _PROSE_WORDS
    # Up to three letters are a product of variables (xy), and capitals name points (ABCD).
    long = [word for _, word in found if len(word) > _FACTORS and not word.isupper()]
    return (inside, False) if len(long) >= _PROSE_WORDS else (" ".join(long), True)


def _short_term(span: re.Match[str]) -> tuple[str, bool]:
    inside = span[span.lastindex or 0]
    found = tokens(inside)
    most = _QUOTED_SIGNS if any(script in WITHOUT_SPACES for script, _ in found) else _QUOTED_WORDS
    return inside, total(found) <= most


def _without_commands(text: str) -> str:
    if "{" in text:
        text = _ENVIRONMENT.sub(" ", text)
    return _COMMAND.sub(lambda command: " " if command[1] in _COMMAND_NAMES else command[0], text)


def _without_names(found: list[Token]) -> list[Token]:
    """Without Latin names and abbreviations: one or two capitalized words among words of another script."""
    if all(script != LATIN for script, _ in found):
        return found
    kept: list[Token] = []
    names: set[str] = set()
    for latin, group in itertools.groupby(found, key=lambda token: token[0] == LATIN):
        run = list(group)
        if latin and len(run) <= _NAME_WORDS and all(_is_name(word) for _, word in run):
            names.update(word for _, word in run)
        else:
            kept += run
    return kept if len(names) <= total(kept) // _ASIDE_SHARE else found


def _is_name(word: str) -> bool:
    return word[0].isupper() and not is_function_word(word)
