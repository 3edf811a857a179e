"""Run the contract and trainer tests against the oldest and the newest TRL that pyproject.toml allows.

Each is put into a folder of its own that is thrown away afterwards; .venv stays as it is. Where both are one version,
the tests run once. `make test-trl` runs this; ARGS="trl==1.17.0" tries a version that is not allowed yet.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from scripts import install

TESTS = ("test_trl_contract", "test_trainers", "test_grpo_presets", "test_grpo_gate", "test_grpo_difficulty")


def wanted() -> list[tuple[str, list[str]]]:
    """(requirement, uv's flags) of each version to try: what the arguments name, or both ends of the range."""
    if sys.argv[1:]:
        return [(requirement, []) for requirement in sys.argv[1:]]
    project = tomllib.loads((install.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (allowed,) = [item for item in project["dependencies"] if item.startswith("trl")]
    return [(allowed, ["--resolution", "lowest-direct"]), (allowed, [])]


def fetch(uv: install.Uv, requirement: str, flags: list[str], folder: Path) -> str:
    """Installs TRL alone into `folder` and gives its version."""
    python = ["--python", str(install.VENV_PYTHON)]
    if not uv("pip", "install", "-q", "--no-deps", "--target", str(folder), *python, *uv.flags, *flags, requirement):
        install.fail("{wanted} could not be had (uv's message is above).", wanted=requirement)
    return next(folder.glob("trl-*.dist-info")).name.removeprefix("trl-").removesuffix(".dist-info")


def main() -> None:
    install.ensure_uv()
    uv = install.Uv(*install.uv_settings(install.pip_config(), os.environ))
    tried: set[str] = set()
    for requirement, flags in wanted():
        with tempfile.TemporaryDirectory() as name:
            version = fetch(uv, requirement, flags, Path(name))
            if version in tried:
                continue
            tried.add(version)
            print(f"TRL {version}", flush=True)
            files = [f"tests/{test}.py" for test in TESTS]
            command = [str(install.VENV_PYTHON), "-m", "pytest", "-q", *files]
            done = subprocess.run(command, cwd=install.ROOT, env={**os.environ, "PYTHONPATH": name})
            if done.returncode:
                sys.exit(f"TRL {version}: the tests above failed")
    print(f"passed with TRL {', '.join(sorted(tried))}")


if __name__ == "__main__":
    main()
