"""Which rewards say whether the final answer is right."""

from __future__ import annotations

OUTCOMES = ("accuracy", "code", "choice", "text", "countdown", "gym")  # beginnings of their names
RIGHT = 1.0 - 1e-6  # from here on an outcome reward says right
