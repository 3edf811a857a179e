"""Run the tests of what r1hf leans on with the oldest and with the newest packages that pyproject.toml allows.

Each set goes into an environment of its own that is thrown away afterwards; .venv stays as it is. torch alone keeps
the pinned version, since its build depends on the machine. `make test-versions` runs this; ARGS="trl==1.17.0 ..."
tries these versions, allowed or not, in place of the two sets.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts import install

TESTS = (
    *("test_trl_contract", "test_trainers", "test_grpo_presets"),
    *("test_chat_templates", "test_tokenizer", "test_economy", "test_resume", "test_hub_push", "test_hub_refs"),
)
SHOWN = ("transformers", "trl", "huggingface-hub", "tokenizers", "datasets", "accelerate", "peft")


def sets(named: list[str]) -> dict[str, list[str]]:
    """What each environment is called, and uv's arguments for it."""
    if named:
        return {" ".join(named): ["--override", "-", *named]}
    return {"oldest": ["--resolution", "lowest-direct"], "newest": ["--resolution", "highest"]}


def make(uv: install.Uv, arguments: list[str], folder: Path) -> Path:
    """Installs r1hf with its tests' needs into a new environment in `folder`; returns its Python."""
    python = folder / "bin" / "python"
    torch, _ = install.choose_torch(uv, install.pinned_torch(), "auto")
    named = [word for word in arguments if "==" in word]
    overrides = folder.with_suffix(".txt")
    overrides.write_text("\n".join(named) + "\n", encoding="utf-8")
    words = [str(overrides) if word == "-" else word for word in arguments if word not in named]
    wanted = ["--python", str(python), "--editable", ".[dev]", *torch, *words, *uv.flags]
    if not uv("venv", "--quiet", "--python", str(install.VENV_PYTHON), str(folder)) or not uv(
        "pip", "install", "--quiet", *wanted
    ):
        install.fail("the set could not be installed (uv's message is above).")
    return python


def versions(uv: install.Uv, python: Path) -> str:
    """The versions that matter, in a line."""
    command = [str(install.UV), "pip", "freeze", "--python", str(python)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, env=uv.env).stdout
    found = dict(re.findall(r"^([\w-]+)==(\S+)", text, re.MULTILINE))
    return ", ".join(f"{name} {found[name]}" for name in SHOWN if name in found)


def main() -> None:
    install.ensure_uv()
    uv = install.Uv(*install.uv_settings(install.pip_config(), os.environ))
    tried: set[str] = set()
    for name, arguments in sets(sys.argv[1:]).items():
        with tempfile.TemporaryDirectory() as folder:
            python = make(uv, arguments, Path(folder) / "venv")
            what = versions(uv, python)
            print(f"{name}: {what}", flush=True)
            if what in tried:
                continue
            tried.add(what)
            files = [str(path) for test in TESTS for path in sorted(install.ROOT.glob(f"tests/**/{test}.py"))]
            command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
            if subprocess.run(command, cwd=install.ROOT).returncode:
                sys.exit(f"{name} ({what}): the tests above failed")
    print(f"passed with {len(tried)} sets")


if __name__ == "__main__":
    main()
