r"""The boxed answers of a text (\boxed{…}, \fbox{…}, \boxed 9), each with the signs and units that belong to it."""

from __future__ import annotations

import re

from r1hf.verify.judge import compare
from r1hf.verify.normal import TEXT_COMMANDS, normalise, strip_text_commands, without_blanks
from r1hf.verify.units import unit_name

_COMMAND = r"\\{1,2}(?:boxed|fbox|framebox)(?![A-Za-z])"
_BRACE = re.compile(rf"{_COMMAND}\s*\{{|\\.|[{{}}]", re.DOTALL)
# \boxed 9 and \boxed9: a number, one letter before the end of the formula, or one command.
_BARE = re.compile(
    rf"{_COMMAND}\s*([+-]?\d[\d,]*(?:\.\d+)?|[A-Za-z](?=\s*(?:\$|\\\)|\\\]|[.,]?\s*$))"
    rf"|\\(?:frac|sqrt)\s*(?:\{{[^{{}}]*\}}\s*){{1,2}}|{TEXT_COMMANDS}\s*\{{[^{{}}]*\}}|\\pi(?![a-z]))"
)
_DOLLAR = re.compile(r"(?<!\\)\$")
# Where the side of a formula that a box stands in begins and ends.
_SIDE_START = re.compile(
    r"(?<!\\)\$|\\\(|\\\[|\n|\\\\|&|[=<>:：,;，。]|\\(?:approx|equiv|implies|Rightarrow|to|q?quad|therefore|leq?|geq?"
    r"|leqslant|geqslant|in|lt|gt|cup)(?![A-Za-z])"
)
_SIDE_END = re.compile(
    r"(?<!\\)\$|\\\)|\\\]|\n|\\\\|&|\\end\b|[=<>]|\\(?:approx|q?quad|implies|Rightarrow)(?![A-Za-z])|(?:[.。]|(?<!\\)!)(?:\s|$)|$"
)
_BLANK_ENDS = re.compile(r"\s*(?:=|\\approx)")
_DRESS = re.compile(
    r"\\(?:displaystyle|[,;:! ]|left\s*\.?$|color\s*\{\w+\}|bf|large|Large|huge|textcolor\s*\{\w+\})|~"
    rf"|{TEXT_COMMANDS}\s*\{{[^{{}}]*\}}\s*$|\\(?:underline|mathbf|bm|textbf|ensuremath)\s*\{{\s*$"
)
# A modulus, or the end of a proof.
_AFTER_ALL = re.compile(r"\\(?:pmod|mod|bmod|right\b|checkmark|blacksquare|square|qed).*", re.DOTALL)
_RETRACTED = re.compile(
    r"\b(?:no|not|wait|wrong|instead|actually|sorry|correction|oops|mistake|rather)\b|不|错|錯", re.IGNORECASE
)
MAX_COMPARED = 16  # answers of one text
MAX_GAP = 80  # characters between the boxes of one list
_SIGN = re.compile(r"(?:^|[\s(=:])([-−+±]|\\pm|[-−]?\\?\$\s?|[€£¥]\s?)$")
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}|[\u4e00-\u9fff]")
_SIGN_OUTSIDE = re.compile(r"(?:^|[\s(=:])([-−])\$\s*$")
_LIST_SIGNS = re.compile(rf"\s*(?:[,;，；、]|and\b|or\b|和|或|{TEXT_COMMANDS}\s*\{{)")
_UNIT_BEHIND = re.compile(
    rf"\s*(?:\\[,; ]|~)*\s*(?:\$|\\\)|\*\*)?\s*((?:\\mu\s*)?{TEXT_COMMANDS}\s*\{{[^{{}}]*\}}(?:\s*\^\s*\{{?\d\}}?)?"
    r"|\\?%|°\s?[CF]?|\^\s*\{?\s*\\circ\s*\}?|\\Omega|[A-Za-zµΩ][A-Za-z/^0-9µΩ·-]*(?: [A-Za-z/^0-9µΩ·-]+){0,3}"
    r"|[€£¥]|[\u4e00-\u9fff]{1,4})"
)
_SCALES = frozenset("hundred thousand million billion trillion dozen percent percentage pct 万 亿".split())
_NO_UNIT = frozenset("in am us as at a A I an pt t u is or and be per".split())  # words that go on a sentence


class CutOff(ValueError):
    """The last box was opened and never closed."""


def boxed_answers(text: str) -> list[str]:
    """The contents of the outermost boxes in order. Raises CutOff where the last one has no end."""
    return [text[start:end] for _, start, end, _ in _spans(text)]


def claims(text: str) -> list[tuple[str, int]]:
    r"""Each box as the claim that stands there, and where it ends: `-\boxed{9}` is -9, `\boxed{9} km` is 9 km.

    A formula around a box counts (`2\boxed{9}`), unless the box is a blank in an equation (`3 + \boxed{5} = 8`).
    """
    return [(_with_surroundings(text, *span), span[3]) for span in _spans(text)]


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


def _spans(text: str) -> list[tuple[int, int, int, int]]:
    """(start of the command, start of the content, end of the content, end of the box) of every outermost box."""
    found = []
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
    if boxed:
        raise CutOff
    ends = [end for *_, end in found]
    for match in _BARE.finditer(text):
        inside = any(command < match.start() < end for command, _, _, end in found)
        if not inside:
            found.append((match.start(), match.start(1), match.end(1), match.end()))
    return sorted(found) if len(found) > len(ends) else found


def _with_surroundings(text: str, command: int, start: int, end: int, after: int) -> str:
    content = text[start:end].strip()
    before, behind = text[max(0, command - 200) : command], text[after : after + 200]
    unit = _unit_behind(behind)
    if not _in_formula(before):
        sign = _SIGN.search(before)
        return f"{sign[1] if sign else ''}{content}{unit}"
    starts = list(_SIDE_START.finditer(before))
    left = _DRESS.sub("", before[starts[-1].end() :] if starts else before).strip()
    if _PROSE.search(left):
        left = ""  # a dollar sign was money
    if not left and (sign := _SIGN_OUTSIDE.search(before)):
        left = sign[1]
    stop = _SIDE_END.search(behind)
    right = _AFTER_ALL.sub("", behind[: stop.start()] if stop else "")
    right = "" if unit or "box" in right or _LIST_SIGNS.match(right) else right.strip(" .,;。，")
    left = "" if "box" in left else left
    is_blank = stop is not None and _BLANK_ENDS.match(behind[stop.start() :]) is not None
    sign_only = left in ("-", "−", "+", "\\pm", "±", "$", "\\$", "")
    if is_blank and (right or not sign_only):
        return content + unit  # the missing part of an equation
    return _joined(left, content, right, sign_only) + unit


def _in_formula(before: str) -> bool:
    opened = len(_DOLLAR.findall(before)) % 2 == 1
    return opened or any(before.rfind("\\" + a) > before.rfind("\\" + b) for a, b in ("()", "[]"))


def _joined(left: str, content: str, right: str, sign_only: bool) -> str:
    whole = left + content + right
    if not left and not right or whole.count("{") != whole.count("}") or whole.count("(") != whole.count(")"):
        return content
    if right or not sign_only:
        content = content if re.fullmatch(r"[\w.,]+", content) else f"({content})"
    return f"{left} {content} {right}".strip()


def _unit_behind(behind: str) -> str:
    r"""The unit, percent sign or scale right behind a box, or nothing: `\boxed{9} \text{ cm}`, `$\boxed{28}$ pct`."""
    match = _UNIT_BEHIND.match(behind)
    if match is None:
        return ""
    found = match[1]
    if found in ("%", "\\%", "\\Omega") or found[0] in "°^€£¥":
        return f" {found}"
    if found[0] == "\\":
        phrase = " ".join(strip_text_commands(found.replace("~", " ")).split())
        return f" {found}" if phrase in _SCALES or unit_name(phrase.replace(" ^", "^"), marked=True) else ""
    words = found.split()
    if words[0] in _NO_UNIT:
        return ""
    for count in range(len(words), 0, -1):
        phrase = " ".join(words[:count])
        if unit_name(phrase, marked=True) or phrase in _SCALES:
            return f" {phrase}"
    return ""
