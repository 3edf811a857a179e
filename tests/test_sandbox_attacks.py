"""Every attack is contained by every sandbox that works here, without harm to the host or to this process."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
from sandbox_attacks import ATTACKS, WALLS, Attack
from sandbox_target import MIB, Target, first_working, peak_memory, reset_peak_memory

from r1hf.sandbox import Sandbox, SandboxError, check_sandbox
from r1hf.sandbox.backends import ORDER, Backend, try_backend
from r1hf.verify.code import verify_code

FIRST = first_working()
pytestmark = pytest.mark.skipif(FIRST is None, reason="no sandbox works here")
# A backend, and the newest Landlock that it may use: None is whatever the kernel has.
SANDBOXES = [*((backend, None) for backend in ORDER), ("landlock", 5), ("landlock", 2), ("landlock", 1)]
CASES = [
    pytest.param(
        backend,
        abi,
        attack,
        id=f"{backend}-{abi or 'newest'}-{attack.name}",
        marks=[] if (backend, abi) == (FIRST, None) else [pytest.mark.slow],
    )
    for backend, abi in SANDBOXES
    for attack in (ATTACKS if abi is None else WALLS)
]


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Target() as aim:
        yield aim


@functools.cache
def tried(backend: Backend, abi: int | None) -> Sandbox | str:
    try:
        return check_sandbox(backend) if abi is None else try_backend(backend, landlock_abi=abi)
    except SandboxError as error:
        return str(error)


def test_there_are_enough_attacks():
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 150


@pytest.mark.parametrize(("backend", "abi", "attack"), CASES)
def test_row_26_contained(backend: Backend, abi: int | None, attack: Attack, target: Target):
    sandbox = tried(backend, abi)
    if isinstance(sandbox, str):
        pytest.skip(sandbox)
    before = reset_peak_memory()
    verdict = verify_code(target.program(attack), list(attack.tests), attack.limits, sandbox=sandbox)
    assert verdict.verdict in attack.verdicts, verdict
    assert not target.damage()
    assert peak_memory() - before < 64 * MIB


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.harmless], ids=lambda attack: attack.name)
def test_the_attack_works_without_a_sandbox(attack: Attack):
    """Else its containment would prove nothing."""
    sandbox = check_sandbox("none", unsafe_exec=True)
    with Target() as target:
        assert verify_code(target.program(attack), list(attack.tests), attack.limits, sandbox=sandbox).score == 1.0


@pytest.mark.parametrize("name", ["leave in the function", "equal to everything", "first line only", "not a number"])
def test_the_score_cannot_be_fooled_without_a_sandbox_either(name: str):
    attack = next(attack for attack in ATTACKS if attack.name == name)
    sandbox = check_sandbox("none", unsafe_exec=True)
    assert verify_code(attack.code, list(attack.tests), attack.limits, sandbox=sandbox).score == 0.0
