"""Rows that are too long for training: dropped and counted, not cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from r1hf.core.errors import DataError
from r1hf.data.rows import Row

if TYPE_CHECKING:
    from r1hf.stage.stage import Stage

_BATCH = 1024


def token_counts(texts: Sequence[Any], tokenizer: Any, **template: Any) -> list[int]:
    """Tokens of each text, or of each conversation under the chat template (with its keyword arguments)."""
    counts: list[int] = []
    for start in range(0, len(texts), _BATCH):
        batch = [
            text if isinstance(text, str) else tokenizer.apply_chat_template(text, tokenize=False, **template)
            for text in texts[start : start + _BATCH]
        ]
        # A chat template writes its own special tokens, and TRL tokenizes a plain prompt as it stands.
        counts += [len(ids) for ids in tokenizer(batch, add_special_tokens=False)["input_ids"]]
    return counts


def drop_long(stage: Stage, key: str, rows: Sequence[Row], counts: Sequence[int], most: int, option: str) -> list[Row]:
    """The rows of at most `most` tokens; how many were dropped is shown and goes to the manifest.

    Raises DataError with the distribution of lengths where none is left.
    """
    dropped, said = long_told(key, counts, most, option)
    stage.note("too_long", key, dropped)
    if said:
        stage.say(said)
    return [row for row, count in zip(rows, counts, strict=True) if count <= most]


def long_told(key: str, counts: Sequence[int], most: int, option: str) -> tuple[int, str]:
    """(how many of these are longer than `most`, a sentence about them). Raises DataError where all are."""
    dropped = sum(count > most for count in counts)
    if counts and dropped == len(counts):
        raise DataError(
            f"{key}: all {len(counts)} rows are longer than {option} {most}: {_distribution(counts)} tokens; "
            f"raise {option}, or give shorter rows"
        )
    if not dropped:
        return 0, ""
    return dropped, (
        f"{key}: {dropped} of {len(counts)} rows dropped, longer than {option} {most} (longest {max(counts)})"
    )


def _distribution(counts: Iterable[int]) -> str:
    ordered = sorted(counts)
    points = {"shortest": 0.0, "median": 0.5, "90%": 0.9, "longest": 1.0}
    return ", ".join(f"{name} {ordered[round(share * (len(ordered) - 1))]}" for name, share in points.items())
