"""What the report says about each stage: its kind, its name in the paper, and what to watch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from r1hf.stage.names import MAIN_LINE


@dataclass(frozen=True)
class StageInfo:
    """Words for one stage. `kind` is base, rl, sft, data or other."""

    kind: str
    paper: str = ""
    about: str = ""


STAGES: dict[str, StageInfo] = {
    "base": StageInfo(
        "base",
        MAIN_LINE["base"],
        "The model that everything starts from. Pretrained here on a noisy corpus: wrong order of operations, missing "
        "tags, reasoning in the other language, so that there is something to mend.",
    ),
    "r1_zero": StageInfo(
        "rl",
        MAIN_LINE["r1_zero"],
        "Learns by reward alone, to see whether reasoning needs demonstrations: GRPO from the base, paid for right "
        "answers and for form. "
        "Watch accuracy rise while language consistency does not: nothing rewards staying in one language.",
    ),
    "cold_start": StageInfo(
        "data",
        "cold-start data",
        "R1-Zero is right but hard to read. So a small set of readable solutions is made: by few-shot prompting, by "
        "direct prompting with verification, and by rewriting R1-Zero's outputs.",
    ),
    "sft1": StageInfo(
        "sft",
        MAIN_LINE["sft1"],
        "Fine-tunes the base on the cold-start data, so that RL starts from a model that reasons readably.",
    ),
    "reasoning_rl": StageInfo(
        "rl",
        MAIN_LINE["reasoning_rl"],
        "RL on reasoning from Dev1 for more right answers, with a reward for staying in one language added, since "
        "R1-Zero mixed them. "
        "Watch the language curve climb while accuracy is kept.",
    ),
    "rejection_sampling": StageInfo(
        "data",
        "rejection sampling",
        "Turns what Dev2 learnt into data: several samples per prompt, kept only if right, well formed, in one "
        "language and not rambling; mixed with general data, so that the next model can do more than reason.",
    ),
    "sft2": StageInfo(
        "sft",
        MAIN_LINE["sft2"],
        "The second fine-tuning, on that mix. It restarts from the base, not from Dev2: what RL found is in the data, "
        "and its side effects stay behind.",
    ),
    "reward_models": StageInfo(
        "data",
        "helpful, harmless",
        "No rule can say whether an answer to a general prompt is good, so two models learn to: a pairwise one of "
        "helpfulness, which sees the summary, and a pointwise one of harmlessness, which sees the whole response.",
    ),
    "r1": StageInfo(
        "rl",
        MAIN_LINE["r1"],
        "The last RL, from Dev3, so that it also pleases: rules judge reasoning prompts, preference models "
        "general ones. "
        "The preference rewards enter only in the last part of the steps, so their curves start late.",
    ),
    "student_qwen": StageInfo(
        "sft",
        "distilled",
        "A smaller Qwen2 model learns from the same mix by "
        "fine-tuning alone: distillation, which asks whether a small model can take over what a larger one found.",
    ),
    "student_llama": StageInfo("sft", "distilled", "The same with a smaller Llama model."),
    "student_qwen_direct_rl": StageInfo(
        "rl",
        "direct RL",
        "The same Qwen2 student by RL from its own base: what a small model finds by itself, to hold against "
        "distillation.",
    ),
    "student_llama_direct_rl": StageInfo(
        "rl",
        "direct RL",
        "The same Llama student by RL from its own base.",
    ),
    "student": StageInfo(
        "sft",
        "distilled",
        "A smaller model learns from the same mix by fine-tuning alone: distillation, which asks whether a small "
        "model can take over what a larger one found.",
    ),
    "direct_rl": StageInfo(
        "rl",
        "direct RL",
        "A student's base by RL alone: what a small model finds by itself, to hold against distillation.",
    ),
    "student_on_policy": StageInfo(
        "sft",
        "on-policy distillation",
        "The distilled student writes, and its teacher grades every token: distillation on the student's own "
        "mistakes.",
    ),
    "problems": StageInfo(
        "data", "prompts", "Problems whose answers a program knows, made by rule: what RL asks, and what is held out."
    ),
    "evaluate": StageInfo("data", "evaluation", "Every model on the same held-out problems."),
}

# The stages that make data or judges and so have no row of scores of their own.
DATA_STAGES = ("problems", "cold_start", "rejection_sampling", "reward_models", "evaluate")
BROUGHT = "The model that everything starts from, brought in as it was published."

KINDS = {
    "base": "base model",
    "rl": "reinforcement learning (GRPO)",
    "sft": "supervised fine-tuning",
    "data": "data and judges",
}


# Stages of other names and sizes, by the first pattern that fits.
_LIKE = (
    (r".*_on_policy", "student_on_policy"),
    (r"direct_rl.*|.*_direct_rl", "direct_rl"),
    (r"student_.*", "student"),
    (r"r1_zero_.*", "r1_zero"),
)


def info(stage: str) -> StageInfo:
    """The words for `stage`; an unknown one gets an empty entry, `X_base` counts as a base model."""
    if stage in STAGES:
        return STAGES[stage]
    if stage.endswith("_base"):
        return StageInfo("base", "before training", "The student's own base, before it learns.")
    like = next((name for pattern, name in _LIKE if re.fullmatch(pattern, stage)), None)
    return StageInfo("other") if like is None else STAGES[like]


def paper_name(stage: str) -> str:
    """The stage's name in the paper, or "" where that says nothing new."""
    paper = info(stage).paper
    return "" if paper.lower().replace(" ", "_") == stage else paper


def model_order(stages: Iterable[str], scored: Iterable[str]) -> list[str]:
    """Rows of the table: the graph's model stages in its order, then other scored models.

    `X_base` stands right before `X`, since it is what `X` started from.
    """
    scored = list(scored)
    rows = [stage for stage in stages if stage in scored or stage not in DATA_STAGES]
    for name in scored:
        if name in rows:
            continue
        target = name.removesuffix("_base")
        rows.insert(rows.index(target) if target in rows else len(rows), name)
    return rows
