"""What each route answers: a JSON value, or (status, content, headers). `Refused` is an error's answer."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs

from .routing import Request, route, url_of
from .store import DATE, Commit, Entry, Refused, Repo, is_lfs

API = r"/api/(?P<kind>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)"
GIT = r"/(?P<kind>(?:datasets/|spaces/)?)(?P<name>[^/]+/[^/]+)"


@route("GET", "/api/whoami-v2")
def whoami(request: Request) -> Any:
    user = request.store.users.get(request.token or "")
    if user is None:
        raise Refused(401, "Invalid username or password.")
    role = "read" if request.token in request.store.read_only else "write"
    orgs = [{"name": org, "roleInOrg": "write"} for org, users in request.store.orgs.items() if user in users]
    auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
    return {"type": "user", "name": user, "fullname": user, "orgs": orgs, "auth": auth}


@route("POST", "/api/repos/create")
def create(request: Request) -> Any:
    body, store = request.json(), request.store
    user = store.users.get(request.token or "")
    if user is None:
        raise Refused(401, "Invalid username or password.")
    name = f"{body.get('organization') or user}/{body['name']}"
    store.check_write(name.split("/")[0], request.token)
    kind = body.get("type") or "model"
    private = body.get("visibility") == "private" or bool(body.get("private"))
    with store.lock:
        try:
            store.create(kind, name, private)
        except Refused as refused:
            refused.extra["url"] = url_of(request, kind, name)
            raise
    return {"url": url_of(request, kind, name), "name": name}


@route("POST", "/api/validate-yaml")
def validate(request: Request) -> Any:
    content = request.json().get("content", "")
    if content.startswith("---") and "\n---" not in content[3:]:
        raise Refused(400, "the YAML front matter does not end")
    return {"errors": [], "warnings": []}


@route("GET", f"{API}(?:/revision/(?P<revision>[^/]+))?")
def info(request: Request, kind: str, name: str, revision: str) -> Any:
    repo = request.repo(kind, name)
    commit = repo.resolve(revision or "main")
    siblings: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(commit.tree)]
    if request.query.get("blobs"):
        for item in siblings:
            item |= _described(item["rfilename"], commit.tree[item["rfilename"]])
    found = {"_id": repo.id, "id": repo.id, "sha": commit.oid, "private": repo.private, "siblings": siblings}
    return found | {"lastModified": DATE, "createdAt": DATE, "tags": [], "downloads": 0, "likes": 0, "gated": False}


@route("GET", f"{API}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.*))?")
def tree(request: Request, kind: str, name: str, revision: str, folder: str) -> Any:
    commit = request.repo(kind, name).resolve(revision)
    prefix = folder.rstrip("/") + "/" if folder else ""
    deep = request.query.get("recursive", "").lower() in ("true", "1")
    found: dict[str, dict[str, Any]] = {}
    for path, entry in sorted(commit.tree.items()):
        if path.startswith(prefix):
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts)) if deep else [1] if len(parts) > 1 else []:
                directory = prefix + "/".join(parts[:depth])
                found[directory] = {"type": "directory", "path": directory, "oid": "0" * 40, "size": 0}
            if deep or len(parts) == 1:
                found[path] = {"type": "file", **_described(path, entry)}
    if prefix and not found:
        raise Refused(404, f"{folder} does not exist on {revision}", "EntryNotFound")
    return list(found.values())


@route("POST", f"{API}/paths-info/(?P<revision>[^/]+)")
def paths_info(request: Request, kind: str, name: str, revision: str) -> Any:
    commit = request.repo(kind, name).resolve(revision)
    raw = request.read().decode()
    wanted = json.loads(raw)["paths"] if raw.startswith("{") else parse_qs(raw).get("paths", [])
    found = []
    for path in [wanted] if isinstance(wanted, str) else wanted:
        if path in commit.tree:
            found.append({"type": "file", **_described(path, commit.tree[path])})
        elif any(other.startswith(path.rstrip("/") + "/") for other in commit.tree):
            found.append({"type": "directory", "path": path, "oid": "0" * 40, "size": 0})
    return found


@route("GET", f"{API}/refs")
def refs(request: Request, kind: str, name: str) -> Any:
    repo = request.repo(kind, name)
    pulls = [{"name": ref, "ref": ref, "targetCommit": oid} for ref, oid in repo.refs.items() if ref[:5] == "refs/"]
    heads = [{"name": ref, "ref": f"refs/heads/{ref}", "targetCommit": oid} for ref, oid in repo.branches.items()]
    tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in repo.tags.items()]
    return {"branches": heads, "tags": tags, "converts": [], "pullRequests": pulls}


@route("GET", f"{API}/commits/(?P<revision>[^/]+)")
def commits(request: Request, kind: str, name: str, revision: str) -> Any:
    repo = request.repo(kind, name)
    return [
        {"id": commit.oid, "title": commit.title, "message": "", "date": DATE, "authors": []}
        for commit in request.store.history(repo, revision)
    ]


@route("POST", f"{API}/preupload/(?P<revision>[^/]+)")
def preupload(request: Request, kind: str, name: str, revision: str) -> Any:
    repo = request.repo(kind, name, write=True)
    known = repo.resolve(revision).tree
    files = []
    for item in request.json()["files"]:
        path, entry = item["path"], known.get(item["path"])
        mode = "lfs" if is_lfs(path, item["size"]) else "regular"
        oid = entry.etag if entry else None  # SHA-1 of a regular file, SHA-256 of an LFS file
        files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return {"files": files}


@route("POST", f"{API}/commit/(?P<revision>[^/]+)")
def commit(request: Request, kind: str, name: str, revision: str) -> Any:
    repo = request.repo(kind, name, write=True)
    lines = [json.loads(line) for line in request.read().splitlines() if line.strip()]
    with request.store.lock:
        pull = None
        if request.query.get("create_pr") == "1":
            pull = _open(request, repo, lines[0]["value"]["summary"])
            revision = f"refs/pr/{pull['num']}"
        made = request.store.commit(repo, revision, lines)
    url = url_of(request, repo.type, repo.id)
    answer: dict[str, Any] = {"success": True, "commitOid": made.oid, "commitUrl": f"{url}/commit/{made.oid}"}
    if pull is not None:
        answer["pullRequestUrl"] = f"{url}/discussions/{pull['num']}"
    return answer


@route("POST", f"{API}/branch/(?P<branch>[^/]+)")
def branch(request: Request, kind: str, name: str, branch: str) -> Any:
    repo = request.repo(kind, name, write=True)
    with request.store.lock:
        if branch in repo.refs:
            raise Refused(409, f"Reference already exists: {branch}")
        repo.refs[branch] = repo.resolve(request.json().get("startingPoint") or "main").oid
    return {}


@route("POST", f"{API}/tag/(?P<revision>[^/]+)")
def tag(request: Request, kind: str, name: str, revision: str) -> Any:
    repo, wanted = request.repo(kind, name, write=True), request.json()["tag"]
    with request.store.lock:
        if wanted in repo.tags:
            raise Refused(409, f"Tag already exists: {wanted}")
        repo.tags[wanted] = repo.resolve(revision).oid
    return {}


@route("DELETE", f"{API}/(?P<what>tag|branch)/(?P<ref>[^/]+)")
def delete_ref(request: Request, kind: str, name: str, what: str, ref: str) -> Any:
    repo = request.repo(kind, name, write=True)
    if (repo.tags if what == "tag" else repo.refs).pop(ref, None) is None:
        raise Refused(404, f"no {what} {ref}", "RevisionNotFound")
    return {}


@route("PUT", f"{API}/settings")
def settings(request: Request, kind: str, name: str) -> Any:
    repo, body = request.repo(kind, name, write=True), request.json()
    if "visibility" in body or "private" in body:
        repo.private = body.get("visibility") == "private" or bool(body.get("private"))
    return {}


# pull requests


def _open(request: Request, repo: Repo, title: str) -> dict[str, Any]:
    number = len(repo.discussions) + 1
    repo.refs[f"refs/pr/{number}"] = repo.refs["main"]
    author = {"name": request.store.users.get(request.token or "", "nobody")}
    place = {"name": repo.id, "type": repo.type}
    pull = {"num": number, "title": title, "status": "open", "isPullRequest": True, "createdAt": DATE}
    repo.discussions.append(pull | {"author": author, "repo": place, "events": [], "filesWithConflicts": []})
    return repo.discussions[-1]


@route("GET", f"{API}/discussions")
def discussions(request: Request, kind: str, name: str) -> Any:
    found = request.repo(kind, name).discussions
    if status := request.query.get("status"):
        found = [item for item in found if item["status"] == status]
    return {"discussions": found, "count": len(found), "start": 0}


@route("POST", f"{API}/discussions")
def open_discussion(request: Request, kind: str, name: str) -> Any:
    with request.store.lock:
        return {"num": _open(request, request.repo(kind, name, write=True), request.json()["title"])["num"]}


@route("GET", f"{API}/discussions/(?P<number>\\d+)")
def discussion(request: Request, kind: str, name: str, number: str) -> Any:
    repo = request.repo(kind, name)
    if not 0 < int(number) <= len(repo.discussions):
        raise Refused(404, f"no discussion {number}")
    return repo.discussions[int(number) - 1] | {"changes": {"base": "refs/heads/main"}, "diff": ""}


@route("POST", f"{API}/discussions/(?P<number>\\d+)/merge")
def merge(request: Request, kind: str, name: str, number: str) -> Any:
    repo = request.repo(kind, name, write=True)
    repo.refs["main"] = repo.refs[f"refs/pr/{number}"]
    repo.discussions[int(number) - 1]["status"] = "merged"
    return {}


# large files and downloads


@route("POST", f"{GIT}\\.git/info/lfs/objects/batch")
def lfs_batch(request: Request, kind: str, name: str) -> Any:
    store, _ = request.store, request.repo(kind, name, write=True)
    objects = request.json()["objects"]
    missing = [item for item in objects if not (store.blobs / item["oid"]).exists()]
    if store.quota is not None and store.used() + sum(item["size"] for item in missing) > store.quota:
        raise Refused(403, "Private repository storage limit reached, please upgrade your plan")
    url = f"{request.hub.lfs_url}/lfs"
    return {
        "transfer": "basic",
        "objects": [
            {**item, "actions": {"upload": {"href": f"{url}/{item['oid']}"}, "verify": {"href": f"{url}/verify"}}}
            if item in missing
            else item
            for item in objects
        ],
    }


@route("POST", "/lfs/verify")
def lfs_verify(request: Request) -> Any:
    item = request.json()
    path = request.store.blobs / item["oid"]
    if not path.exists() or path.stat().st_size != item["size"]:
        raise Refused(404, f"LFS object {item['oid']} was not uploaded")
    return {}


@route("PUT", "/lfs/(?P<oid>[0-9a-f]{64})")
def lfs_put(request: Request, oid: str) -> Any:
    request.store.receive(oid, request.body())
    return {}


@route("GET", "/lfs/(?P<oid>[0-9a-f]{64})")
def lfs_get(request: Request, oid: str) -> Any:
    return _file(request, oid, {"ETag": f'"{oid}"'})


@route("GET", f"{GIT}/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
def resolve(request: Request, kind: str, name: str, revision: str, path: str) -> Any:
    found: Commit = request.repo(kind, name).resolve(revision)
    if path not in found.tree:
        # The client caches that a commit lacks a file, so it needs to know which commit.
        raise Missing(found.oid, path)
    entry = found.tree[path]
    headers = {"X-Repo-Commit": found.oid, "ETag": f'"{entry.etag}"'}
    if entry.lfs:
        headers |= {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
        return 302, b"", headers | {"Location": f"{request.hub.lfs_url}/lfs/{entry.sha256}"}
    return _file(request, entry.sha256, headers)


class Missing(Refused):
    """A file that a commit does not have."""

    def __init__(self, oid: str, path: str):
        super().__init__(404, f"Entry {path} not found", "EntryNotFound")
        self.headers = {"X-Repo-Commit": oid}


def _file(request: Request, sha256: str, headers: dict[str, str]) -> Any:
    path = request.store.blobs / sha256
    if not path.exists():
        raise Refused(404, "no such object", "EntryNotFound")
    size = path.stat().st_size
    start, end, status = 0, size, 200
    if found := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range") or ""):
        start, end, status = int(found[1]), int(found[2]) + 1 if found[2] else size, 206
        headers = headers | {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return status, (path, start, min(end, size)), headers | {"Content-Type": "application/octet-stream"}


def _described(path: str, entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {"path": path, "size": entry.size, "oid": entry.oid}
    if entry.lfs:
        found["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": 130, "sha256": entry.sha256}
    return found
