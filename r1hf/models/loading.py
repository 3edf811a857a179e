"""Models and tokenizers on disk: safetensors only, no remote code, the chat template always saved along."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    dynamic_module_utils,
)

from r1hf.core import foreign_code
from r1hf.core.errors import ConfigError
from r1hf.core.files import read_object
from r1hf.models import grouped_attention  # noqa: F401 (a model may ask for it)
from r1hf.models.gguf_file import is_gguf, not_a_model
from r1hf.stage.manifest import prove
from r1hf.text import template_checks
from r1hf.text.chat_templates import chat_template as chat_template

# Where a library loads something and says nothing of remote code, Transformers would ask at the terminal for these
# seconds; at 0 it refuses.
dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0

_LAYERS = 10_000


@contextlib.contextmanager
def loading(source: str) -> Iterator[None]:
    """Around what loads `source`, a directory or Hub id: code of its own and pickles are refused.

    Raises ConfigError for these, for a configuration that no model can be built by, and for weights that are not whole
    or do not fit it; IntegrityError for a stage that is not its list.
    """
    if is_gguf(source):
        raise ConfigError(not_a_model(source))
    prove(Path(source), contents=False)  # a file that lies beside a model is loaded with it
    if wrong := foreign_code.faults(source.partition("@")[0]):
        raise ConfigError(wrong)
    try:
        yield
    except SafetensorError as error:
        raise ConfigError(f"the weights of {source} are not whole ({error}); copy or download them again") from error
    except Exception as error:  # a configuration's values fail wherever they are used first
        if (fault := _fault(source, error)) is None:
            raise
        raise ConfigError(fault) from error


def _fault(source: str, error: Exception) -> str | None:
    """What is wrong with a model that could not be loaded; None where nothing is found."""
    if "trust_remote_code" in str(error):
        return (
            f"{source} brings code of its own, which r1hf never runs; take a model whose architecture Transformers "
            "knows itself"
        )
    if "ignore_mismatched_sizes" in str(error):
        return f"the weights of {source} do not fit its config.json; copy or download both again"
    if isinstance(error, OSError) and "no file named" in str(error):
        return f"{source} has no weights (model.safetensors); copy or download them again"
    return config_fault(source)


def config_fault(source: str, build: bool = True) -> str | None:
    """Why no model can be built by the config.json of a directory; None where one can, or where there is none.

    build: with all its layers, without their weights, which takes a second for a large model.
    """
    file = Path(source) / "config.json"
    if not os.path.lexists(file):
        return None
    try:
        layers = read_object(file).get("num_hidden_layers", 1)
        if not isinstance(layers, int) or not 0 < layers < _LAYERS:
            return f"{file}: num_hidden_layers is {layers!r:.40}, which no model has"
        config = AutoConfig.from_pretrained(source, **foreign_code.NO_CODE)
        if build:
            with torch.device("meta"):
                AutoModelForCausalLM.from_config(config, **foreign_code.NO_CODE)
    except Exception as error:  # whatever stands there fails in its own way
        return f"{file}: no model can be built by it: {' '.join(str(error).split())[:200]}"
    return None


def forget_code(model: PreTrainedModel) -> None:
    """A model of the Hub that Transformers knows itself may name code all the same: what we save must not."""
    model.config.__dict__.pop("auto_map", None)


def training_arguments(args: Any) -> None:
    """Has TRL load a model as we do: safetensors only, no remote code, float32 unless another dtype is asked for."""
    args.trust_remote_code = False
    args.model_init_kwargs = {"dtype": "float32", **(args.model_init_kwargs or {}), **foreign_code.WEIGHTS}


def load_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a directory or Hub id (`org/name[@revision]`), padding on the left as generation needs it.

    Raises ConfigError as `loading` does.
    """
    name, _, revision = source.partition("@")
    with loading(source):
        tokenizer = AutoTokenizer.from_pretrained(
            name, revision=revision or None, padding_side="left", **foreign_code.NO_CODE
        )
    tokenizer.init_kwargs.pop("auto_map", None)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def find_tokenizer(source: str) -> Any:
    """The tokenizer of a directory or of the Hub's cache; None where it is not here. Raises OSError, ValueError."""
    if not Path(source).is_dir():
        from huggingface_hub import try_to_load_from_cache

        repo, _, revision = source.partition("@")
        if source.count("/") != 1 or source.startswith((".", "/")):
            return None
        found = try_to_load_from_cache(repo, "tokenizer.json", revision=revision or None)
        if not isinstance(found, str):
            return None
    return load_tokenizer(source)


def load_model(source: str, dtype: str = "float32") -> PreTrainedModel:
    """A causal language model, in evaluation mode. Raises ConfigError as `loading` does."""
    name, _, revision = source.partition("@")
    with loading(source):
        model = AutoModelForCausalLM.from_pretrained(
            name, revision=revision or None, dtype=dtype, **foreign_code.WEIGHTS
        )
    return model.eval()


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    directory: Path,
    weights: dict[str, Any] | None = None,
    **sampling: Any,
) -> None:
    """Writes model, tokenizer, chat template and generation settings as an ordinary Transformers directory.

    weights: in place of the model's own, where it is sharded.
    """
    model.generation_config = GenerationConfig(
        do_sample=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **({"temperature": 0.6, "top_p": 0.95} | sampling),  # the paper's evaluation settings
    )
    forget_code(model)
    model.save_pretrained(directory, state_dict=weights)
    tokenizer.save_pretrained(directory)


def check_tokenizer(problems: list[str], key: str, source: str | None) -> PreTrainedTokenizerBase | None:
    """Adds what the tokenizer in the directory `source` would break in training, and returns it if it can be read."""
    if source and is_gguf(source):
        problems.append(f"{key}: {not_a_model(source)}")
        return None
    if not source or not Path(source).is_dir():
        return None
    if (Path(source) / "adapter_config.json").exists() and not (Path(source) / "config.json").exists():
        problems.append(f"{key}: {source} is an adapter alone; make it with --export both, or give a merged model")
        return None
    if foreign_code.faults(source):
        return None  # named with the configuration
    try:
        tokenizer = load_tokenizer(source)
        ends = template_checks.end_ids(tokenizer, load_generation_config(source))
        found = template_checks.findings(tokenizer, ends)
    except Exception as error:  # tokenizers raises Exception itself, and broken files anything at all
        problems.append(f"{key}: no tokenizer can be loaded from {source}: {' '.join(str(error).split())[:200]}")
        return None
    if (fault := config_fault(source, build=False)) is not None:
        problems.append(f"{key}: {fault}")
    problems += [f"{key}: {source}: {one}" for one in found if one.fatal]
    return tokenizer


def load_generation_config(source: str) -> GenerationConfig | None:
    """The `generation_config.json` of a directory, or None."""
    try:
        return GenerationConfig.from_pretrained(source)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def check_chat_template(problems: list[str], key: str, source: str | None) -> None:
    """Adds a problem where the tokenizer in the directory `source` has no chat template, or would not train well."""
    tokenizer = check_tokenizer(problems, key, source)
    if tokenizer is not None and not tokenizer.chat_template:
        problems.append(
            f"{key}: the tokenizer in {source} has no chat template; set chat_template: auto, or "
            "put a chat_template.jinja beside it (r1hf/text/templates/chat.jinja is one for base models)"
        )
