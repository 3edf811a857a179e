"""The starting point where it is a pretrained model: taken in once, mended, and from then on a stage like any other.

The paper starts from DeepSeek-V3-Base. Here `model` is a Hub id (the ordinary way, with a network), a directory, a
GGUF file, or `package:NAME`, an installed Python package that brings one. What comes out is an ordinary directory:
safetensors, the end token that the chat template writes, a token of its own to pad with. The manifest keeps the
licence and what the model was made from, so that the cards of all that is trained from it can say so.

In:  model.
Out: the model.
Run: accelerate launch recipes/import_model.py --config recipes/configs/smollm2-135m/base.yaml
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from r1hf.commands.recipe import begin, run
from r1hf.core.config import Parsed, StageConfig
from r1hf.core.errors import ConfigError
from r1hf.core.progress import Progress
from r1hf.models.gguf_file import find_gguf, is_gguf
from r1hf.models.intake import Origin, Wanted, look, take_in
from r1hf.stage.given_inputs import preflight_inputs
from r1hf.stage.stage import Stage
from r1hf.trainers.training_tokenizer import TemplateConfig


@dataclass(kw_only=True)
class ImportConfig(TemplateConfig, StageConfig):
    """A model from elsewhere."""

    model: str = field(metadata={"input": True, "help": "Hub id, directory, GGUF file, or package:NAME"})
    dtype: Literal["bfloat16", "float32"] = field(
        default="bfloat16", metadata={"help": "of the weights that are written; trainers read both"}
    )
    base_model: str | None = field(
        default=None, metadata={"help": "Hub id that the model was made from, where it does not say so itself"}
    )
    licence: str | None = field(
        default=None, metadata={"help": "the model's licence (apache-2.0), where it does not say so itself"}
    )


CONFIGS = (ImportConfig,)


def wanted(config: ImportConfig) -> Wanted:
    return Wanted(config.dtype, config.chat_template, config.prefill_think)


def preflight(parsed: Parsed) -> None:
    preflight_inputs(parsed)
    config = parsed.configs[0]
    if config is None or "model" in parsed.planned:
        return
    if config.prefill_think and config.chat_template is None:
        parsed.problems.append("prefill_think: needs chat_template too (auto, qwen or llama)")
    try:
        if is_gguf(config.model):
            config.model = parsed.inputs["model"] = str(find_gguf(config.model))
        if Path(config.model).exists():
            origin_of(config, look(config.model, wanted(config))[1])
    except ConfigError as error:
        parsed.problems += [f"model: {problem}" for problem in error.problems]


def origin_of(config: ImportConfig, found: Origin) -> Origin:
    """What the model says of itself, completed by the configuration. Raises ConfigError where they differ."""
    if config.licence and found.licence and config.licence != found.licence:
        raise ConfigError(
            f"{config.model} has the licence {found.licence}, and the configuration says {config.licence}"
        )
    return Origin(config.base_model or found.base_model, config.licence or found.licence, found.notes)


def shown(stage: Stage, names: list[str]) -> Iterator[str]:
    with Progress(stage.name, len(names), "tensor") as progress:
        for name in names:
            yield name
            progress.update()


def main(argv: list[str] | None = None) -> None:
    with begin(CONFIGS, preflight, argv, __file__) as stage:
        config = stage.parsed.configs[0]
        if not stage.main_process:
            return
        model, found = take_in(config.model, stage.work, wanted(config), lambda names: shown(stage, names))
        origin = origin_of(config, found)
        for note in origin.notes:
            stage.say(f"note: {note}")
        about = {"base_model": origin.base_model, "licence": origin.licence}
        stage.finish({"parameters": model.num_parameters(), "dtype": config.dtype, **about})


if __name__ == "__main__":
    run(main)
