"""Installed packages that a program may import. The interpreter runs without its site packages: only these are found.

By a finder and not by a path: Landlock lets nobody list the directory that they lie in.
"""

from __future__ import annotations

import _frozen_importlib_external as importer  # `importlib.util` costs 5 ms
import sys

TYPE_CHECKING = False  # importing `typing` costs 7 ms
if TYPE_CHECKING:
    from typing import Any


class _Finder:
    """Finds top-level packages by name: {name: its __init__.py or its one file}."""

    def __init__(self, places: dict[str, str]):
        self.places = places

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.places:
            return None
        place = self.places[name]
        directory, _, file = place.rpartition("/")
        inner = [directory] if file == "__init__.py" else None
        return importer.spec_from_file_location(name, place, submodule_search_locations=inner)


def offer(places: dict[str, str], code: str) -> None:
    """Let programs import the packages; those that `code` mentions are imported now, once for all its cases."""
    sys.meta_path.append(_Finder(places))
    for name in places:
        if name in code:
            try:
                __import__(name)
            except Exception:  # the program will meet it too
                pass
