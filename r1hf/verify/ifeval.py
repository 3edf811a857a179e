"""Instructions that a program can check (IFEval, arXiv 2311.07911; extra `ifeval`), by the benchmark's own checkers.

A row has IFEval's columns `instruction_id_list` and `kwargs`. The verdict is the strict one of a whole prompt: each
instruction is followed, to the letter, by what the model shows; its thought is not looked at.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Mapping
from typing import Any

from r1hf.core.errors import ConfigError, DataError
from r1hf.core.files import parse_json

WORDS = "python -m nltk.downloader punkt_tab"


def check_installed() -> None:
    """Raises ConfigError where the checkers are not here."""
    if importlib.util.find_spec("if_verifiable") is None:
        raise ConfigError("IFEval's checkers are not installed: make install EXTRAS=ifeval")


@functools.cache
def _checkers() -> dict[str, Any]:
    check_installed()
    import langdetect
    from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT

    langdetect.DetectorFactory.seed = 0  # it draws; the same text must have the same verdict
    return dict(INSTRUCTION_DICT)


def instructions_of(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(id, its checker) of each instruction. Raises DataError where a row has none that can be checked."""
    names, given = row.get("instruction_id_list"), row.get("kwargs")
    if not isinstance(names, list) or not names or not isinstance(given, list) or len(names) != len(given):
        raise DataError("task ifeval needs the columns instruction_id_list and kwargs, lists of equal length")
    return [(name, _built(name, _arguments(name, one))) for name, one in zip(names, given, strict=True)]


def _arguments(name: str, given: Any) -> Mapping[str, Any]:
    """Also those that a table holds as the text of a JSON object."""
    try:
        found = (parse_json(given) if given and isinstance(given, str) else given) or {}
    except ValueError:
        found = given
    if not isinstance(found, Mapping):
        raise DataError(f"{name}: kwargs must hold an object of its arguments, not {str(given)[:80]!r}")
    return found


def _built(name: str, given: Mapping[str, Any]) -> Any:
    if name not in _checkers():
        raise DataError(f"no checker of IFEval has the name {name!r}; there are {', '.join(sorted(_checkers()))}")
    checker = _checkers()[name](name)
    # A table gives every row all arguments, and None for those of other instructions.
    own = {key: value for key, value in given.items() if value is not None}
    if lacking := [key for key in checker.get_instruction_args_keys() if key not in own]:
        raise DataError(f"{name} lacks {', '.join(lacking)} in kwargs, which its checker would draw")
    try:
        checker.build_description(**own)
    except (TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{name} cannot be checked with {own}: {str(error)[:200]}") from error
    return checker


def verify_ifeval(shown: str, row: Mapping[str, Any]) -> tuple[bool | None, str]:
    """(whether all instructions are followed, why). None where a checker lacks its data.

    shown: the response without its thought. Raises DataError as `instructions_of` does.
    """
    unchecked = ""
    for name, checker in instructions_of(row):
        try:
            followed = bool(shown.strip()) and bool(checker.check_following(shown))
        except LookupError:
            unchecked = f"{name} cannot be checked: its words are not here; {WORDS}"
            continue
        if not followed:
            return False, f"not followed: {name}"
    return (None, unchecked) if unchecked else (True, "all instructions are followed")
