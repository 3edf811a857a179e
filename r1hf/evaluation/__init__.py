"""Evaluation: samples kept and judged, statistics whose unit is the question, and comparisons that one can trust."""

from r1hf.evaluation.judged import Judged, follows_reference, judge, judge_all
from r1hf.evaluation.metrics import general_metrics, mean_and_error, reasoning_metrics

__all__ = [
    "Judged",
    "follows_reference",
    "general_metrics",
    "judge",
    "judge_all",
    "mean_and_error",
    "reasoning_metrics",
]
