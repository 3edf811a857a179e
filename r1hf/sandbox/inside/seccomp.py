"""A seccomp filter for the process that runs a completion: no sockets, no prying, no new processes.

The namespaces already contain these calls; the filter narrows what a bug in the kernel would be reached through, and
where there are no namespaces it stands in for them.
"""

from __future__ import annotations

import ctypes
import errno
import os

from .kernel import PR_SET_PDEATHSIG, PR_SET_SECCOMP, machine, prctl

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_CLONE_THREAD, _CLONE_NAMESPACES = 0x10000, 0x7E020000

# name: (x86_64, aarch64); None where the architecture lacks it
_ALWAYS: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "tkill": (200, 130),
    "kcmp": (312, 272),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "personality": (135, 92),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setattr": (314, 274),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setaffinity": (203, 122),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
# Landlock lets these through on any path, so they are shut off where the host's files are still in sight.
_ON_HOST: dict[str, tuple[int | None, int | None]] = {
    "truncate": (76, 45),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "inotify_add_watch": (254, 27),
}
_FORKS: dict[str, tuple[int | None, int | None]] = {"fork": (57, None), "vfork": (58, None)}
_CLONE, _CLONE3, _KILL, _TGKILL, _PRLIMIT, _PRCTL = (
    (56, 220),
    (435, 435),
    (62, 129),
    (234, 131),
    (302, 261),
    (157, 167),
)

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction))]


def available() -> bool:
    """True if the filter knows this architecture."""
    return machine() in _ARCHITECTURES


def install(*, fork: bool, host_files: bool) -> None:
    """Filter this process and its children for good. Denied calls fail with EPERM.

    fork: may it start processes, and signal those of its sandbox? host_files: are the host's files in sight, behind
    Landlock only? Needs PR_SET_NO_NEW_PRIVS. Raises OSError where the kernel has no seccomp.
    """
    if not available():
        return
    rules = _rules(fork=fork, host_files=host_files)
    program = (_Instruction * len(rules))(*(_Instruction(*rule) for rule in rules))
    prctl(PR_SET_SECCOMP, 2, ctypes.byref(_Program(len(rules), program)))


def _rules(*, fork: bool, host_files: bool) -> list[tuple[int, int, int, int]]:
    column = 0 if machine() == "x86_64" else 1
    deny = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    rules = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine()]),
        deny,
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if column == 0:
        rules += [(_AT_LEAST, 0, 1, _X32), deny]
    tables = [_ALWAYS, *([_ON_HOST] if host_files else []), *([] if fork else [_FORKS])]
    numbers = [pair[column] for table in tables for pair in table.values()]
    for number in numbers:
        if number is not None:
            rules += [(_EQUAL, 0, 1, number), deny]
    # glibc falls back to clone, whose flags a filter can read.
    rules += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERROR | errno.ENOSYS)]
    threads_only = [] if fork else [(_ANY_BIT, 1, 0, _CLONE_THREAD), deny]
    flags = [(_LOAD, 0, 0, _ARGUMENTS_AT), (_ANY_BIT, 0, 1, _CLONE_NAMESPACES), deny, *threads_only, allow]
    rules += [(_EQUAL, 0, len(flags), _CLONE[column]), *flags]
    own = [(_LOAD, 0, 0, _ARGUMENTS_AT), (_EQUAL, 1, 0, os.getpid()), deny, allow]
    if not fork:
        for call in (_KILL, _TGKILL):
            rules += [(_EQUAL, 0, len(own), call[column]), *own]
    own_or_zero = [own[0], (_EQUAL, 2, 0, 0), (_EQUAL, 1, 0, os.getpid()), deny, allow]
    rules += [(_EQUAL, 0, len(own_or_zero), _PRLIMIT[column]), *own_or_zero]
    outlive = [(_LOAD, 0, 0, _ARGUMENTS_AT), (_EQUAL, 0, 1, PR_SET_PDEATHSIG), deny, allow]
    rules += [(_EQUAL, 0, len(outlive), _PRCTL[column]), *outlive]
    return [*rules, allow]
