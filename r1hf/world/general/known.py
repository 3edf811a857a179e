"""What the world's model can answer besides sums."""

from __future__ import annotations

from r1hf.world.words import in_words, items, texts

KNOWN = ("greeting", "thanks", "bye", "number", "fact", "identity")
NUMBERS = range(1, 13)  # those that can be translated


def key_values(kind: str, language: str) -> dict[str, str]:
    """What may be asked of a kind, with what a right answer says of it."""
    if kind == "number":
        other = "zh" if language == "en" else "en"
        return {said: in_words(n, other) for n in NUMBERS for said in (in_words(n, language), str(n))}
    return dict(item.partition("=")[::2] for item in items(texts("known", language)[kind]["slots"]))
