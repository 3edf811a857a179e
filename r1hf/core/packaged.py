"""What lies beside the library in a checkout, and inside it in an installed package: recipes, and the pages."""

from __future__ import annotations

from pathlib import Path

_LIBRARY = Path(__file__).resolve().parents[1]


def packaged(name: str) -> Path:
    """`recipes` or `app`; it need not be there."""
    inside = _LIBRARY / "packaged" / name
    return inside if inside.is_dir() else _LIBRARY.parent / name
