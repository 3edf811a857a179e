"""Distillation: a student's base is fine-tuned on the mix that the teacher's pipeline made (section 3.4; v1, 2.4).

Supervised fine-tuning only, as in the paper. Its twin, the same student trained by RL directly, is `r1_zero.py` with
the student's base as `model`; `on_policy_distill.py` goes on from what this makes.

In:  model (the student's base) or student (one of the paper's six, by name), data (question, completion).
Out: the student.
Run: accelerate launch recipes/distill.py --config recipes/configs/tiny/pipeline.yaml --stage student_qwen
"""

from __future__ import annotations

from dataclasses import dataclass, field

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed
from r1hf.models.students import STUDENTS, student, student_values
from r1hf.trainers.adapters import write_model
from r1hf.trainers.callbacks import train
from r1hf.trainers.presets import filling
from r1hf.trainers.sft import R1SFTConfig, SFTStageConfig, preflight_sft, sft_rows, sft_trainer

_NAMES = f"one of the paper's students: {', '.join(STUDENTS)}"


@dataclass(kw_only=True)
class DistillConfig(SFTStageConfig):
    """A student by name, or any model, and rows to learn."""

    model: str = field(default="", metadata={"input": True, "help": "the student's base; none: that of `student`"})
    student: str | None = field(default=None, metadata={"help": _NAMES})


@filling(student_values)
@dataclass
class R1DistillConfig(R1SFTConfig):
    """`R1SFTConfig` with what the paper published of the student; a key that is given wins over it."""

    student: str | None = field(default=None, metadata={"help": _NAMES})


CONFIGS = (DistillConfig, R1DistillConfig)


def preflight(parsed: Parsed) -> None:
    config, args = parsed.configs
    if config is not None and config.student and args is not None:  # else the name is unknown, which is said already
        found = student(config.student)
        parsed.inputs.setdefault("model", found.base)
        config.model = config.model or found.base
        if config.chat_template is None:
            config.chat_template, config.prefill_think = found.template, found.prefill
    elif config is not None and not config.model and not config.student:
        parsed.problems.append(f"model is missing (the student's base); or set student, {_NAMES}")
    preflight_sft(parsed)


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        _, args = stage.parsed.configs
        rows = sft_rows(stage, args)
        trainer = sft_trainer(stage, rows, args)
        metrics = train(trainer, stage)
        write_model(stage, trainer)
        stage.finish({**metrics, "rows": len(rows)})


if __name__ == "__main__":
    run(main)
