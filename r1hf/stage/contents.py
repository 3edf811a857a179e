"""A stage's directory is its manifest's list and nothing else: what lies there besides is found and named.

Libraries load by name what they find beside a model (`adapter_config.json`, `special_tokens_map.json`,
`additional_chat_templates/`), so a file that no stage made would change a model whose listed files are all unchanged.

Let be: what a stage itself keeps there (`OWN`), and what file systems and file managers leave behind, which no library
loads (`_JUNK`, `_JUNK_FOLDERS`; `._NAME`, macOS's companion, only beside a listed `NAME`). Empty directories too.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from r1hf.core.places import MANIFEST

REQUEST = ".request.json"  # marks a `.partial` as a stage's
REPLACED = ".replaced"  # marks a `.old` as a stage's
OWN = (MANIFEST, f".{MANIFEST}.tmp", REQUEST, REPLACED)
_JUNK = re.compile(r"\.DS_Store|Thumbs\.db|ehthumbs\.db|desktop\.ini|\.directory|\.nfs[0-9a-f]+|\.fuse_hidden\w+")
_JUNK_FOLDERS = (".cache", "__pycache__", ".ipynb_checkpoints", ".Spotlight-V100", ".Trashes", ".fseventsd", "@eaDir")
DEEPEST = 40  # levels of JSON: a configuration has four or five
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("stage", "recipe", "created", "fingerprint")
_TABLES = ("request", "config", "inputs", "outputs", "metrics", "versions", "git")


def files_under(directory: Path, hidden: bool = False) -> Iterator[str]:
    """Relative POSIX paths of a directory's files, sorted, without what a stage never lists; hidden ones if asked."""
    found = []
    for folder, folders, names in os.walk(directory, followlinks=True):
        folders[:] = [name for name in folders if name not in _JUNK_FOLDERS and (hidden or name[0] != ".")]
        names = [name for name in names if not _JUNK.fullmatch(name) and (hidden or name[0] != ".")]
        found += [(Path(folder) / name).relative_to(directory).as_posix() for name in names]
    return (name for name in sorted(found) if name not in OWN)


def strangers(directory: Path, listed: Collection[str]) -> list[str]:
    """What lies in `directory` and is not among the `listed` names, as POSIX paths in it, sorted.

    A link is followed only to a listed name, or into a folder of one.
    """
    folders = {str(parent) for name in listed for parent in PurePosixPath(name).parents}
    return sorted(_strangers(directory, "", frozenset(listed), folders))


def _strangers(directory: Path, inside: str, listed: frozenset[str], folders: set[str]) -> Iterator[str]:
    with os.scandir(directory / inside) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        name = f"{inside}/{entry.name}" if inside else entry.name
        if name in listed or name in OWN:
            continue
        if name in folders and entry.is_dir():
            yield from _strangers(directory, name, listed, folders)
        elif entry.is_dir(follow_symlinks=False):
            yield from () if entry.name in _JUNK_FOLDERS else _first_file(Path(entry.path), name)
        elif not _is_junk(entry, f"{inside}/".lstrip("/"), listed):
            yield name


def _is_junk(entry: os.DirEntry[str], folder: str, listed: frozenset[str]) -> bool:
    if not entry.is_file(follow_symlinks=False):
        return False
    companion = entry.name.startswith("._") and folder + entry.name[2:] in listed
    return companion or _JUNK.fullmatch(entry.name) is not None


def _first_file(folder: Path, name: str) -> Iterator[str]:
    """The first file at any depth, which names the folder well enough."""
    for here, folders, names in os.walk(folder):
        folders.sort()
        links = [each for each in folders if (Path(here) / each).is_symlink()]
        if names or links:
            yield f"{name}/{(Path(here) / min([*names, *links])).relative_to(folder).as_posix()}"
            return


def is_plain(path: Path) -> bool | None:
    """Whether a regular file is there, through links; None for nothing. A pipe or a device must not be opened."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return None
    except OSError:
        return False


def shape_problem(content: Mapping[str, Any]) -> str | None:
    """What keeps the JSON object of a manifest from being one, None if nothing does: types, names, numbers, depth."""
    try:
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        return "it is nested too deep"
    except ValueError as error:  # NaN, an infinity, half a surrogate pair
        return str(error)
    if depth(content) > DEEPEST:
        return "it is nested too deep"
    wrong = [key for key in _TEXTS if not isinstance(content.get(key), str)]
    wrong += [key for key in _TABLES if not isinstance(content.get(key), dict)]
    wrong += ["hardware"] if not isinstance(content.get("hardware", {}), dict) else []
    wrong += ["format"] if type(content.get("format", 1)) is not int else []
    wrong += [key for key in ("seconds", "peak_rss_mb", "seed") if not _is_number(content.get(key))]
    if wrong:
        return f"what it says of {', '.join(wrong)} has another type"
    command = content.get("command")
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return "what it says of command is not a list of words"
    return _outputs_problem(content["outputs"]) or _inputs_problem(content["inputs"]) or _git_problem(content)


def depth(value: Any) -> int:
    """How deep lists and objects are nested in each other."""
    level, depth = [value], 0
    while level:
        level = [item for each in level if isinstance(each, dict | list) for item in _items(each)]
        depth += 1
    return depth


def _items(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


def _outputs_problem(outputs: Mapping[str, Any]) -> str | None:
    if not outputs:
        return "it lists no outputs, and no stage ends without one"
    for name, output in outputs.items():
        if not _is_inside(name):
            return f"the output {name[:80]!r} is not a path inside the directory"
        known = isinstance(output, dict) and set(output) == {"sha256", "bytes"}
        if not known or not isinstance(output["sha256"], str) or not _SHA256.fullmatch(output["sha256"]):
            return f"what it says of {name[:80]!r} is not a hash and a size"
        if type(output["bytes"]) is not int or not 0 <= output["bytes"] < 2**63:
            return f"what it says of {name[:80]!r} is not a size"
    return None


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return (
        bool(name) and name.isprintable() and not path.is_absolute() and ".." not in path.parts and str(path) == name
    )


def _inputs_problem(inputs: Mapping[str, Any]) -> str | None:
    for field, value in inputs.items():
        for record in value if isinstance(value, list) else [value]:
            texts = record.values() if isinstance(record, dict) else [None]
            if not all(isinstance(text, str) for text in texts) or not {"path", "fingerprint"} <= set(record):
                return f"what it says of the input {field[:80]!r} is not a path and a fingerprint"
    return None


def _git_problem(content: Mapping[str, Any]) -> str | None:
    if not isinstance(content["git"].get("revision"), str | None):
        return "what it says of git has another type"
    if not all(isinstance(value, str) for value in content["versions"].values()):
        return "what it says of versions has another type"
    return None if isinstance(content.get("digest"), str | None) else "what it says of digest has another type"
