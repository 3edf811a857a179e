"""Errors that a person can act on: what is wrong, where, the value, what to do next."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 5  # rows that one sentence names


class R1Error(Exception):
    """Base of every error that r1hf raises for a user's input."""


class ConfigError(R1Error):
    """A configuration that cannot run. Holds every problem found, not only the first."""

    def __init__(self, problems: list[str] | str):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in the configuration:"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))


class DataError(R1Error):
    """A data set, file or row that cannot be used."""


class StageError(R1Error):
    """A stage that cannot start, or that ended without having done its work."""


class NothingKept(StageError):
    """No sample passed the filters of a data stage."""


class IntegrityError(StageError):
    """An output that is not what its manifest says."""


def named(rows: Sequence[str], separator: str = "; ") -> str:
    """The first of some rows, and how many more there are."""
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return separator.join(rows[:_NAMED]) + more
