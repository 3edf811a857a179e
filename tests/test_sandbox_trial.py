"""The trial of a sandbox: it tries what is promised, and a sandbox with one hole is refused by name."""

from __future__ import annotations

import marshal
from pathlib import Path

import pytest
from sandbox_target import first_working

from r1hf.sandbox import Sandbox, SandboxError, Session, backends, probe, runtime, session
from r1hf.sandbox.backends import Backend, try_backend
from r1hf.sandbox.inside import landlock, trial

pytestmark = pytest.mark.skipif(first_working() is None, reason="no sandbox works here")
INSIDE = Path(runtime.__file__).parent / "inside"
# What limits and permissions stop without a sandbox, too.
NOT_WITHOUT = {"take more memory than its limit", "raise its limits", "write into the root directory"}


def test_what_the_trial_tries_works_without_a_sandbox():
    """Else a sandbox in which it does not work would prove nothing."""
    with probe._aims() as (aim, harm):
        aim |= {"environment": [], "memory": probe._LIMITS.memory}
        parts = (trial._on_files, trial._on_sockets, trial._on_processes, trial._on_limits)
        attempts = {name for part in parts for name in part(aim)}
        with Session(Sandbox("none"), probe._TRIAL.read_text(), probe._LIMITS) as without:
            reached = without.call("tried", [aim]).value
        assert attempts - set(reached) <= NOT_WITHOUT
        assert any("PATH" in what for what in reached) and any("socket, connect" in what for what in reached)
        assert len(harm()) >= 6


def with_a_hole(file: str, wall: str, hole: str) -> bytes:
    """The program that a sandbox starts with, changed."""
    modules = []
    for name in runtime._MODULES:
        source = (INSIDE / f"{name}.py").read_text()
        if f"{name}.py" == file:
            assert wall in source
            source = source.replace(wall, hole)
        modules.append((name, compile(source, name, "exec", optimize=2)))
    data = marshal.dumps(modules)
    return len(data).to_bytes(4, "little") + data


@pytest.mark.parametrize(
    ("file", "wall", "hole", "found", "backend", "abi"),
    [
        ("landlock.py", "TRUNCATES = 3", "TRUNCATES = 1", "empty such a file while opening it", "landlock", 2),
        ("seccomp.py", '"fcntl": _only(1, *_FCNTL),', "", "have files signal another process", "landlock", 5),
        ("seccomp.py", "checks = _checks(", "checks = {} and _checks(", "out of a pair of sockets", "landlock", 5),
        ("calls.py", "CHECKED: Table = {", 'CHECKED: Table = {"bpf": (321, 280),', "call bpf", "landlock", None),
        ("enter.py", 'file.write("1000")', "pass", "not the first to end", "namespaces", None),
    ],
)
def test_a_hole_is_found(
    file: str, wall: str, hole: str, found: str, backend: Backend, abi: int | None, monkeypatch: pytest.MonkeyPatch
):
    try:
        try_backend(backend, landlock_abi=abi)
    except SandboxError as error:
        pytest.skip(str(error))
    changed = with_a_hole(file, wall, hole)
    monkeypatch.setattr(session, "supervisor_code", lambda: changed)
    with pytest.raises(SandboxError, match=f"{backend}: it starts, but .*{found}"):
        try_backend(backend, landlock_abi=abi)


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6])
def test_an_older_landlock_holds_the_same(abi: int):
    if landlock.abi() < abi:
        pytest.skip(f"this kernel has Landlock {landlock.abi()}")
    assert f"Landlock ABI {abi}" in try_backend("landlock", landlock_abi=abi).layers


def test_no_landlock_is_no_sandbox():
    with pytest.raises(SandboxError, match="landlock: .*this kernel has no Landlock"):
        backends.try_backend("landlock", landlock_abi=0)
