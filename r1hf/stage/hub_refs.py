"""References to the Hub, `org/name[@revision]`: pinned to a commit, downloaded whole, and recorded.

    resolve("me/tiny-r1@v1")   # -> Resolved(path=…/snapshots/<commit>, repo="me/tiny-r1", revision="v1", commit=…)

A directory or a file is taken as it is, so every place that takes a path can call `resolve`.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from r1hf.core.source import is_hub_id
from r1hf.stage.hub_errors import HubError, TransientHubError, explained
from r1hf.stage.signatures import Trust, trusted, verify_signature

RepoType = Literal["model", "dataset"]
_MODELS = ("zero", "teacher", "judge", "rewriter")
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Pin:
    """A reference and the commit that it meant when it was read. `str(pin)` is a reference to just that commit."""

    repo: str
    revision: str
    commit: str
    repo_type: RepoType = "model"

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit}"

    def record(self) -> dict[str, str]:
        """What a manifest keeps."""
        return {"repo": self.repo, "revision": self.revision, "commit": self.commit, "repo_type": self.repo_type}


@dataclass(frozen=True)
class Resolved:
    """A local directory (or file), and where it came from; repo, revision and commit are None for a local path."""

    path: Path
    repo: str | None = None
    revision: str | None = None
    commit: str | None = None


def split(reference: str) -> tuple[str, str]:
    """(repo, revision) of `org/name[@revision]`; without a revision it is `main`."""
    repo, _, revision = reference.partition("@")
    return repo, revision or "main"


def repo_type_of(field: str) -> RepoType:
    """What a configuration field names: models in `model`, `models`, `*_model` and `_MODELS`, data everywhere else."""
    return "model" if field in _MODELS or re.search(r"(^|_)models?$", field) else "dataset"


def pin(reference: str, repo_type: RepoType = "model") -> Pin:
    """The commit that `org/name[@revision]` means now.

    A full commit needs no network. Where the Hub is out of reach, the commit that the cache last saw is taken.
    Raises HubError: unknown repository or revision, no access, no network and nothing in the cache.
    """
    repo, revision = split(reference)
    if _COMMIT.fullmatch(revision):
        return Pin(repo, revision, revision, repo_type)
    from huggingface_hub import HfApi

    try:
        with explained(f"look up {reference} on the Hub", repo):
            commit = HfApi().repo_info(repo, revision=revision, repo_type=repo_type).sha
    except HubError as error:
        commit = cached_commit(repo, revision, repo_type) if _offline(error) else None
        if commit is None:
            raise
    if commit is None:
        raise HubError(f"could not look up {reference} on the Hub: it has no commit yet")
    return Pin(repo, revision, commit, repo_type)


def _offline(error: HubError) -> bool:
    return isinstance(error, TransientHubError) or "HF_HUB_OFFLINE" in str(error)


def cached_commit(repo: str, revision: str, repo_type: RepoType) -> str | None:
    """The commit that the local cache has for a branch or tag."""
    note = _cache(repo, repo_type) / "refs" / revision
    commit = note.read_text(encoding="utf-8", errors="replace").strip() if note.is_file() else ""
    return commit if commit and (_cache(repo, repo_type) / "snapshots" / commit).is_dir() else None


def _cache(repo: str, repo_type: RepoType) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type=repo_type)


def download(pinned: Pin, files: list[str] | None = None, trust: Trust | None = None) -> Path:
    """The repository at that commit in the local cache, whole or the `files` that fit; nothing is fetched twice.

    trust: who must have signed it; by default whom this machine trusts (`R1HF_TRUSTED_KEY`). It is then fetched whole.
    Raises IntegrityError where it is not signed so.
    """
    trust = trust or trusted()
    place = _download(pinned, None if trust else files)
    if trust is not None:
        verify_signature(place, trust, str(pinned))
    return place


def _download(pinned: Pin, files: list[str] | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    if shown and not os.isatty(2):
        disable_progress_bars()
    try:
        with explained(f"download {pinned.repo}@{pinned.revision}", pinned.repo):
            where: dict[str, Any] = {"revision": pinned.commit, "repo_type": pinned.repo_type}
            place = Path(snapshot_download(pinned.repo, **where, allow_patterns=files))
            if pinned.revision != pinned.commit:  # for `cached_commit`, as the client itself notes a branch
                note = _cache(pinned.repo, pinned.repo_type) / "refs" / pinned.revision
                note.parent.mkdir(parents=True, exist_ok=True)
                note.write_text(pinned.commit, encoding="utf-8")
            return place
    finally:
        if shown:
            enable_progress_bars()


def checkout(pinned: Pin) -> Path:
    """`download`, under a directory that is called like the repository: libraries and reports go by that name."""
    from huggingface_hub import constants

    place = Path(constants.HF_HOME) / "r1hf" / f"{pinned.repo_type}-{pinned.commit}" / pinned.repo.split("/")[-1]
    snapshot = download(pinned)
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another process was faster
            place.symlink_to(snapshot, target_is_directory=True)
    return place


def resolve(reference: str | Path, repo_type: RepoType = "model", files: list[str] | None = None) -> Resolved:
    """The local directory of a path or a Hub reference. files: patterns of those to download; none: all.

    Raises HubError where a reference cannot be looked up or downloaded, FileNotFoundError for neither.
    """
    path = Path(reference)
    if path.exists():
        return Resolved(path)
    if not is_hub_id(str(reference)):
        raise FileNotFoundError(f"{reference} is neither a path here nor a Hub id (org/name[@revision])")
    pinned = pin(str(reference), repo_type)
    return Resolved(download(pinned, files), pinned.repo, pinned.revision, pinned.commit)
