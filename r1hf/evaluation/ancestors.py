"""The stages behind a model, by their manifests: that made it, what it came from, and the data of these."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from r1hf.stage.hub_refs import repo_type_of
from r1hf.stage.manifest import Manifest, find_stage, read_manifest


def ancestors(models: Iterable[str]) -> tuple[list[Manifest], list[str]]:
    """The manifests of all stages behind `models`, nearest first, and the models that no stage made.

    Raises IntegrityError for a damaged manifest.
    """
    found: list[Manifest] = []
    unknown, waiting, seen = [], [(model, True) for model in models], set()
    while waiting:
        place, named = waiting.pop(0)
        stage = find_stage(Path(place))
        if stage is None:
            unknown += [place] if named else []
            continue
        if stage[0] in seen:
            continue
        seen.add(stage[0])
        manifest = read_manifest(stage[0])
        assert manifest is not None
        found.append(manifest)
        for key, records in inputs_of(manifest).items():
            waiting += [(record["path"], repo_type_of(key) == "model") for record in records]
    return found, sorted(set(unknown))


def inputs_of(manifest: Manifest) -> dict[str, list[dict[str, Any]]]:
    """Input field -> its records; nothing of an evaluation, which makes no model."""
    if Path(manifest.recipe).stem == "evaluate":
        return {}
    return {key: value if isinstance(value, list) else [value] for key, value in manifest.inputs.items()}
