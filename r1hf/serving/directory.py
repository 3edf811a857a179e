"""What the files of a model's directory say, each read within bounds: whatever they hold is foreign."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_object

_ENDINGS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_MOST = 2**31  # tokens, heads, layers: no model has more
_DAMAGED = (KeyError, TypeError, AttributeError, IndexError)


def read_json(path: Path, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object in a file of a model. Raises ConfigError."""
    try:
        return read_object(path)
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise ConfigError(f"{path.parent} has no {path.name}: it is not a model directory") from None


class Settings:
    """A mapping of settings in `file`, read by their types. Its methods raise ConfigError."""

    def __init__(self, file: Path, values: Mapping[str, Any]):
        self.file, self._values = file, values

    def inside(self, name: str) -> Settings:
        """The settings in an object within these; these themselves where it is not there."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object is expected")
        return Settings(self.file, value) if value else self

    def whole(self, names: Sequence[str], default: int) -> int:
        """The first of `names` that is set, a number from 1."""
        for name in names:
            if (value := self._values.get(name)) is not None:
                whole = int(value) if isinstance(value, float) and value.is_integer() else value
                if type(whole) is not int or not 1 <= whole <= _MOST:
                    raise self._wrong(name, "a whole number from 1 is expected")
                return whole
        return default

    def number(self, name: str, default: float, most: float) -> float:
        """A number above 0; `default` where it is 0 or not set."""
        value = self._values.get(name) or default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            raise self._wrong(name, f"a number from 0 to {most:g} is expected")
        return float(value)

    def text(self, names: Sequence[str], default: str) -> str:
        for name in names:
            if (value := self._values.get(name)) is not None:
                if not isinstance(value, str):
                    raise self._wrong(name, "a text is expected")
                return value or default
        return default

    def texts(self, name: str) -> list[str]:
        value = self._values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(name, "a list of texts is expected")
        return value

    def _wrong(self, name: str, expected: str) -> ConfigError:
        return ConfigError(f"{self.file}: {name} is {self._values.get(name)!r:.60}; {expected}")


def generates(file: Path) -> bool:
    """False for the config.json of a reward model: its architecture has no language modelling head."""
    try:
        names = Settings(file, read_json(file)).texts("architectures")
    except ConfigError:
        return True  # whoever reads the model says what is wrong with it
    return not names or any(name.endswith(_ENDINGS) for name in names)


def adapter_settings(directory: Path) -> tuple[str, int]:
    """(base model, rank) of a LoRA adapter. Raises ConfigError."""
    file = directory / "adapter_config.json"
    settings = Settings(file, read_json(file))
    if (kind := settings.text(["peft_type"], "unknown")) != "LORA":
        raise ConfigError(f"{directory} is a {kind[:40]} adapter; only LORA is served. Merge it first")
    return settings.text(["base_model_name_or_path"], ""), settings.whole(["r"], 8)


def weights(directory: Path) -> tuple[int, int]:
    """(bytes, parameters) of the safetensors files. Raises ConfigError for missing or damaged ones."""
    files = sorted(directory.glob("*.safetensors"))
    index = directory / "model.safetensors.index.json"
    if index.exists():
        files = [directory / name for name in _indexed(index)] or files
    if not files:
        raise ConfigError(f"{directory} has no weights (*.safetensors)")
    if lost := [file.name for file in files if not _is_file(file)]:
        raise ConfigError(f"{directory}: weights are missing: {', '.join(lost)[:200]}; copy or download them again")
    return sum(file.stat().st_size for file in files), sum(math.prod(shape) for shape in _shapes(files))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that no file can have
        return False


def _indexed(index: Path) -> list[str]:
    """The files that an index names, all beside it."""
    named = read_json(index).get("weight_map")
    names = set(named.values()) if isinstance(named, dict) and set(map(type, named.values())) <= {str} else None
    if names is None or any(Path(name).name != name or "\0" in name for name in names):
        raise ConfigError(f"{index}: weight_map does not give each tensor a file beside it; copy or download it again")
    return sorted(names)


def _shapes(files: Sequence[Path]) -> Iterator[list[int]]:
    from safetensors import SafetensorError, safe_open

    for file in files:
        try:
            with safe_open(file, "np") as tensors:
                for key in tensors.keys():
                    yield tensors.get_slice(key).get_shape()
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"{file} is damaged ({error}); copy or make it again") from error


def cache_bytes(settings: Settings, width: int) -> int:
    """Bytes that one token's keys and values take in all layers."""
    heads, size = attention(settings)
    layers = settings.whole(["num_hidden_layers", "n_layer"], 1)
    return 2 * layers * settings.whole(["num_key_value_heads"], heads) * size * width


def attention(settings: Settings) -> tuple[int, int]:
    """(number, size) of the attention's query heads."""
    heads = settings.whole(["num_attention_heads", "n_head"], 1)
    hidden = settings.whole(["hidden_size", "n_embd"], heads)
    return heads, settings.whole(["head_dim"], max(1, hidden // heads))


def has_think_tokens(file: Path) -> bool:
    """Whether `<think>` and `</think>` are one token each. Raises ConfigError for a file that is no tokenizer."""
    content = read_json(file, missing={"model": {}})
    try:
        vocabulary = content["model"].get("vocab") or {}
        known = {item["content"] for item in content.get("added_tokens") or []}
        known |= set(vocabulary) if isinstance(vocabulary, dict) else {item[0] for item in vocabulary}
    except _DAMAGED as error:
        raise ConfigError(f"{file} is not a tokenizer that can be read; copy or make it again") from error
    return {"<think>", "</think>"} <= known
