"""The prompt as the model gets it: text and tokens, with the think tokens and the template's own marks shown."""

from __future__ import annotations

import re
from functools import lru_cache

from r1chat import defang
from r1chat.backend import Tokens
from r1chat.texts import Translator
from r1hf.text.grammar import ANSWER_CLOSE, ANSWER_OPEN, SEPARATOR, THINK_CLOSE, THINK_OPEN

MAX_SHOWN = 3000  # tokens; more make a page slow and teach nothing
_THINKING = re.compile("|".join(map(re.escape, (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE, SEPARATOR))))
_SPECIAL = re.compile(r"<[|｜][^<>\s]{1,60}[|｜]>|</?s>|\[/?INST\]")


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    """The letters with which byte-level BPE writes bytes (GPT-2's table), back to the bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    return table | {chr(256 + rank): byte for rank, byte in enumerate(others)}


def is_byte_level(pieces: list[str]) -> bool:
    """Whether these are byte-level BPE's strings (Ġ for a space), not SentencePiece's (▁) or plain text."""
    table = _byte_of()
    ordinary = [piece for piece in pieces if not _SPECIAL.fullmatch(piece)]
    return bool(ordinary) and all(char in table for piece in ordinary for char in piece)


def piece_bytes(pieces: list[str]) -> list[bytes]:
    """The bytes that each token stands for."""
    if not is_byte_level(pieces):
        return [piece.replace("▁", " ").encode() for piece in pieces]
    table = _byte_of()
    return [piece.encode() if _SPECIAL.fullmatch(piece) else bytes(table[char] for char in piece) for piece in pieces]


def full_text(pieces: list[str]) -> str:
    return b"".join(piece_bytes(pieces)).decode("utf-8", "replace")


def view(tokens: Tokens, t: Translator) -> str:
    """The prompt in HTML: what its end means, the text with its marks, then a chip for each token with its id."""
    if tokens.pieces is None:
        ids = defang.html(" ".join(map(str, tokens.ids[:MAX_SHOWN])))
        return f"<p>{defang.html(t('prompt_no_pieces', n=len(tokens.ids)))}</p><pre class='r1-prompt'>{ids}</pre>"
    text = full_text(tokens.pieces)
    ends_thinking = text.rstrip().endswith(THINK_OPEN)
    room = t("prompt_room", n=tokens.max_model_len - len(tokens.ids)) if tokens.max_model_len else ""
    lesson = t("prompt_prefilled") if ends_thinking else t("prompt_inline")
    return "".join(
        [
            f'<p class="r1-prompt-count">{defang.html(t("prompt_count", n=len(tokens.ids), chars=len(text)))} '
            f"{defang.html(room)}</p><p>{defang.html(lesson)}</p>",
            f"<h3>{defang.html(t('prompt_text'))}</h3>",
            f'<pre class="r1-prompt" tabindex="0">{_marked(text)}</pre>',
            f"<h3>{defang.html(t('prompt_tokens'))}</h3>",
            f'<div class="r1-tokens" role="list">{_chips(tokens)}</div>',
        ]
    )


def _marked(text: str) -> str:
    """The text in HTML, think and answer tags and special tokens in marks, line breaks visible."""
    shown, end = [], 0
    for match in re.finditer(f"{_THINKING.pattern}|{_SPECIAL.pattern}", text):
        shown.append(_breaks(text[end : match.start()]))
        kind = "r1-think" if _THINKING.fullmatch(match[0]) else "r1-special"
        shown.append(f'<mark class="{kind}">{defang.html(match[0])}</mark>')
        end = match.end()
    return "".join([*shown, _breaks(text[end:])])


def _breaks(text: str) -> str:
    return defang.html(text).replace("\n", '<span class="r1-break" aria-hidden="true">↵</span>\n')


def _chips(tokens: Tokens) -> str:
    assert tokens.pieces is not None
    pieces = piece_bytes(tokens.pieces)[:MAX_SHOWN]
    thinking = _in_marks(pieces)
    chips = []
    for identity, piece, inside in zip(tokens.ids, pieces, thinking, strict=False):
        shown = _visible(piece)
        kind = "r1-think" if inside else "r1-special" if _SPECIAL.fullmatch(shown) else ""
        text, number = defang.html(shown), defang.html(str(identity))
        chips.append(
            f'<span role="listitem" class="r1-token {kind}"><span>{text}</span><small>{number}</small></span>'
        )
    if len(tokens.ids) > MAX_SHOWN:
        chips.append(f"<span>… +{len(tokens.ids) - MAX_SHOWN}</span>")
    return "".join(chips)


def _in_marks(pieces: list[bytes]) -> list[bool]:
    """For each token whether it is part of a think or answer tag, which may take several tokens."""
    spans = [match.span() for match in re.finditer(_THINKING.pattern.encode(), b"".join(pieces))]
    inside, start = [], 0
    for piece in pieces:
        end = start + len(piece)
        inside.append(any(first < end and start < last for first, last in spans))
        start = end
    return inside


def _visible(piece: bytes) -> str:
    """A token's text with spaces and breaks shown; bytes that are no whole character in hex."""
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return " ".join(f"{byte:02X}" for byte in piece)
    return text.replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥") or "∅"
