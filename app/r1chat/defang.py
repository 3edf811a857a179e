"""Text of a model or a person, made harmless before a browser sees it, and readable again when it is copied.

Not Markdown-aware on purpose: a mark that cannot be seen (U+2060, word joiner) is put inside whatever a browser could
take for HTML, an image or a script link, wherever it stands. page.js removes the mark from what is copied. Gradio's
own sanitiser and the page's Content-Security-Policy stand behind this.
"""

from __future__ import annotations

import re

MARK = "\u2060"
STAR = "\u2217" + MARK  # a product's star, which Markdown would read as emphasis

_MATHS = re.compile(r"(\\\([\s\S]+?\\\)|\\\[[\s\S]+?\\\]|\$\$[\s\S]+?\$\$)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_SCHEME = re.compile(r"(?i)\b(javascript|vbscript|data)(?=[\s\x00-\x1f]*(?::|&))")
# 2*3, 2**3, (a+b)*c; not the stars of **bold**, which touch a word on one side only.
_STAR = re.compile(r"(?<=[0-9A-Za-z)\]])\*(?=[0-9A-Za-z(\[])|(?<=[0-9)\]])\*\*(?=[0-9(])")
_MERMAID = re.compile(r"(?im)^([ \t>*+-]*(?:`{3,}|~{3,})[ \t]*)mermaid\b")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def markdown(text: str) -> str:
    """`text` as Markdown without HTML, images and script links; `\\(maths\\)` stays KaTeX's."""
    text = _MERMAID.sub(r"\1text", text.replace(MARK, ""))  # diagrams are programs of their own
    parts = _MATHS.split(text)
    # KaTeX draws no word joiner: there a space does the same.
    return "".join(_break(part, " ") if index % 2 else _break(part, MARK) for index, part in enumerate(parts))


def _break(text: str, mark: str) -> str:
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
