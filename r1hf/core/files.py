"""Files that appear whole or not at all, and JSON objects read with an error for people."""

from __future__ import annotations

import codecs
import json
import os
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError

_LARGEST = 64 << 20  # bytes of a JSON object: the index of a model of a million tensors


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` in one step, so that a reader or a kill never leaves half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ConfigError where there is none; FileNotFoundError passes through."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ConfigError(f"{path} is not a regular file")
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(f"{path} has more than {_LARGEST >> 20} MiB, which no file of its kind needs")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except RecursionError as error:
        raise ConfigError(f"{path} cannot be read as JSON: it is nested too deep") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a JSON object")
    return content


def encoding_of(start: bytes) -> str:
    """The encoding that a byte-order mark stands for; UTF-8 without one."""
    marks = {
        **{codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"},  # before UTF-16, whose mark begins the same
        **{codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"},
    }
    return next((name for mark, name in marks.items() if start.startswith(mark)), "utf-8")


def read_text(path: Path) -> str:
    """A text file in the encoding that its byte-order mark stands for, without the mark; UTF-8 without one.

    Raises OSError and UnicodeDecodeError.
    """
    data = path.read_bytes()
    text = data.decode(encoding_of(data)).removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def sibling(output_dir: Path, ending: str) -> Path:
    """`runs/tiny/base.partial` beside `runs/tiny/base`."""
    if output_dir.name in ("", ".."):
        output_dir = Path(os.path.abspath(output_dir))
    return output_dir.with_name(f"{output_dir.name}.{ending}") if output_dir.name else output_dir / ending
