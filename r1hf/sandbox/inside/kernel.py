"""The system calls that Python's library does not offer, through ctypes. Raises OSError with the call's name."""

from __future__ import annotations

import ctypes
import os

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_SET_SECCOMP = 1, 4, 8, 22
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN = 1, 2, 21

_AT_RECURSIVE = 0x8000
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_SYS_CLONE = {"x86_64": 56, "aarch64": 220}
_SIGCHLD = 17
_SYS_CAPGET = {"x86_64": 125, "aarch64": 90}
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_python = ctypes.PyDLL(None, use_errno=True)  # keeps Python's lock during a call
_python.syscall.restype = ctypes.c_long


def machine() -> str:
    """The architecture, as `uname -m` has it."""
    return os.uname().machine


def _check(result: int, name: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def syscall(name: str, number: int, *arguments: object) -> int:
    """Any system call; integers are passed as C longs."""
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *values), name)


def unshare(flags: int) -> None:
    """Move this process (its children, for pids) into new namespaces."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def fork_into(flags: int) -> int:
    """os.fork, with the child in new namespaces: the first process of a new process namespace."""
    _python.PyOS_BeforeFork()
    child = _python.syscall(
        ctypes.c_long(_SYS_CLONE[machine()]), ctypes.c_ulong(flags | _SIGCHLD), None, None, None, None
    )
    error = ctypes.get_errno()
    if child == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    _python.PyOS_AfterFork_Parent()
    if child < 0:
        raise OSError(error, f"clone: {os.strerror(error)}")
    return child


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    _check(_libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mount {target}")


def bind(source: str, target: str, *, device: bool = False) -> None:
    """Show `source` at `target`, read-only with everything mounted below it; a device stays usable."""
    mount(source, target, None, MS_BIND | MS_REC)
    attributes = MS_NOSUID if device else MS_RDONLY | MS_NOSUID | MS_NODEV  # MOUNT_ATTR_* has the same values
    request = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    syscall(
        f"mount_setattr {target}",
        _SYS_MOUNT_SETATTR,
        -100,
        os.fsencode(target),
        _AT_RECURSIVE,
        request,
        ctypes.sizeof(request),
    )


def change_root(new_root: str) -> None:
    """Make `new_root`, a mount point, the root, and take the old one out of sight."""
    os.chdir(new_root)
    syscall("pivot_root", _SYS_PIVOT_ROOT[machine()], b".", b".")
    _check(_libc.umount2(b".", ctypes.c_int(MNT_DETACH)), "umount2")
    os.chdir("/")


def prctl(option: int, *values: object) -> None:
    """prctl(2); integers are passed as unsigned longs."""
    arguments = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in (*values, 0, 0, 0, 0)[:4]]
    _check(_libc.prctl(ctypes.c_int(option), *arguments), f"prctl {option}")


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    _check(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def has_capability(number: int, *, permitted: bool = False) -> bool:
    """True if this process has the capability in effect, or may take it."""
    data = (ctypes.c_uint32 * 6)()
    syscall("capget", _SYS_CAPGET[machine()], _capability_header(), data)
    return bool(data[(number // 32) * 3 + permitted] >> (number % 32) & 1)


def drop_capabilities(*kept: int) -> None:
    """Give up every capability but those, for good once PR_SET_NO_NEW_PRIVS is set."""
    data = (ctypes.c_uint32 * 6)()
    for number in kept:
        for set_of in (0, 1):  # effective, permitted
            data[(number // 32) * 3 + set_of] |= 1 << (number % 32)
    syscall("capset", _SYS_CAPSET[machine()], _capability_header(), data)


def _capability_header() -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * 2)(0x20080522, 0)
