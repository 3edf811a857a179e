"""Whether two tokenizers mean the same by each id, so that two models' distributions can be compared token by token.

Decided by what the tokenizers hold, never by names: Qwen2.5 has two ends of a turn, and a Llama student may well have
been given its teacher's tokenizer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Comparison:
    """Tokens of the student's and of the teacher's vocabulary; `same`: those with the same text and id in both.

    shared: same text, whatever the id. ends: the end tokens of both, as texts.
    """

    student: int
    teacher: int
    same: int
    shared: int
    ends: tuple[str | None, str | None]

    @property
    def agree(self) -> bool:
        """Every id means the same token in both. (The models' own sizes may differ: rows beyond are padding.)"""
        return self.same == self.student == self.teacher

    def __str__(self) -> str:
        if self.agree:
            return f"both have the same {self.student} tokens"
        return (
            f"the student has {self.student} tokens and the teacher {self.teacher}: {self.shared} have the same text, "
            f"{self.same} the same text and id"
        )


def compare(student: Any, teacher: Any) -> Comparison:
    """Compares the vocabularies of two tokenizers, added tokens included."""
    one, two = student.get_vocab(), teacher.get_vocab()
    shared = one.keys() & two.keys()
    same = sum(one[token] == two[token] for token in shared)
    return Comparison(len(one), len(two), same, len(shared), (student.eos_token, teacher.eos_token))


def is_byte_level(tokenizer: Any) -> bool:
    """Whether each token stands for whole bytes of text, as with Qwen and Llama 3 (and not with SentencePiece)."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and any("ByteLevel" in repr(part) for part in (backend.pre_tokenizer, backend.decoder))
