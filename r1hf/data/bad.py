"""Rows that cannot be used: left out, counted and named, as long as they are few.

A file of a million rows has a broken line somewhere, and a file whose column has another name has nothing but broken
rows: the first goes on, the second stops before anything is trained on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from r1hf.core.errors import DataError
from r1hf.core.errors import named as named

BAD = "cannot be used"


def settle(label: str, bad: Sequence[str], total: int, allowed: float, notes: list[str]) -> dict[str, int]:
    """A sentence about the rows at fault, and their count for the manifest. bad: what is wrong, each with its place.

    Raises DataError where they are more than the share `allowed`, or all.
    """
    if not bad:
        return {}
    count = f"{len(bad)} of {total} rows of {label} {BAD}"
    if len(bad) == total:
        raise DataError(f"{count}: {named(bad)}")
    if len(bad) > allowed * total:
        raise DataError(
            f"{count}, and max_bad_rows is {allowed:g}: {named(bad)}; mend them, or leave them out with a larger "
            "max_bad_rows"
        )
    notes.append(f"{count}, left out: {named(bad)}")
    return {BAD: len(bad)}
