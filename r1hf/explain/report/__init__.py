"""The summary table, summary.json and report.html of a run.

Imported from their own files when they are asked for: who wants a number in words need not load what reads rollouts.
"""

from __future__ import annotations

from r1hf.core.lazy import lazily

__getattr__, __all__ = lazily(__name__, {"html": ("write_report",), "summary": ("build_summary",)})
