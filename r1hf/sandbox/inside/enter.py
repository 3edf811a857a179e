"""Shut this process in: namespaces, a root of its own, no privileges, Landlock."""

from __future__ import annotations

import os

from . import kernel, landlock, seccomp

TYPE_CHECKING = False  # importing `typing` costs 7 ms
if TYPE_CHECKING:
    from typing import Any

    Config = dict[str, Any]
HOST_FILES = frozenset({"landlock", "none"})  # backends whose view of the files is the host's
NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)
_NEW_ROOT = "/proc"  # any directory to mount on, as long as nothing that we show lies below it
_NOBODY = 65534


def enter(config: Config) -> list[str]:
    """Returns the layers in force. The process that returns is the first of its process namespace, if there is one.

    Raises OSError, with the name of the call, where the kernel refuses something that the backend needs.
    """
    backend = config["backend"]
    _prefer_as_victim()
    layers: list[str] = []
    if backend == "namespaces":
        layers.append("namespaces: " + _leave_host(config))
    elif backend == "bwrap":
        layers.append("bubblewrap")
        _mount_work(config, config["work"])
    if backend in HOST_FILES:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    else:
        _become_nobody(config["uid"])
    if backend == "none":
        os.chdir(config["work"])
        return ["nothing"]
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # no other process of this user may look inside
    if os.getpid() == 1:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    layers += _narrow(config)
    os.chdir(config["work"] or "/")
    return layers


def _narrow(config: Config) -> list[str]:
    """Landlock, where there is one, and word of the filter that each case gets."""
    layers = []
    if landlock.abi() or config["backend"] == "landlock":
        readable = config["readable"] if config["backend"] == "landlock" else ["/"]
        writable = [path for path in (config["work"], "/dev/null") if path]
        layers.append(f"Landlock ABI {landlock.restrict([*readable, *config['devices']], writable)}")
    if seccomp.available():
        layers.append("seccomp")
    return layers


def _prefer_as_victim() -> None:
    """When the machine runs out of memory, the kernel takes the sandbox and not the training."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        pass


def _leave_host(config: Config) -> str:
    """New namespaces and a new root, in a child; this process waits for the child and ends with it."""
    if os.geteuid() == 0 and kernel.has_capability(kernel.CAP_SYS_ADMIN):
        kernel.unshare(NAMESPACES)
        kinds = "mount, pid, net, ipc, uts, cgroup"
    else:
        config["fork"] &= os.geteuid() != 0  # root's processes are not counted, mapped or not
        _unshare_as_user()
        kinds = "user, mount, pid, net, ipc, uts, cgroup"
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.set_hostname("sandbox")
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    _build_root(config)
    kernel.change_root(_NEW_ROOT)
    return kinds


def _unshare_as_user() -> None:
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | NAMESPACES)
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
    _mount_work(config, _NEW_ROOT + config["work"])
    kernel.mount(
        None,
        _NEW_ROOT,
        None,
        kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV,
    )


def _mount_work(config: Config, path: str) -> None:
    options = f"size={config['disk']},nr_inodes={config['files'] + 1},mode=1777"
    kernel.mount("tmpfs", path, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)


def _become_nobody(uid: int) -> None:
    """As root: a user id of this sandbox's own, so that limits on processes count here only, or else "nobody"."""
    if os.geteuid() != 0:
        return
    os.setgroups([])
    for candidate in (uid, _NOBODY):
        try:
            os.setresgid(candidate, candidate, candidate)
            os.setresuid(candidate, candidate, candidate)
            return
        except OSError as error:
            failure = error
    raise OSError(failure.errno, "setresuid: no ordinary user to become")
