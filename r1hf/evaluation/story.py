"""The comparisons that the story of a run claims, found in the manifests of the models that it evaluated.

RL against what it started from, Dev3 against Dev2, whose samples it learned from, and a distilled student against its
twin, RL alone on the same base (arXiv 2501.12948; v1, section 4.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from r1hf.core.errors import StageError
from r1hf.evaluation.compare import METRICS, Comparison, Result, compare, read_results
from r1hf.evaluation.config import model_name
from r1hf.evaluation.run import RESULTS
from r1hf.evaluation.samples import SAMPLES, read_table
from r1hf.stage.manifest import Manifest, find_stage, read_manifest

_LANGUAGE = ("pass_at_1", "language_consistency")
_PREFERENCE = ("pass_at_1", "language_consistency", "helpful_rate", "harmless_rate")
# recipe -> what a model made by it is held against by, and in which numbers
_AGAINST_START = {
    "r1_zero": ("RL alone, against its base", _LANGUAGE),
    "reasoning_rl": ("reasoning RL, against the cold start", _LANGUAGE),
    "all_scenario_rl": ("RL in all scenarios, against its start", _PREFERENCE),
    "distill": ("distillation, against its base", ("pass_at_1",)),
    "on_policy_distill": ("distillation on-policy, against its start", ("pass_at_1",)),
}
_ON_SAMPLES = ("SFT on samples, against the model that wrote them", ("pass_at_1",))
_TWIN = ("distillation, against RL alone on the same base", ("pass_at_1",))


class Claim(NamedTuple):
    """What is held against what: names of models. about: in words."""

    about: str
    first: str
    second: str
    metrics: tuple[str, ...]


class Origin(NamedTuple):
    """What a manifest says of a model: its recipe, the model that it started from, and who wrote its data."""

    recipe: str
    start: str
    writer: str | None


@dataclass(frozen=True)
class Told:
    """One evaluation with its comparisons. notes: claims that could not be compared, and why."""

    place: Path
    content: dict[str, Any]
    found: list[tuple[Claim, Comparison]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def evaluations(run: Path) -> tuple[list[Path], list[str]]:
    """The finished evaluations in a run's directory, and sentences about unfinished ones."""
    finished = []
    for path in sorted(item for item in run.iterdir() if item.is_dir() and not item.name.startswith(".")):
        manifest = None if path.suffix in (".partial", ".old") else read_manifest(path)
        if manifest is not None and RESULTS in manifest.outputs:
            finished.append(path)
    partial = sorted(item.stem for item in run.glob("evaluate*.partial") if not item.with_suffix("").exists())
    return finished, [f"{name} is half finished; repeat the command that makes it" for name in partial]


def tell(place: Path, run: Path) -> Told:
    """The comparisons that can be made in one evaluation. Raises StageError or IntegrityError where it is none."""
    content = read_results(place)
    samples = read_table(place / SAMPLES)
    results = {
        name: Result(place, name, content["settings"], metrics, samples) for name, metrics in content["models"].items()
    }
    told = Told(place, content)
    for claim in claims(origins(place, run, list(results)), list(results)):
        for metric in claim.metrics:
            first, second = results[claim.first], results[claim.second]
            if not (first.shares(METRICS[metric]) and second.shares(METRICS[metric])):
                continue  # no general prompts, or no thought whose language could be told
            try:
                told.found.append((claim, compare(first, second, metric)))
            except StageError:  # where the run lies does not matter here
                told.notes.append(f"{claim.first} and {claim.second} share no question with {metric}")
    return told


def origins(place: Path, run: Path, names: list[str]) -> dict[str, Origin]:
    """What is known of the evaluated models, by name; a run that was moved is read where it lies now."""
    manifest = read_manifest(place)
    assert manifest is not None
    found = {}
    for record in _records(manifest, "models"):
        name = model_name(record["path"])
        made = _manifest(Path(record["path"]), run)
        start = _records(made, "model") if made is not None else []
        if name in names and made is not None and start:
            found[name] = Origin(Path(made.recipe).stem, model_name(start[0]["path"]), _writer(made, run))
    return found


def _records(manifest: Manifest | None, key: str) -> list[dict[str, Any]]:
    value = {} if manifest is None else manifest.inputs.get(key, [])
    return value if isinstance(value, list) else [value]


def _manifest(path: Path, run: Path) -> Manifest | None:
    """Of the stage that made what lies at `path`, or at the same place in `run`."""
    for place in (path, run / path.name, run / path.parent.name):
        stage = find_stage(place)
        if stage is not None:
            return read_manifest(stage[0])
    return None


def _writer(made: Manifest, run: Path) -> str | None:
    """The model whose rejection-sampled answers a model learned from."""
    for record in _records(made, "data"):
        data = _manifest(Path(record["path"]), run)
        if data is not None and Path(data.recipe).stem == "rejection_sampling":
            return model_name(_records(data, "model")[0]["path"])
    return None


def claims(known: Mapping[str, Origin], names: list[str]) -> Iterator[Claim]:
    """What the story says, of the models that were evaluated, in their order."""
    for name in names:
        if (own := known.get(name)) is None:
            continue
        if own.recipe in _AGAINST_START and own.start in names:
            about, metrics = _AGAINST_START[own.recipe]
            yield Claim(about, own.start, name, metrics)
        if own.recipe == "sft" and own.writer in names:
            yield Claim(_ON_SAMPLES[0], str(own.writer), name, _ON_SAMPLES[1])
        if own.recipe == "distill":
            for twin, other in known.items():
                if other.recipe == "r1_zero" and other.start == own.start:
                    yield Claim(_TWIN[0], twin, name, _TWIN[1])
