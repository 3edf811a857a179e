"""Running a model's code: in a process without network, files, environment or a way out, under limits.

See docs/sandbox.md for what each backend protects from, and what none does.
"""

from __future__ import annotations

from r1hf.sandbox.backends import Sandbox, check_sandbox
from r1hf.sandbox.limits import Limits, Result, SandboxError, Verdict
from r1hf.sandbox.session import Session

__all__ = [
    "Limits",
    "Result",
    "Sandbox",
    "SandboxError",
    "Session",
    "Verdict",
    "check_sandbox",
    "run_code",
]


def run_code(
    code: str,
    stdin: str | bytes = "",
    *,
    limits: Limits | None = None,
    sandbox: Sandbox | None = None,
    unsafe_exec: bool = False,
) -> Result:
    """Run a Python program once. Raises SandboxError where no sandbox works."""
    with Session(sandbox or check_sandbox(unsafe_exec=unsafe_exec), code, limits) as session:
        return session.run(stdin)
