"""Chinese or Japanese: both write Han characters, Japanese with Kana among them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from r1hf.text.language.words import CJK, KANA, size

_KANA = re.compile(f"[{KANA}]")
# Characters of everyday Chinese that Japanese hardly writes, and those that it writes in other places.
_CHINESE = re.compile("[你您她它们們这這哪吗嗎呢吧么麼让讓给給跟很还還没沒个什怎谁誰啊呀嘛从從对對说說为為]")
_RATHER_CHINESE = re.compile("[的了是我那就也都把被且但]")
_OLD = re.compile("[於後麼乾瞭]")  # traditional signs that GB2312 has nevertheless
_KANA_SHARE = 8  # one Kana sign among so many makes a run Japanese
_SHORT_SENTENCE = 6  # shorter Japanese runs without Kana are words such as 目的 and 完了
_LONG = 8  # Japanese hardly ever writes so many words without any Kana
_RARE_IN_JAPAN = b"\x98\x9f"  # JIS X 0208, level 2: rare characters and old forms, the traditional Chinese ones


def kana_signs(run: str) -> int:
    return len(_KANA.findall(run))


def is_traditional(text: str) -> bool:
    """Whether more signs of a Chinese text are in the traditional standard (Big5) alone than in GB2312 alone."""
    old = sum(bool(sign.encode("big5", "ignore")) - bool(sign.encode("gb2312", "ignore")) for sign in text)
    return old + len(_OLD.findall(text)) > 0


def count_target(runs: Sequence[str], target: str) -> int:
    """How many signs of `runs` (Han and Kana, unbroken) are in `target`, "zh" or "ja", run by run.

    A run that tells nothing goes with the one before it, at the start with the next one that tells something, and is
    in `target` if none does. Kana is never Chinese.
    """
    if target == "zh" and not _KANA.search("".join(runs)):
        return sum(map(len, runs)) - sum(run.count("ー") for run in runs)
    among_kana = any(map(kana_signs, runs))
    languages = [_language(run, 2 if among_kana and len(run) < _SHORT_SENTENCE else 1) for run in runs]
    default = "zh" if not among_kana and sum(map(len, runs)) >= _LONG else target
    current = next((language for language in languages if language), default)
    count = 0
    for run, language in zip(runs, languages, strict=True):
        current = language or current
        if current == target:
            count += size((CJK, run)) - (kana_signs(run) if target == "zh" else 0)
    return count


def _language(run: str, least: int) -> str | None:
    """None where less than `least` speaks for Chinese: a sure sign of it counts 2."""
    kana = kana_signs(run)
    if kana and kana * _KANA_SHARE >= len(run):
        return "ja"
    han = _KANA.sub("", run).replace("ー", "")
    chinese = len(_RATHER_CHINESE.findall(han)) + 2 * len(_CHINESE.findall(han))
    japanese = 2 * kana
    for sign in han:
        code = sign.encode("shift_jis", "ignore")
        if not code or code >= _RARE_IN_JAPAN:
            chinese += 2
        elif not sign.encode("gb2312", "ignore") and not sign.encode("big5", "ignore"):
            japanese += 2
    if max(chinese, japanese) < least or chinese == japanese:
        return None
    return "zh" if chinese > japanese else "ja"
