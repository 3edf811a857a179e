"""From a YAML file to its recipe: the script, as a module if asked."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from r1hf.core.errors import ConfigError
from r1hf.core.given import RECIPE, said
from r1hf.core.graph import recipe_path
from r1hf.core.packaged import packaged
from r1hf.core.yamlfile import nearest


def find_recipe(config: Path, recipe: str | None = None) -> Path:
    """The script that `config` is for: `recipe` (a name or a path), the one that the file names with `recipe: NAME` or
    the graph that it is a stage of, or the one with the file's own name. Raises ConfigError.
    """
    if recipe is not None and recipe.endswith(".py"):
        if not Path(recipe).is_file():
            raise ConfigError(f"--recipe: there is no file {recipe}")
        return Path(recipe)
    told = said(["--config", str(config)])
    if not config.is_file():
        raise ConfigError(told.problems)
    named = told.about.get(RECIPE)
    where, name = str(config), recipe or config.stem
    if named is not None and recipe is None:
        where = named.where
        if not isinstance(named.value, str):
            raise ConfigError(f"{where}: recipe: {named.value!r} is not the name of a recipe")
        own = recipe_path(named.value, Path(where.rpartition(":")[0]).parent, Path())
        if named.value.endswith(".py") and own.is_file():
            return own
        name = named.value.removesuffix(".py")
    found = {path.stem: path for directory in _directories(config) for path in sorted(directory.glob("*.py"))}
    if name not in found:
        raise ConfigError(
            f"{where}: no recipe '{name}'; {nearest(name, sorted(found))} Name it in the file (recipe: NAME, or "
            "recipe: FILE.py beside it), or with --recipe"
        )
    return found[name]


def recipe_directory(config: Path) -> Path:
    """Where a pipeline's recipes are: the nearest `recipes/` with a pipeline.py, above its file or r1hf's own."""
    found = _directories(config)
    return next((path for path in reversed(found) if (path / "pipeline.py").is_file()), found[0])


def _directories(config: Path) -> list[Path]:
    """Where recipes may lie, the nearest last so that it wins."""
    own = packaged("recipes")
    above = [parent for parent in reversed(config.resolve().parents) if parent.name == "recipes"]
    return [path for path in (own, Path("recipes"), *above) if path.is_dir()]


def load_recipe(path: Path) -> ModuleType:
    """A recipe as a module, with its own directory importable as when it runs as a script."""
    name = f"r1hf_recipe_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        sys.path.insert(0, str(path.parent))
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path.remove(str(path.parent))
    return sys.modules[name]
