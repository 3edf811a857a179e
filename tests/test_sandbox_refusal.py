"""Where no sandbox works, nothing runs: runs on any system."""

from __future__ import annotations

import sys

import pytest
from sandbox_target import first_working

from r1hf.core.errors import ConfigError, R1Error
from r1hf.sandbox import Limits, Sandbox, SandboxError, backends, check_sandbox, run_code
from r1hf.sandbox.inside import landlock


@pytest.fixture(autouse=True)
def fresh():
    """The choice of a sandbox is remembered; forget it before and after."""
    backends._first_working.cache_clear()
    yield
    backends._first_working.cache_clear()


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")
def test_a_kernel_with_landlock_has_a_sandbox():
    if not landlock.abi():
        pytest.skip("this kernel has no Landlock")
    assert first_working() is not None


def test_row_27_the_error_names_what_is_missing(monkeypatch: pytest.MonkeyPatch):
    def fails(name: str, packages: tuple[str, ...]) -> Sandbox:
        raise SandboxError(f"{name}: not here")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(backends.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(backends, "try_backend", fails)
    with pytest.raises(R1Error, match=r"(?s)bwrap: not.*namespaces: not.*landlock: not here.*unsafe_exec"):
        run_code("print(1)")
    assert check_sandbox(unsafe_exec=True).backend == "none"


def test_only_linux_has_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(backends.platform, "system", lambda: "Darwin")
    with pytest.raises(SandboxError, match="no sandbox for Darwin, only for Linux"):
        check_sandbox()


def test_only_two_architectures_have_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(backends.platform, "machine", lambda: "riscv64")
    with pytest.raises(SandboxError, match="riscv64, only for x86_64 and aarch64"):
        check_sandbox()


def test_none_has_to_be_allowed():
    with pytest.raises(SandboxError, match="unsafe_exec"):
        check_sandbox("none")
    with pytest.raises(ConfigError, match="docker"):
        check_sandbox("docker")


def test_limits_are_checked():
    with pytest.raises(ConfigError, match="wall") as caught:
        Limits(wall=0, output=-1)
    assert len(caught.value.problems) == 2
    with pytest.raises(ConfigError, match="64 MiB"):
        Limits(memory=1 << 20)
