"""From a YAML file to its recipe: the script, its configuration, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import r1hf
from r1hf.core.config import Parsed, parse
from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.files import read_text
from r1hf.core.hardware import as_if_on_gpu
from r1hf.core.yamlfile import nearest
from r1hf.pipeline.check import load_recipe

_NAMED = re.compile(r"recipes/(\w+)\.py")


def find_recipe(config: Path, recipe: str | None = None) -> Path:
    """The script that `config` is for: `recipe` (a name or a path), the one that the file's first comment names
    ("accelerate launch recipes/r1_zero.py …"), or the one with the file's own name. Raises ConfigError.
    """
    try:
        text = read_text(config)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{config}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if recipe is not None and recipe.endswith(".py"):
        if not Path(recipe).is_file():
            raise ConfigError(f"--recipe: there is no file {recipe}")
        return Path(recipe)
    comments = "\n".join(line for line in text.splitlines() if line.startswith("#"))
    named = _NAMED.search(comments)
    name = recipe or (named[1] if named else config.stem)
    found = {path.stem: path for directory in _directories(config) for path in sorted(directory.glob("*.py"))}
    if name not in found:
        raise ConfigError(
            f"{config}: no recipe '{name}'; {nearest(name, sorted(found))} Name one with --recipe NAME or --recipe "
            "FILE.py"
        )
    return found[name]


def read_config(path: Path, config: Path, overrides: Sequence[str] = ()) -> tuple[ModuleType, Parsed]:
    """The recipe's module and its configuration, preflight included; problems stay in `Parsed.problems`."""
    try:
        module = load_recipe(path)
    except Exception as error:
        raise ConfigError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    if not getattr(module, "CONFIGS", None):
        raise ConfigError(f"{path} has no CONFIGS, the tuple of its configuration dataclasses")
    words = [word for override in overrides for word in _words(override)]
    with as_if_on_gpu():
        parsed = parse(module.CONFIGS, ["--config", str(config), *words])
        if hasattr(module, "preflight") and parsed.configs[0] is not None:
            try:
                module.preflight(parsed)
            except R1Error as error:
                parsed.problems.append(str(error))
    return module, parsed


def _words(override: str) -> list[str]:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write KEY=VALUE")
    return [f"--{key}={value}"]


def recipe_directory(config: Path) -> Path:
    """Where a pipeline's recipes are: the nearest `recipes/` with a pipeline.py, above its file or r1hf's own."""
    found = _directories(config)
    return next((path for path in reversed(found) if (path / "pipeline.py").is_file()), found[0])


def _directories(config: Path) -> list[Path]:
    """Where recipes may lie, the nearest last so that it wins."""
    own = Path(r1hf.__file__).resolve().parent.parent / "recipes"
    above = [parent for parent in reversed(config.resolve().parents) if parent.name == "recipes"]
    return [path for path in (own, Path("recipes"), *above) if path.is_dir()]
