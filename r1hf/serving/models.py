"""What is to be served: directories, Hub ids and runs become models, each proved fit to be served first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.foreign_code import faults
from r1hf.core.source import is_hub_id
from r1hf.publish.files import PROVENANCE
from r1hf.serving.directory import (
    Settings,
    adapter_settings,
    attention,
    cache_bytes,
    generates,
    has_think_tokens,
    read_json,
    weights,
)
from r1hf.serving.knows import Known, known_of
from r1hf.stage.manifest import prove, read_manifest
from r1hf.stage.names import MAIN_LINE
from r1hf.text.served_prompts import Prompt, prompt_of

TEMPERATURE, TOP_P = 0.6, 0.95  # DeepSeek-R1's advice, where the model says nothing
_DOWNLOADED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
_NAME = re.compile(r"[\w.@:+-]+")


@dataclass(frozen=True)
class ServedModel:
    """One model, by its short name.

    directory: config.json and weights, or an adapter. base: the adapter's base directory, else None.
    weight_bytes, parameters: as stored. cache_bytes: of one token's keys and values, in `dtype`.
    known: what the model's card says of it.
    think_tokens: True if `<think>` and `</think>` are one token each. head_size: of the attention.
    """

    name: str
    directory: Path
    base: Path | None
    stage: str | None
    prompt: Prompt
    temperature: float
    top_p: float
    context: int
    dtype: str
    weight_bytes: int
    parameters: int
    cache_bytes: int
    think_tokens: bool
    head_size: int
    lora_rank: int = 0
    known: Known = Known()
    notes: tuple[str, ...] = field(default=())

    @property
    def weights_from(self) -> Path:
        """The directory that an engine is started with."""
        return self.base or self.directory


def resolve(sources: Sequence[str]) -> list[ServedModel]:
    """The models that `sources` name: `[NAME=]` a model directory, an adapter, a run directory, or a Hub id.

    Raises ConfigError with every problem found.
    """
    problems: list[str] = []
    models: list[ServedModel] = []
    for source in sources:
        name, path = _split_name(source)
        try:
            directories = _directories(path)
            if name and len(directories) > 1:
                problems.append(f"{source}: {path} holds several models; a name fits one")
            for directory in directories:
                try:
                    models.append(read_model(directory, name or _short_name(path, directory)))
                except R1Error as error:
                    problems.append(_message(error))
        except R1Error as error:
            problems.append(_message(error))
    by_name: dict[str, Path] = {}
    for model in models:
        other = by_name.setdefault(model.name, model.directory)
        if other != model.directory:
            problems.append(
                f"two models are called '{model.name}' ({other} and {model.directory}); "
                f"name one yourself: other_{model.name}={model.directory}"
            )
    if problems:
        raise ConfigError(problems)
    return list({model.name: model for model in models}.values())


def primary(models: Sequence[ServedModel], sources: Sequence[str]) -> ServedModel:
    """The model to have ready first: the first one named; of a run, R1, else the last stage of the main line."""
    first = Path(_split_name(sources[0])[1])
    if (first / "config.json").exists() or not first.is_dir():
        return models[0]
    own = {model.name: model for model in models if model.directory.parent == first.resolve()}
    return next((own[stage] for stage in reversed(MAIN_LINE) if stage in own), models[0])


def _message(error: R1Error) -> str:
    return "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)


def _split_name(source: str) -> tuple[str | None, str]:
    name, equals, path = source.partition("=")
    return (name, path) if equals and _NAME.fullmatch(name) and not _exists(Path(source)) else (None, source)


def _short_name(source: str, directory: Path) -> str:
    if is_hub_id(source):
        return source.partition("@")[0].rpartition("/")[2]
    return directory.name


def _directories(source: str) -> list[Path]:
    """Model directories behind one source, downloaded first if it is a Hub id."""
    try:
        path = Path(source).expanduser()
    except RuntimeError:
        path = Path(source)  # ~somebody who is not here
    if not _exists(path):
        if is_hub_id(source):
            return [_download(source)]
        shown = repr(source[:200])[1:-1]  # halves of characters cannot be printed
        raise ConfigError(f"{shown} does not exist, and is not a Hub id (org/name); give a directory or a Hub id")
    if not path.is_dir():
        raise ConfigError(f"{source} is a file; give the directory that holds config.json and *.safetensors")
    path = path.resolve()
    if (path / "config.json").exists() or (path / "adapter_config.json").exists():
        return [path]
    stages = [item.parent for item in path.glob("*/config.json") if generates(item)]
    stages += [item.parent for item in path.glob("*/adapter_config.json")]
    stages = [item for item in stages if not item.name.endswith((".partial", ".old"))]
    if not stages:
        raise ConfigError(f"{source} has no config.json, and no stage's model in it; give a model or a run directory")
    known = {name: index for index, name in enumerate(MAIN_LINE)}
    return sorted(set(stages), key=lambda item: (known.get(item.name, len(known)), item.name))


def _download(source: str) -> Path:
    from r1hf.stage.hub_refs import resolve

    try:
        return resolve(source, files=_DOWNLOADED).path
    except (R1Error, OSError, ValueError) as error:
        raise ConfigError(
            f"{source[:200]} is not a directory here and could not be fetched from the Hub: {str(error)[:300]}"
        ) from error


def read_model(directory: Path, name: str) -> ServedModel:
    """One model directory or adapter, checked. Raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is not a name for a model; name it yourself: my_model={directory}")
    _refuse_faults(directory)
    base, rank = None, 0
    if (directory / "adapter_config.json").exists() and not (directory / "config.json").exists():
        base, rank = _adapter(directory)
        _refuse_faults(base)
        prove(base)
    source = base or directory
    config = Settings(source / "config.json", read_json(source / "config.json"))
    kinds = config.texts("architectures")
    if not generates(source / "config.json"):
        raise ConfigError(f"{source} is a {kinds[0][:60]}: it does not generate text, so is not served")
    weight_bytes, parameters = weights(source)
    if base is not None:
        more = weights(directory)
        weight_bytes, parameters = weight_bytes + more[0], parameters + more[1]
    if not (source / "tokenizer.json").exists() and not (source / "tokenizer.model").exists():
        raise ConfigError(f"{source} has no tokenizer (tokenizer.json); save the model's tokenizer beside it")
    stage, asked = _made_by(directory)
    file = source / "generation_config.json"
    sampling = Settings(file, read_json(file, missing={}))
    text = config.inside("text_config")
    dtype = text.text(["dtype", "torch_dtype"], "float32")
    prompt = prompt_of(directory, asked, fallback=base)
    return ServedModel(
        name=name,
        directory=directory,
        base=base,
        stage=stage,
        prompt=prompt,
        temperature=sampling.number("temperature", TEMPERATURE, 100),
        top_p=sampling.number("top_p", TOP_P, 1),
        context=text.whole(["max_position_embeddings", "n_positions"], 2048),
        dtype=dtype,
        weight_bytes=weight_bytes,
        parameters=parameters,
        cache_bytes=cache_bytes(text, 4 if dtype == "float32" else 2),
        think_tokens=has_think_tokens(source / "tokenizer.json"),
        head_size=attention(text)[1],
        lora_rank=rank,
        known=known_of(directory),
        notes=(prompt.note,) if prompt.note else (),
    )


def _refuse_faults(directory: Path) -> None:
    if problems := faults(directory):
        raise ConfigError(problems)


def _made_by(directory: Path) -> tuple[str | None, Mapping[str, Any]]:
    """(stage, configuration) of the stage that made a model. Raises R1Error for a manifest that cannot be read."""
    # The second place: as pushed to the Hub.
    manifest = prove(directory) or read_manifest(directory) or read_manifest(directory / PROVENANCE)
    return (manifest.stage, manifest.config) if manifest is not None else (None, {})


def _adapter(directory: Path) -> tuple[Path, int]:
    """(base directory, rank) of a LoRA adapter."""
    base, rank = adapter_settings(directory)
    for candidate in (Path(base), directory / base, directory.parent / Path(base).name):
        if base and _exists(candidate / "config.json"):
            return candidate.resolve(), rank
    if is_hub_id(base):
        return _download(base), rank
    raise ConfigError(f"{directory}: its base model {base!r:.80} is not here; mend adapter_config.json")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # no path at all
        return False
