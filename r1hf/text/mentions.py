"""Whether a tag in plain text is only spoken of: "write `<think>` to open a thought" opens none.

Each rule looks at the text before the tag and at a bounded piece after it, so that a stream decides as the whole text
does: a rule says yes or no, or None until it has seen enough, and never takes a word back. Where a rule is in doubt
the tag is no mention: what could be a thought stays one, and its content is not read as an answer.
"""

from __future__ import annotations

import functools
import re

_WRAPPERS = {
    **{"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "「": "」", "『": "』", "”": "”"},
    **{"(": ")", "（": "）", "[": "]", "*": "*", "_": "_", "<code>": "</code>"},
}
_SPAN = 200  # characters of inline code behind a tag
_FENCE = REACH = 4000  # of a code block, the furthest that any rule looks
_NEAR = 16  # of the sentence that goes on behind a tag
_LED_UP = 32  # of the sentence before it
_RUN = re.compile("`+")
_FENCE_LINE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_ANSWERS = re.compile(r"<answer>|\\f?boxed")
_SPOKEN_OF = re.compile(
    r"(?:^|[^\w])(?:the|an?|this|that|each|every|its|their|your|writes?|wrote|uses?|using|emits?|puts?|types?|prints?|"
    r"inserts?|adds?|called|named|tags?|tokens?|with|without|between|inside|in|of|from|by|and|or|like|as)[ \t]+$"
    r"|(?:使用|写|写出|写下|输出|用|在|的|和|与|或|标签|标记|以|由|把|将)[ \t]*$",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"[ \t]+[a-z\u4e00-\u9fff]|[ \t]*[\u4e00-\u9fff，。；：、）]|[,.;:!?)](?=\s)")
_NOUN = re.compile(
    r"[ \t]+(?:tags?|tokens?|blocks?|elements?|markers?|marks?|sections?)\b|[ \t]*(?:标签|标记|标识|令牌|和|与|或|、)"
)


def mentioned(before: str, tag: str, after: str, *, final: bool) -> int | None:
    """How many characters from the tag on are plain text; 0 where the tag is meant, None where `after` must grow.

    before: the plain text up to the tag. after: what follows it, as far as it is there. final: there is no more.
    A tag between quotes, backticks or brackets is a mention; one that marks a thought is so too inside closed code,
    and in the midst of a sentence that speaks of it.
    """
    wrapped = _wrapped(before, after, final)
    if wrapped is not False:
        return len(tag) if wrapped else None
    if "think" not in tag:
        return 0
    line = before.rpartition("\n")[2]
    inside = _in_code(_open_fence(before), _open_span(line), after, final)
    if inside is None:
        return None
    if inside and (tag.startswith("</") or not _hides(after[:inside])):
        return len(tag) + inside
    spoken = _in_sentence(line[-_LED_UP:], after, final)
    return None if spoken is None else len(tag) * spoken


def verdicts(text: str, tag: str, *, final: bool) -> list[int | None]:
    """`mentioned` of each `tag` in plain text."""
    places = (match.start() for match in re.finditer(re.escape(tag), text))
    return [mentioned(text[:place], tag, text[place + len(tag) :], final=final) for place in places]


def _wrapped(before: str, after: str, final: bool) -> bool | None:
    pairs = [closing for opening, closing in _WRAPPERS.items() if before.endswith(opening)]
    if any(after.startswith(closing) for closing in pairs):
        return True
    pending = not final and any(closing.startswith(after) for closing in pairs)
    return None if pending else False


@functools.lru_cache(maxsize=2)  # asked again for each piece that is waited for
def _open_fence(before: str) -> str | None:
    """The fence of a code block that is open at the end; None too where the block is all there is so far.

    A response that is a code block from its first character on is no text that speaks of one.
    """
    fence, said, first = "", False, False
    for line in before.split("\n")[:-1]:
        found = _FENCE_LINE.match(line)
        if not fence and found:
            fence, first = found[1], not said
        elif fence and found and found[1].startswith(fence) and not line.strip().strip(fence[0]):
            fence = ""
        said = said or bool(line.strip())
    return fence if fence and not first else None


def _in_code(fence: str | None, ticks: int | None, after: str, final: bool) -> int | None:
    """Characters of `after` up to the end of the code that the tag is in; 0 where it is in none, or in one that does
    not end."""
    if fence:
        return _in_fence(fence, after, final)
    return _in_span(ticks, after, final) if ticks else 0


def _in_fence(fence: str, after: str, final: bool) -> int | None:
    closing = re.compile(rf"\n {{0,3}}{re.escape(fence)}{re.escape(fence[0])}*[ \t]*(?=\r?\n{'|$' if final else ''})")
    found = closing.search(after[:_FENCE])
    if found:
        return found.end()
    return 0 if final or len(after) >= _FENCE else None


def _open_span(line: str) -> int | None:
    """The number of backticks of the inline code that is open at the end of `line`."""
    runs = [len(match[0]) for match in _RUN.finditer(line)]
    while runs and runs[0] in runs[1:]:
        runs = runs[runs.index(runs[0], 1) + 1 :]
    return runs[0] if runs else None


def _in_span(ticks: int, after: str, final: bool) -> int | None:
    reach = after[:_SPAN]
    rest = reach.partition("\n")[0]
    ended = final or len(rest) < len(reach) or len(reach) == _SPAN
    for match in _RUN.finditer(rest):
        if match.end() == len(rest) and not ended:
            return None
        if len(match[0]) == ticks:
            return match.end()
    return 0 if ended else None


def _hides(code: str) -> bool:
    """Whether a thought in code holds what would be read as an answer."""
    return bool(_ANSWERS.search(code.partition("</think>")[0]))


def _in_sentence(line: str, after: str, final: bool) -> bool | None:
    """Whether the sentence before the tag leads up to it and goes on behind it, or the tag is called one."""
    if not re.search(r"[\w,，、][ \t]+$|[\u4e00-\u9fff，、]$", line):
        return False
    near = after[:_NEAR]
    enough = final or len(after) >= _NEAR or "\n" in near
    if not enough:
        return None
    return bool(_NOUN.match(near) or (_SPOKEN_OF.search(line) and _GOES_ON.match(near + "\n" * final)))
