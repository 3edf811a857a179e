"""A table of cases as one test: every case is tried, and all that fail are reported together."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def each(names: str, cases: Iterable[Any], ids: Callable[[Any], object] = repr) -> Callable[..., Callable[..., None]]:
    """As `pytest.mark.parametrize`, but one test for all cases.

    For tests that leave nothing behind, since fixtures are made once for the whole table. `ids` says of a value what
    names it where its case fails.
    """
    keys = [name.strip() for name in names.split(",")]
    table = [tuple(case) if len(keys) > 1 else (case,) for case in cases]
    assert table and all(len(case) == len(keys) for case in table)

    def wrap(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def whole(**fixtures: Any) -> None:
            failed = []
            for case in table:
                try:
                    test(**dict(zip(keys, case, strict=True)), **fixtures)
                except Exception as error:
                    said = ", ".join(f"{key}={ids(value)!s:.300}" for key, value in zip(keys, case, strict=True))
                    failed.append(f"{said}\n    {type(error).__name__}: {error!s:.2000}")
            assert not failed, f"{len(failed)} of {len(table)} cases fail:\n" + "\n".join(failed)

        own = inspect.signature(test)
        rest = [parameter for name, parameter in own.parameters.items() if name not in keys]
        whole.__signature__ = own.replace(parameters=rest)  # type: ignore[attr-defined]
        return whole

    return wrap
