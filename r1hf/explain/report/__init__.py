"""The summary table, summary.json and report.html of a run."""

from r1hf.explain.report.html import write_report
from r1hf.explain.report.summary import build_summary

__all__ = ["build_summary", "write_report"]
