"""The wheels that `gpu_smoke.py` needs on a machine with PyTorch, Transformers and what these bring, and no network.

Two packages are larger than all others together and hold much that r1hf never reads, so their wheels are written anew
without it: wordfreq's long lists, pyarrow's headers, tests and connections to clouds. Standard library alone.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 60_000_000  # bytes, all wheels together
NEVER_READ = {
    "wordfreq": ("wordfreq/data/large_*", "wordfreq/data/jieba_zh_orig.txt"),
    "pandas": ("pandas/tests/*",),
    "pyarrow": (
        *("pyarrow/include/*", "pyarrow/includes/*", "pyarrow/src/*", "pyarrow/tests/*", "pyarrow/*.p[xy][dxi]"),
        *("pyarrow/*flight*", "pyarrow/*s3*", "pyarrow/_gcsfs*", "pyarrow/_azurefs*"),
        *("pyarrow/libarrow_python.so", "pyarrow/libarrow_python.so.*.*"),  # copies of the one that is loaded
    ),
}


def needs(name: str, without: Iterable[str] = ()) -> dict[str, str]:
    """A package and all that it requires, with the versions installed here; extras are left out."""
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        name = _plain(waiting.pop())
        if name in found or name in without:
            continue
        found[name] = metadata.version(name)
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def make_wheels(folder: Path, python: str, present: Iterable[str]) -> int:
    """Downloads, builds and shrinks them for Linux on x86-64; returns their bytes.

    python: the other machine's version, such as 3.12. present: packages that it has beside those of torch and
    transformers. Raises SystemExit where pip fails or they are too large.
    """
    here = {**needs("torch"), **needs("transformers"), **dict.fromkeys(map(_plain, present), "")}
    wanted = {name: version for name, version in needs("r1hf", here).items() if name != "r1hf"}
    tags = [f"--platform=manylinux_2_{minor}_x86_64" for minor in range(39, 4, -1)]
    tags += ["--platform=manylinux2014_x86_64", "--platform=manylinux1_x86_64"]
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty; name a new folder for the wheels")
    with tempfile.TemporaryDirectory() as loaded:
        pip("wheel", "--no-deps", "--wheel-dir", loaded, str(ROOT))
        names = [f"{name}=={version}" for name, version in wanted.items()]
        choice = ["--no-deps", "--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
        pip("download", *choice, *tags, "--dest", loaded, *names)
        for wheel in sorted(Path(loaded).glob("*.whl")):
            shrink(wheel, folder / wheel.name)
    total = sum(wheel.stat().st_size for wheel in folder.glob("*.whl"))
    if total > LARGEST:
        raise SystemExit(f"the wheels have {total:,} bytes, more than {LARGEST:,}; name what is there with --present")
    return total


def shrink(wheel: Path, target: Path) -> None:
    """A wheel without the files that are never read."""
    unread = NEVER_READ.get(_plain(wheel.name.split("-")[0]), ())
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for item in old.infolist():
            if not any(fnmatch.fnmatch(item.filename, pattern) for pattern in unread):
                new.writestr(item, old.read(item), compress_type=zipfile.ZIP_DEFLATED, compresslevel=9)


def pip(*words: str) -> None:
    """pip of this Python or, as an environment of uv has none, of the one that it was made with."""
    for python in (sys.executable, getattr(sys, "_base_executable", sys.executable)):
        if subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode == 0:
            break
    done = subprocess.run([python, "-m", "pip", "--quiet", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"pip {words[0]} failed: {done.stderr.strip()[-1000:]}")


def unpack(folder: Path, target: Path) -> None:
    """Lays the wheels of a folder out in `target`, to be put first on the path. Raises SystemExit for others."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise SystemExit(f"{folder} holds no wheels; make them where there is a network: --make-wheels {folder}")
    mine = f"cp{sysconfig.get_python_version().replace('.', '')}"
    for wheel in wheels:
        tag, abi = wheel.stem.split("-")[-3:-1]
        if re.fullmatch(r"cp3\d+", abi) and tag != mine:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise SystemExit(f"{wheel.name} is for {tag}, and this is {mine}; make them with --python {version}")
        with zipfile.ZipFile(wheel) as content:
            content.extractall(target)
