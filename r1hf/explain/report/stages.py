"""What the report says about each stage: its kind, its name in the paper, and what to watch."""

from __future__ import annotations

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
        "Pretrained here on a noisy corpus: wrong order of operations, missing tags, reasoning in the other language.",
    ),
    "r1_zero": StageInfo(
        "rl",
        MAIN_LINE["r1_zero"],
        "R1-Zero learns by reward alone: GRPO from the base on accuracy and format, with no demonstration. "
        "Watch accuracy rise while language consistency does not: nothing rewards staying in one language.",
    ),
    "cold_start": StageInfo(
        "data",
        "cold-start data",
        "A small set of readable solutions, by few-shot prompting, by direct prompting with verification, "
        "and by rewriting R1-Zero's readable outputs.",
    ),
    "sft1": StageInfo("sft", MAIN_LINE["sft1"], "Supervised fine-tuning of the base on the cold-start data."),
    "reasoning_rl": StageInfo(
        "rl",
        MAIN_LINE["reasoning_rl"],
        "RL on reasoning from Dev1, with a language consistency reward added. "
        "Watch the language curve climb while accuracy is kept.",
    ),
    "rejection_sampling": StageInfo(
        "data",
        "rejection sampling",
        "Several samples per prompt from Dev2, kept only if right, well formed, in one language and not rambling; "
        "mixed with non-reasoning data.",
    ),
    "sft2": StageInfo(
        "sft",
        MAIN_LINE["sft2"],
        "The second supervised fine-tuning. It restarts from the base, not from Dev2, on the rejection-sampled mix.",
    ),
    "reward_models": StageInfo(
        "data",
        "helpful, harmless",
        "A pairwise helpfulness model, which sees the summary, and a pointwise harmlessness model, "
        "which sees the whole response.",
    ),
    "r1": StageInfo(
        "rl",
        MAIN_LINE["r1"],
        "RL for all scenarios from Dev3: rules judge reasoning prompts, preference models judge general prompts. "
        "The preference rewards enter only in the last part of the steps, so their curves start late.",
    ),
    "student_qwen": StageInfo("sft", "distilled", "A smaller Qwen2 model, fine-tuned on the same mix: distillation."),
    "student_llama": StageInfo("sft", "distilled", "A smaller Llama model, fine-tuned on the same mix: distillation."),
    "student_qwen_direct_rl": StageInfo(
        "rl",
        "direct RL",
        "The same Qwen2 student, trained by RL from its own base instead of by distillation.",
    ),
    "student_llama_direct_rl": StageInfo(
        "rl",
        "direct RL",
        "The same Llama student, trained by RL from its own base instead of by distillation.",
    ),
    "evaluate": StageInfo("data", "evaluation", "Every model on the same held-out problems."),
}

# The stages that make data or judges and so have no row of scores of their own.
DATA_STAGES = ("cold_start", "rejection_sampling", "reward_models", "evaluate")

KINDS = {
    "base": "base model",
    "rl": "reinforcement learning (GRPO)",
    "sft": "supervised fine-tuning",
    "data": "data and judges",
}


def info(stage: str) -> StageInfo:
    """The words for `stage`; an unknown one gets an empty entry, `X_base` counts as a base model."""
    if stage in STAGES:
        return STAGES[stage]
    return StageInfo("base", "before training") if stage.endswith("_base") else StageInfo("other")


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
