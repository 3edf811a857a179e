"""Numbers and untrusted text as a person reads them."""

from __future__ import annotations

import math
from typing import Any

MISSING = "–"


def number(value: Any) -> float | None:
    """`value` as a finite float; None for anything else (a bool, a string, NaN, an infinity)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def percent(value: Any, digits: int = 1) -> str:
    """A share from 0 to 1 as per cent."""
    share = number(value)
    return MISSING if share is None else f"{100 * share:.{digits}f}%"


def plain(value: Any) -> str:
    """A count with thousands separators, or a float with three significant places."""
    amount = number(value)
    if amount is None:
        return MISSING if value is None or isinstance(value, float) else str(value)
    if amount == int(amount) and abs(amount) < 1e15:
        return f"{int(amount):,}"
    return f"{amount:,.1f}" if 100 <= abs(amount) < 1e15 else f"{amount:.3g}"


def duration(seconds: Any) -> str:
    """Seconds as `42 s`, `3 min 05 s` or `2 h 10 min`."""
    amount = number(seconds)
    if amount is None:
        return MISSING
    if amount < 9.95:
        return f"{amount:.1f} s"
    whole = round(amount)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def memory(megabytes: Any) -> str:
    """MiB as MiB or GiB."""
    amount = number(megabytes)
    if amount is None:
        return MISSING
    return f"{amount / 1024:.2f} GiB" if amount >= 1024 else f"{amount:.0f} MiB"


def words(name: str) -> str:
    """A key such as `mixed_language` in words."""
    return name.replace("_", " ").strip()


def visible(text: Any) -> str:
    """Model output as text that any page can hold: control characters shown, lone surrogates replaced."""
    clean = str(text).encode("utf-8", "replace").decode("utf-8")
    shown = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
    return clean.translate({**shown, 0x7F: 0x2421})


def cut(text: str, limit: int) -> tuple[str, int]:
    """The first `limit` characters and how many were left out; a few too many are not worth a cut."""
    if len(text) <= limit * 1.1:
        return text, 0
    return text[:limit].rstrip(), len(text) - limit
