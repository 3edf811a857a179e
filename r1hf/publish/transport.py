"""Bringing files to the Hub: compare, send only what differs, in one commit; safe to repeat after any failure."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from r1hf.publish.files import PROVENANCE, Upload
from r1hf.publish.signing import stands_for
from r1hf.stage.hub_errors import HubError, TransientHubError, explained, no_hub
from r1hf.stage.signatures import SIGNATURE

P = ParamSpec("P")
T = TypeVar("T")
KEEP = {".gitattributes"}  # the Hub's own
PAUSES = (0.5, 2.0, 8.0)  # seconds before a step is tried again


def again(step: Callable[P, T]) -> Callable[P, T]:
    """Repeats a step after a transient failure. Each step looks at what is there, so a lost answer is no harm."""

    @functools.wraps(step)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
        for pause in PAUSES:
            try:
                return step(*args, **kwargs)
            except TransientHubError as error:
                print(f"{error}; trying again in {pause:g} s", file=sys.stderr)
                time.sleep(pause)
        return step(*args, **kwargs)

    return repeated


@dataclass
class Remote:
    """One repository and what a push has done to it so far.

    say: called with one line about each thing done.
    """

    repo: str
    repo_type: str = "model"
    say: Callable[[str], None] = print
    sent_files: int = 0
    sent_bytes: int = 0
    commits: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        from huggingface_hub import HfApi

        self.api = HfApi(library_name="r1hf")
        self._where: dict[str, Any] = {"repo_id": self.repo, "repo_type": self.repo_type}

    # preparation

    @again
    def prepare(self, public: bool, adopt: bool = False, sdk: str | None = None) -> None:
        """Makes sure that the repository exists, is ours to change, and is not public against our wish.

        adopt: also take a repository whose files r1hf did not push (a pull request changes none of them).
        """
        info = self._info()
        if info is None:
            with explained(f"create {self.repo}", self.repo):
                self.api.create_repo(**self._where, private=True, exist_ok=True, space_sdk=sdk)
            info = self._info()
        if info is None:
            raise HubError(
                f"could not create {self.repo}: the Hub does not show it; look at its address and your token"
            )
        if not info.private and not public:
            raise HubError(
                f"{self.repo} is public already and this push is to be private; add --public, "
                "choose another --repo, or make it private in its settings"
            )
        files = {item.rfilename for item in info.siblings or ()} - KEEP
        ours = any(name.startswith(f"{PROVENANCE}/") for name in files)
        if files and not ours and not adopt:
            raise HubError(
                f"{self.repo} is taken: it holds files that r1hf did not push ({', '.join(sorted(files)[:3])}, …); "
                "choose another --repo, or propose the change with --pr"
            )

    def _info(self) -> Any:
        """What the Hub says of the repository, or None where there is none that we may see."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with explained(f"look at {self.repo}", self.repo):
            try:
                return self.api.repo_info(**self._where)
            except RepositoryNotFoundError:
                return None

    @again
    def publish(self) -> None:
        """Makes the repository public, if it is not."""
        with explained(f"make {self.repo} public", self.repo):
            if self.api.repo_info(**self._where).private:
                self.api.update_repo_settings(**self._where, private=False)
                self.say(f"{self.repo}: public now")

    # content

    @again
    def put(self, revision: str, uploads: Sequence[Upload], message: str, source: str | None = None) -> str:
        """Makes the branch hold exactly these files, in one commit, and returns the commit's hash.

        Nothing is sent where nothing differs. `source` is a branch that has the large files already: they are
        copied on the Hub.
        """
        from huggingface_hub import CommitOperationDelete

        with explained(f"read {self.repo}@{revision}", self.repo):
            head = self.api.repo_info(**self._where, revision=revision).sha
            there = self.tree(revision)
        changed = [item for item in uploads if not same(item, there.get(item.path))]
        gone = sorted(set(there) - {item.path for item in uploads} - KEEP)
        if not changed and not gone:
            return str(head)
        elsewhere = self.tree(source) if source else {}
        operations: list[Any] = [CommitOperationDelete(path) for path in gone]
        operations += [self._operation(item, elsewhere, source) for item in changed]
        with explained(f"push to {self.repo}@{revision}", self.repo):
            done = self.api.create_commit(
                **self._where,
                operations=operations,
                commit_message=message,
                revision=revision,
                parent_commit=head,
            )
        sent = [
            item for item, how in zip(changed, operations[len(gone) :], strict=True) if hasattr(how, "upload_info")
        ]
        self.sent_files += len(sent)
        self.sent_bytes += sum(item.size for item in sent)
        self.commits.append(done.oid)
        self.say(f"{self.repo}@{revision}: {len(changed)} files, {len(gone)} removed, commit {done.oid[:10]}")
        return str(done.oid)

    @again
    def settled(self, revision: str, uploads: Sequence[Upload]) -> list[Upload]:
        """The same files, with the signature that the branch has where it says the same as the new one."""
        found = list(uploads)
        index = next((index for index, item in enumerate(found) if item.path == SIGNATURE), None)
        if index is None or SIGNATURE not in self.tree(revision):
            return found
        with explained(f"read {SIGNATURE} of {self.repo}@{revision}", self.repo):
            old = Path(self.api.hf_hub_download(**self._where, filename=SIGNATURE, revision=revision)).read_bytes()
        new = found[index].source
        if isinstance(new, bytes) and stands_for(old) == stands_for(new):
            found[index] = replace(found[index], source=old, sha256=hashlib.sha256(old).hexdigest())
        return found

    def _operation(self, item: Upload, elsewhere: dict[str, Any], source: str | None) -> Any:
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy

        other = elsewhere.get(item.path)
        if other is not None and other.lfs is not None and same(item, other):
            return CommitOperationCopy(item.path, item.path, src_revision=source)
        content = item.source if isinstance(item.source, bytes) else str(item.source)
        operation = CommitOperationAdd(path_in_repo=item.path, path_or_fileobj=content)
        operation.upload_info.sha256 = bytes.fromhex(item.sha256)  # proved a moment ago: not to be read once more
        return operation

    def tree(self, revision: str) -> dict[str, Any]:
        """path -> RepoFile of a revision."""
        with explained(f"read {self.repo}@{revision}", self.repo):
            entries = list(self.api.list_repo_tree(**self._where, revision=revision, recursive=True))
        return {entry.path: entry for entry in entries if hasattr(entry, "blob_id")}

    # names

    def refs(self) -> Any:
        with explained(f"read the branches of {self.repo}", self.repo):
            return self.api.list_repo_refs(**self._where)

    @again
    def branch(self, name: str) -> None:
        """A branch that starts from the repository's first, empty commit, so that it never shows another model."""
        if any(item.name == name for item in self.refs().branches):
            return
        with explained(f"create the branch {name} of {self.repo}", self.repo):
            first = self.api.list_repo_commits(**self._where)[-1].commit_id
            self.api.create_branch(**self._where, branch=name, revision=first, exist_ok=True)

    @again
    def tag(self, name: str, commit: str, uploads: Iterable[Upload]) -> bool:
        """Tags a commit after it proved to hold every file; True if the tag is new.

        Raises HubError where the tag exists for another content.
        """
        there = self.tree(commit)
        missing = [item.path for item in uploads if not same(item, there.get(item.path))]
        if missing:
            raise HubError(f"{self.repo}@{commit[:10]} lacks {', '.join(missing[:3])}: no tag is set; push again")
        old = self._tagged(name)
        if old is None:
            with explained(f"tag {self.repo} as {name}", self.repo):
                self.api.create_tag(**self._where, tag=name, revision=commit, exist_ok=True)
            return True
        # Another push of the same files may have made a commit of its own.
        if old != commit and any(not same(item, self.tree(old).get(item.path)) for item in uploads):
            raise HubError(f"the tag {name} of {self.repo} names another content already; choose another --tag")
        return False

    def _tagged(self, name: str) -> str | None:
        return next((item.target_commit for item in self.refs().tags if item.name == name), None)

    @again
    def pull_request(self, title: str) -> tuple[str, str]:
        """(git reference, address) of the open pull request with this title, made if there is none."""
        with explained(f"open a pull request on {self.repo}", self.repo):
            for item in self.api.get_repo_discussions(**self._where):
                if item.is_pull_request and item.title == title and item.status in ("open", "draft"):
                    return str(item.git_reference), item.url
            made = self.api.create_pull_request(**self._where, title=title)
            return str(made.git_reference), made.url


def same(item: Upload, entry: Any) -> bool:
    """Whether a file on the Hub has the content of `item`."""
    if entry is None:
        return False
    if entry.lfs is not None:
        return bool(entry.lfs.sha256 == item.sha256)
    return bool(entry.size == item.size and entry.blob_id == item.git_oid())


def check_name(repo: str) -> None:
    """Raises HubError for a name that the Hub does not allow."""
    from huggingface_hub.utils import validate_repo_id

    if repo.count("/") != 1:
        raise HubError(f"--repo {repo!r} is not a repository: write org/name")
    with explained(f"push to {repo!r}"):
        validate_repo_id(repo)


def check_login() -> str:
    """The name of the user whose token this is. Raises HubError: none, or a wrong one."""
    from huggingface_hub import HfApi, get_token

    if get_token() is None:
        raise HubError("no token: log in with `hf auth login`, or set HF_TOKEN to a token with the role 'write'")
    with explained("log in to the Hub"):
        known = HfApi().whoami()
    if "name" not in known:
        raise no_hub("log in to the Hub")
    return str(known["name"])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leaves the terminal to our own lines: the client's progress bars only where a person looks."""
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars, logging

    before, shown = logging.get_verbosity(), sys.stderr.isatty()
    logging.set_verbosity_error()
    if not shown:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if not shown:
            enable_progress_bars()
