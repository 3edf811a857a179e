"""Text of a model or a person, made harmless before a browser sees it, and readable again when it is copied.

Not Markdown-aware on purpose: a mark that cannot be seen (U+2060, word joiner) is put inside whatever a browser could
take for HTML, an image or a script link, wherever it stands. page.js removes the mark from what is copied. Gradio's
own sanitiser and the page's Content-Security-Policy stand behind this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MARK = "\u2060"
STAR = "\u2217" + MARK  # a product's star, which Markdown would read as emphasis

_MATHS = {"\\(": "\\)", "\\[": "\\]", "$$": "$$"}
_OPENING = re.compile(r"\\\(|\\\[|\$\$")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_SCHEME = re.compile(r"(?i)\b(javascript|vbscript|data)(?=[\s\x00-\x1f]*(?::|&))")
# 2*3, 2**3, (a+b)*c; not the stars of **bold**, which touch a word on one side only.
_STAR = re.compile(r"(?<=[0-9A-Za-z)\]])\*(?=[0-9A-Za-z(\[])|(?<=[0-9)\]])\*\*(?=[0-9(])")
_MERMAID = re.compile(r"(?i)\b(m)(ermaid)")  # wherever it stands: what a fence is, Markdown decides
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def markdown(text: str) -> str:
    """`text` as Markdown without HTML, images and script links; `\\(maths\\)` stays KaTeX's."""
    # KaTeX draws no word joiner: there a space does the same.
    return "".join(
        _break(part, " ") if maths else _break(part, MARK) for maths, part in _parts(text.replace(MARK, ""))
    )


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    """(is it maths, text) from the beginning to the end, in time that grows with the length alone."""
    start, at, never = 0, 0, set()
    while found := _OPENING.search(text, at):
        opening = found[0]
        end = -1 if opening in never else text.find(_MATHS[opening], found.end() + 1)
        if end < 0:  # nothing closes it, nor any that follows
            never.add(opening)
            at = found.end()
            continue
        yield False, text[start : found.start()]
        start = at = end + len(_MATHS[opening])
        yield True, text[found.start() : start]
    yield False, text[start:]


def _break(text: str, mark: str) -> str:
    text = _MERMAID.sub(rf"\1{mark}\2", text)  # diagrams are programs of their own
    text = _TAG.sub("<" + mark, text)
    text = text.replace("![", f"!{mark}[")
    text = _SCHEME.sub(rf"\1{mark}", text)
    return _STAR.sub(lambda stars: STAR * len(stars[0]), text) if mark == MARK else text


def original(text: str) -> str:
    """The text behind `markdown(text)`, up to spaces in maths; what an edited message is read with."""
    return text.replace(STAR, "*").replace(MARK, "")


def html(text: str) -> str:
    """`text` for the inside of an HTML element or attribute."""
    return "".join(_HTML.get(char, char) for char in text)


def line(text: str) -> str:
    """`text` for a line of HTML that goes through Markdown: no character of it means anything there."""
    return "".join(char if char.isalnum() or char in " .,-" else f"&#{ord(char)};" for char in text)
