"""The inputs of a stage that lie on the Hub: pinned before it starts, recorded when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from r1hf.core.config import Parsed
from r1hf.core.source import is_hub_id, with_paths
from r1hf.stage.hub_refs import Pin, checkout, download, pin, repo_type_of
from r1hf.stage.signatures import trusted


def pin_inputs(parsed: Parsed) -> dict[str, Pin]:
    """Pins Hub ids in the configuration to the commits that they mean now: {field and reference: Pin}.

    A model becomes the directory of its download, data `org/name@commit`: what a recipe then loads is what the
    manifest records. Raises HubError where one cannot be looked up or downloaded.
    """
    wanted = [(field, text) for field, text in parsed.input_paths if not Path(text).exists() and is_hub_id(text)]
    if not wanted:
        return {}
    pins = {f"{field} {text}": pin(text, repo_type_of(field)) for field, text in wanted}
    if trusted() is not None:  # data is loaded by its reference; what is not signed is not
        for item in pins.values():
            download(item)
    places = {key: str(checkout(item)) if item.repo_type == "model" else str(item) for key, item in pins.items()}
    for field in dict.fromkeys(field for field, _ in wanted):
        for config in parsed.configs:
            value = getattr(config, field, None)
            if value is not None:
                setattr(config, field, with_paths(value, partial(_find, places, field)))
    return pins


def with_commits(parsed: Parsed, pins: Mapping[str, Pin]) -> dict[str, Any]:
    """The input fields as `org/name@commit`, where the configuration has a directory of this machine."""

    return {field: with_paths(value, partial(_find, pins, field)) for field, value in parsed.inputs.items()}


def _find(places: Mapping[str, Any], field: str, text: str) -> str:
    return str(places.get(f"{field} {text}", text))


def with_pins(inputs: Mapping[str, Any], pins: Mapping[str, Pin]) -> dict[str, Any]:
    """The input records with repository, revision and commit of those from the Hub."""

    def add(field: str, record: dict[str, str]) -> dict[str, str]:
        pinned = pins.get(f"{field} {record['path']}")
        return record | pinned.record() if pinned else record

    return {
        field: [add(field, record) for record in records] if isinstance(records, list) else add(field, records)
        for field, records in inputs.items()
    }
