"""Notation that stands free in a text: points, formulas, units, identifiers, paths. And prose in such a dress.

Shape says what may be notation; function words (`we`, `then`) say what is none, for no formula or program has them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

from r1hf.text.language.words import tokens

_SURE = frozenset(
    # Words of prose that make no identifier: one of them is enough.
    "we our ours your they them their he she his her these those that thus hence therefore because since the there "
    "which what who why how was were been would could shall might must but its luego entonces pero porque después "
    "también nosotros puis donc ensuite nous mais avec pour dann wir und nicht auch aber poi quindi allora dunque "
    "então depois lalu kemudian sehingga sonra potem więc zatem daarna dus sedan".split()
)
_LIKELY = frozenset(
    # Words of prose that names may hold too (is_valid, two_sum): it takes several.
    "so us me my you it this then where when can do does did has have had are am be is if and or not no to of in on "
    "at by for from with as each both than first let lets will should may now also again finally next one two three "
    "four five six seven eight nine ten eleven twelve thirteen fourteen fifteen twenty thirty hundred here into an "
    "el la los las una que con por del es les des est une dans der die das ist mit ein eine che per della sono di "
    "il são dan yang dengan ve için bir jest een het van och det en et y le un".split()
)
_CODE = frozenset(
    # In a compound these are names of things in programs, and in folders, and say nothing.
    "usr local bin etc var home src lib tmp opt dev users windows program files data docs doc test tests app apps "
    "main config init self list array dict map set string str int float bool node tree graph root child parent head "
    "tail left right mid low high start end begin first last next prev cur curr current val value values key keys "
    "item items index idx pos row col rows cols num nums number count cnt total sum max min res result ans answer "
    "ret temp stack queue heap size len length width height depth level name path file input output print println "
    "printf append push pop insert remove sort sorted find index func function args kwargs def class return range "
    "import json yaml csv txt html xml http https www com org net index test util utils target source seen visited "
    "flag readme license makefile dockerfile log logs cache build dist user sys std vector pair math random time "
    "get set valid java service controller manager handler factory builder helper model view request response "
    "client server error status code type object table column query token page train eval model config settings "
    "utils collections defaultdict counter deque numpy pandas torch install requirements commit origin branch "
    "integer character boolean void static public private".split()
)
_BARE = frozenset(
    # Abbreviations that are no words even where they stand alone.
    "dp nums num arr idx ptr str int len tmp res ans args kwargs init stdin stdout printf println bool bfs dfs lhs "
    "rhs xyz abc bit bits rad sec atm det dim ker deg arg inf sup lg api url cpu gpu html json sql css iff wlog qed "
    "ascii python numpy pytorch git".split()
)
_KEYWORDS = frozenset(
    "for in if elif else while return def class and or not lambda yield try except new int void let const var break "
    "continue pass".split()
)
_STARTS = frozenset("return else: break continue".split())  # a line of a program, even without any sign of one
_COMMANDS = frozenset("git pip pip3 npm conda docker sudo apt python python3 bash chmod mkdir curl cargo".split())
_QUERY = frozenset(
    "SELECT FROM WHERE INSERT INTO VALUES UPDATE DELETE CREATE TABLE JOIN ON AND OR ORDER GROUP BY".split()
)
_ELEMENTS = (
    "He Li Be Ne Na Mg Al Si Cl Ar Ca Sc Ti Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Zr Nb Mo Ag Cd In Sn Sb Te "
    "Xe Cs Ba La Ce Pt Au Hg Tl Pb Bi Rn Ra Th Ac H B C N O F P S K V Y I W U"
).split()
_FORMULA = re.compile(rf"(?:{'|'.join(_ELEMENTS)}|[\d()\[\]·.])+[+-]?")
_ELEMENT = re.compile("|".join(_ELEMENTS))

_MATH = "°±·×÷µ\u2032-\u2037\u2044\u2190-\u22ff\u2300-\u23ff\u25a0-\u25ff\u27c0-\u27ff\u2a00-\u2aff"
_LETTER = "A-Za-zªºÀ-ÖØ-öø-ʯḀ-ỿ"
_PRINTED = r"#-&)-+.-:<->@\\-_{-~'’\-"  # of ASCII, all but the space and , ; ! ? " ` ( [
_ARGUMENT = r"[\w.\[\]+*/=:'-]{0,30}"
_CALL = rf"(?<=[\w\]])[(\[]{_ARGUMENT}(?:, ?{_ARGUMENT}){{1,6}}[)\]]"
_CHUNK = rf"(?:[{_PRINTED}{_LETTER}{_MATH}]++|{_CALL}|[(\[])+"
# What only single spaces part: no reader takes a break there.
_PHRASE = re.compile(rf"{_CHUNK}(?: +{_CHUNK})*")
_CHUNKS = re.compile(_CHUNK)
_LINE = re.compile(rf"(?:import|from|{'|'.join(sorted(_COMMANDS | _STARTS))}) ")
_IMPORT = re.compile(r"(?:from [\w.]+ )?import [\w.]+(?: as \w+)?")
_PROSE = re.compile(rf"[{_LETTER}][a-zà-öø-ÿ]*(?: [a-zà-öø-ÿ]+){{2,}}[.:]?")
_WITH_LETTER = re.compile(f"[{_LETTER}]")
_OPERATOR = re.compile(rf"(?:[=+*/<>|&^%]|:=|[-+*/<>=!]=|->|=>|&&|\|\||[{_MATH}])+")
_DRESSED = re.compile(
    rf"[\w)\]][_/\\=+*^<>|&%#@~]|[_/\\=+*^<>|&%#@~][\w(\[]|\w[.:]+\w|\w[(\[{{]|\{{\w|[{_MATH}]"
    rf"|(?<![{_LETTER}])[{_LETTER}]{{1,3}}\d"
)
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|['’-]")
_FUNCTION = re.compile(r"(?:arc)?(?:sin|cos|tan|cot|ln|log|lg)[xnA-Z]")
_POINTS = 4  # letters of a polygon that is named by its corners
_ABBREVIATION = 6
_LONGEST = 100  # characters of a chunk that is worth remembering

NOTATION, NAMES, WORDS, SHORT = range(4)
Judged = tuple[int, tuple[str, ...], bool]  # kind, its words, whether its shape is one that prose does not have


def has_function_words(words: Iterable[str]) -> bool:
    """Whether `words`, out of one formula or identifier, are prose: one sure sign, or several likely ones."""
    # Two capitals are a segment (AM, BE), whatever they spell.
    every = {word.lower() for word in words if len(word) > 2 or not word.isupper()}
    likely = len(every & _LIKELY)
    return not every.isdisjoint(_SURE) or (likely >= 2 and likely * 3 >= len(every))


def is_function_word(word: str) -> bool:
    return word.lower() in _SURE or word.lower() in _LIKELY


def strip_notation(text: str, aside: list[str] | None, *, bare: bool = True) -> str:
    """`text` without notation. Words that only the shape around them makes a name go to `aside`, and stay if None.

    bare: what stands alone may be notation too (ABC, dp), as it is in a text of another script.
    """
    phrases = [
        phrase
        for phrase in _PHRASE.finditer(text)
        if _WITH_LETTER.search(phrase[0]) and not (_PROSE.fullmatch(phrase[0]) and not _LINE.match(phrase[0]))
    ]
    judged = [_judge_all(_CHUNKS.findall(phrase[0])) for phrase in phrases]
    # A name in a compound is one where it stands alone; not so where names are many enough to be prose.
    sure = NOTATION if aside is None else NAMES
    known = {
        word
        for chunks in judged
        for _, (kind, words, dressed) in chunks
        if dressed and kind <= sure
        for word in words
        if word == "an" or not is_function_word(word)  # the sequence {an}
    }
    if any(dressed and not _CODE.isdisjoint(words) for chunks in judged for _, (_, words, dressed) in chunks):
        judged = [[(chunk, _of_program(chunk, found)) for chunk, found in chunks] for chunks in judged]
    parts, last = [], 0
    for phrase, chunks in zip(phrases, judged, strict=True):
        parts.append(text[last : phrase.start()])
        parts.append(" " if _IMPORT.fullmatch(phrase[0]) else f" {' '.join(_kept(chunks, known, aside, bare))} ")
        last = phrase.end()
    return "".join(parts) + text[last:]


def _of_program(chunk: str, found: Judged) -> Judged:
    """Beside `dfs(root)`, `left` alone is a name."""
    return (NAMES, (chunk,), False) if chunk in _CODE and not (found[2] or is_function_word(chunk)) else found


def _judge_all(chunks: Sequence[str]) -> list[tuple[str, Judged]]:
    operators = [not chunk[0].isalnum() and _OPERATOR.fullmatch(chunk) is not None for chunk in chunks]
    beside = [left or right for left, right in zip([False, *operators], [*operators[1:], False], strict=False)]
    return [
        (chunk, _judge(chunk, operand) if len(chunk) < _LONGEST else _judge.__wrapped__(chunk, operand))
        for chunk, operand in zip(chunks, beside, strict=True)
    ]


def _kept(judged: Sequence[tuple[str, Judged]], known: set[str], aside: list[str] | None, bare: bool) -> list[str]:
    """What is left of a phrase. Beside a word of prose, only a shape of its own makes a chunk notation."""
    kept: list[str] = []
    if _is_command([chunk for chunk, _ in judged]):
        names = [word for chunk, _ in judged[1:] for _, word in tokens(chunk) if word not in _CODE]
        (kept if aside is None else aside).extend(names)
        return kept
    prose = [chunk for chunk, (kind, _, _) in judged if kind == WORDS and chunk not in known]
    keywords = sum(chunk.rstrip(":") in _KEYWORDS for chunk in prose)
    code = keywords > 0 and (judged[0][0] in _STARTS or any(dressed for _, (_, _, dressed) in judged))
    code = code and all(chunk.rstrip(":") in _KEYWORDS or chunk in _CODE for chunk in prose)
    for chunk, (kind, words, dressed) in judged:
        if not dressed and ((prose and not code) or not bare):
            kept.append(chunk)
        elif kind == SHORT or (kind == WORDS and not code and chunk not in known):
            kept.append(" ".join(words) if dressed else chunk)
        elif kind == NAMES and chunk not in known:
            (kept if aside is None else aside).extend(words)
    return kept


def _is_command(chunks: Sequence[str]) -> bool:
    """`pip install -r requirements.txt`, `SELECT name FROM users`."""
    query = chunks[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE") and not _QUERY.isdisjoint(chunks[1:])
    if not query and (chunks[0] not in _COMMANDS or len(chunks) < 2):
        return False
    return not has_function_words(word for chunk in chunks if chunk not in _QUERY for _, word in tokens(chunk))


@functools.lru_cache(maxsize=1 << 14)
def _judge(chunk: str, operand: bool) -> Judged:
    """What a chunk without spaces is. operand: an operator stands beside it."""
    core = chunk.strip(".:'\\")
    if "(" not in core[1:]:
        core = core.strip("()")
    if "[" not in core[1:]:
        core = core.strip("[]")
    if _is_formula(core):
        return NOTATION, (), True
    words = tuple(word for _, word in tokens(core))
    dressed = operand or _DRESSED.search(core) is not None
    if not words:
        return NOTATION, (), dressed
    parts = tuple(part for word in words for part in _HUMPS.split(word) if len(part) > 1)
    if dressed or (len(words) == 1 and core.isalnum() and _HUMPS.search(core)):
        return (*_compound(words, parts), True)
    return (*_word(words, parts), False)


def _is_formula(core: str) -> bool:
    """NaOH, H2SO4, Ca(OH)2: symbols of elements, with a number or one of two letters."""
    if not _FORMULA.fullmatch(core):
        return False
    found = _ELEMENT.findall(core)
    return len(found) > 1 and (any(len(one) == 2 for one in found) or any(sign.isdigit() for sign in core))


def _compound(words: Sequence[str], parts: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    if not all(map(str.isascii, words)) or has_function_words(parts) or has_function_words(words):
        return WORDS, tuple(parts)
    left = tuple(part for part in parts if not _is_symbol(part) and part.lower() not in _CODE)
    if len(parts) > 1:  # is_valid
        left = tuple(part for part in left if not is_function_word(part))
    return (NAMES, left) if left else (NOTATION, tuple(words))


def _is_symbol(word: str) -> bool:
    """In a formula: a product of variables (ma, nRT), points (ABC), sinx, no vowels (ptr)."""
    if is_function_word(word):
        return len(word) == 2 and word.isupper()
    if word.isupper():
        return len(word) <= _POINTS and len(set(word)) == len(word)
    return len(word) <= 2 or _FUNCTION.fullmatch(word) is not None or word in _BARE or _no_vowels(word)


def _no_vowels(word: str) -> bool:
    return len(word) <= 5 and not set(word.lower()) & set("aeiouy") and word.isascii()


def _word(words: Sequence[str], parts: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """A chunk that stands alone."""
    word = "".join(words)
    if len(words) > 1 or not word.isascii():
        return WORDS, tuple(words)
    if word.isupper() and len(word) > 1 and not (is_function_word(word) and len(word) > 2):
        if (len(word) == 2 and not is_function_word(word)) or _no_vowels(word) or word.lower() in _BARE:
            return NOTATION, tuple(words)
        short = all(len(part) <= _ABBREVIATION for part in parts)
        return (NAMES, (word,)) if short and not has_function_words(parts) else (WORDS, tuple(words))
    if is_function_word(word):
        return WORDS, tuple(words)
    if len(word) <= 2 or word in _BARE or _no_vowels(word) or _FUNCTION.fullmatch(word):
        return NOTATION, tuple(words)
    return (SHORT if word[0].isupper() else WORDS), tuple(words)
