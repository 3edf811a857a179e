"""A run directory as the pipeline leaves it, with made-up but plausible numbers, for the report's tests."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from r1hf.stage.manifest import fingerprint, hash_outputs

GRAPH: dict[str, list[str]] = {
    "base": [],
    "r1_zero": ["base"],
    "cold_start": ["base", "r1_zero"],
    "sft1": ["base", "cold_start"],
    "reasoning_rl": ["sft1"],
    "rejection_sampling": ["reasoning_rl"],
    "sft2": ["base", "rejection_sampling"],
    "reward_models": ["base"],
    "r1": ["sft2", "reward_models"],
    "student_qwen": ["base", "rejection_sampling"],
    "student_llama": ["base", "rejection_sampling"],
    "student_qwen_direct_rl": ["base", "student_qwen"],
    "student_llama_direct_rl": ["base", "student_llama"],
}
GRAPH["evaluate"] = [stage for stage in GRAPH if stage not in ("cold_start", "rejection_sampling", "reward_models")]

# pass@1, format, language, helpful, harmless, tokens
SCORES: dict[str, tuple[float, ...]] = {
    "base": (0.162, 0.391, 0.703, 0.21, 0.55, 27.4),
    "r1_zero": (0.891, 0.998, 0.521, 0.24, 0.52, 46.6),
    "sft1": (0.447, 0.982, 0.931, 0.41, 0.63, 33.0),
    "reasoning_rl": (0.903, 0.999, 0.982, 0.40, 0.61, 31.2),
    "sft2": (0.968, 0.999, 0.996, 0.62, 0.74, 29.8),
    "r1": (0.971, 1.0, 0.998, 0.93, 0.97, 30.1),
    "student_qwen": (0.842, 0.996, 0.992, 0.58, 0.71, 29.9),
    "student_llama": (0.897, 0.998, 0.998, 0.60, 0.73, 29.6),
    "student_qwen_direct_rl": (0.312, 0.984, 0.611, 0.19, 0.50, 22.0),
    "student_llama_direct_rl": (0.428, 0.990, 0.583, 0.20, 0.53, 21.7),
    "student_qwen_base": (0.021, 0.402, 0.684, 0.12, 0.49, 28.8),
    "student_llama_base": (0.058, 0.433, 0.751, 0.13, 0.50, 28.1),
}
SECONDS = dict(zip(GRAPH, (270, 92, 21, 19, 47, 33, 64, 25, 58, 41, 43, 40, 42, 51), strict=True))
METRICS: dict[str, dict[str, Any]] = {
    "cold_start": {
        "kept": 2841,
        "by_method": {"few_shot": 1204, "direct_prompting": 733, "rewritten_r1_zero": 904},
        "rejected": {"wrong_answer": 812, "malformed": 304, "mixed_language": 655, "rambling": 41, "duplicate": 97},
    },
    "rejection_sampling": {
        "kept": 12000,
        "prompts": 4000,
        "kept_share": {"reasoning": 0.75, "non_reasoning": 0.25},
        "rejected": {"wrong_answer": 1290, "malformed": 12, "mixed_language": 318, "rambling": 77},
    },
    "reward_models": {
        "helpful": {"held_out_accuracy": 0.957, "pairs": 2000},
        "harmless": {"held_out_accuracy": 0.981, "responses": 2000},
    },
}
QUESTIONS = [
    ("What is 2 + 3 * 4?", "14", "en"),
    ("8 - 2 * 3 等于多少?", "2", "zh"),
    ("What is 9 + 6 / 3?", "11", "en"),
    ("计算 (7 - 4) * 5。", "15", "zh"),
    ("Who are you?", None, "en"),
]
HOSTILE = "<script>alert('owned')</script></style></span><img src=x onerror=alert(1)> {{ 7*7 }} \x00\x1b[31m \u202e"


def write_run(folder: Path, seed: int = 42, steps: int = 100) -> Path:
    """Write every stage of GRAPH under `folder` and return it."""
    draw = random.Random(seed)
    for stage in GRAPH:
        (folder / stage).mkdir(parents=True)
        rows = _log(stage, steps, draw)
        if rows:
            write_rows(folder / stage / "log.jsonl", rows)
        write_rows(folder / stage / "rows.jsonl", [{}])
    models = {name: _scores(values) for name, values in SCORES.items()}
    settings = {"temperature": 1.0, "k": 4, "problems": 640, "general_prompts": 128, "max_new_tokens": 64}
    write_json(folder / "evaluate" / "results.json", {"settings": settings, "models": models})
    write_rows(folder / "evaluate" / "samples.jsonl", [_sample(name, i, draw) for name in SCORES for i in range(5)])
    for stage in GRAPH:
        made = {name: vars(output) for name, output in hash_outputs(folder / stage).items()}
        content = manifest(stage, seed) | {"outputs": made, "fingerprint": fingerprint(hash_outputs(folder / stage))}
        write_json(folder / stage / "manifest.json", content)
    return folder


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def manifest(stage: str, seed: int) -> dict[str, Any]:
    recipe = {"sft1": "sft", "sft2": "sft", "r1": "all_scenario_rl"}.get(stage, stage.removesuffix("_direct_rl"))
    config = f"recipes/configs/tiny/{stage}.yaml"
    return {
        "format": 1,
        "stage": stage,
        "recipe": f"recipes/{recipe}.py",
        "command": ["accelerate", "launch", f"recipes/{recipe}.py", "--config", config, "--seed", str(seed)],
        "created": f"2026-03-01T10:{list(GRAPH).index(stage):02d}:00Z",
        "seconds": float(SECONDS[stage]),
        "peak_rss_mb": 900.0 + 37 * len(stage),
        "seed": seed,
        "request": {},
        "config": {},
        "inputs": {},
        "outputs": {},
        "fingerprint": "0" * 64,
        "metrics": METRICS.get(stage, {"train_loss": 0.5}),
        "versions": {"python": "3.11.9", "torch": "2.13.0", "trl": "1.16.0", "transformers": "5.17.0"},
        "git": {"revision": "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678", "dirty": False},
    }


def _scores(values: tuple[float, ...]) -> dict[str, float]:
    right, form, language, helpful, harmless, tokens = values
    return {
        "pass_at_1": right,
        "stderr": math.sqrt(right * (1 - right) / 640),
        "format_rate": form,
        "language_consistency": language,
        "mean_completion_tokens": tokens,
        "truncation_rate": (1 - form) / 3,
        "helpful_rate": helpful,
        "helpful_stderr": math.sqrt(helpful * (1 - helpful) / 128),
        "harmless_rate": harmless,
        "harmless_stderr": math.sqrt(harmless * (1 - harmless) / 128),
    }


def _log(stage: str, steps: int, draw: random.Random) -> list[dict[str, Any]]:
    if stage in ("cold_start", "rejection_sampling", "evaluate"):
        return []
    if stage not in ("r1_zero", "reasoning_rl", "r1") and not stage.endswith("direct_rl"):
        return [
            {"step": s, "loss": 0.4 + 2 * math.exp(-5 * s / steps) + draw.gauss(0, 0.03)} for s in range(1, steps + 1)
        ]
    start, end = {"r1_zero": ("base", "r1_zero"), "reasoning_rl": ("sft1", "reasoning_rl"), "r1": ("sft2", "r1")}.get(
        stage, (stage.replace("direct_rl", "base"), stage)
    )
    rows = []
    for step in range(1, steps + 1):
        rise = 1 - math.exp(-4 * step / steps)
        right, form, language, helpful, harmless, tokens = (
            _near(before + (after - before) * rise, draw)
            for before, after in zip(SCORES[start], SCORES[end], strict=True)
        )
        row: dict[str, Any] = {
            "step": step,
            "loss": draw.gauss(0, 0.02),
            "rewards/accuracy_reward/mean": right,
            "rewards/format_reward/mean": form,
            "completions/mean_length": tokens,
            "completions/clipped_ratio": max(0.0, 0.02 * (1 - rise) + draw.gauss(0, 0.002)),
            "completions/mean_length_right": tokens - 2.0 * (1 - right),
            "completions/mean_length_wrong": tokens + 4.0 * right,
            "groups/no_signal": _near(0.1 + 0.35 * rise, draw),
            "reflection/per_100_words": 2.5 * rise + draw.uniform(0, 0.3),
            "entropy": 0.9 - 0.5 * rise + draw.uniform(0, 0.05),
            "kl": 0.08 * rise + draw.uniform(0, 0.01),
        }
        if stage in ("reasoning_rl", "r1"):
            row["rewards/language_consistency_reward/mean"] = language
        else:
            row["language_share"] = language
        if stage == "r1":
            late = step > steps * 0.75
            row["rewards/helpful_reward/mean"] = helpful if late else float("nan")
            row["rewards/harmless_reward/mean"] = harmless if late else float("nan")
        row["reward"] = sum(v for k, v in row.items() if k.startswith("rewards/") and not math.isnan(v))
        rows.append(row)
    return rows


def _near(mean: float, draw: random.Random) -> float:
    return min(1.0, max(0.0, mean + draw.gauss(0, 0.04))) if mean <= 1 else mean + draw.gauss(0, 0.8)


def _sample(model: str, index: int, draw: random.Random) -> dict[str, Any]:
    question, gold, language = QUESTIONS[index]
    right, form, consistency = SCORES[model][:3]
    correct = None if gold is None else draw.random() < right
    well_formed, pure = draw.random() < form, draw.random() < consistency
    spoken = language if pure else {"en": "zh", "zh": "en"}[language]
    answer = "I am a small model of the r1hf world." if gold is None else gold if correct else str(draw.randint(3, 40))
    thought = {
        "en": "First I multiply, then I add. Multiplication goes before addition.",
        "zh": "先算乘法，再算加法。乘法在加法之前。",
    }[spoken]
    completion = f"<think>{thought}</think> <answer>{answer}</answer>"
    if not well_formed:
        completion = f"<think>{thought} = {answer}"
    if (model, index) == ("base", 0):
        completion = HOSTILE
    if (model, index) == ("base", 2):
        completion = "<think>" + "so 9 + 6 / 3 is 15 / 3 and " * 200
    if (model, index) == ("r1", 4):
        completion = f"<think>{HOSTILE}</think> <answer>{HOSTILE}</answer>"
    return {
        "model": model,
        "question": question,
        "answer": gold,
        "language": language,
        "completion": completion,
        "correct": correct,
        "well_formed": well_formed,
        "language_share": None if gold is None else 1.0 if pure else round(draw.uniform(0, 0.6), 2),
    }
