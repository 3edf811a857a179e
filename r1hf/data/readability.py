"""What makes a sample hard to read: another language, rambling, code in the thought, fillers, broken characters.

The articles' section 13 drops mixed languages, rambling and code that has nothing to do with the question; the paper
long paragraphs too (arXiv 2501.12948v2, section 3.2.2).
"""

from __future__ import annotations

import re
import unicodedata

from r1hf.text.language import target_counts
from r1hf.text.language.words import HAN, KANA
from r1hf.text.repetition import units

# A name, a unit behind a number, a word that the question has too: of no language that could be wrong.
_NAME = re.compile(r"\b[A-ZÀ-ÖØ-ÞА-ЯΑ-Ω]\w*(?:['’-]\w+)*")
_UNIT = re.compile(r"(?<=\d)\s?[A-Za-zµ]{1,4}\b")
_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\u3040-\u30ff]{2,6}|[^\W\d_]+(?:['’-][^\W\d_]+)*")
_HARDLY = 0.2

_FENCE = re.compile(r"```|~~~|\[asy\]|\\begin\{(?:lstlisting|verbatim|minted)\}")
_STATEMENT = re.compile(
    r"(?m)^[ \t>]*(?:(?:async )?def \w+ ?\([^\n]{0,200}:|class \w+ ?(?:\([\w., ]*\))? ?[:{]\s*$"
    r"|from [\w.]+ import [\w*(]"
    r"|import (?:math|sys|os|re|numpy|sympy|itertools|random|collections|java|pandas|time|functools)\b"
    r"|import \w+ as \w+|# ?include ?[<\"]|using namespace |#!/|<\?php|function \w* ?\(.{0,200}\) ?\{"
    r"|(?:fn|func) \w+ ?\("
    r"|(?:const|let|var) \w+ ?= ?.{0,200};|(?:public|private|static) (?:static )?\w+ \w+ ?\("
    r"|SELECT .{1,200} FROM |>>> "
    r"|(?:for|while|if|elif|else|try|with)\b[^\n]*:[ \t]*\n[ \t]{2,}\S)"
)
_CALL = re.compile(
    r"\b(?:print|printf|println|range|scanf|input)\(|console\.log\(|System\.out\.|std::|\bint main ?\("
    r"|\b(?:math|np|numpy|sympy|sp|itertools|random|os|sys)\.\w+\(|\bfor ?\((?:int|let|var|auto|size_t) "
    r"|\blambda \w+(?:, ?\w+)* ?:|\breturn \w+ ?[-+*/%] ?\w+;|</?(?:html|div|script|body|table|span|pre|code)\b[^>]*>"
)

# A piece of a sentence that is nothing but doubt. Longer phrases first: pieces are taken one by one, never given back.
_DOUBT = re.compile(
    r"(?:or maybe not|not sure|wait|hmm+|okay|ok|no|well|actually|so|but|and|or|um+|uh+|oh|maybe|perhaps|hold on"
    r"|alternatively|i(?:'m| am) (?:not sure|confused|lost|going (?:in|round in|around in) circles)"
    r"|let me (?:think|see|try|check|start)|let's (?:think|see|try)|over|once more|about (?:it|this)"
    r"|that(?:'s| is) (?:not right|wrong|weird|strange)"
    r"|i (?:think|guess|don't know|wonder)|what (?:was|am) i (?:doing|saying)|where was i|anyway|never ?mind"
    r"|is that right|again)\b[\s,.…!?;:—-]*"
    r"|(?:等等|等一下|嗯+|呃+|不对|不對|[让讓]我再?(?:想一想|想想|看看)|可能|也许|也許|我不确定|我不確定|再想想|不是|或者|算了"
    r"|我不知道|哦|啊|但是|所以|到底|怎么回事|怎麼回事)[\s,，.。…！!？?、；;]*",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?;…])\s+|(?<=[。！？；])|\n+")
_LEAST_DOUBTS, _DOUBT_SHARE = 5, 0.4

_FILLER = re.compile(
    r"\b(?:u+m{2,}|um+|u+h{2,}|uh+|uhm+|erm+|err+|ah{2,})\b[\s,.…!?]|[嗯呃](?:[…,，.。]|\.\.\.)", re.IGNORECASE
)
_HMM = re.compile(r"\bhm{2,}\b", re.IGNORECASE)
_TRAILING_OFF = re.compile(r"[^\W\d_] ?(?:\.{3,}|…+)(?=\s+\w|\s*$|[\u4e00-\u9fff])")
# Of Unicode's Cf: signs of Arabic and Syriac, marks of direction, and what no writing needs.
_SEEN = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
_DIRECTIONS = "\u061c\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069"
_NEVER = "\ufeff\u202d\u202e\ufff9\ufffa\ufffb\u00ad"
_CJK = re.compile(f"[{HAN}{KANA}]")
_MOST_HMM, _MOST_TRAILS = 1, 2


def language_fault(text: str, question: str, target: str, least: float) -> str | None:
    """ "wrong_language" or "mixed_language" where less than `least` of the words are in `target` (ISO 639-1).

    Names, units, notation and what the question itself says are of no wrong language.
    """
    written, count = target_counts(text, target)
    if not count or written == count:
        return None
    known = {word.casefold() for word in _RUN.findall(question)}
    bare = _RUN.sub(lambda match: " " if _asked(match[0], known, question) else match[0], _UNIT.sub(" ", text))
    own, left = target_counts(bare, target)
    named, others = target_counts(_NAME.sub(" ", bare), target)
    if 2 * others >= left:  # else a text in capitals
        own, left = named, others
    foreign = left - own
    if foreign <= (1 - least) * count:
        return None
    return "wrong_language" if written <= _HARDLY * count else "mixed_language"


def _asked(word: str, known: set[str], question: str) -> bool:
    return word.casefold() in known or (not word.isascii() and word[0] >= "\u3040" and word in question)


def has_code(text: str) -> bool:
    """Whether a text holds program code, with or without a fence; formulas and tables are none."""
    return any(pattern.search(text) for pattern in (_FENCE, _STATEMENT, _CALL))


def rambles(text: str) -> bool:
    """Whether many sentences only doubt and turn round, and say nothing."""
    sentences = [one.strip() for one in _SENTENCE.split(text) if len(one.strip()) > 1]
    doubts = sum(map(_only_doubts, sentences))
    return doubts >= _LEAST_DOUBTS and doubts > _DOUBT_SHARE * len(sentences)


def _only_doubts(sentence: str) -> bool:
    place = 0
    while place < len(sentence):
        piece = _DOUBT.match(sentence, place)
        if piece is None:
            return False
        place = piece.end()
    return True


def is_messy(text: str) -> bool:
    """Whether a text is spoken to oneself, as R1-Zero's outputs are: "ummm... then add 2..."."""
    return bool(
        _FILLER.search(text) or len(_HMM.findall(text)) > _MOST_HMM or len(_TRAILING_OFF.findall(text)) > _MOST_TRAILS
    )


def is_garbled(text: str) -> bool:
    """Whether a text holds characters of no script (U+FFFD, control characters, private use, half a character), or
    invisible ones where no script has them: a zero-width space within English or Chinese, marks of direction without
    a word that is written from right to left."""
    before = " "
    for char in text:
        kind = unicodedata.category(char)
        if char == "\ufffd" or (kind in ("Cc", "Co", "Cs") and char not in "\n\t\r"):
            return True
        if kind != "Cf":
            before = char
        elif _invisible(char, before, text):
            return True
    return False


def _invisible(char: str, before: str, text: str) -> bool:
    """Whether a format character (Unicode's Cf) does not belong after `before`: Persian, Hindi, Thai and emoji need
    some."""
    if char in _SEEN:
        return False
    if char in _DIRECTIONS:
        return not any(unicodedata.bidirectional(one) in ("R", "AL") for one in text)
    return char in _NEVER or before.isascii() or bool(_CJK.match(before))


def longest_paragraph(text: str) -> int:
    """Words and signs of the longest run of text without a line break."""
    return max((len(units(line)) for line in text.splitlines()), default=0)
