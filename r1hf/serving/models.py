"""What is to be served: directories, Hub ids and runs become models, each proved fit to be served first."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from r1hf.checks import foreign
from r1hf.core.errors import ConfigError, R1Error
from r1hf.core.files import read_object
from r1hf.publish.files import PROVENANCE
from r1hf.stage.manifest import is_hub_id, read_manifest
from r1hf.text.served_prompts import Prompt, prompt_of

TEMPERATURE, TOP_P = 0.6, 0.95  # DeepSeek-R1's advice, where the model says nothing
STAGES = ("base", "r1_zero", "sft1", "reasoning_rl", "sft2", "r1")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_DOWNLOADED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
_LARGEST = 2**53  # of a number in a configuration
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
        names = read_object(config).get("architectures")
    except (FileNotFoundError, ConfigError):
        return True  # read_model says what is wrong with it
    names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
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
    if wrong := foreign.faults(source):
        raise ConfigError(wrong)
    config = _read_json(source / "config.json")
    if not _generates(source / "config.json"):
        raise ConfigError(f"{source} is a {config['architectures'][0]}: it does not generate text, so is not served")
    weight_bytes, parameters = _weights(source)
    if base is not None:
        more = _weights(directory)
        weight_bytes, parameters = weight_bytes + more[0], parameters + more[1]
    if not (source / "tokenizer.json").exists() and not (source / "tokenizer.model").exists():
        raise ConfigError(f"{source} has no tokenizer (tokenizer.json); save the model's tokenizer beside it")
    manifest = read_manifest(directory) or read_manifest(directory / PROVENANCE)  # the second: as pushed to the Hub
    sampling = _Numbers(source / "generation_config.json", _read_json(source / "generation_config.json", missing={}))
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) and inner else config
    numbers = _Numbers(source / "config.json", text)
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
        context=numbers.whole(2048, "max_position_embeddings", "n_positions"),
        dtype=dtype,
        weight_bytes=weight_bytes,
        parameters=parameters,
        cache_bytes=_cache_bytes(numbers, 4 if dtype == "float32" else 2),
        think_tokens=_has_think_tokens(source / "tokenizer.json"),
        head_size=_heads(numbers)[1],
        lora_rank=rank,
        notes=(prompt.note,) if prompt.note else (),
    )


@dataclass(frozen=True)
class _Numbers:
    """The numbers in a configuration file. Each method raises ConfigError for what is none."""

    path: Path
    values: Mapping[str, Any]

    def get(self, name: str) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
            raise ConfigError(f"{self.path}: {name} is {value!r:.40}, which is no number that a model can have")
        return value

    def whole(self, default: int, *names: str) -> int:
        """The first of `names` that is there and not 0."""
        return next((int(value) for name in names if (value := self.get(name))), default)


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
    rank = _Numbers(directory / "adapter_config.json", config).whole(8, "r")
    for candidate in (Path(base), directory / base, directory.parent / Path(base).name):
        if base and _is_there(candidate / "config.json"):
            return candidate.resolve(), rank
    if is_hub_id(base):
        return _download(base), rank
    raise ConfigError(f"{directory}: its base model '{base}' is not here; mend adapter_config.json")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _weights(directory: Path) -> tuple[int, int]:
    """(bytes, parameters) of the safetensors files. Raises ConfigError for pickles, and missing or damaged files."""
    files = sorted(directory.glob("*.safetensors"))
    index = directory / "model.safetensors.index.json"
    if index.exists():
        listed = _read_json(index).get("weight_map")
        if not isinstance(listed, dict) or not all(_is_file_name(file) for file in listed.values()):
            raise ConfigError(f"{index} names no files of weights (weight_map); copy or download it again")
        named = {directory / file for file in listed.values()}
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


def _is_file_name(name: Any) -> bool:
    return isinstance(name, str) and name == Path(name).name and name.isprintable() and name.isascii()


def _shapes(files: Sequence[Path]) -> Iterator[list[int]]:
    from safetensors import SafetensorError, safe_open

    for file in files:
        try:
            with safe_open(file, "np") as tensors:
                for key in tensors.keys():
                    yield tensors.get_slice(key).get_shape()
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"{file} is damaged ({error}); copy or make it again") from error


def _cache_bytes(config: _Numbers, width: int) -> int:
    """Bytes that one token's keys and values take in all layers."""
    layers = config.whole(1, "num_hidden_layers", "n_layer")
    heads, size = _heads(config)
    return 2 * layers * config.whole(heads, "num_key_value_heads") * size * width


def _heads(config: _Numbers) -> tuple[int, int]:
    """(number, size) of the attention's query heads."""
    heads = config.whole(1, "num_attention_heads", "n_head")
    return heads, config.whole(config.whole(1, "hidden_size", "n_embd") // heads, "head_dim")


def _has_think_tokens(file: Path) -> bool:
    try:
        content = read_object(file)
        vocabulary = content["model"].get("vocab") or {}
        known = {item["content"] for item in content.get("added_tokens", [])}
        known |= set(vocabulary) if isinstance(vocabulary, dict) else {item[0] for item in vocabulary}
    except (OSError, ConfigError, LookupError, TypeError, AttributeError):
        return False
    return {"<think>", "</think>"} <= known
