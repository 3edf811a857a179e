"""The reference page, from the code: commands, their options and exit statuses, rewards, tasks, keys of recipes."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any

from r1hf.commands.main import COMMANDS
from r1hf.core.yamlfile import read_yaml
from r1hf.evaluation.tasks import task_file, task_names
from r1hf.rewards.declared import declared
from r1hf.rewards.table import TABLE

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
_HEAD = """\
# Reference

Made from the code when the site is built.

- [Commands](#commands)
- [Rewards](#rewards)
- [Tasks of evaluation](#tasks-of-evaluation)
- [Keys of the recipes](#keys-of-the-recipes)
"""


def reference() -> str:
    return "\n".join([_HEAD, *commands(), *rewards(), *tasks(), *keys()]) + "\n"


def commands() -> list[str]:
    lines = ["## Commands", "", "The `--help` of a command says the same. 130: stopped with Ctrl-C.", ""]
    for name, (module, what) in sorted(COMMANDS.items()):
        lines += [f"### `r1hf {name}`", "", f"{what[0].upper()}{what[1:]}.", "", *_statuses(module), ""]
        parser = argparse.ArgumentParser()
        importlib.import_module(module).add_arguments(parser)
        actions = [action for action in parser._actions if action.dest != "help" and action.help != argparse.SUPPRESS]
        lines += ["| argument | |", "|---|---|"]
        lines += [f"| {_spelled(action)} | {_cell(_help(action))} |" for action in actions]
        lines.append("")
    return lines


def _statuses(module: str) -> list[str]:
    """The command's own sentence on its exit status."""
    found = re.search(
        r"Exit status[^:]*:.*?(?:\.\s|\.\Z|\Z)", importlib.import_module(module).__doc__ or "", re.DOTALL
    )
    return [" ".join(found[0].split())] if found else []


def _spelled(action: argparse.Action) -> str:
    value = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    value = value if isinstance(value, str) else " ".join(value)
    if not action.option_strings:
        return f"`{value}`".replace("|", "\\|")
    flag = ", ".join(action.option_strings)
    return (f"`{flag}`" if action.nargs == 0 else f"`{flag} {value}`").replace("|", "\\|")


def _help(action: argparse.Action) -> str:
    text = action.help or ""
    return text % {"default": action.default, "prog": "r1hf"} if "%(" in text else text.replace("%%", "%")


def rewards() -> list[str]:
    lines = [
        "## Rewards",
        "",
        "Under the key `rewards`; a mapping gives options: `code: {weight: 1, packages: [numpy]}`.",
        "",
    ]
    lines += ["| reward | judges | tasks | options (default) |", "|---|---|---|---|"]
    for name, (module, attribute) in sorted(TABLE.items()):
        kind: Any = getattr(importlib.import_module(f"r1hf.rewards.{module}"), attribute)
        what = (inspect.getdoc(kind) or "").split("\n\n")[0]
        options = ", ".join(_option(field) for field in dataclasses.fields(kind))
        tasks = ", ".join(declared(kind).tasks or ()) or "all"
        lines.append(f"| `{name}` | {_cell(what)} | {tasks} | {_cell(options)} |")
    return [*lines, ""]


def _option(field: Any) -> str:
    return f"`{field.name}` ({_default(field)})"


def tasks() -> list[str]:
    lines = ["## Tasks of evaluation", "", "`r1hf evaluate --task NAME --models MODEL`.", ""]
    lines += ["| task | benchmark | licence |", "|---|---|---|"]
    for name in task_names():
        what = read_yaml(task_file(name)).values
        source = what.get("source", "")
        shown = f"[{what.get('benchmark', name)}]({source})" if source else str(what.get("benchmark", ""))
        lines.append(f"| `{name}` | {shown} | {_cell(str(what.get('licence', '')))} |")
    return [*lines, ""]


def keys() -> list[str]:
    lines = ["## Keys of the recipes", "", "Every key of TRL's own configuration classes is one too."]
    for path in sorted((ROOT / "recipes").glob("*.py")):
        module = importlib.import_module(f"recipes.{path.stem}")
        kinds = getattr(module, "CONFIGS", ())
        if not kinds:
            continue
        lines += ["", f"### `{path.stem}`", "", "| key | default | |", "|---|---|---|"]
        lines += [f"| `{field.name}` | {_cell(_default(field))} | {_cell(_about(field))} |" for field in _own(kinds)]
    return lines


def _own(kinds: Any) -> list[Any]:
    """The fields that r1hf declares: not those of TRL and Transformers."""
    found: dict[str, Any] = {}
    for kind in kinds:
        for base in reversed(kind.__mro__):
            if base.__module__.partition(".")[0] in ("trl", "transformers") or not dataclasses.is_dataclass(base):
                continue
            own = set(base.__dict__.get("__annotations__", {}))
            found |= {field.name: field for field in dataclasses.fields(kind) if field.name in own}
    return list(found.values())


def _default(field: Any) -> str:
    if field.default is not dataclasses.MISSING:
        return _plain(field.default)
    return "must be given" if field.default_factory is dataclasses.MISSING else _plain(field.default_factory())


def _about(field: Any) -> str:
    return str(field.metadata.get("help", ""))


def _plain(value: Any) -> str:
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"\s+at 0x[0-9a-f]+", "", text)[:120]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
