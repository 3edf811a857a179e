"""Code that comes with a model is never run: what asks for it is refused before anything is loaded.

A model brings code as `auto_map` in one of its configuration files, as `custom_generate/generate.py`, or as weights
that are pickles. A configuration asks for it with `trust_remote_code` and its kin, at any depth.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_object

# What every `from_pretrained` here is given. Left out, Transformers asks at the terminal, and "y" runs the code.
NO_CODE: dict[str, Any] = {"trust_remote_code": False}
WEIGHTS: dict[str, Any] = {**NO_CODE, "use_safetensors": True}

# key -> the only value that it may have.
_FIXED = {
    "trust_remote_code": False,
    "allow_all_kernels": False,
    "custom_generate": None,
    "use_safetensors": True,
    "weights_only": True,
}
_CODE = ("trust_remote_code", "allow_all_kernels", "custom_generate")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")
_READ_TOO = ("additional_chat_templates", "provenance")  # folders of a model whose files are read
_NO_MODEL_FILE = ("training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth")


def asked_for(key: str, value: Any) -> str | None:
    """Why the value of a configuration's key asks for foreign code or for pickles; None where it does not."""
    for name, found in _items(key, value):
        if name in _FIXED and found is not _FIXED[name]:
            shown = f"{name}: {json.dumps(found, default=str)}" if name != key else json.dumps(found, default=str)
            if name in _CODE:
                return f"{shown} would run code that comes with a model, which r1hf never does; leave it out"
            return f"{shown} would read weights that are pickles, which can run code; leave it out"
    return None


def _items(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(key, value) of a configuration's value and of all that it holds; TRL takes mappings as JSON text too."""
    waiting, seen = [(key, value)], {}
    while waiting:
        name, item = waiting.pop()
        if id(item) in seen and not isinstance(item, str | int | float | None):
            continue  # YAML's anchors can name one mapping a million times
        seen[id(item)] = item
        if isinstance(item, str) and item.lstrip()[:1] in ("{", "["):
            try:
                item = json.loads(item)
            except (ValueError, RecursionError):
                pass
        if isinstance(item, Mapping):
            waiting += [(str(inner), held) for inner, held in item.items()]
        elif isinstance(item, list | tuple):
            waiting += [(name, held) for held in item]
        else:
            yield name, item


def faults(source: str | Path) -> list[str]:
    """What stands in a model's directory and must not be loaded; nothing where `source` is no directory of a model."""
    directory = Path(source)
    try:
        files = {path.name: path for path in directory.iterdir()}
    except (OSError, ValueError):
        return []
    if not {"config.json", "adapter_config.json", "tokenizer_config.json", "tokenizer.json"} & files.keys():
        return []
    inside = [path for name in _READ_TOO for path in (directory / name).glob("*")]
    found = [f"{path} is not a regular file" for path in (*files.values(), *inside) if not _is_plain(path)]
    found += [
        text for name, path in sorted(files.items()) if name.endswith("config.json") for text in _configured(path)
    ]
    if (directory / "custom_generate" / "generate.py").exists():
        found.append(f"{directory / 'custom_generate'} brings code of its own, which r1hf never runs; delete it")
    return found + (_pickled(directory, list(files)) if "config.json" in files else [])


def _is_plain(path: Path) -> bool:
    """False for a pipe, a socket or a device: reading it could wait for ever."""
    try:
        kind = path.stat().st_mode
    except OSError:
        return True  # a dangling link is a missing file
    return stat.S_ISREG(kind) or stat.S_ISDIR(kind)


def _configured(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        content = read_object(path)
    except ConfigError as error:
        return error.problems
    named = content.get("auto_map")
    if not named:
        return []
    return [
        f"{path} brings code of its own (auto_map: {_shown(named)}), which r1hf never runs; "
        + _way_out(content.get("model_type"))
    ]


def _shown(named: Any) -> str:
    if not isinstance(named, Mapping):
        return repr(named)[:80]
    return ", ".join(f"{key} from {value}"[:80] for key, value in list(named.items())[:2])


def _way_out(kind: Any) -> str:
    from transformers import CONFIG_MAPPING

    if isinstance(kind, str) and kind in CONFIG_MAPPING:
        return f"Transformers knows '{kind}' itself: delete the key 'auto_map' from the file to load it without"
    return "take a model whose architecture Transformers knows itself"


def _pickled(directory: Path, names: list[str]) -> list[str]:
    weights = [name for name in names if name.endswith(_PICKLES) and name not in _NO_MODEL_FILE]
    weights = [name for name in weights if not name.startswith(("rng_state", "r1hf_"))]
    if not weights or any(name.endswith(".safetensors") for name in names):
        return []
    return [
        f"{directory} has its weights as {sorted(weights)[0]}, a format that can run code when it is read, and none "
        "as safetensors; convert it with `model.save_pretrained(..., safe_serialization=True)` on a machine that you "
        "can lose"
    ]
