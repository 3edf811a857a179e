"""The chat app as a Space: the files of `app/`, and the modules of r1hf that they import."""

from __future__ import annotations

import ast
from pathlib import Path

from r1hf.core.errors import StageError
from r1hf.core.packaged import packaged
from r1hf.publish.context import Place
from r1hf.publish.files import PROVENANCE, Upload, as_json, file
from r1hf.publish.targets import Target

ROOT = Path(__file__).resolve().parents[2]
APP = packaged("app")
SKIPPED = {"__pycache__", "tests", ".gradio", "r1review"}  # the reviewers' page needs the whole library


def space_target(repo: str, model: str, app: Path = APP) -> Target:
    """What to push for a Space that talks to `model`. Raises StageError where the app or its README is missing."""
    readme = app / "README.md"
    if not readme.is_file() or "sdk: gradio" not in readme.read_text(encoding="utf-8").split("\n---")[0]:
        raise StageError(f"{readme} with the Space's settings (sdk: gradio, app_file: …) is needed to push a Space")
    own = [path for path in sorted(app.rglob("*")) if path.is_file() and not SKIPPED & set(path.parts)]
    uploads = [file(path.relative_to(app).as_posix(), path) for path in own]
    uploads += [file(path.relative_to(ROOT).as_posix(), path) for path in modules(own)]
    uploads.append(as_json(f"{PROVENANCE}/space.json", {"model": model, "modules": len(uploads) - len(own)}))
    return Target(Place(repo, "space"), "space", _unique(uploads), note="chat")


def modules(sources: list[Path]) -> list[Path]:
    """Every module of r1hf that the Python files import, directly or through each other, with the packages above."""
    waiting, found = [path for path in sources if path.suffix == ".py"], set[Path]()
    while waiting:
        for name in _imported(waiting.pop()):
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):
                place = ROOT.joinpath(*parts[:depth])
                path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
                if path.is_file() and path not in found:
                    found.add(path)
                    waiting.append(path)
    return sorted(found)


def _imported(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            package = ".".join([*above, *filter(None, [node.module])])
            names += [f"{package}.{alias.name}" for alias in node.names]
    return [name for name in names if name.split(".")[0] == "r1hf"]


def _unique(uploads: list[Upload]) -> tuple[Upload, ...]:
    return tuple({item.path: item for item in uploads}.values())
