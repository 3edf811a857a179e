"""What is to be served: directories, Hub ids and runs become models, each proved fit to be served first."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.files import read_object
from r1hf.publish.files import PROVENANCE
from r1hf.stage.manifest import is_hub_id, prove, read_manifest
from r1hf.text.served_prompts import Prompt, prompt_of

TEMPERATURE, TOP_P = 0.6, 0.95  # DeepSeek-R1's advice, where the model says nothing
STAGES = ("base", "r1_zero", "sft1", "reasoning_rl", "sft2", "r1")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_DOWNLOADED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
_NAME = re.compile(r"[\w.@:+-]+")


@dataclass(frozen=True)
class ServedModel:
    """One model, by its short name.

    directory: config.json and weights, or an adapter. base: the adapter's base directory, else None.
    weight_bytes, parameters: as stored. cache_bytes: of one token's keys and values, in `dtype`.
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
    return next((own[stage] for stage in reversed(STAGES) if stage in own), models[0])


def _message(error: R1Error) -> str:
    return "; ".join(error.problems) if isinstance(error, ConfigError) else str(error)


def _split_name(source: str) -> tuple[str | None, str]:
    name, equals, path = source.partition("=")
    return (name, path) if equals and _NAME.fullmatch(name) and not Path(source).exists() else (None, source)


def _short_name(source: str, directory: Path) -> str:
    if is_hub_id(source):
        return source.partition("@")[0].rpartition("/")[2]
    return directory.name


def _directories(source: str) -> list[Path]:
    """Model directories behind one source, downloaded first if it is a Hub id."""
    path = Path(source).expanduser()
    if not path.exists():
        if is_hub_id(source):
            return [_download(source)]
        raise ConfigError(f"{source} does not exist, and is no Hub id (org/name); give a directory or a Hub id")
    if not path.is_dir():
        raise ConfigError(f"{source} is a file; give the directory that holds config.json and *.safetensors")
    path = path.resolve()
    if (path / "config.json").exists() or (path / "adapter_config.json").exists():
        return [path]
    stages = [item.parent for item in path.glob("*/config.json") if _generates(item)]
    stages += [item.parent for item in path.glob("*/adapter_config.json")]
    stages = [item for item in stages if not item.name.endswith((".partial", ".old"))]
    if not stages:
        raise ConfigError(f"{source} has no config.json, and no stage's model in it; give a model or a run directory")
    known = {name: index for index, name in enumerate(STAGES)}
    return sorted(set(stages), key=lambda item: (known.get(item.name, len(known)), item.name))


def _generates(config: Path) -> bool:
    """False for a reward model: its architecture has no language modelling head."""
    try:
        names = json.loads(config.read_text(encoding="utf-8")).get("architectures") or []
    except (OSError, ValueError, AttributeError):
        return True  # read_model says what is wrong with it
    return not names or any(
        name.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")) for name in names
    )


def _download(source: str) -> Path:
    from r1hf.stage.hub_refs import resolve

    try:
        return resolve(source, files=_DOWNLOADED).path
    except R1Error as error:
        raise ConfigError(f"{source} is no directory here and could not be had from the Hub: {error}") from error


def read_model(directory: Path, name: str) -> ServedModel:
    """One model directory or adapter, checked. Raises ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is no name for a model; name it yourself: my_model={directory}")
    base, rank = None, 0
    if (directory / "adapter_config.json").exists() and not (directory / "config.json").exists():
        base, rank = _adapter(directory)
    source = base or directory
    config = _read_json(source / "config.json")
    if not _generates(source / "config.json"):
        raise ConfigError(f"{source} is a {config['architectures'][0]}: it does not generate text, so is not served")
    weight_bytes, parameters = _weights(source)
    if base is not None:
        more = _weights(directory)
        weight_bytes, parameters = weight_bytes + more[0], parameters + more[1]
    if not (source / "tokenizer.json").exists() and not (source / "tokenizer.model").exists():
        raise ConfigError(f"{source} has no tokenizer (tokenizer.json); save the model's tokenizer beside it")
    # The second: as pushed to the Hub.
    manifest = prove(directory) or read_manifest(directory) or read_manifest(directory / PROVENANCE)
    sampling = _read_json(source / "generation_config.json", missing={})
    text = config.get("text_config") or config
    dtype = str(text.get("dtype") or text.get("torch_dtype") or "float32")
    prompt = prompt_of(directory, manifest.config if manifest else {}, fallback=base)
    return ServedModel(
        name=name,
        directory=directory,
        base=base,
        stage=manifest.stage if manifest else None,
        prompt=prompt,
        temperature=float(sampling.get("temperature") or TEMPERATURE),
        top_p=float(sampling.get("top_p") or TOP_P),
        context=int(text.get("max_position_embeddings") or text.get("n_positions") or 2048),
        dtype=dtype,
        weight_bytes=weight_bytes,
        parameters=parameters,
        cache_bytes=_cache_bytes(text, 4 if dtype == "float32" else 2),
        think_tokens=_has_think_tokens(source / "tokenizer.json"),
        head_size=_heads(text)[1],
        lora_rank=rank,
        notes=(prompt.note,) if prompt.note else (),
    )


def _read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        return read_object(path)
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise ConfigError(f"{path.parent} has no {path.name}: it is no model directory") from None


def _adapter(directory: Path) -> tuple[Path, int]:
    """(base directory, rank) of a LoRA adapter."""
    config = _read_json(directory / "adapter_config.json")
    if config.get("peft_type") != "LORA":
        raise ConfigError(f"{directory} is a {config.get('peft_type')} adapter; only LORA is served. Merge it first")
    base = str(config.get("base_model_name_or_path") or "")
    for candidate in (Path(base), directory / base, directory.parent / Path(base).name):
        if base and (candidate / "config.json").exists():
            return candidate.resolve(), int(config.get("r") or 8)
    if is_hub_id(base):
        return _download(base), int(config.get("r") or 8)
    raise ConfigError(f"{directory}: its base model '{base}' is not here; mend adapter_config.json")


def _weights(directory: Path) -> tuple[int, int]:
    """(bytes, parameters) of the safetensors files. Raises ConfigError for pickles, and missing or damaged files."""
    files = sorted(directory.glob("*.safetensors"))
    index = directory / "model.safetensors.index.json"
    if index.exists():
        named = {directory / file for file in _read_json(index).get("weight_map", {}).values()}
        if lost := sorted(file.name for file in named if not file.exists()):
            raise ConfigError(f"{directory}: weights are missing: {', '.join(lost)}; copy or download them again")
        files = sorted(named) or files
    if not files:
        pickles = sorted(file.name for pattern in _PICKLES for file in directory.glob(pattern))
        if pickles:
            raise ConfigError(
                f"{directory} has its weights as a pickle only ({pickles[0]}), which can run any code when loaded; "
                "convert it to safetensors (model.save_pretrained) and serve that"
            )
        raise ConfigError(f"{directory} has no weights (*.safetensors)")
    return sum(file.stat().st_size for file in files), sum(math.prod(shape) for shape in _shapes(files))


def _shapes(files: Sequence[Path]) -> Iterator[list[int]]:
    from safetensors import SafetensorError, safe_open

    for file in files:
        try:
            with safe_open(file, "np") as tensors:
                for key in tensors.keys():
                    yield tensors.get_slice(key).get_shape()
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"{file} is damaged ({error}); copy or make it again") from error


def _cache_bytes(config: dict[str, Any], width: int) -> int:
    """Bytes that one token's keys and values take in all layers."""
    layers = int(config.get("num_hidden_layers") or config.get("n_layer") or 1)
    heads, size = _heads(config)
    return 2 * layers * int(config.get("num_key_value_heads") or heads) * size * width


def _heads(config: dict[str, Any]) -> tuple[int, int]:
    """(number, size) of the attention's query heads."""
    heads = int(config.get("num_attention_heads") or config.get("n_head") or 1)
    hidden = int(config.get("hidden_size") or config.get("n_embd") or 1)
    return heads, int(config.get("head_dim") or hidden // heads)


def _has_think_tokens(file: Path) -> bool:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        vocabulary = content["model"].get("vocab") or {}
        known = {item["content"] for item in content.get("added_tokens", [])}
        known |= set(vocabulary) if isinstance(vocabulary, dict) else {item[0] for item in vocabulary}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return {"<think>", "</think>"} <= known
