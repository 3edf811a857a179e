"""What a reward wraps, and which rows it judges."""

from __future__ import annotations

from r1hf.rewards.declared import applies, innermost

__all__ = ["applies", "innermost"]
