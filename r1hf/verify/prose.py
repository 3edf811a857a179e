"""The formula or the number that a text in prose claims, as a reader takes it for the answer."""

from __future__ import annotations

import re

from r1hf.verify.answers import read
from r1hf.verify.evaluate import Undecided
from r1hf.verify.normal import normalise, strip_text_commands
from r1hf.verify.quantities import claimed_quantity, last_plain_number
from r1hf.verify.tree import Unreadable
from r1hf.verify.units import unit_name

MAX_LENGTH = 20_000  # characters from the end that are looked at

_FORMULA = re.compile(
    r"\$\$(.+?)\$\$|(?<![\\$])\$(?!\s*\n)((?:\\\$|[^$\n])+?)(?<![\\\n])\$(?!\d)|\\\(([^\n]+?)\\\)|\\\[(.+?)\\\]"
    r"|(\\begin\{(?:align|equation|gather)\*?\}.+?\\end\{(?:align|equation|gather)\*?\})",
    re.DOTALL,
)
# Marks of a formula in a line with lines between them: it is not known what they enclose.
_BROKEN = re.compile(r"\$[ \t]*\n[^$]{0,200}\n[ \t]*\$|\\\([ \t]*\n[^$]{0,200}?\n[ \t]*\\\)")
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{(?:align|aligned|equation|gather|eqnarray|split)\*?\}")
_COMMAND = re.compile(r"\\(?:begin|end)\s*\{[a-z*]+\}|\\[A-Za-z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_SENTENCE = re.compile(r"(?<=[^\d\s][.?])\s+|(?<=\d\.)\s+(?=[A-Z<\u4e00-\u9fff])|(?<=[。！？])|(?<=[^\\]!)\s+|\n+")
_NAME_ONLY = re.compile(r"[A-Za-z]+(?:_\w)?(?:\([a-z]\))?|\\[A-Za-z]+")
_CONNECTING = frozenset(("and", "or", "和", "或", ""))
_UNIT_WORDS = re.compile(
    r"\s*(?:\\?%|°\s?[CF]?|[A-Za-zµΩ][A-Za-z/^0-9]*(?: per [a-z]+| [a-z]+)?|[\u4e00-\u9fff]{1,4})"
)
_NO_UNIT = frozenset(("in", "am", "us", "as"))
# A formula between these words is a condition, a reason, or what the answer is not.
_ASIDE = re.compile(
    r"\b(?:when|where|attained|achieved|reached|since|because|which|at|for|rejecting|reject)\b|此时|当|其中|\(",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\b(?:so|thus|hence|therefore|then|is|are|gives?|get|have|obtain)\b|所以|因此|故", re.IGNORECASE
)
_LEADS = re.compile(
    r"\b(?:so|thus|hence|therefore|then|gives|get|have|yields|implies|since|because)\b|所以|因为|因此|故|得",
    re.IGNORECASE,
)
_UNCERTAIN = re.compile(
    r"\b(?:not?|cannot|n't|except|excluding|at (?:least|most)|(?:greater|less|more|fewer|larger|smaller) than"
    r"|multiple|divided|divisible|no such|counterexample|even|odd|if|unless|either|for|between|only)\b"
    r"|\((?:I{1,3}|IV|V|[1-5])\)"
    r"|不|非|除|至少|至多|大于|小于|倍|如果|若|或者",
    re.IGNORECASE,
)


def is_sentence(text: str) -> bool:
    """Whether there are words beside the formulas of a text, other than a unit behind them, "and" and "or"."""
    text = text[-MAX_LENGTH:]
    first = _FORMULA.search(text)
    before, outside = text[: first.start()] if first else text, _FORMULA.sub(" ", text)
    outside = _COMMAND.sub(" ", strip_text_commands(outside))
    if not _WORD.search(outside):
        return False
    words = outside.split()
    phrase = " ".join(words).strip(" .,;")
    is_unit = unit_name(phrase, marked=True) is not None or phrase in ("percent", "percentage", "pct")
    is_unit = is_unit and not _ASIDE.match(phrase)
    return not (is_unit and not _WORD.search(before)) and not {word.strip(",.;") for word in words} <= _CONNECTING


def has_formula(text: str) -> bool:
    r"""Whether a text holds a formula in $…$, \(…\), $$…$$, \[…\] or an align environment."""
    return any(_content(span) for span in _FORMULA.finditer(text[-MAX_LENGTH:]))


def last_claim(text: str) -> str | None:
    r"""What the last sentence with a formula or a number claims, with a unit behind it.

    The last formula, or the number outside of one where that comes later. None where the text has neither.
    """
    text = text[-MAX_LENGTH:]
    spans = [span for span in _FORMULA.finditer(text) if _content(span)]
    bare = _BROKEN.sub(_blank, _FORMULA.sub(_blank, text))
    for start, end in reversed(_sentences(bare)):
        if any(start <= span.start() < end for span in spans):
            end = _main_clause(bare, start, end, spans)
        formulas = [span for span in spans if start <= span.start() < end]
        told = [span for span in formulas if not _NAME_ONLY.fullmatch(_content(span))]
        number = claimed_quantity(bare[start:end])
        if told and (number is None or start + number[1] < told[-1].start()):
            return _all_told(text, told) or _formula(told[-1]) + _unit_after(text[told[-1].end() :])
        if number is not None:
            return number[0]
        if formulas:
            return _formula(formulas[-1])
    return None


def sole_claim(text: str) -> str | None:
    """The one formula that the last sentence with a formula is about; None where there are several, or a condition.

    For gold answers: better no gold than a wrong one.
    """
    text = text[-MAX_LENGTH:]
    spans = [span for span in _FORMULA.finditer(text) if _content(span)]
    bare = _FORMULA.sub(_blank, text)
    for start, end in reversed(_sentences(bare)):
        if not any(start <= span.start() < end for span in spans):
            continue
        end = _main_clause(bare, start, end, spans)
        told = [s for s in spans if start <= s.start() < end and not _NAME_ONLY.fullmatch(_content(s))]
        if _UNCERTAIN.search(bare, start, end) or len(told) > 1 and not _concludes(bare, told[-2], told[-1]):
            return None
        chosen = told or [span for span in spans if start <= span.start() < end]
        number = claimed_quantity(bare[start:end])
        if number and (not told or start + number[1] > told[-1].start()):
            return number[0]
        return _formula(chosen[-1]) + _unit_after(text[chosen[-1].end() :])
    return None


def last_number(text: str) -> str | None:
    """The last number of the last sentence with one; the first behind a last "=". None without a number."""
    text = text[-MAX_LENGTH:]
    for start, end in reversed(_sentences(text)):
        if number := last_plain_number(text[start:end]):
            return number
    return None


def _concludes(text: str, earlier: re.Match[str], later: re.Match[str]) -> bool:
    """Whether words between two formulas lead from one to the other: "since $a$, so the answer is $b$"."""
    return _LEADS.search(text, text.rfind(".", 0, earlier.start()) + 1, later.start()) is not None


def _main_clause(text: str, start: int, end: int, spans: list[re.Match[str]]) -> int:
    """Where the sentence's side clause begins, if something is told before it."""
    for aside in _ASIDE.finditer(text, start, end):
        told = any(start <= s.start() < aside.start() and not _NAME_ONLY.fullmatch(_content(s)) for s in spans)
        if told and not _GOES_ON.search(text, aside.end(), end):
            return aside.start()
    return end


def _all_told(text: str, told: list[re.Match[str]]) -> str | None:
    """Several formulas with nothing but "and", "or" and commas between them, as one list."""
    first = len(told) - 1
    while first > 0 and set(_words_between(text, told[first - 1], told[first])) <= _CONNECTING:
        first -= 1
    chosen = told[first:]
    return " and ".join(_formula(span) for span in chosen) if len(chosen) > 1 else None


def _words_between(text: str, earlier: re.Match[str], later: re.Match[str]) -> list[str]:
    return [word.strip(",.;、，") for word in text[earlier.end() : later.start()].split()]


def _blank(match: re.Match[str]) -> str:
    return "¤" * len(match[0])  # no blank: a full stop behind a formula ends a sentence


def _sentences(text: str) -> list[tuple[int, int]]:
    ends = [match.start() for match in _SENTENCE.finditer(text)] + [len(text)]
    starts = [0] + [match.end() for match in _SENTENCE.finditer(text)]
    return list(zip(starts, ends, strict=True))


def _content(span: re.Match[str]) -> str:
    return next(filter(None, span.groups()), "").strip()


def _formula(span: re.Match[str]) -> str:
    formula = _content(span)
    if _ENVIRONMENT.search(formula):
        # The last line that has something; alignment marks are no part of it.
        lines = [line for line in _ENVIRONMENT.sub(" ", formula).replace("&", " ").split("\\\\") if line.strip()]
        formula = lines[-1] if lines else ""
    formula = formula.strip().rstrip(" .,;").lstrip("= ")
    try:
        read(normalise(formula))
    except Undecided:
        pass
    except (Unreadable, RecursionError):
        return formula.rpartition("=")[2].strip() or formula  # the last side of what cannot be read as a whole
    return formula


def _unit_after(rest: str) -> str:
    match = _UNIT_WORDS.match(rest)
    if match is None:
        return ""
    phrase = match[0].strip()
    for candidate in (phrase, phrase.split(" ")[0]):
        is_unit = not _NO_UNIT & set(candidate.split()) and unit_name(candidate, marked=len(candidate) > 1)
        if candidate[-1:] == "%" or is_unit:
            return f" {candidate}"
    return ""
