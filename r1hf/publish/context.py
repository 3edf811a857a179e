"""What a card's template is given: plain values from manifests and evaluation files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.explain.report.stages import info, paper_name
from r1hf.publish.card import Safe, is_card_text
from r1hf.publish.data import DataConfig, normal, read, rows_of
from r1hf.publish.graph import draw, method
from r1hf.publish.licences import Source
from r1hf.publish.lineage import Made, Parent, ancestors
from r1hf.publish.scores import Evaluation
from r1hf.stage.hub_errors import endpoint
from r1hf.text.language import language_code
from r1hf.text.served_prompts import prompt_of

HYPERPARAMETERS = (
    "learning_rate", "lr_scheduler_type", "warmup_steps", "max_steps", "num_train_epochs",
    "per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "num_generations",
    "max_completion_length", "temperature", "beta", "epsilon", "num_iterations", "loss_type", "scale_rewards",
    "ref_model_sync_steps", "rewards", "weights", "preference_steps", "optim", "weight_decay", "max_grad_norm",
    "bf16", "seed",
)  # fmt: skip


CONFIGS = {"cold_start": "cold_start", "rejection_sampling": "mix"}  # recipe -> configuration of the data set


@dataclass(frozen=True)
class Place:
    """Where something of the run lies on the Hub."""

    repo: str
    repo_type: str = "model"
    branch: str | None = None

    def __str__(self) -> str:
        return f"{self.repo}@{self.branch}" if self.branch else self.repo

    @property
    def url(self) -> str:
        kind = "datasets/" if self.repo_type == "dataset" else ""
        return f"{endpoint()}/{kind}{self.repo}" + (f"/tree/{self.branch}" if self.branch else "")


@dataclass
class Run:
    """What is known besides one stage: the places of the others, and the evaluation.

    stages: the stages of the run in order, for the graph; empty where one stage alone is pushed.
    base: where the one model's base is, as the person says.
    """

    evaluation: Evaluation | None = None
    places: dict[str, Place] = field(default_factory=dict)
    stages: list[Made] = field(default_factory=list)
    base: str | None = None


def model_context(made: Made, place: Place, licence: str, sources: Sequence[Source], run: Run) -> dict[str, Any]:
    """The values of `model.md.jinja`."""
    manifest, evaluation = made.manifest, run.evaluation
    assert evaluation is not None
    scores = evaluation.scores(made)
    root = root_of(made)
    return {
        "name": made.name,
        "repo": place.repo,
        "revision": place.branch,
        "title": place.repo.split("/")[-1] + (f" ({made.name})" if place.branch else ""),
        "paper": paper_name(made.name),
        "about": Safe(info(made.name).about),
        "method": method(made),
        "graph": graph(made, run),
        "front": _front(made, place, licence, run),
        "licence": licence,
        "sources": sources,
        "adapter": made.is_adapter,
        "base": None if root is None else base_id(root, run),
        "question": _question(evaluation),
        "think_tokens": think_tokens(made),
        "prefilled": prompt_of(made.directory / made.inside, manifest.config).form == "prefilled",
        "context_length": _config(made).get("max_position_embeddings"),
        "rows": _rows(made, evaluation, run),
        "scores": scores,
        "settings": evaluation.settings,
        "evaluation": evaluation.manifest,
        "general": "helpful_rate" in scores,
        "hyperparameters": {} if made.inside else _hyperparameters(manifest.config),
        "inputs": [(p.field, input_name(made, p, run), p.fingerprint) for p in made.parents],
        "manifest": manifest,
        "hardware": hardware(manifest.hardware),
        "tiny_world": any(source.world for source in sources),
        "harmless_trained": _trained_harmless(made),
    }


def dataset_context(
    configs: Sequence[DataConfig], place: Place, licence: str, sources: Sequence[Source], run: Run
) -> dict[str, Any]:
    """The values of `dataset.md.jinja`."""
    held_out = held_out_questions(run.evaluation)
    names = [config.name for config in configs]
    first = "mix" if "mix" in names else names[0]
    benchmark = all(config.made.manifest.recipe.endswith("evaluate.py") for config in configs)
    total = sum(sum(config.rows.values()) for config in configs)
    front = {
        "license": licence,
        "language": languages(run.evaluation),
        "task_categories": ["text-generation"],
        "size_categories": [_size(total)],
        "tags": ["reasoning", "r1hf", *(["benchmark"] if benchmark else ["synthetic", "distillation"])],
        "configs": [
            {
                "config_name": config.name,
                **({"default": True} if config.name == first else {}),
                "data_files": [{"split": split, "path": f"{config.name}/{split}.jsonl"} for split in config.splits],
            }
            for config in configs
        ],
    }
    return {
        "repo": place.repo,
        "title": place.repo.split("/")[-1],
        "benchmark": benchmark,
        "front": front,
        "licence": licence,
        "sources": sources,
        "first": first,
        "graph": "" if benchmark else graph(configs[0].made, run),
        "held_out": None if held_out is None else len(held_out),
        "configs": [_config_context(config, run, held_out) for config in configs],
        "total": total,
        "tiny_world": any(source.world for source in sources),
    }


def _config_context(config: DataConfig, run: Run, held_out: set[str] | None) -> dict[str, Any]:
    manifest = config.made.manifest
    return {
        "name": config.name,
        "about": config.about,
        "rows": config.rows,
        "columns": sorted({key for path in config.splits.values() for row in read(path) for key in row}),
        "generators": [(input_name(config.made, p, run), p.fingerprint) for p in config.generators],
        "prompts": [(input_name(config.made, p, run), p.fingerprint) for p in config.prompts],
        "sampling": config.sampling,
        "rejected": config.rejected,
        "sampled": config.sampled,
        "kept": config.kept,
        "funnel": config.funnel,
        "other_rows": config.other_rows,
        "pass_rate": config.pass_rate,
        "overlap": None if held_out is None or manifest.recipe.endswith("evaluate.py") else config.overlap(held_out),
        "manifest": manifest,
        "verifier": f"r1hf {manifest.versions.get('r1hf', '')} with math-verify "
        f"{manifest.versions.get('math-verify', '')}".strip(),
    }


def held_out_questions(evaluation: Evaluation | None) -> set[str] | None:
    """The held-out questions, normalized, where they lie here."""
    rows = None if evaluation is None else rows_of(Made(evaluation.directory), "prompts")
    return None if rows is None else {normal(row["question"]) for row in read(rows)}


def root_of(made: Made) -> Parent | Made | None:
    """The base at the beginning of the chain of `model` inputs: a stage that made it or took it in, or a Parent."""
    found: Parent | Made | None = None
    step = made.model_parent()
    while step is not None:
        parent, origin = step
        found = parent if origin is None else origin
        step = None if origin is None or origin.is_import else origin.model_parent()
    return found


def base_id(root: Parent | Made, run: Run) -> str | None:
    """The Hub id of a base, or None where it is not on the Hub."""
    if run.base is not None:
        return run.base
    if isinstance(root, Made):
        place = run.places.get(root.name)
        return root.taken_from or (place.repo if place else None)
    return root.repo


def input_name(made: Made, parent: Parent, run: Run) -> str:
    """An input as a reader knows it: a Hub id with its commit, or a stage and its place on the Hub."""
    if parent.repo is not None:
        return f"{parent.repo}@{parent.commit or parent.revision or 'main'}"
    origin = made.find(parent)
    if origin is None:
        return Path(parent.path).name
    name = f"{origin.manifest.stage}/{origin.inside}".rstrip("/")
    config = CONFIGS.get(Path(origin.manifest.recipe).stem) if origin.inside == "data.jsonl" else None
    place = run.places.get(origin.name if origin.is_model else config or "")
    return f"{name} ({place})" if place else name


def graph(made: Made, run: Run) -> str:
    """The run, or what is known of it from this stage's manifests."""
    return draw(run.stages or list({m.name: m for m in [*reversed(_origins(made)), made]}.values()), made.name)


def _origins(made: Made) -> list[Made]:
    return [origin for _, _, origin in ancestors(made) if origin is not None]


def _trained_harmless(made: Made) -> bool:
    return any(p.field == "harmless_model" for m in [made, *_origins(made)] for p in m.parents)


def _front(made: Made, place: Place, licence: str, run: Run) -> dict[str, Any]:
    root = root_of(made)
    made_data = {CONFIGS.get(Path(origin.manifest.recipe).stem, "") for origin in _origins(made)}
    data = {run.places[name].repo for name in made_data if name in run.places}
    recipe = Path(made.manifest.recipe).stem
    kind = {"sft": "sft", "distill": "sft", "base": "base", "import_model": "base"}.get(recipe, "grpo")
    tags = ["reasoning", "r1hf", *(["distillation"] if recipe == "distill" else [])]
    base = made.taken_from or (None if root is None else base_id(root, run))
    relation = "adapter" if made.is_adapter else "finetune"
    return {
        "license": licence,
        "base_model": base,
        "base_model_relation": None if base is None or made.is_import else relation,
        "datasets": sorted(data | {p.repo for p in made.parents if p.repo and not p.is_model and not p.is_kept_out}),
        "language": languages(run.evaluation),
        "library_name": "peft" if made.is_adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": [*tags, *(["trl"] if kind != "base" else []), kind],
    }


def _rows(made: Made, evaluation: Evaluation, run: Run) -> list[dict[str, Any]]:
    """Every evaluated model, this one first, then its base and its teacher."""
    step = made.model_parent()
    root = root_of(made)
    base = root.name if isinstance(root, Made) else Path(root.path.partition("@")[0]).name if root else ""
    roles = {base: "base"} | {name: "teacher" for name in _teachers(made)}
    if step is not None and step[1] is not None:
        roles.setdefault(step[1].name, "trained from")
    roles[made.name] = "this model"
    rank = {"this model": 0, "base": 1, "trained from": 2, "teacher": 3}
    rows = [{"name": name, "role": roles.get(name, ""), **scores} for name, scores in evaluation.models.items()]
    return sorted(rows, key=lambda row: rank.get(row["role"], 9))


def _teachers(made: Made) -> list[str]:
    """The models that wrote the data that this one learned from."""
    found = []
    for parent in made.parents:
        origin = None if parent.is_model else made.find(parent)
        for config_parent in Made(origin.directory).parents if origin is not None else []:
            if config_parent.is_model:
                teacher = Made(origin.directory).find(config_parent) if origin else None
                found.append(teacher.name if teacher else Path(config_parent.path.partition("@")[0]).name)
    return found


def languages(evaluation: Evaluation | None) -> list[str]:
    """The languages of the shown questions of the evaluation."""
    path = evaluation.directory / "samples.jsonl" if evaluation else None
    if path is None or not path.is_file():
        return []
    return sorted({code for row in read(path) if (code := language_code(row.get("language")))})


def _question(evaluation: Evaluation) -> str:
    """A question for the snippet: the first of the evaluation that is one short line."""
    path = evaluation.directory / "samples.jsonl"
    for row in read(path) if path.is_file() else ():
        question = row.get("question")
        if (
            isinstance(question, str)
            and question.isprintable()
            and 0 < len(question) <= 200
            and is_card_text(question)
        ):
            return question
    return "What is 2 + 3 * 4?"


def _config(made: Made) -> dict[str, Any]:
    path = made.directory / made.inside / "config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def think_tokens(made: Made) -> bool:
    """Whether `<think>` and `</think>` are one token each: vLLM's reasoning parser `deepseek_r1` asks for it."""
    path = made.directory / made.inside / "tokenizer.json"
    if not path.is_file():
        return False
    content = json.loads(path.read_text(encoding="utf-8"))
    known = {token["content"] for token in content.get("added_tokens", [])}
    vocabulary = content.get("model", {}).get("vocab", {})
    return all(tag in known or (isinstance(vocabulary, dict) and tag in vocabulary) for tag in ("<think>", "</think>"))


def _hyperparameters(config: Mapping[str, Any]) -> dict[str, str]:
    found = {key: config[key] for key in HYPERPARAMETERS if config.get(key) is not None}
    return {key: json.dumps(value) if isinstance(value, dict) else str(value) for key, value in found.items()}


def hardware(record: Mapping[str, Any]) -> str | None:
    """`2 cores of Intel Xeon`, with the GPUs; None where the manifest does not say."""
    if not record:
        return None
    gpus = record.get("gpus") or []
    text = f"{record['cores']} cores of {record['cpu']}"
    return f"{len(gpus)} x {gpus[0]}, {text}" if gpus else text


def _size(rows: int) -> str:
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if rows < limit:
            return name
    return "1M<n<10M"
