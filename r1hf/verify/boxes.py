r"""The boxed answers of a text (\boxed{…}, \fbox{…}, \boxed 9), each with what belongs to it by where it stands."""

from __future__ import annotations

import re

from r1hf.verify.box_context import with_surroundings
from r1hf.verify.judge import compare
from r1hf.verify.normal import TEXT_COMMANDS, normalise, without_blanks

_COMMAND = r"\\{1,2}(?:boxed|fbox|framebox)(?![A-Za-z])"
_BRACE = re.compile(rf"{_COMMAND}\s*\{{|\\.|[{{}}]", re.DOTALL)
# \boxed 9 and \boxed9: a number, one letter before the end of the formula, or one command.
_BARE = re.compile(
    rf"{_COMMAND}\s*([+-]?\d[\d,]*(?:\.\d+)?|[A-Za-z](?=\s*(?:\$|\\\)|\\\]|[.,]?\s*$))"
    rf"|\\[dt]?frac\s*\d\s*\d|\\(?:frac|sqrt)\s*(?:\{{[^{{}}]*\}}\s*){{1,2}}|{TEXT_COMMANDS}\s*\{{[^{{}}]*\}}|\\pi(?![a-z]))"
)
_INNER = re.compile(rf"{_COMMAND}\s*\{{([^{{}}]*(?:\{{[^{{}}]*\}}[^{{}}]*)*)\}}|{_COMMAND}\s*")
_CUT_OFF = re.compile(rf"{_COMMAND}\s*\$*\s*$")
_RETRACTED = re.compile(
    r"\b(?:no|not|wait|wrong|instead|actually|sorry|correction|oops|mistake|rather)\b|不|错|錯", re.IGNORECASE
)
MAX_COMPARED = 16  # answers of one text
MAX_GAP = 80  # characters between the boxes of one list

Span = tuple[int, int, int, int]  # the start of the command, of the content, the end of the content, of the box


class CutOff(ValueError):
    """The last box was opened and never closed."""


def claims(text: str) -> list[tuple[str, int]]:
    r"""Each box as the claim that stands there, and where it ends: `-\boxed{9}` is -9, `\boxed{9} km` is 9 km.

    Of very many boxes the bare contents are given. Raises CutOff where the last box has no end.
    """
    spans = _spans(text)
    if len(spans) > MAX_COMPARED:
        return [(text[start:end].strip(), after) for _, start, end, after in spans]
    return [(_claim(text, span), span[3]) for span in spans]


def are_one_list(text: str) -> bool:
    """Whether several boxes stand together, with nothing taken back between them."""
    spans = _spans(text)
    gaps = [text[one[3] : other[0]] for one, other in zip(spans, spans[1:], strict=False)]
    return all(len(gap) <= MAX_GAP and not _RETRACTED.search(gap) for gap in gaps)


def different_boxes(text: str) -> list[str]:
    """The different claims of the boxes in `text`, in order; the same number or text twice is one. [] if cut off."""
    try:
        return distinct([claim for claim, _ in claims(text)])
    except CutOff:
        return []


def distinct(answers: list[str]) -> list[str]:
    """Different answers by value, the last spelling of each; of very many, by spelling."""
    if len(answers) > MAX_COMPARED:
        return list(dict.fromkeys(answers))
    found: list[str] = []
    for answer in answers:
        found = [other for other in found if not _same(other, answer)] + [answer]
    return found


def _same(first: str, second: str) -> bool:
    first, second = normalise(first), normalise(second)
    return without_blanks(first) == without_blanks(second) or compare(first, second) is True


def _claim(text: str, span: Span) -> str:
    command, start, end, after = span
    content = text[start:end].strip()
    for _ in range(3):  # a box in a box
        content = _INNER.sub(lambda inner: f" {inner[1] or ''} ", content).strip() if "box" in content else content
    return with_surroundings(text[max(0, command - 1000) : command], content, text[after : after + 200])


def _spans(text: str) -> list[Span]:
    """Every outermost box."""
    found: list[Span] = []
    open_braces: list[tuple[int, int]] = []  # (start of the box or -1, start of the content)
    boxed = 0
    for match in _BRACE.finditer(text, max(0, text.find("box") - 7)):
        sign = match[0]
        is_box = len(sign) > 2
        if sign[0] == "\\" and not is_box:
            continue  # \\{ and other commands
        if sign != "}":
            open_braces.append((match.start() if is_box else -1, match.end()))
            boxed += is_box
        elif open_braces:
            command, start = open_braces.pop()
            if command >= 0:
                boxed -= 1
                if not boxed:
                    found.append((command, start, match.start(), match.end()))
    if boxed or _CUT_OFF.search(text, max(0, len(text) - 20)):
        raise CutOff
    closed = list(found)
    for match in _BARE.finditer(text):
        if not any(command < match.start() < end for command, _, _, end in closed):
            found.append((match.start(), match.start(1), match.end(1), match.end()))
    return sorted(found) if len(found) > len(closed) else found
