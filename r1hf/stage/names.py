"""What the models of a run are called where people read: by the paper's names, and the students by what they are."""

from __future__ import annotations

import re

# Stage -> the paper's name, in the order in which they are made.
MAIN_LINE = {
    "base": "Base",
    "r1_zero": "R1-Zero",
    "sft1": "Dev1",
    "reasoning_rl": "Dev2",
    "sft2": "Dev3",
    "r1": "R1",
}
_STUDENT = re.compile(
    r"student(?:_(?P<family>qwen|llama))?(?:_(?P<size>\d+(?:_\d+)?)b)?"
    r"(?P<made>|_base|_direct_rl|_on_policy)"
)
_MADE = {"": "", "base": "'s base", "direct_rl": " by direct RL", "on_policy": " on policy"}


def display_name(model: str) -> str | None:
    """`Dev1` of sft1, `Qwen student by direct RL` of student_qwen_direct_rl; None of a name that is no model's."""
    found = _STUDENT.fullmatch(model)
    if found is None:
        return MAIN_LINE.get(model)
    size = f"{found['size'].replace('_', '.')}B" if found["size"] else ""
    words = [word for word in ((found["family"] or "").title(), size, "student") if word]
    name = " ".join(words)
    return name[0].upper() + name[1:] + _MADE[found["made"].lstrip("_")]
