"""Carrying out a plan: branch, main, tag last; then the collection, and last of all the public.

Every step looks at what is there first. So a push that was cut goes on when it is repeated, and one of an unchanged
run sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from r1hf.explain.report.text import memory
from r1hf.publish.targets import Options, Plan, Target
from r1hf.publish.transport import Remote, again, check_login, check_name, quiet
from r1hf.stage.hub_errors import explained


@dataclass
class Done:
    """What a push did. `places` has one address for each repository; nothing was sent where `sent_files` is 0."""

    places: list[str] = field(default_factory=list)
    sent_files: int = 0
    sent_bytes: int = 0


def push(plan: Plan, options: Options, say: Callable[[str], None] = print) -> Done:
    """Carries the plan out. Raises HubError; what was done stays, and the same call goes on from there."""
    for target in plan.targets:
        check_name(target.place.repo)
    with quiet():
        check_login()
        done = Done()
        remotes: dict[tuple[str, str], Remote] = {}
        for target in plan.targets:
            key = (target.place.repo, target.place.repo_type)
            if key not in remotes:
                remotes[key] = Remote(*key, say)
                sdk = "gradio" if target.place.repo_type == "space" else None
                remotes[key].prepare(options.public, adopt=options.pr, sdk=sdk)
            if options.pr:
                _propose(remotes[key], target, say)
            else:
                _publish(remotes[key], target, options.tag)
        if not options.pr:
            if plan.collection is not None:
                done.places.append(_collect(plan, options, say))
            if options.public:
                for remote in remotes.values():
                    remote.publish()
        for target in plan.targets:
            if target.main and target.place.url not in done.places:
                done.places.append(target.place.url)
        done.sent_files = sum(remote.sent_files for remote in remotes.values())
        done.sent_bytes = sum(remote.sent_bytes for remote in remotes.values())
    return done


def _publish(remote: Remote, target: Target, tag: str | None) -> None:
    """The branch of the stage and step first, then main in one commit without sending a weight again, then the tag."""
    branch = target.branch
    message = f"{target.name}: pushed by r1hf"
    commit = None
    if branch is not None:
        remote.branch(branch)
    uploads = remote.settled(branch or "main", target.uploads)
    if branch is not None:
        commit = remote.put(branch, uploads, message)
    if target.main:
        commit = remote.put("main", uploads, message, source=branch)
    assert commit is not None
    name = tag if tag is not None and target.main else target.tag
    if remote.tag(name, commit, uploads):
        remote.say(f"{remote.repo}: tag {name} -> {commit[:10]}")


def _propose(remote: Remote, target: Target, say: Callable[[str], None]) -> None:
    reference, url = remote.pull_request(f"r1hf: {target.tag}")
    remote.put(reference, remote.settled(reference, target.uploads), f"{target.name}: pushed by r1hf")
    say(f"{remote.repo}: pull request {url}")


@again
def _collect(plan: Plan, options: Options, say: Callable[[str], None]) -> str:
    """A collection with one item for each repository, bases first. It holds each once, however often this runs."""
    from huggingface_hub import HfApi

    api, owner = HfApi(), options.repo.split("/")[0]
    title = f"{plan.collection} (r1hf run)"[:59]
    with explained(f"make the collection {title}", options.repo):
        about = "DeepSeek-R1's pipeline with r1hf: from the base to the students"
        slug = next((item.slug for item in api.list_collections(owner=owner) if item.title == title), None)
        if slug is None:
            slug = api.create_collection(title, namespace=owner, description=about, private=True, exists_ok=True).slug
        collection = api.get_collection(slug)  # lists are shortened
        have = {(item.item_type, item.item_id) for item in collection.items}
        for target in _items(plan.targets):
            if (target.place.repo_type, target.place.repo) not in have:
                api.add_collection_item(
                    collection.slug,
                    target.place.repo,
                    target.place.repo_type,  # type: ignore[arg-type]
                    note=target.note[:499],
                    exists_ok=True,
                )
        if options.public and collection.private:
            api.update_collection_metadata(collection.slug, private=False)
    if not have:
        say(f"collection {collection.slug}")
    return collection.url


def _items(targets: Sequence[Target]) -> list[Target]:
    """One target a repository: models as they grew, from the base to the students, then data."""
    main = [target for target in targets if target.main and target.place.repo_type != "space"]
    final = next((target for target in reversed(main) if target.place.repo_type == "model"), None)
    rest = [target for target in main if target is not final]
    first = [target for target in rest if target.place.repo_type == "model"]
    data = [target for target in rest if target.place.repo_type == "dataset"]
    return [*first[:1], *([final] if final else []), *first[1:], *data]


def describe(plan: Plan, options: Options) -> str:
    """What the push would do, for --dry-run."""
    lines = []
    for target in plan.targets:
        kind = target.place.repo_type
        where = [target.branch] if target.branch else []
        where += ["main"] if target.main else []
        way = "pull request" if options.pr else f"branch {', '.join(where)}; tag {options.tag or target.tag}"
        lines.append(f"{kind} {target.place.repo} ({'public' if options.public else 'private'}): {way}")
        lines += [
            f"    {item.path}  {memory(item.size / 2**20) if item.size >= 2**20 else f'{item.size} B'}"
            for item in sorted(target.uploads, key=lambda item: item.path)
        ]
    if plan.collection and not options.pr:
        lines.append(
            f"collection {plan.collection} (r1hf run): " + ", ".join(str(t.place) for t in _items(plan.targets))
        )
    total = sum(target.size for target in plan.targets)
    lines.append(
        f"{sum(len(t.uploads) for t in plan.targets)} files, {memory(total / 2**20)}; nothing was sent (--dry-run)"
    )
    return "\n".join(lines)


def write_cards(plan: Plan, directory: Path) -> list[Path]:
    """Each card of the push as a file: `<repository>[@branch].md`, `<repository>.dataset.md`."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for target in plan.targets:
        name = str(target.place).split("/")[-1] + (".dataset" if target.place.repo_type == "dataset" else "")
        for item in target.uploads:
            if item.path == "README.md" and isinstance(item.source, bytes):
                written.append(directory / f"{name}.md")
                written[-1].write_bytes(item.source)
    return written
