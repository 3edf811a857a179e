"""A program that tries to leave its sandbox: run in each one before it is used. It must reach nothing.

`tried` returns what it could do, in words that follow "code in it can". What it aims at is open to every user of the
machine, so that only the sandbox stands in its way.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import mmap
import os
import resource
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_COLUMN = 0 if os.uname().machine == "x86_64" else 1
_REFUSED = (errno.EPERM, errno.ENOSYS)
_AT_EMPTY_PATH = 0x1000
_F_SETSIG = 10

# Their numbers for x86_64 and aarch64. With nothing but zeros as arguments they do no harm where they are let through.
_CALLS = {
    "memfd_create": (319, 279),
    "execveat": (322, 281),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "rt_sigqueueinfo": (129, 138),
    "tkill": (200, 130),
    "kcmp": (312, 272),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "setsockopt": (54, 208),
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "capset": (126, 91),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "fanotify_init": (300, 262),
    "init_module": (175, 105),
    "mknodat": (259, 33),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sysinfo": (99, 179),
    "swapon": (167, 224),
    "reboot": (169, 142),
    "syslog": (103, 116),
}


def tried(aim: Mapping[str, Any]) -> list[str]:
    """aim: what there is to hit, as `r1hf.sandbox.probe` lays it out."""
    attempts = {**_on_files(aim), **_on_sockets(aim), **_on_processes(aim), **_on_limits(aim)}
    reached = [what for what, attempt in attempts.items() if _works(attempt)]
    if more := sorted(set(os.environ) - set(aim["environment"])):
        reached.append(f"see the environment ({', '.join(more)})")
    passed = [name for name, numbers in _CALLS.items() if not _refused(numbers[_COLUMN])]
    return [*reached, *([f"call {', '.join(passed)}"] if passed else [])]


def traces() -> list[Any]:
    """What a case could know another by: the same in each, although each leaves a file."""
    found = [os.getpid(), os.getppid(), threading.get_native_id(), _works(lambda: os.stat("trace"))]
    _works(lambda: open("trace", "w").close())
    return found


def lacking(packages: list[str]) -> list[str]:
    """What does not work, in words that follow "code in it cannot": importing these packages, starting a thread."""
    names = [f"import {name}" for name in packages if not _works(functools.partial(__import__, name))]
    thread = threading.Thread(target=int)
    return [*names, *([] if _works(thread.start) else ["start a thread"])]


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
        return True
    except BaseException:
        return False


def _refused(number: int) -> bool:
    zero = ctypes.c_long(0)
    return _libc.syscall(ctypes.c_long(number), zero, zero, zero, zero, zero) < 0 and ctypes.get_errno() in _REFUSED


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _on_files(aim: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    secret, shown = aim["secret"], aim["shown"]

    def create(path: str) -> None:
        open(path, "w").close()
        os.unlink(path)

    def link() -> None:
        os.symlink(secret, "link")
        open("link").close()

    def rename() -> None:
        os.rename(shown, shown + ".new")
        os.rename(shown + ".new", shown)

    return {
        "read a file of the host": lambda: open(secret).read(),
        "write into it": lambda: open(secret, "r+").close(),
        "write beside it": lambda: create(secret + ".new"),
        "list its directory": lambda: os.listdir(os.path.dirname(secret)),
        "read it by a link": link,
        "read what is said of processes": lambda: os.listdir("/proc"),
        "read its own memory as a file": lambda: open("/proc/self/mem").close(),
        "write into a file that it may read": lambda: open(shown, "r+").close(),
        "empty such a file while opening it": lambda: os.open(shown, os.O_RDONLY | os.O_TRUNC),
        "empty such a file": lambda: os.truncate(shown, 0),
        "change its mode": lambda: os.chmod(shown, 0o600),
        "change its times": lambda: os.utime(shown, (1, 1)),
        "give it another name": rename,
        "link to it": lambda: os.link(shown, shown + ".link"),
        "remove it": lambda: os.unlink(shown),
        "write into the root directory": lambda: create("/r1hf-trial"),
        "write into shared memory": lambda: create("/dev/shm/r1hf-trial"),
    }


def _on_sockets(aim: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    def connect(family: int, address: Any) -> None:
        with socket.socket(family) as one:
            one.settimeout(2)
            one.connect(address)

    def send(family: int, address: Any) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.sendto(b"x", address)

    def from_pair(address: str) -> None:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with one, other:
            one.sendto(b"x", address)

    here = "127.0.0.1"
    unix, abstract, letters, hidden = (aim[name] for name in ("unix", "abstract", "letters", "hidden"))
    return {
        "connect to the loopback network": lambda: connect(socket.AF_INET, (here, aim["tcp"])),
        "send datagrams to it": lambda: send(socket.AF_INET, (here, aim["udp"])),
        "listen there": lambda: socket.create_server((here, 0)).close(),
        "connect to a socket of the host": lambda: connect(socket.AF_UNIX, unix),
        "connect to an abstract socket": lambda: connect(socket.AF_UNIX, "\0" + abstract),
        "send datagrams to a socket of the host": lambda: send(socket.AF_UNIX, letters),
        "send datagrams out of a pair of sockets": lambda: from_pair(letters),
        "send datagrams out of a pair to an abstract socket": lambda: from_pair("\0" + hidden),
        "ask the kernel by netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    }


def _on_processes(aim: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    pid, zero = aim["pid"], ctypes.c_long(0)

    def own_signal(command: int, value: int) -> None:
        reader, writer = os.pipe()
        fcntl.fcntl(reader, command, value)

    def start() -> None:
        if not (child := os.fork()):
            os._exit(0)
        os.waitpid(child, 0)

    def clock() -> None:
        _check(_libc.clock_gettime(ctypes.c_int(~pid << 3 | 2), ctypes.create_string_buffer(16)))

    def other_program() -> None:
        try:
            os.execv("/r1hf-nothing", ["nothing"])
        except FileNotFoundError:
            pass

    def from_memory() -> None:
        file = os.memfd_create("program")
        _libc.syscall(ctypes.c_long(_CALLS["execveat"][_COLUMN]), file, b"", zero, zero, _AT_EMPTY_PATH)
        if ctypes.get_errno() in _REFUSED:  # where it is let through it fails too: the file is empty
            raise PermissionError

    return {
        "signal the process that started it": lambda: os.kill(pid, 0),
        "signal its supervisor": lambda: os.kill(os.getppid() or 1, 0),
        "signal every process": lambda: os.kill(-1, 0),
        "have files signal another process": lambda: own_signal(fcntl.F_SETOWN, pid),
        "choose the signal of a file": lambda: own_signal(_F_SETSIG, 23),
        "read the limits of another process": lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE),
        "read the clock of another process": clock,
        "ask for the session of another process": lambda: os.getsid(pid),
        "start processes": start,
        "start another program": other_program,
        "start a program out of memory": from_memory,
    }


def _on_limits(aim: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    def pipe() -> None:
        reader, writer = os.pipe()
        fcntl.fcntl(writer, 1031, 1 << 20)  # F_SETPIPE_SZ

    def descriptors() -> None:
        _check(_libc.syscall(ctypes.c_long(436), ctypes.c_long(900), ctypes.c_long(901), ctypes.c_long(2)))

    none = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    return {
        "take more memory than its limit": lambda: mmap.mmap(-1, aim["memory"]).close(),
        "raise its limits": lambda: resource.setrlimit(resource.RLIMIT_AS, none),
        "have more descriptors than its limit": descriptors,
        "have larger pipes": pipe,
    }
