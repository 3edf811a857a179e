"""Where a model or data set comes from, read from the manifests: parents, roots, licences, and the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from r1hf.core.errors import IntegrityError, StageError
from r1hf.core.source import is_hub_id
from r1hf.publish.licences import KNOWN, OWN, Source
from r1hf.stage.hub_refs import repo_type_of, split
from r1hf.stage.manifest import Manifest, find_stage, fingerprint, read_manifest


@dataclass(frozen=True)
class Parent:
    """One input of a stage: another stage's output, a path, or a Hub repository (`repo`, `commit`)."""

    field: str
    path: str
    fingerprint: str
    repo: str | None = None
    revision: str | None = None
    commit: str | None = None

    @property
    def is_model(self) -> bool:
        return repo_type_of(self.field) == "model"

    @property
    def is_kept_out(self) -> bool:
        """True for benchmarks whose questions the stage took care not to hold: no part of what it made."""
        return self.field == "decontaminate"


@dataclass(frozen=True)
class Made:
    """A finished stage, or the model in a folder of it (`inside`)."""

    directory: Path
    inside: str = ""

    @cached_property
    def manifest(self) -> Manifest:
        manifest = read_manifest(self.directory)
        if manifest is None:
            raise StageError(f"{self.directory} has no manifest.json: no stage finished it; run the stage to its end")
        return manifest

    @property
    def name(self) -> str:
        """`r1`, or `student_qwen_base` for a model inside of the stage `base`."""
        return self.inside.rsplit("/", 1)[-1] or self.manifest.stage

    @property
    def is_model(self) -> bool:
        """True if a causal language model or an adapter lies here."""
        prefix = f"{self.inside}/" if self.inside else ""
        names = set(self.manifest.outputs)
        return f"{prefix}generation_config.json" in names or f"{prefix}adapter_config.json" in names

    @property
    def is_adapter(self) -> bool:
        return f"{self.inside}/adapter_config.json".lstrip("/") in self.manifest.outputs

    @property
    def fingerprint(self) -> str:
        """The hash that another stage's manifest has for this as its input."""
        outputs = self.manifest.outputs
        if not self.inside:
            return fingerprint(outputs)
        chosen = {k: v for k, v in outputs.items() if k == self.inside or k.startswith(f"{self.inside}/")}
        return fingerprint(chosen)

    @property
    def taken_from(self) -> str | None:
        """The Hub id of the model that this stage took in (recipes/import_model.py), where it is known."""
        if not self.is_import:
            return None
        asked = next((parent.repo for parent in self.parents if parent.field == "model"), None)
        return self.manifest.metrics.get("base_model") or asked

    @property
    def is_import(self) -> bool:
        return Path(self.manifest.recipe).stem == "import_model"

    @property
    def steps(self) -> int | None:
        """Optimizer steps of the training that made it."""
        steps = self.manifest.metrics.get("optimizer_steps", self.manifest.config.get("max_steps"))
        return int(steps) if isinstance(steps, int | float) and steps > 0 else None

    @property
    def branch(self) -> str:
        """The branch for this stage and step."""
        return self.name if self.steps is None else f"{self.name}-step-{self.steps}"

    @cached_property
    def parents(self) -> list[Parent]:
        if self.inside:
            return []
        found = []
        for field, value in self.manifest.inputs.items():
            for record in value if isinstance(value, list) else [value]:
                known = {key: record.get(key) for key in ("repo", "revision", "commit")}
                if known["repo"] is None and record["fingerprint"].startswith("hub:"):
                    known["repo"], known["revision"] = split(record["path"])
                found.append(Parent(field, record["path"], record["fingerprint"], **known))
        return found

    def find(self, parent: Parent) -> Made | None:
        """The finished stage that a parent is, or None. A run directory that was moved is found by its new place.

        Raises IntegrityError where the stage there is another one than the manifest knows.
        """
        if parent.repo is not None:
            return None
        places = [Path(parent.path)]
        own = str(self.manifest.config.get("output_dir", ""))
        root = own[: -len(self.manifest.stage)] if own.endswith(self.manifest.stage) else ""
        if root and parent.path.startswith(root):
            places.insert(0, self.directory.parent / parent.path[len(root) :])
        for place in places:
            stage = find_stage(place)
            if stage is not None:
                made = Made(*stage)
                if made.fingerprint != parent.fingerprint:
                    raise IntegrityError(
                        f"{self.name} was made from another version of {place} than lies there now; "
                        f"make {self.name} again (recipes/pipeline.py), or restore {place}"
                    )
                return made
        return None

    def model_parent(self) -> tuple[Parent, Made | None] | None:
        """What this model was trained from: the input `model`."""
        for parent in self.parents:
            if parent.field == "model":
                return parent, self.find(parent)
        return None


def find(path: Path) -> Made:
    """The finished stage (or model inside one) at `path`. Raises StageError."""
    stage = find_stage(path)
    if stage is None:
        if path.with_name(f"{path.name}.partial").exists():
            raise StageError(f"the stage that makes {path} did not finish; run it to its end, then push")
        raise StageError(f"{path} is neither a run nor a finished stage (no manifest.json)")
    directory, inside = stage
    shown = path if not inside else directory
    return Made(shown, inside)


def ancestors(made: Made) -> Iterator[tuple[Made, Parent, Made | None]]:
    """(stage, its input, the stage that made the input) for everything behind `made`, each stage once."""
    waiting, seen = [made], {(made.directory.absolute(), made.inside)}
    while waiting:
        one = waiting.pop(0)
        if one.inside:  # made by the whole stage
            continue
        for parent in one.parents:
            origin = one.find(parent)
            yield one, parent, origin
            if origin is not None:
                origin = Made(origin.directory)
                if (origin.directory.absolute(), "") not in seen:
                    seen.add((origin.directory.absolute(), ""))
                    waiting.append(origin)


def own_roots(made: Made) -> list[Made]:
    """The stages behind `made`, itself included, that nothing went into: those that make the tiny world."""
    return [stage for stage in [made, *(o for _, _, o in ancestors(made) if o)] if not stage.manifest.inputs]


def sources(made: Made, stated: dict[str, str]) -> list[Source]:
    """Everything that went in from outside of the run, and the run's own root, with licences.

    stated: licences that the person names, by Hub id or path.
    """
    found: dict[str, Source] = {}
    for stage, parent, origin in ancestors(made):
        if origin is not None or parent.is_kept_out:
            continue
        name = stage.taken_from or parent.repo or parent.path
        noted = stage.manifest.metrics.get("licence") if stage.is_import else None
        licence = stated.get(name) or KNOWN.get(name) or noted or _local_licence(parent)
        role = "base or teacher" if parent.is_model else "data"
        found.setdefault(name, Source(name, role, licence))
    for root in own_roots(made):
        found.setdefault(root.manifest.stage, Source(f"{root.manifest.stage}, made by r1hf", "base", OWN, True))
    return list(found.values())


def _local_licence(parent: Parent) -> str | None:
    """The licence in the card of a model or data set that lies here: a directory, or a snapshot in the cache."""
    place = Path(parent.path)
    if parent.repo is not None:
        from huggingface_hub import try_to_load_from_cache

        kind = "model" if parent.is_model else "dataset"
        cached = try_to_load_from_cache(parent.repo, "README.md", revision=parent.commit, repo_type=kind)
        if not isinstance(cached, str):
            return None
        place = Path(cached).parent
    card = (place if place.is_dir() else place.parent) / "README.md"
    if not card.is_file() or is_hub_id(str(place)):
        return None
    from huggingface_hub import RepoCard

    return RepoCard.load(card, ignore_metadata_errors=True).data.to_dict().get("license")


def run_stages(run: Path) -> dict[str, Made]:
    """The finished stages of a run directory, by name.

    Raises StageError if one is unfinished, or if a stage that another one was made from is gone.
    """
    partial = sorted(p.name.removesuffix(".partial") for p in run.glob("*.partial"))
    made = {}
    for path in sorted(run.iterdir()):
        if path.is_dir() and not path.name.endswith((".partial", ".old")) and path.name[0] != ".":
            if read_manifest(path) is not None:
                made[path.name] = Made(path)
    missing = set(partial) - set(made)
    for one in made.values():
        for parent in one.parents:
            name = _stage_in_run(one, parent)
            if parent.repo is None and name is not None and name not in made:
                missing.add(name)
    if missing:
        raise StageError(
            f"the run in {run} is incomplete: {', '.join(sorted(missing))} not finished; "
            "run recipes/pipeline.py with its configuration again, which goes on where it stopped, then push"
        )
    return made


def _stage_in_run(one: Made, parent: Parent) -> str | None:
    own = str(one.manifest.config.get("output_dir", ""))
    root = own[: -len(one.manifest.stage)] if own.endswith(one.manifest.stage) else ""
    return parent.path[len(root) :].split("/")[0] if root and parent.path.startswith(root) else None


def order(stages: dict[str, Made]) -> list[str]:
    """Stage names, each after what it was made from."""
    done: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        for parent in stages[name].parents:
            before: Any = _stage_in_run(stages[name], parent)
            if before in stages and before != name:
                visit(before)
        done.append(name)

    for name in stages:
        visit(name)
    return done
