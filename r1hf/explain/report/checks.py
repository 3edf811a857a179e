"""The paper's findings at the size that the tiny world shows them, held against one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from r1hf.explain.report.text import duration, memory, percent

Lookup = Callable[[str, str], float]


class _Unknown(Exception):
    """A number that this run does not have."""


@dataclass(frozen=True)
class _Check:
    name: str
    claim: str
    # Gives whether it held, and the measured numbers in words.
    judge: Callable[[Lookup], tuple[bool, str]]


def run_checks(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each expectation as {"name", "claim", "measured", "passed"}; `passed` is None if a number is missing."""

    def look(stage: str, key: str) -> float:
        value = summary.get(key) if stage == "" else summary["stages"].get(stage, {}).get(key)
        # The cost of the whole run is known once every stage has finished.
        if value is None or (stage == "" and summary["missing"]):
            raise _Unknown
        return float(value)

    results = []
    for check in CHECKS:
        passed: bool | None
        try:
            passed, measured = check.judge(look)
        except _Unknown:
            passed, measured = None, ""
        results.append({"name": check.name, "claim": check.claim, "measured": measured, "passed": passed})
    return results


def _at_least(stage: str, key: str, bound: float) -> Callable[[Lookup], tuple[bool, str]]:
    def judge(look: Lookup) -> tuple[bool, str]:
        value = look(stage, key)
        return value >= bound, percent(value)

    return judge


def _gain(better: str, worse: str, key: str, bound: float) -> Callable[[Lookup], tuple[bool, str]]:
    """`better` is above `worse` by at least `bound` (which may be negative); shares from 0 to 1."""

    def judge(look: Lookup) -> tuple[bool, str]:
        first, second = look(better, key), look(worse, key)
        # Shares are decimals in a file, so 0.97 - 0.95 must count as 0.02.
        held = first - second >= bound - 1e-9
        return held, f"{percent(first)} against {percent(second)}"

    return judge


def _strictly_above(better: str, worse: str) -> Callable[[Lookup], tuple[bool, str]]:
    def judge(look: Lookup) -> tuple[bool, str]:
        first, second = look(better, "pass_at_1"), look(worse, "pass_at_1")
        return first > second, f"{percent(first)} against {percent(second)}"

    return judge


def _two_errors_above(better: str, worse: str, rate: str) -> Callable[[Lookup], tuple[bool, str]]:
    def judge(look: Lookup) -> tuple[bool, str]:
        first, second = look(better, f"{rate}_rate"), look(worse, f"{rate}_rate")
        error = math.hypot(look(better, f"{rate}_stderr"), look(worse, f"{rate}_stderr"))
        return first - second > 2 * error, f"{percent(first)} against {percent(second)}, ± {percent(error)}"

    return judge


def _grows(stage: str, bound: float) -> Callable[[Lookup], tuple[bool, str]]:
    def judge(look: Lookup) -> tuple[bool, str]:
        rise, errors = look(stage, "length_rise"), look(stage, "length_rise_errors")
        return rise >= bound and errors > 2, f"{percent(rise)}, {errors:.1f} standard errors"

    return judge


def _times_the_base(bound: float) -> Callable[[Lookup], tuple[bool, str]]:
    """The base's own time says how fast the machine is."""

    def judge(look: Lookup) -> tuple[bool, str]:
        total, base = look("", "total_seconds"), look("base", "seconds")
        return total <= bound * base, f"{duration(total)}, {total / base:.1f} times {duration(base)}"

    return judge


def _within(key: str, bound: float, unit: Callable[[Any], str]) -> Callable[[Lookup], tuple[bool, str]]:
    def judge(look: Lookup) -> tuple[bool, str]:
        value = look("", key)
        return value <= bound, unit(value)

    return judge


CHECKS = (
    _Check(
        "r1_zero_gain",
        "R1-Zero is at least 45 points of pass@1 above the base",
        _gain("r1_zero", "base", "pass_at_1", 0.45),
    ),
    _Check("r1_zero_accuracy", "R1-Zero reaches 70% pass@1", _at_least("r1_zero", "pass_at_1", 0.70)),
    _Check("r1_zero_format", "R1-Zero is well formed in 98%", _at_least("r1_zero", "format_rate", 0.98)),
    _Check(
        "r1_zero_length",
        "R1-Zero's completions grow by at least 10% while it learns",
        _grows("r1_zero", 0.10),
    ),
    _Check(
        "r1_zero_language",
        "R1-Zero mixes languages: its consistency is no better than the base's",
        _gain("base", "r1_zero", "language_consistency", 0.0),
    ),
    _Check(
        "language_reward",
        "The language reward brings Dev2 to 97% consistency",
        _at_least("reasoning_rl", "language_consistency", 0.97),
    ),
    _Check(
        "language_cost",
        "Dev2 pays at most 5 points of R1-Zero's pass@1 for it",
        _gain("reasoning_rl", "r1_zero", "pass_at_1", -0.05),
    ),
    _Check("dev3_accuracy", "Dev3 reaches 70% pass@1", _at_least("sft2", "pass_at_1", 0.70)),
    _Check("r1_accuracy", "R1 reaches 70% pass@1", _at_least("r1", "pass_at_1", 0.70)),
    _Check("r1_format", "R1 is well formed in 98%", _at_least("r1", "format_rate", 0.98)),
    _Check("r1_keeps", "R1 keeps Dev3's pass@1 within 2 points", _gain("r1", "sft2", "pass_at_1", -0.02)),
    _Check(
        "r1_helpful",
        "R1 is more helpful than Dev3 by more than two standard errors",
        _two_errors_above("r1", "sft2", "helpful"),
    ),
    _Check(
        "r1_harmless",
        "R1 is more harmless than Dev3 by more than two standard errors",
        _two_errors_above("r1", "sft2", "harmless"),
    ),
    _Check("student_qwen", "The Qwen student reaches 50% pass@1", _at_least("student_qwen", "pass_at_1", 0.50)),
    _Check("student_llama", "The Llama student reaches 50% pass@1", _at_least("student_llama", "pass_at_1", 0.50)),
    _Check(
        "distil_qwen",
        "Distilling the Qwen student beats direct RL on it",
        _strictly_above("student_qwen", "student_qwen_direct_rl"),
    ),
    _Check(
        "distil_llama",
        "Distilling the Llama student beats direct RL on it",
        _strictly_above("student_llama", "student_llama_direct_rl"),
    ),
    _Check("time", "All stages together take at most five times the base's training", _times_the_base(5)),
    _Check("memory", "Peak memory stays within 4 GiB", _within("peak_rss_mb", 4096, memory)),
)
