"""A seccomp filter for the process that runs a completion: the system calls of `calls`, and no others.

The namespaces already contain most of what is refused; the filter narrows what a bug in the kernel would be reached
through, and where there are no namespaces it stands in for them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from . import calls
from .kernel import PR_SET_SECCOMP, machine, prctl

TYPE_CHECKING = False  # importing `typing` costs 7 ms
if TYPE_CHECKING:
    from collections.abc import Sequence

    Rule = tuple[int, int, int, int]

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_NEW_CALLS = 424  # from here on all architectures count alike; a C library asks for these and has something older
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_OWN = -1  # stands for the process's own number until the filter is installed
_ALLOW: Rule = (_RETURN, 0, 0, 0x7FFF0000)
_DENY: Rule = (_RETURN, 0, 0, 0x00050000 | errno.EPERM)
_ABSENT: Rule = (_RETURN, 0, 0, 0x00050000 | errno.ENOSYS)
_ZERO: Rule = (_RETURN, 0, 0, 0x00050000)  # the call succeeds, with 0 and without effect

# What glibc (0x3d0f00) and musl make a thread with. One without CLONE_FILES would have descriptors of its own, and
# so thousands of pipes and sockets, whose memory no limit counts.
_THREADS = (0x3D0F00, 0x7D0F00)
# namespaces, CLONE_THREAD, CLONE_PARENT, CLONE_PTRACE, CLONE_UNTRACED
_NOT_FOR_PROCESSES = 0x7E020000 | 0x10000 | 0x8000 | 0x2000 | 0x800000
_NEGATIVE = 0x80000000  # the clock of another process
_CLOSE_RANGE_UNSHARE, _O_NOTIFICATION_PIPE, _MSG_OOB = 2, 0x80, 1
_O_TRUNC, _O_PATH = 0x200, 0x200000
_AF_UNIX, _SOCK_STREAM = 1, 1
_SOCK_FLAGS = (0, 0x800, 0x80000, 0x80800)  # SOCK_NONBLOCK, SOCK_CLOEXEC
# F_DUPFD, F_[GS]ETFD, F_[GS]ETFL, locks, F_DUPFD_CLOEXEC, F_GETPIPE_SZ: neither F_SETOWN with F_SETSIG, which sends
# any signal to any process of this user, nor F_SETPIPE_SZ
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIO[N]CLEX
# Process numbers of the host count on from case to case, so that one could leave word for the next.
_NUMBERS = ("getpid", "gettid", "getppid", "getpgrp", "getpgid", "getsid", "set_tid_address")
_PRCTL = (3, 15, 16, 21, 23, 39)  # PR_GET_DUMPABLE, PR_[GS]ET_NAME, PR_GET_SECCOMP, PR_CAPBSET_READ, no new privileges


def available() -> bool:
    """True if the filter knows this architecture."""
    return machine() in _ARCHITECTURES


def rules(*, fork: bool, host_files: bool, truncate: bool) -> list[Rule]:
    """The filter; denied calls fail with EPERM, unknown ones with ENOSYS.

    fork: may the code start processes, and signal those of its sandbox? host_files: are the host's files in sight,
    behind Landlock only? truncate: does the kernel's Landlock know O_TRUNC? Else opening must not truncate.
    """
    column = 0 if machine() == "x86_64" else 1
    program = [(_LOAD, 0, 0, _ARCHITECTURE_AT), (_EQUAL, 1, 0, _ARCHITECTURES[machine()]), _DENY]
    program += [(_LOAD, 0, 0, _NUMBER_AT)]
    if column == 0:
        program += [(_AT_LEAST, 0, 1, _X32), _DENY]
    tables = [calls.CHECKED, calls.ALWAYS, *([] if host_files else [calls.OWN_FILES])]
    tables += [calls.FORKS] if fork else []
    checks = _checks(fork=fork, opening=_opening(host_files=host_files, truncate=truncate))
    if host_files:
        checks |= {name: [*checks.get(name, ()), _ZERO] for name in _NUMBERS}
        checks["kill"] = _only(0, 0, _OWN)  # 0: its own group, which is as much as its number says
    for name, pair in (item for table in tables for item in table.items()):
        if (number := pair[column]) is not None:
            block = [*checks.get(name, ()), _ALLOW]  # the last is not reached where the answer is given before
            program += [(_EQUAL, 0, len(block), number), *block]
    return [*program, (_AT_LEAST, 0, 1, _NEW_CALLS), _ABSENT, _DENY]


def pack(program: Sequence[Rule]) -> tuple[bytearray, list[int]]:
    """The filter as the kernel reads it, and the places in it that are for the process's own number."""
    packed = bytearray().join(struct.pack("=HBBI", *rule[:3], max(0, rule[3])) for rule in program)
    return packed, [8 * place + 4 for place, rule in enumerate(program) if rule[3] == _OWN]


def install(packed: bytearray, own: list[int]) -> None:
    """Filter this process and its children for good.

    Needs PR_SET_NO_NEW_PRIVS. Raises OSError where the kernel has no seccomp.
    """
    for place in own:
        struct.pack_into("=I", packed, place, os.getpid())
    instructions = (ctypes.c_char * len(packed)).from_buffer(packed)
    header = struct.pack("@HP", len(packed) // 8, ctypes.addressof(instructions))
    prctl(PR_SET_SECCOMP, 2, ctypes.create_string_buffer(header))


def _checks(*, fork: bool, opening: list[list[Rule]]) -> dict[str, list[Rule]]:
    """By the name of a call: rules that deny it, or let it fall through to what allows it."""
    own = _only(0, _OWN)
    own_or_zero = _only(0, 0, _OWN)
    real_clock = _without(0, _NEGATIVE)
    stream = _only(1, *(_SOCK_STREAM | flags for flags in _SOCK_FLAGS))
    without_address = [*_only(4, 0), *_only(4, 0, upper=True)]
    process = [(_ANY_BIT, 0, 1, _NOT_FOR_PROCESSES), _DENY]
    thread = _only(0, *_THREADS, otherwise=process if fork else [_DENY])
    return {
        "open": opening[0],
        "openat": opening[1],
        "fcntl": _only(1, *_FCNTL),
        "ioctl": _only(1, *_IOCTL),
        "prctl": _only(0, *_PRCTL),
        "clone": thread,
        "clone3": [_ABSENT],  # glibc falls back to clone, whose flags a filter can read
        **{name: [] if fork else own for name in ("kill", "tgkill")},
        **dict.fromkeys(("prlimit64", "getpgid", "getsid"), own_or_zero),
        **dict.fromkeys(("sched_getaffinity", "sched_getparam", "sched_getscheduler"), own_or_zero),
        **dict.fromkeys(("clock_gettime", "clock_nanosleep", "timer_create"), real_clock),
        # Datagrams could be sent from here to any socket of the host.
        "socketpair": [*_only(0, _AF_UNIX), *stream],
        "sendto": [*without_address, *_without(3, _MSG_OOB)],
        "recvfrom": _without(3, _MSG_OOB),
        "close_range": _without(2, _CLOSE_RANGE_UNSHARE),
        "pipe2": _without(1, _O_NOTIFICATION_PIPE),
    }


def _opening(*, host_files: bool, truncate: bool) -> list[list[Rule]]:
    """For `open` and for `openat`, whose flags stand one further."""
    denied = (_O_PATH if host_files else 0) | (0 if truncate else _O_TRUNC)
    return [_without(place, denied) if denied else [] for place in (1, 2)]


def _only(argument: int, *values: int, upper: bool = False, otherwise: Sequence[Rule] = (_DENY,)) -> list[Rule]:
    """`otherwise` unless half of the argument, the lower by default, is one of `values`."""
    over = len(values) - 1 + len(otherwise)
    tests = [(_EQUAL, over - place, 0, value) for place, value in enumerate(values)]
    return [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument + 4 * upper), *tests, *otherwise]


def _without(argument: int, bits: int) -> list[Rule]:
    return [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument), (_ANY_BIT, 0, 1, bits), _DENY]
