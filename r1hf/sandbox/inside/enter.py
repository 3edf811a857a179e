"""Shut this process in: namespaces, a root of its own, no privileges, Landlock.

`enter` prepares the process that all cases are forked from, `settle` the one that looks after a case: each has its
own process numbers and its own working directory, so that no case finds a trace of another.
"""

from __future__ import annotations

import errno
import os

from . import kernel, landlock, seccomp

TYPE_CHECKING = False  # importing `typing` costs 7 ms
if TYPE_CHECKING:
    from typing import Any

    Config = dict[str, Any]
HOST_FILES = frozenset({"landlock", "none"})  # backends whose view of the files is the host's
_NAMESPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
)
_OF_A_CASE = kernel.CLONE_NEWPID | kernel.CLONE_NEWNS
_NEW_ROOT = "/proc"  # any directory to mount on, as long as nothing that we show lies below it
_NOBODY = 65534
_SIGKILL = 9


def enter(config: Config) -> list[str]:
    """Returns the layers in force.

    Raises OSError, with the name of the call, where the kernel refuses something that the backend needs.
    """
    backend = config["backend"]
    if backend != "bwrap":  # there it is done before, and /proc is out of sight
        _prefer_as_victim()
        _join(config["groups"])
    if backend == "none":
        os.chdir(config["work"])
        return ["nothing"]
    os.environ.pop("PWD", None)  # bubblewrap's
    layers = {"bwrap": ["bubblewrap"], "landlock": []}.get(backend) or []
    if backend == "namespaces":
        layers.append("namespaces: " + _leave_host(config))
    layers += _become_nobody(config)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # no other process of this user may look inside
    if backend == "bwrap":  # a change of user has undone what bubblewrap set; elsewhere the parent is a mere thread
        kernel.prctl(kernel.PR_SET_PDEATHSIG, _SIGKILL)
    config["abi"] = landlock.abi(config["abi"])
    if backend == "landlock" and not config["abi"]:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    if config["abi"]:
        layers.append(f"Landlock ABI {config['abi']}")
    if backend == "landlock":
        _apply_landlock(config)
    return [*layers, "seccomp"]


def fork(config: Config) -> int:
    """A child that is to `settle`; 0 in it."""
    return os.fork() if config["backend"] in HOST_FILES else kernel.fork_into(_OF_A_CASE)


def settle(config: Config) -> None:
    """In the child: a working directory, no privileges, and the end when the parent ends."""
    if config["backend"] not in HOST_FILES:
        _mount_work(config, config["work"])
        if config["abi"]:
            _apply_landlock(config)
        kernel.drop_capabilities()
    elif config["backend"] == "none":
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, _SIGKILL)
    os.chdir(config["work"] or "/")


def call_filter(config: Config) -> tuple[bytearray, list[int]]:
    """The filter of system calls for the code, as `seccomp.install` takes it."""
    if config["backend"] == "none":
        return bytearray(), []
    host_files = config["backend"] in HOST_FILES
    truncate = not host_files or config["abi"] >= landlock.TRUNCATES
    return seccomp.pack(seccomp.rules(fork=config["fork"], host_files=host_files, truncate=truncate))


def _apply_landlock(config: Config) -> None:
    readable = config["readable"] if config["backend"] == "landlock" else ["/"]
    writable = [path for path in (config["work"], "/dev/null") if path]
    landlock.restrict([*readable, *config["devices"]], writable, config["abi"])


def _prefer_as_victim() -> None:
    """When the machine runs out of memory, the kernel takes the sandbox and not the training."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass  # the trial of the sandbox looks at it


def _join(groups: list[str]) -> None:
    for path in groups:
        with open(path, "w") as file:
            file.write("0")


def _leave_host(config: Config) -> str:
    """New namespaces and a new root."""
    if os.geteuid() == 0 and kernel.has_capability(kernel.CAP_SYS_ADMIN):
        kernel.unshare(_NAMESPACES)
        kinds = "mount, pid, net, ipc, uts, cgroup"
    else:
        config["counted"] = os.geteuid() != 0  # root's processes are not counted, mapped or not
        config["fork"] &= config["counted"]
        _unshare_as_user()
        kinds = "user, mount, pid, net, ipc, uts, cgroup"
    kernel.set_hostname("sandbox")
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    _build_root(config)
    kernel.change_root(_NEW_ROOT)
    return kinds


def _unshare_as_user() -> None:
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | _NAMESPACES)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{_NOBODY} {uid} 1"), ("gid_map", f"{_NOBODY} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _build_root(config: Config) -> None:
    kernel.mount("tmpfs", _NEW_ROOT, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=64k,nr_inodes=512,mode=755")
    for link, target in config["links"]:
        os.makedirs(os.path.dirname(_NEW_ROOT + link), exist_ok=True)
        os.symlink(target, _NEW_ROOT + link)
    for path in (*config["readable"], *config["devices"]):
        target = _NEW_ROOT + path
        if os.path.isdir(path):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o444))
        kernel.bind(path, target, device=path in config["devices"])
    os.makedirs(_NEW_ROOT + config["work"])
    kernel.mount(
        None,
        _NEW_ROOT,
        None,
        kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV,
    )


def _mount_work(config: Config, path: str) -> None:
    options = f"size={config['disk']},nr_inodes={config['files'] + 1},mode=1777"
    kernel.mount("tmpfs", path, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)


def _become_nobody(config: Config) -> list[str]:
    """Give up every privilege but what mounting a working directory takes; as root, if it may, the user id too.

    With Landlock alone, where Python or a package lies in a directory that only root may enter, the right to read
    past permissions is kept: Landlock still says which files.
    """
    by_landlock = config["backend"] == "landlock"
    kept, layers = [] if by_landlock else [kernel.CAP_SYS_ADMIN], []
    if os.geteuid() == 0:
        kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
        user = _set_user(config["uid"])
        if not user and not by_landlock:
            raise PermissionError(errno.EPERM, "root may not become another user")
        config["counted"] = user == config["uid"]
        config["fork"] &= config["counted"]
        layers = ["a user id of its own" if user else "root's user id, without its rights"]
        if user and by_landlock and not all(os.access(path, os.R_OK) for path in config["readable"]):
            kept = [_right_to_read()]
            layers.append("reads past permissions")
    kernel.drop_capabilities(*kept)
    return layers


def _set_user(own: int) -> int:
    """Become the user `own`, so that limits on processes count here only, or else "nobody"; 0 where neither may be."""
    for candidate in (own, _NOBODY):
        try:
            os.setgroups([])
            os.setresgid(candidate, candidate, candidate)
            os.setresuid(candidate, candidate, candidate)
        except OSError:
            continue
        return candidate
    return 0


def _right_to_read() -> int:
    for right in (kernel.CAP_DAC_READ_SEARCH, kernel.CAP_DAC_OVERRIDE):
        if kernel.has_capability(right, permitted=True):
            return right
    raise PermissionError(
        errno.EACCES,
        "Python, or a package that programs may import, lies in a directory that only root may enter; move it, or let "
        "others enter (chmod o+x)",
    )
