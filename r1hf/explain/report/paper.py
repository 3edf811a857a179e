"""What the paper measured of the same stages and students (arXiv 2501.12948v2): other models, other questions.

It says which way a stage should move, not how far.
"""

from __future__ import annotations

import re

# AIME 2024 and MATH-500 in reasoning, IF-Eval and AlpacaEval 2.0 in what people ask for; None: not published.
NAMES = ("AIME 2024", "MATH-500", "IF-Eval", "AlpacaEval")
Numbers = tuple[float | None, float | None, float | None, float | None]
_MAIN: dict[str, Numbers] = {
    "base": (15.6, None, None, None),
    "r1_zero": (77.9, 95.9, 46.6, 24.7),
    "sft1": (59.0, 94.2, 71.7, 50.1),
    "reasoning_rl": (74.0, 95.9, 72.0, 55.8),
    "sft2": (78.1, 95.4, 78.1, 62.1),
    "r1": (79.8, 97.3, 83.3, 87.6),
}
_STUDENTS: dict[str, Numbers] = {
    "qwen_1_5b": (28.9, 83.9, None, None),
    "qwen_7b": (55.5, 92.8, None, None),
    "qwen_14b": (69.7, 93.9, None, None),
    "qwen_32b": (72.6, 94.3, None, None),
    "llama_8b": (50.4, 89.1, None, None),
    "llama_70b": (70.0, 94.5, None, None),
}
_DIRECT: Numbers = (47.0, 91.6, None, None)  # Qwen2.5-32B-Zero
# A student of no published size stands beside the one of its family that the paper trained both ways, or alone.
_FAMILY = {"qwen": "qwen_32b", "llama": "llama_8b"}


def published(stage: str) -> tuple[str, Numbers] | None:
    """(whose numbers, they), None where the paper has none of such a stage."""
    if stage in _MAIN:
        return "", _MAIN[stage]
    if re.fullmatch(r"student_qwen(?:_32b)?_direct_rl|direct_rl_qwen_32b", stage):
        return "Qwen 32B by RL alone", _DIRECT
    found = re.fullmatch(r"student_((qwen|llama)(?:_\d+(?:_\d+)?b)?)", stage)
    if found is None:
        return None
    name = found[1] if found[1] in _STUDENTS else _FAMILY[found[2]]
    family, _, size = name.partition("_")
    return f"{family.title()} {size.replace('_', '.').upper()}, distilled", _STUDENTS[name]
