"""What a push would put where: proved, licensed, with its card, and complete before the network is touched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from r1hf.core.errors import StageError
from r1hf.publish.card import render
from r1hf.publish.context import Place, Run, base_id, dataset_context, model_context, root_of
from r1hf.publish.data import HELD_OUT, DataConfig, data_configs, held_out
from r1hf.publish.files import Upload, as_json, check_secrets, model_files, text
from r1hf.publish.licences import Source, choose
from r1hf.publish.lineage import Made, find, order, run_stages, sources
from r1hf.publish.scores import Evaluation, find_evaluation, load_evaluation, result_file
from r1hf.publish.signing import Signer, sign, stands_for
from r1hf.stage.manifest import MANIFEST, find_stage, read_manifest, verify
from r1hf.stage.signatures import SIGNATURE


@dataclass(frozen=True)
class Options:
    """What the person asked for. `licences` states those of sources, by Hub id or path."""

    repo: str
    public: bool = False
    pr: bool = False
    tag: str | None = None
    licence: str | None = None
    licences: dict[str, str] = field(default_factory=dict)
    evaluation: Path | None = None
    base: str | None = None


@dataclass(frozen=True)
class Target:
    """Files for a branch of a repository, for its main branch, or for both. note: what a collection says."""

    place: Place
    name: str
    uploads: tuple[Upload, ...]
    branch: str | None = None
    main: bool = True
    note: str = ""

    @property
    def tag(self) -> str:
        """Name and hash of everything: the same content has the same tag."""
        content = sorted((item.path, _content(item)) for item in self.uploads)
        lines = "".join(f"{path}\0{found}\n" for path, found in content)
        return f"{self.name}-{hashlib.sha256(lines.encode()).hexdigest()[:12]}"

    @property
    def size(self) -> int:
        return sum(item.size for item in self.uploads)


def _content(item: Upload) -> str:
    """The hash of a file; of a signature that of what it says, which is the same each time."""
    said = stands_for(item.source) if item.path == SIGNATURE and isinstance(item.source, bytes) else None
    return said or item.sha256


@dataclass(frozen=True)
class Plan:
    """All of a push. `collection` is the title of the collection for a run."""

    targets: tuple[Target, ...]
    collection: str | None = None

    def with_target(self, target: Target) -> Plan:
        """The same with one more at the end."""
        return replace(self, targets=(*self.targets, target))

    def signed(self, signer: Signer) -> Plan:
        """The same with a signature of each target's files."""
        return replace(self, targets=tuple(replace(one, uploads=sign(one.uploads, signer)) for one in self.targets))


def make_plan(path: Path, options: Options) -> Plan:
    """The plan for a run directory or a finished stage. Raises R1Error for everything that refuses the push."""
    if not path.exists():
        raise StageError(f"{path} does not exist; give a run (runs/tiny) or a stage of it (runs/tiny/r1)")
    try:
        if path.is_dir() and read_manifest(path) is None and find_stage(path) is None:
            plan = _plan_run(path, options)
        else:
            plan = _plan_stage(find(path), options)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise StageError(
            f"a manifest, evaluation or row below {path} has another shape than r1hf writes ({said}); "
            "make the stage again (recipes/pipeline.py --force STAGE)"
        ) from error
    for target in plan.targets:
        check_secrets(target.uploads)
    return plan


def prove(made: Made) -> None:
    """Raises IntegrityError unless the manifest is whole and its files are those that it lists."""
    manifest = verify(made.directory, made.inside)
    if manifest.digest is None:
        raise StageError(
            f"{made.directory / MANIFEST} was made by an earlier version and cannot prove its values; "
            f"make the stage again (recipes/pipeline.py --force {made.directory.name})"
        )


def _plan_stage(made: Made, options: Options) -> Plan:
    prove(made)
    configs = data_configs(made)
    if configs:
        run = Run(_evaluation_if_any(made), {config.name: Place(options.repo, "dataset") for config in configs})
        return Plan((_dataset(configs, Place(options.repo, "dataset"), options, run),))
    if not made.is_model:
        raise StageError(f"{made.directory / made.inside} is neither a language model nor data; nothing to push")
    evaluation = find_evaluation(made, options.evaluation)
    prove(Made(evaluation.directory))
    run = Run(evaluation, {made.name: Place(options.repo)}, base=options.base)
    targets = _benchmark(evaluation, options, run)
    return Plan((*targets, _model(made, Place(options.repo), options, run)))


def _plan_run(path: Path, options: Options) -> Plan:
    stages = run_stages(path)
    if not stages:
        raise StageError(f"{path} is neither a run nor a finished stage (no manifest.json in it or below)")
    names = order(stages)
    everything = [stages[name] for name in names]
    for made in everything:
        prove(made)
    if options.evaluation is None and "evaluate" not in stages:
        raise StageError(f"the run in {path} is incomplete: it has no evaluation; run recipes/pipeline.py to its end")
    evaluation = load_evaluation(options.evaluation or path / "evaluate")
    models = _models(everything, evaluation)
    final = _final(models)
    places = {made.name: _place(made, final, options.repo) for made in models}
    configs = [config for made in everything for config in data_configs(made)]
    places |= {config.name: Place(options.repo, "dataset") for config in configs}
    shown = [*models, *(made for made in everything if not made.is_model)]
    run = Run(evaluation, places, shown)
    targets = _benchmark(evaluation, options, run)
    if configs:
        targets.append(_dataset(configs, Place(options.repo, "dataset"), options, run))
    # The final model comes last, so that what its card points to is there before.
    for made in sorted(models, key=lambda made: made is final):
        targets.append(_model(made, places[made.name], options, run))
    return Plan(tuple(targets), options.repo.split("/")[-1])


def _models(stages: Sequence[Made], evaluation: Evaluation) -> list[Made]:
    """The models of a run, with those inside of a stage that others start from (a student's base)."""
    found = [made for made in stages if made.is_model]
    for made in stages:
        step = made.model_parent() if made.is_model else None
        if step and step[1] is not None and step[1].inside and step[1].name not in {m.name for m in found}:
            found.insert(found.index(made), replace(step[1], directory=_same(stages, step[1])))
    return found


def _same(stages: Sequence[Made], inner: Made) -> Path:
    return next((m.directory for m in stages if m.directory.absolute() == inner.directory.absolute()), inner.directory)


def _final(models: Sequence[Made]) -> Made:
    """R1 itself: the last RL stage, else the last model that is no student, else the last."""
    for wanted in ("all_scenario_rl", "sft", "r1_zero", "base"):
        found = [made for made in models if Path(made.manifest.recipe).stem == wanted and not made.inside]
        if found:
            return found[-1]
    return models[-1]


def _place(made: Made, final: Made, repo: str) -> Place:
    """The final model's repository holds its family, a branch each; bases and students have their own."""
    root, family = root_of(made), root_of(final)
    same = root is not None and family is not None and _key(root) == _key(family)
    if made is final or same:
        return Place(repo, branch=made.branch if made is not final else None)
    return Place(f"{repo}-{made.name.replace('_', '-')}")


def _key(root: Any) -> tuple[str, str]:
    return (str(root.directory), root.inside) if isinstance(root, Made) else (root.path, root.fingerprint)


def _evaluation_if_any(made: Made) -> Evaluation | None:
    directory = made.directory.parent / "evaluate"
    return load_evaluation(directory) if read_manifest(directory) is not None else None


def _benchmark(evaluation: Evaluation, options: Options, run: Run) -> list[Target]:
    """The held-out problems as a data set of their own, unless they came from the Hub."""
    configs = held_out(Made(evaluation.directory))
    if not configs:
        return []
    place = Place(f"{options.repo}-held-out", "dataset")
    run.places["held_out"] = place
    return [_dataset(configs, place, replace(options, licence=None), run)]


def _dataset(configs: list[DataConfig], place: Place, options: Options, run: Run) -> Target:
    found: dict[str, Source] = {}
    for config in configs:
        for source in _data_sources(config, options):
            found.setdefault(source.name, source)
    licence = choose(found.values(), options.licence)
    context = dataset_context(configs, place, licence, list(found.values()), run)
    uploads = [item for config in configs for item in config.uploads()]
    uploads = list({item.path: item for item in uploads}.values())
    uploads.append(text("README.md", render("dataset.md.jinja", context)))
    name = "held-out" if context["benchmark"] else "data"
    about = "held-out problems" if context["benchmark"] else "data: " + ", ".join(config.name for config in configs)
    return Target(place, name, tuple(uploads), note=about)


def _data_sources(config: DataConfig, options: Options) -> list[Source]:
    """Licences behind the rows: for held-out problems their own origin, not that of the models measured on them."""
    if not config.made.manifest.recipe.endswith("evaluate.py"):
        return sources(config.made, options.licences)
    found = []
    for parent in config.made.parents:
        if parent.field == HELD_OUT[config.name]:
            origin = config.made.find(parent)
            if origin is not None:
                found += sources(Made(origin.directory), options.licences)
            else:
                found.append(Source(parent.path, "data", options.licences.get(parent.path)))
    return found


def _model(made: Made, place: Place, options: Options, run: Run) -> Target:
    assert run.evaluation is not None
    went_in = sources(made, options.licences)
    licence = choose(went_in, options.licence, place.repo)
    context = model_context(made, place, licence, went_in, run)
    root = root_of(made)
    base = None if root is None else base_id(root, run)
    if made.is_adapter and base is None:
        raise StageError(
            f"{made.name} is an adapter of a base that is not on the Hub; push the base, then add --base ID"
        )
    uploads = [_with_base(item, base) for item in model_files(made.directory, made.inside, made.manifest)]
    uploads += _evaluation_files(made, place, run)
    uploads.append(text("README.md", render("model.md.jinja", context)))
    note = str(context["paper"] or made.name)
    return Target(place, made.name, tuple(uploads), made.branch, place.branch is None, note)


def _with_base(item: Upload, base: str | None) -> Upload:
    """An adapter's configuration names the base by its Hub id: the local path means nothing to others."""
    if item.path != "adapter_config.json" or base is None or isinstance(item.source, bytes):
        return item
    content = json.loads(item.source.read_text(encoding="utf-8"))
    return as_json(item.path, content | {"base_model_name_or_path": base})


def _evaluation_files(made: Made, place: Place, run: Run) -> list[Upload]:
    """The evaluation as it lies here, and the model's own result in the Hub's format."""
    import yaml

    evaluation = run.evaluation
    assert evaluation is not None
    manifest = evaluation.manifest
    found = [
        Upload(f"evaluation/{name}", evaluation.directory / name, output.sha256)
        for name, output in manifest.outputs.items()
        if name in ("results.json", "samples.jsonl")
    ]
    prompts = evaluation.prompts
    dataset = run.places["held_out"].repo if "held_out" in run.places else str(prompts.repo)
    url = f"{Place(place.repo, branch=place.branch or 'main').url.replace('/tree/', '/blob/')}/evaluation/results.json"
    entries = result_file(evaluation, made, dataset, prompts.commit, url)
    name = f".eval_results/{dataset.split('/')[-1]}.yaml"
    source = evaluation.directory / MANIFEST
    found.append(Upload(f"evaluation/{MANIFEST}", source, hashlib.sha256(source.read_bytes()).hexdigest()))
    return [*found, text(name, yaml.safe_dump(entries, sort_keys=False))]
