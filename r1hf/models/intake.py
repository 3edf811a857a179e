"""A pretrained model from elsewhere, a Hub id, a directory or a GGUF file, as an ordinary directory that trains well.

Its tokenizer is given the end that its chat template writes and another token to pad with, and is proved to bring text
back as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from r1hf.core.errors import ConfigError
from r1hf.core.foreign_code import WEIGHTS
from r1hf.models.gguf_file import GGUF, find_gguf, is_gguf, reading
from r1hf.models.gguf_tokenizer import read_tokenizer
from r1hf.models.loading import load_tokenizer, loading, save_model
from r1hf.text import round_trips, template_checks
from r1hf.text.chat_templates import dress


@dataclass
class Origin:
    """Where a model is from, as far as it says so itself: the Hub id of what it was made from, and its licence."""

    base_model: str | None = None
    licence: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Wanted:
    """chat_template, prefill: as `dress` takes them; None: the model's own. dtype: of the weights that are written."""

    dtype: str = "bfloat16"
    chat_template: str | None = None
    prefill: bool = False


def look(source: str, wanted: Wanted) -> tuple[PreTrainedTokenizerBase, Origin]:
    """The tokenizer of a GGUF file or a directory as it would be saved, and the model's origin. No weights are read.

    Raises ConfigError for whatever would make a model that does not train well.
    """
    if not is_gguf(source):
        return prepared(source, load_tokenizer(source), wanted, card_origin(Path(source)))
    path = find_gguf(source)
    with reading(path) as gguf:
        gguf.config()
        return prepared(str(path), read_tokenizer(gguf), wanted, _gguf_origin(gguf))


def prepared(source: str, tokenizer: Any, wanted: Wanted, origin: Origin) -> tuple[PreTrainedTokenizerBase, Origin]:
    """The tokenizer with its template, end and padding; `origin` with what was changed. Raises ConfigError."""
    if wanted.chat_template is not None:
        dress(tokenizer, wanted.chat_template, wanted.prefill)
    try:
        origin.notes += round_trips.mend_ends(tokenizer)
    except RuntimeError:
        pass  # the first of the findings
    found = [
        *template_checks.findings(tokenizer),
        *round_trips.lost_turn(tokenizer),
        *round_trips.lost_text(tokenizer),
    ]
    if wrong := [f"{source}: {one}" for one in found if one.fatal]:
        raise ConfigError(wrong)
    return tokenizer, origin


def take_in(
    source: str, directory: Path, wanted: Wanted, progress: Callable[[list[str]], Any] = iter
) -> tuple[PreTrainedModel, Origin]:
    """Writes the model to `directory` with safetensors of `wanted.dtype`, and reads its tokenizer back.

    Raises ConfigError as `look` does, and for weights that are not whole or do not fit.
    """
    tokenizer, origin = look(source, wanted)
    dtype = getattr(torch, wanted.dtype)
    if is_gguf(source):
        with reading(find_gguf(source)) as gguf:
            model = gguf.model(dtype, progress)
    else:
        with loading(source):
            model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, **WEIGHTS)
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise ConfigError(
            f"{source}: its tokenizer has {len(tokenizer):,} tokens, and its model {rows:,} rows for them"
        )
    for key in ("bos", "eos", "pad"):
        setattr(model.config, f"{key}_token_id", getattr(tokenizer, f"{key}_token_id"))
    save_model(model, tokenizer, directory)
    _check_saved(source, tokenizer, directory)
    return model, origin


def _check_saved(source: str, tokenizer: Any, directory: Path) -> None:
    """What was written is read again: it must be the tokenizer that was looked at."""
    again = load_tokenizer(str(directory))
    texts = [*([round_trips.rendered(tokenizer)] if tokenizer.chat_template else []), *round_trips.TEXTS]
    changed = [
        name
        for name in ("eos_token", "pad_token", "bos_token", "chat_template")
        if getattr(again, name) != getattr(tokenizer, name)
    ]
    if any(again.encode(text) != tokenizer.encode(text) for text in texts):
        changed.append("tokens")
    if changed:
        raise ConfigError(
            f"{source}: its tokenizer is another one when it is saved and read again ({', '.join(changed)}); take the "
            "model's own repository on the Hub"
        )


def _gguf_origin(gguf: GGUF) -> Origin:
    url = str(gguf.get("general.base_model.0.repo_url") or gguf.get("general.repo_url") or "")
    repo = url.removeprefix("https://huggingface.co/").strip("/")
    return Origin(repo if repo.count("/") == 1 else None, gguf.get("general.license"))


def card_origin(directory: Path) -> Origin:
    """What the card of a model's directory says. A download of the Hub is named by who asked for it."""
    from huggingface_hub import RepoCard

    card = directory / "README.md"
    if not card.is_file():
        return Origin()
    said = RepoCard.load(card, ignore_metadata_errors=True).data.to_dict().get("license")
    return Origin(licence=said if isinstance(said, str) else None)
