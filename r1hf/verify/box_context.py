r"""What a box claims with what stands beside it: `-\boxed{9}`, `2\boxed{9}`, `\boxed{9} km`, `\boxed{9} or 10`."""

from __future__ import annotations

import re

from r1hf.verify.normal import TEXT_COMMANDS, strip_text_commands
from r1hf.verify.units import unit_name

_ENVIRONMENT = r"(?:align|aligned|equation|gather|multline|eqnarray|split)\*?"
_MARK = re.compile(rf"(?<!\\)\$\$?|\\[\[(]|\\[\])]|\\begin\{{{_ENVIRONMENT}\}}|\\end\{{{_ENVIRONMENT}\}}|\n\s*\n")
# Where the side of a formula that a box stands in begins and ends.
_SIDE_START = re.compile(
    r"(?<!\\)\$|\\\(|\\\[|\n|\\\\|\\begin\{[a-z*]+\}|&|[=:：;，。]|,(?!\d)"
    r"|\\(?:approx|equiv|implies|Rightarrow|to|q?quad|therefore)(?![A-Za-z])"
)
_SIDE_END = re.compile(
    r"(?<!\\)\$|\\\)|\\\]|\n|\\\\|&|\\end\b|[=<>]|\\(?:approx|q?quad|implies|Rightarrow)(?![A-Za-z])"
    r"|(?:[.。]|(?<!\\)!)(?:\s|$)|$"
)
_BLANK_ENDS = re.compile(r"\s*(?:=|\\approx)")
_SPACING = re.compile(r"\\(?:[,;:! ]|displaystyle|left|right|bf|large|Large|huge)(?![A-Za-z])|~")
_DRESS = re.compile(
    rf"\\(?:color|textcolor)\s*\{{\w+\}}|{TEXT_COMMANDS}\s*\{{(?!\s*not)[^{{}}]*\}}\s*$"
    r"|\\(?:underline|mathbf|bm|boldsymbol|textbf|ensuremath)\s*\{\s*$"
)
# A modulus, or the end of a proof.
_AFTER_ALL = re.compile(r"\\(?:pmod|mod|bmod|checkmark|blacksquare|square|qed).*", re.DOTALL)
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}|[\u4e00-\u9fff]")
_LIST_SIGNS = re.compile(rf"\s*(?:[,;，；、]|and\b|or\b|和|或|{TEXT_COMMANDS}\s*\{{)")
_CLOSING = re.compile(r"\s*(?:\\right\s*[)\]]|[)}\s])*(?:(?<!\\)\$\$?|\\[\])])?\s*(?:\*\*)?")
_OPENING = r"\s*(?:\*\*)?\s*(?:\$\$?|\\[(\[])?\s*$"

_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|isn't|isn’t|cannot be|can't be|can’t be|never|twice|double|triple|half(?: of)?|square of|root of"
    r"|wrong answer is|incorrect answer is)|\\text\s*\{\s*(?:not|about|approximately|at (?:least|most))\s*\}|不是"
    rf"|≠|\\neq?|\\not\s*=|~~|\\(?:cancel|sout)\s*\{{){_OPENING}",
    re.IGNORECASE,
)
_DENIED_BEHIND = re.compile(
    r"\s*(?:\$|\\\))?\s*(?:(?:is|was)\s+(?:wrong|incorrect|false|not\b)|and a (?:half|third|quarter)"
    r"|squared\b|cubed\b|factorial\b|[²³]|~~|是错|不对)",
    re.IGNORECASE,
)
_MINUS_WORD = re.compile(rf"(?:\b(?:negative|minus)|负){_OPENING}", re.IGNORECASE)
_CURRENCY = re.compile(rf"([€£¥₹]|EUR|GBP|USD|RMB|CNY){_OPENING}")
_SIGN_OUTSIDE = re.compile(r"(?:^|[\s(=:*])([-−–])\s*(?:\$\$?|\\\()\s*$")
_NUMBER = r"(?:\$\$?|\\[(\[])?\s*[-−]?\\?\$?(\d[\d.,]*(?:/\d+)?)"
_OTHER_BEHIND = re.compile(
    r"\s*(?:\$\$?|\\[)\]])?\s*(?:\b(?:or|and|to)\b|或|和|、|;|"
    rf"{TEXT_COMMANDS}\s*\{{\s*(?:or|and|to)\s*\}})\s*(?:maybe\s|perhaps\s)?{_NUMBER}(?=\s*(?:$|[.,;!?$\\\n)]))"
    rf"|\s*(?:\$\$?|\\[)\]])?\s*(?:,\s*|[-–→]){_NUMBER}\s*(?:\$|\\\))?\s*(?:[.;]\s|[.;]?\s*$|\n)",
    re.IGNORECASE,
)
_OTHER_BEFORE = re.compile(
    rf"(?:^|[\s$(=])([-−]?\d[\d.]*)\s*(?:\$\$?|\\[)\]])?\s*(?:\bor\b|或|、){_OPENING}|(?:^|[$(=\s])([-−]?\d[\d.]*),\s*$",
    re.IGNORECASE,
)
_EITHER = re.compile(rf"\beither{_OPENING}", re.IGNORECASE)
# Signs and digits that touch a box in plain text.
_TOUCHES_LEFT = re.compile(
    r"(?:[\d.)}√π+/^_]|(?<!\*)\*(?!\*)|(?<![\w*])[-−–±]|(?<=[=:(]\s)[-−–]\s|\\pm|[-−]?\\?\$\s?|[€£¥]\s?)+\Z"
)
_TOUCHES_RIGHT = re.compile(
    r"(?:\s?(?:\\(?:times|cdot)|[×^]|\*(?!\*)|x(?=\s?10))\s?[^\s;]+|\s\d+/\d+(?!\d)|\d[\d.,]*|[.,]\d+|/\s?\d+|\\(?:pi|sqrt)[^\s;]*|[π√][^\s;]*|[ixyn](?![A-Za-z]))+"
)
_SIGNS = re.compile(r"\\[A-Za-z]+|[=+*/^<>|()\[\]]|\d")
_COMMANDS = re.compile(r"\\(?:begin|end)\s*\{[a-z*]+\}|\\[A-Za-z]+")
_WORD = re.compile(r"[A-Za-z]{2,}|[\u4e00-\u9fff]")
_EQUAL_BEHIND = re.compile(r"\s*(=|\\approx)\s*([-−]?\d[\d.]*)\s*(?:$|\$|\\[)\]]|[.,;\n])")
_EQUAL_BEFORE = re.compile(r"(?:^\s*|(?<!\\)\$\s*|\\[(\[]\s*)([-−]?\d[\d.]*)\s*=\s*\Z")
_UNIT_BEHIND = re.compile(
    rf"\s*(?:\\[,; ]|~)*\s*(?:\$\$?|\\\)|\\\]|\*\*)?\s*\(?\s*((?:\\mu\s*)?{TEXT_COMMANDS}\s*\{{[^{{}}]*\}}"
    r"(?:\s*\^\s*\{?\d\}?)?|\\?%|°\s?[CF]?|\^\s*\{?\s*\\circ\s*\}?|\\Omega"
    r"|[A-Za-zµΩ][A-Za-z/^0-9µΩ·²³-]*(?: [A-Za-z/^0-9µΩ·²³-]+){0,3}|[€£¥¢]|[\u4e00-\u9fff]{1,4})"
)
_SCALES = frozenset("hundred thousand million billion trillion dozen percent percentage pct 万 亿 thousandths".split())
_NO_UNIT = frozenset("in am us as at a A I an pt t u is or and be per so if to".split())  # they go on a sentence


def with_surroundings(before: str, content: str, behind: str) -> str:
    r"""The claim of a box with this content, between these texts.

    A formula around the box counts (`2\boxed{9}`), unless the box is a blank in an equation (`3 + \boxed{5} = 8`);
    of a hedge all of it does ("9 or 10"), and what is denied becomes text that no answer is ("not 9").
    """
    if _DENIED_BEFORE.search(before[-40:]) or _DENIED_BEHIND.match(behind):
        return rf"\text{{not }} {content}"
    if _EITHER.search(before[-20:]):
        return rf"\text{{either }} {content}"
    if (other := _OTHER_BEFORE.search(before[-40:])) and (number := other[1] or other[2]):
        return f"{number} or {content}"
    if other := _OTHER_BEHIND.match(behind):
        return f"{content} or {other[1] or other[2]}"
    sign = "-" if _MINUS_WORD.search(before[-20:]) else ""
    money = _CURRENCY.search(before[-8:])
    unit = _unit_behind(behind) or (f" {money[1]}" if money and not content.startswith(money[1]) else "")
    if _in_formula(before) or _is_bare_formula(before, behind):
        return _in_its_formula(_SPACING.sub(" ", before[-200:]), sign, content, behind, unit)
    left, right = _TOUCHES_LEFT.search(before[-20:]), _TOUCHES_RIGHT.match(behind)
    touching = (left[0].strip() if left else "").replace("–", "-"), right[0] if right and not unit else ""
    return _joined(sign or touching[0], content, touching[1]) + unit


def _in_its_formula(before: str, sign: str, content: str, behind: str, unit: str) -> str:
    starts = list(_SIDE_START.finditer(before))
    left = _DRESS.sub("", before[starts[-1].end() :] if starts else before).strip()
    if _PROSE.search(left):
        left = ""  # a dollar sign was money
    if not left and (outside := _SIGN_OUTSIDE.search(before)):
        left = outside[1].replace("–", "-")
    left = left or sign
    stop = _SIDE_END.search(behind)
    right = _AFTER_ALL.sub("", behind[: stop.start()] if stop else "")
    right = "" if unit or "box" in right or _LIST_SIGNS.match(right) else _SPACING.sub(" ", right).strip(" .,;。，")
    left = "" if "box" in left else left
    if left.count("(") + left.count("{") + left.count("[") and (end := _closing_bracket(left, behind)):
        return f"{left} {content} {_SPACING.sub(' ', behind[:end])}"  # one of several in brackets
    is_blank = stop is not None and _BLANK_ENDS.match(behind[stop.start() :]) is not None
    if not left and (equated := _equated(before, content, behind)):
        return equated
    if is_blank and (right or left not in ("-", "−", "+", "\\pm", "±", "$", "\\$", "")):
        return content + unit  # the missing part of an equation
    if (
        not right
        and (close := _CLOSING.match(behind))
        and (touching := re.match(r"[.,]?\d[\d.,]*", behind[close.end() :]))
    ):
        right = touching[0].rstrip(".,")
    return _joined(left, content, right) + unit


def _is_bare_formula(before: str, behind: str) -> bool:
    """Whether the box stands in a line of maths without any marks around it."""
    line = before.rpartition("\n")[2] + " " + behind.partition("\n")[0]
    return _SIGNS.search(line) is not None and _WORD.search(_COMMANDS.sub(" ", strip_text_commands(line))) is None


def _closing_bracket(left: str, behind: str) -> int | None:
    """Where the bracket that `left` leaves open is closed behind a comma: the end of "(\\boxed{14}, 15)"."""
    opener = left.lstrip("\\").strip()[-1:]
    closer = {"(": ")", "[": "]", "{": "}"}.get(opener)
    match = re.match(rf"\s*,[^$\n]*?\\?{re.escape(closer)}", behind) if closer else None
    return match.end() if match else None


def _equated(before: str, content: str, behind: str) -> str | None:
    r"""`\boxed{14} = 15` and `15 = \boxed{14}`: a chain, to be read as such."""
    if not re.fullmatch(r"[-−]?\d[\d.,]*", content):
        return None
    if other := _EQUAL_BEHIND.match(behind):
        return f"{content} {other[1]} {other[2]}"
    other = _EQUAL_BEFORE.search(before)
    return f"{other[1]} = {content}" if other else None


def _in_formula(before: str) -> bool:
    """Whether a text ends within a formula: after a mark that opens one."""
    opened = False
    for match in _MARK.finditer(before):
        mark = match[0]
        opened = not opened if mark[0] == "$" else mark[:2] in ("\\[", "\\(") or mark.startswith("\\begin")
    return opened


def _joined(left: str, content: str, right: str) -> str:
    if not left and not right:
        return content
    whole = left + content + right
    if whole.count("{") != whole.count("}") or whole.count("(") != whole.count(")"):
        return content
    if right or left.strip("-−+±$ \\pm€£¥"):
        content = content if re.fullmatch(r"[\w.,]+", content) and not re.search(r"[\w.]$", left) else f"({content})"
    return (
        f"{left} {content} {right}".strip() if not re.match(r"[.,\d]", right) else f"{left} {content}{right}".strip()
    )


def _unit_behind(behind: str) -> str:
    r"""The unit, percent sign or scale right behind a box, or nothing: `\boxed{9} \text{ cm}`, `$\boxed{28}$ pct`."""
    match = _UNIT_BEHIND.match(behind)
    if match is None:
        return ""
    found = match[1]
    if found in ("%", "\\%", "\\Omega") or found[0] in "°^€£¥":
        return f" {found}"
    if found == "¢":
        return " cents"
    if found[0] == "\\":
        phrase = " ".join(strip_text_commands(found.replace("~", " ")).split())
        return f" {found}" if phrase in _SCALES or unit_name(phrase.replace(" ^", "^"), marked=True) else ""
    words = found.split()
    if words[0] in _NO_UNIT or len(words[0]) == 1 and "(" in match[0]:
        return ""
    for count in range(len(words), 0, -1):
        phrase = " ".join(words[:count])
        if unit_name(phrase, marked=True) or phrase in _SCALES:
            return f" {phrase}"
    return ""
