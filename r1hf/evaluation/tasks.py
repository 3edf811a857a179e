"""The benchmarks that come with r1hf: a YAML file each in r1hf/tasks, with the keys of recipes/evaluate.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.yamlfile import nearest, read_yaml

FOLDER = Path(__file__).resolve().parents[1] / "tasks"


def task_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if not path.stem.startswith("_"))


def task_file(name: str) -> Path:
    """The file of a task by its name, or one of a person's own. Raises ConfigError where there is none."""
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"--task: there is no file {name}")
        return path
    if name not in task_names():
        raise ConfigError(f"--task: no task '{name}'; {nearest(name, task_names(), else_say='--list shows all')}")
    return FOLDER / f"{name}.yaml"


def own_data(path: Path) -> list[str]:
    """The words that name the questions beside a task's file, where its own path for them holds in a checkout only."""
    beside = path.with_suffix(".jsonl")
    here = Path(FOLDER.parent.name, FOLDER.name, beside.name)
    return [f"--prompts={beside}"] if path.parent == FOLDER and beside.is_file() and not here.is_file() else []


def described(name: str) -> dict[str, Any]:
    """The values of a task's file. Raises ConfigError for what is wrong with it."""
    file = read_yaml(str(task_file(name)))
    if file.problems:
        raise ConfigError(file.problems)
    return file.values


def questions_of(source: Any) -> Any:
    """A data field in which benchmarks stand by name (`gsm8k`, `math_500` or MATH-500) as the sources of their
    questions; what else it names stays. Raises ValueError for a word that is neither a name nor a place.
    """
    if isinstance(source, list | tuple):
        return [one for item in source for one in _listed(questions_of(item))]
    if not isinstance(source, str) or Path(source).exists() or "/" in source or Path(source).suffix:
        return source
    known = {_plain(name): name for name in task_names()}
    if _plain(source) not in known:
        hint = nearest(source, task_names())
        raise ValueError(f"no benchmark or file '{source}'; {hint}")
    path = task_file(known[_plain(source)])
    prompts = described(path.stem).get("prompts")
    if prompts is None:
        raise ValueError(f"the benchmark '{source}' names no questions of its own; name their file")
    if (beside := path.with_suffix(".jsonl")).is_file():  # named from the checkout
        return str(beside)
    return {key: value for key, value in prompts.items() if key != "limit"} if isinstance(prompts, dict) else prompts


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
