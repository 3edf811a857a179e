"""On-policy distillation: the student writes, and learns the teacher's distribution at each of its own tokens.

No stage of the paper, which distils by fine-tuning alone (v1, 2.4); this goes on from such a student. Where the two
tokenizers mean the same by each id, whole distributions are compared (TRL's `DistillationTrainer`, arXiv:2306.13649),
with the teacher here or behind a vLLM server; where not, as from Qwen to Llama, both cut the student's text and are
compared where the cuts meet (TRL's GOLD).

In:  model (the student after SFT, from `distill.py`), teacher, prompts (question).
Out: the student.
Run: accelerate launch recipes/on_policy_distill.py --config recipes/configs/tiny/distillation.yaml
     --stage student_qwen_on_policy
"""

from __future__ import annotations

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed
from r1hf.trainers.adapters import write_model
from r1hf.trainers.callbacks import train
from r1hf.trainers.on_policy import R1OnPolicyConfig
from r1hf.trainers.on_policy_distillation import (
    OnPolicyStageConfig,
    choose,
    preflight_on_policy,
    question_rows,
    student_trainer,
    tokenizers,
)

CONFIGS = (OnPolicyStageConfig, R1OnPolicyConfig)


def preflight(parsed: Parsed) -> None:
    preflight_on_policy(parsed)


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        config, args = stage.parsed.configs
        student, teacher = tokenizers(stage)
        method = choose(config, student, teacher)
        rows = question_rows(stage, student)
        trainer = student_trainer(stage, rows, student, teacher, method, args)
        metrics = train(trainer, stage)
        write_model(stage, trainer)
        stage.finish({**metrics, "method": method, "prompts": len(rows)})


if __name__ == "__main__":
    run(main)
