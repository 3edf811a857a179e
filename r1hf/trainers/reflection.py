"""Reflection words: how often a text looks back at itself (DeepSeek-R1, Nature 2025, Extended Data Fig. 1)."""

from __future__ import annotations

import re

from r1hf.text.language.words import HAN, KANA

# The paper's ten, and five that mean the same; whole words, so "checkers" and "awaits" are none.
ENGLISH = frozenset(
    "wait mistake however but retry error verify wrong evaluate check "
    "hmm recheck rethink reconsider alternatively".split()
)
# Chinese is written without spaces, so these count wherever they stand; where two overlap, the longer one counts once.
CHINESE = tuple(
    "等等 等一下 等会 不对 不對 错误 錯誤 错了 錯了 有误 有誤 检查 檢查 验证 驗證 核对 核對 核实 核實 检验 檢驗 "
    "重新 再想 再算 再看 反思 然而 但是 不过 不過 或者说 或者說".split()
)

_CHINESE = re.compile("|".join(sorted(CHINESE, key=len, reverse=True)))
_LATIN_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")
_ANY_WORD = re.compile(rf"[a-z]+(?:['’][a-z]+)*|[{HAN}{KANA}]|[^\W\d_a-z{HAN}{KANA}]+")


def count(text: str) -> tuple[int, int]:
    """Reflection words and words of `text`. Each Han or Kana sign is a word, as everywhere in r1hf."""
    text = text.lower()
    if text.isascii():
        words = _LATIN_WORD.findall(text)
        return sum(map(ENGLISH.__contains__, words)), len(words)
    words = _ANY_WORD.findall(text)
    return sum(map(ENGLISH.__contains__, words)) + len(_CHINESE.findall(text)), len(words)
