"""Repositories in memory, blobs on disk: commits, branches, tags, pull requests, collections, users."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATE = "2026-01-02T03:04:05.000Z"
LFS_SUFFIXES = {".safetensors", ".bin", ".parquet", ".arrow", ".gguf", ".pt", ".zip", ".gz"}
LFS_BYTES = 10 * 2**20  # the Hub takes smaller text files into git itself


class Refused(Exception):
    """An answer that is no success: status, message for people, X-Error-Code for clients."""

    def __init__(self, status: int, message: str, code: str = "", **extra: Any):
        super().__init__(message)
        self.status, self.message, self.code, self.extra = status, message, code, extra


@dataclass(frozen=True)
class Entry:
    """One file of a tree: `oid` is git's SHA-1 of the blob (of the pointer, for LFS)."""

    size: int
    oid: str
    sha256: str
    lfs: bool

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.oid


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    tree: dict[str, Entry]


@dataclass
class Repo:
    """`refs` holds branches under their names and pull requests under `refs/pr/N`."""

    id: str
    type: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    discussions: list[dict[str, Any]] = field(default_factory=list)

    def resolve(self, revision: str) -> Commit:
        revision = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        oid = self.refs.get(revision) or self.tags.get(revision) or revision
        if oid not in self.commits:
            raise Refused(404, f"Revision {revision} not found in {self.id}", "RevisionNotFound")
        return self.commits[oid]

    def files(self, revision: str = "main") -> dict[str, str]:
        """path -> SHA-256, for assertions."""
        return {path: entry.sha256 for path, entry in self.resolve(revision).tree.items()}

    @property
    def branches(self) -> dict[str, str]:
        return {name: oid for name, oid in self.refs.items() if not name.startswith("refs/pr/")}


class Store:
    """All state of the Hub. `lock` guards it; blobs are files named by their SHA-256."""

    def __init__(self, root: Path):
        self.blobs = root / "blobs"
        self.blobs.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.users: dict[str, str] = {}  # token -> user
        self.read_only: set[str] = set()  # tokens
        self.orgs: dict[str, set[str]] = {}  # organisation -> users that may write
        self.collections: dict[str, dict[str, Any]] = {}
        self.quota: int | None = None  # bytes of LFS files

    def add_user(self, name: str, token: str, read_only: bool = False) -> None:
        self.users[token] = name
        if read_only:
            self.read_only.add(token)

    # repositories

    def repo(self, kind: str, name: str, token: str | None, write: bool = False) -> Repo:
        """The repository, if the token may read (or write) it. As on the Hub, a private one looks like none."""
        repo = self.repos.get((kind, name))
        user = self.users.get(token or "")
        if repo is None or (repo.private and not self._member(name, user)):
            raise Refused(404 if token else 401, "Repository not found", "RepoNotFound")
        if write:
            self.check_write(name.split("/")[0], token)
        return repo

    def check_write(self, namespace: str, token: str | None) -> str:
        user = self.users.get(token or "")
        if user is None:
            raise Refused(401, "Invalid username or password.")
        if token in self.read_only:
            raise Refused(403, "This token has read access only; a token with the write role is needed")
        if namespace != user and user not in self.orgs.get(namespace, set()):
            raise Refused(403, f"You don't have the rights to create or change a repo under the namespace {namespace}")
        return user

    def _member(self, name: str, user: str | None) -> bool:
        namespace = name.split("/")[0]
        return user is not None and (user == namespace or user in self.orgs.get(namespace, set()))

    def create(self, kind: str, name: str, private: bool) -> Repo:
        if (kind, name) in self.repos:
            raise Refused(409, "You already created this repo", "", url=f"/{name}")
        repo = Repo(name, kind, private)
        self.repos[kind, name] = repo
        attributes = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
        repo.refs["main"] = self.add_commit(
            repo, None, "initial commit", {".gitattributes": self.add_blob(attributes.encode(), lfs=False)}
        ).oid
        return repo

    # content

    def add_blob(self, content: bytes, lfs: bool) -> Entry:
        digest = hashlib.sha256(content).hexdigest()
        path = self.blobs / digest
        if not path.exists():
            path.write_bytes(content)
        return self.entry(digest, lfs)

    def entry(self, sha256: str, lfs: bool) -> Entry:
        size = (self.blobs / sha256).stat().st_size
        if lfs:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
            return Entry(size, git_oid(pointer), sha256, True)
        return Entry(size, git_oid((self.blobs / sha256).read_bytes()), sha256, False)

    def used(self) -> int:
        entries = {e for r in self.repos.values() for c in r.commits.values() for e in c.tree.values() if e.lfs}
        return sum(entry.size for entry in entries)

    def add_commit(self, repo: Repo, parent: str | None, title: str, tree: dict[str, Entry]) -> Commit:
        lines = json.dumps([repo.id, repo.type, parent, title, len(repo.commits), sorted(tree)])
        commit = Commit(hashlib.sha1(lines.encode()).hexdigest(), parent, title, tree)
        repo.commits[commit.oid] = commit
        return commit

    def commit(self, repo: Repo, ref: str, lines: Iterable[dict[str, Any]]) -> Commit:
        """Applies the operations of a commit, all or none."""
        if ref not in repo.refs:
            raise Refused(404, f"Revision {ref} is not a branch", "RevisionNotFound")
        head = repo.commits[repo.refs[ref]]
        tree, title = dict(head.tree), "commit"
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, head.oid):
                    raise Refused(412, "A commit has happened since. Please refresh and try again.")
            elif line["key"] == "file":
                tree[value["path"]] = self.add_blob(base64.b64decode(value["content"]), lfs=False)
            elif line["key"] == "lfsFile":
                if not (self.blobs / value["oid"]).exists():
                    raise Refused(400, f"LFS object {value['oid']} was not uploaded")
                tree[value["path"]] = self.entry(value["oid"], lfs=True)
            elif line["key"] == "deletedFile":
                if tree.pop(value["path"], None) is None:
                    raise Refused(404, "A file with this name doesn't exist", "EntryNotFound")
            elif line["key"] == "deletedFolder":
                folder = value["path"].rstrip("/") + "/"
                tree = {path: entry for path, entry in tree.items() if not path.startswith(folder)}
        commit = self.add_commit(repo, head.oid, title, tree)
        repo.refs[ref] = commit.oid
        return commit

    def history(self, repo: Repo, revision: str) -> list[Commit]:
        commits, oid = [], repo.resolve(revision).oid
        while oid is not None:
            commits.append(repo.commits[oid])
            oid = repo.commits[oid].parent
        return commits

    def receive(self, sha256: str, stream: Any) -> None:
        """Takes an uploaded object in; one whose content is not what its name says is refused."""
        temporary = self.blobs / f"{sha256}.{threading.get_ident()}.part"
        digest = hashlib.sha256()
        try:
            with temporary.open("wb") as file:
                for piece in stream:
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != sha256:
                raise Refused(400, "content does not match its SHA-256")
            shutil.move(temporary, self.blobs / sha256)
        finally:
            temporary.unlink(missing_ok=True)


def git_oid(content: bytes) -> str:
    """Git's SHA-1 of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_lfs(path: str, size: int) -> bool:
    """Whether the Hub keeps the file outside of git."""
    return Path(path).suffix in LFS_SUFFIXES or size >= LFS_BYTES
