"""Files that appear whole or not at all, and files read with an error for people, whatever lies in their place."""

from __future__ import annotations

import codecs
import errno
import json
import os
import stat
from pathlib import Path
from typing import IO, Any

from r1hf.core.errors import ConfigError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no room, no more of it for this user, none for one file
LARGEST = 64 << 20  # bytes: the index of a model of a million tensors


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` in one step, so that a reader or a kill never leaves half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def open_plain(path: Path) -> IO[bytes]:
    """Opens a file for reading. Raises OSError for what is none: a pipe would be waited for, a device never ends."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in its name
        raise OSError(errno.EINVAL, str(error), str(path)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return open(handle, "rb")


def read_bytes(path: Path, most: int = LARGEST) -> bytes:
    """All of a file. Raises OSError for what is not a regular file, and for one of more than `most` bytes."""
    with open_plain(path) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes, which no file of its kind needs", str(path))
    return data


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises ConfigError where there is none; FileNotFoundError passes through."""
    try:
        content = parse_json(read_bytes(path).decode("utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {reason_of(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a JSON object")
    return content


def parse_json(text: str | bytes) -> Any:
    """What `json.loads` gives. Raises ValueError also for what is nested too deep."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def reason_of(error: Exception) -> str:
    """Why a file cannot be read, without its name."""
    return getattr(error, "strerror", None) or str(error)


def encoding_of(start: bytes) -> str:
    """The encoding that a byte-order mark stands for; UTF-8 without one."""
    marks = {
        **{codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32"},  # before UTF-16, whose mark begins the same
        **{codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"},
    }
    return next((name for mark, name in marks.items() if start.startswith(mark)), "utf-8")


def read_text(path: Path, most: int = LARGEST) -> str:
    """A text file in the encoding that its byte-order mark stands for, without the mark; UTF-8 without one.

    Raises OSError as `read_bytes` does, and UnicodeDecodeError.
    """
    data = read_bytes(path, most)
    text = data.decode(encoding_of(data)).removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def sibling(output_dir: Path, ending: str) -> Path:
    """`runs/tiny/base.partial` beside `runs/tiny/base`."""
    if output_dir.name in ("", ".."):
        output_dir = Path(os.path.abspath(output_dir))
    return output_dir.with_name(f"{output_dir.name}.{ending}") if output_dir.name else output_dir / ending
