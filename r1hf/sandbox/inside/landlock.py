"""Landlock: from here on, this process and its children reach the named paths only (kernel 5.13 and newer)."""

from __future__ import annotations

import ctypes
import os
import stat

from .kernel import syscall

TYPE_CHECKING = False  # importing `typing` costs 7 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

_CREATE, _ADD, _RESTRICT = 444, 445, 446
TRUNCATES = 3  # the version from which opening a file that may only be read cannot empty it
_READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read files, read directories
_ON_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
_RIGHTS_BY_ABI = {1: 1 << 13, 2: 1 << 14, 3: 1 << 15, 4: 1 << 15}
_ALL_RIGHTS = 1 << 16
_TCP = 0b11  # bind, connect
_SCOPES = 0b11  # abstract unix sockets, signals


class _Path(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("rights", ctypes.c_uint64), ("handle", ctypes.c_int32)]


def abi(most: int | None = None) -> int:
    """The kernel's Landlock version, 0 where it has none; `most` is the newest that may be used."""
    try:
        version = syscall("landlock", _CREATE, None, 0, 1)
    except OSError:
        return 0
    return version if most is None else min(version, most)


def restrict(readable: Iterable[str], writable: Iterable[str], version: int) -> None:
    """Apply it; needs PR_SET_NO_NEW_PRIVS. TCP and signals to others are shut off too where `version` knows how.

    Raises OSError where the kernel lacks it.
    """
    rights = _RIGHTS_BY_ABI.get(version, _ALL_RIGHTS) - 1
    fields = [rights, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0]
    count = 1 if version < 4 else 2 if version < 6 else 3
    attributes = (ctypes.c_uint64 * count)(*fields[:count])
    ruleset = syscall("landlock_create_ruleset", _CREATE, attributes, ctypes.sizeof(attributes), 0)
    for path in readable:
        _allow(ruleset, path, _READ & rights)
    for path in writable:
        _allow(ruleset, path, rights)
    syscall("landlock_restrict_self", _RESTRICT, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(os.fstat(handle).st_mode):
        rights &= _ON_FILES
    rule = _Path(rights, handle)
    syscall(f"landlock_add_rule {path}", _ADD, ruleset, 1, ctypes.byref(rule), 0)
    os.close(handle)
