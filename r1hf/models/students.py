"""The paper's six students: what each was made from and how (arXiv:2501.12948v1, 2.4; v2, appendix B.4.3).

Common to all: supervised fine-tuning on the 800k rows, 2-3 epochs, batch 64, context 32,768, cosine to a tenth of the
learning rate. Everything published is here; what the paper leaves open is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.yamlfile import nearest


@dataclass(frozen=True)
class Student:
    """One student. `licence` is its base's, which binds the student; `rates` in the paper's own unit, per step.

    epochs: (fewest, most), as the paper gives a range. context: tokens.
    template: r1hf's chat template for it (its base's own tokens); `prefill` ends the prompt with `<think>`, as
    DeepSeek advises.
    """

    name: str
    base: str
    learning_rate: float
    licence: str
    epochs: tuple[int, int] = (2, 3)
    batch_size: int = 64
    context: int = 32_768
    min_lr_rate: float = 0.1
    prefill: bool = True

    @property
    def template(self) -> str:
        return self.name.split("-")[0].lower()

    @property
    def licence_chain(self) -> tuple[tuple[str, str], ...]:
        """(what, licence) of everything that the student is derived from: the base, and the teacher's data."""
        return ((self.base, self.licence), ("deepseek-ai/DeepSeek-R1", "mit"))


# DeepSeek's README for the students, "License", names the licence of each base.
STUDENTS: dict[str, Student] = {
    student.name: student
    for student in (
        Student("Qwen-1.5B", "Qwen/Qwen2.5-Math-1.5B", 1e-4, "apache-2.0"),
        Student("Qwen-7B", "Qwen/Qwen2.5-Math-7B", 8e-5, "apache-2.0"),
        Student("Qwen-14B", "Qwen/Qwen2.5-14B", 7e-5, "apache-2.0"),
        Student("Qwen-32B", "Qwen/Qwen2.5-32B", 6e-5, "apache-2.0"),
        Student("Llama-8B", "meta-llama/Llama-3.1-8B", 5e-5, "llama3.1"),
        Student("Llama-70B", "meta-llama/Llama-3.3-70B-Instruct", 2e-5, "llama3.3"),
    )
}


def student(name: str) -> Student:
    """The student called `name`: `Qwen-7B`, DeepSeek's `DeepSeek-R1-Distill-Qwen-7B`, or the id of its base.

    Raises ConfigError for a name that is none of the six; "Llama-14B", which introductory articles name, never was.
    """
    wanted = name.strip().rsplit("/", 1)[-1].lower().removeprefix("deepseek-").removeprefix("r1-distill-")
    for entry in STUDENTS.values():
        if wanted in (entry.name.lower(), entry.base.rsplit("/", 1)[-1].lower()):
            return entry
    raise ConfigError(f"no student '{name}' in the paper; {_hint(wanted)}. Any other model can be given by its id.")


def student_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of fine-tuning with those of the student that `given` names, where `given` does not say otherwise.

    Its batch of 64 rows is left to the machine: processes, rows of each, accumulation.
    """
    if not given.get("student"):
        return dict(given)
    found = student(given["student"])
    own = {
        "learning_rate": found.learning_rate,
        "num_train_epochs": float(found.epochs[0]),
        "max_length": found.context,
        "lr_scheduler_kwargs": {"min_lr_rate": found.min_lr_rate},
    }
    return {**own, **given}


def _hint(wanted: str) -> str:
    """Students of the same family and of the same size; else the nearest name."""
    family, _, size = wanted.rpartition("-")
    alike = [n for n in STUDENTS if (family and n.lower().startswith(family)) or (size and n.lower().endswith(size))]
    if alike:
        return f"there are {', '.join(alike)}"
    return nearest(wanted, STUDENTS)
