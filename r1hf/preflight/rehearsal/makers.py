"""Which architecture a model has that is not here: that of the stage that will make it, of the Hub, or built in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.files import read_object
from r1hf.core.given import said
from r1hf.core.graph import Graph, input_paths, load_graph
from r1hf.core.yamlfile import read_yaml, read_yamls
from r1hf.models.gguf_file import gguf_config, is_gguf
from r1hf.models.shapes import BUILT_IN, base_of, built_in_name, config_file
from r1hf.pipeline.recipes import find_recipe, recipe_directory


@dataclass(frozen=True)
class Maker:
    """A stage that makes models: where, by which recipe, and its YAML's values."""

    output_dir: Path
    recipe: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Architecture:
    """The content of config.json, and where it is from, in words."""

    config: Mapping[str, Any]
    origin: str


def makers_of(config: Path, graph: Graph | None) -> list[Maker]:
    """The stages of the graph, given or that `config` is a stage of; else those of every YAML file beside `config`."""
    told = said(["--config", str(config)])
    if graph is None and told.graph is not None:
        graph, _ = load_graph(told.graph, recipe_directory(told.graph))
    return _beside(config) if graph is None else _of_graph(graph)


def _beside(config: Path) -> list[Maker]:
    found = []
    for path in sorted(config.resolve().parent.glob("*.yaml")):
        values = read_yaml(path).values
        place = values.get("output_dir")
        if isinstance(place, str):
            try:
                found.append(Maker(Path(place), find_recipe(path).stem, values))
            except ConfigError:
                continue  # a file of another kind
    return found


def _of_graph(graph: Graph) -> list[Maker]:
    found = []
    for name, spec in graph.stages.items():
        values = read_yamls(spec.configs).values | spec.settings
        values |= {key: input_paths(graph.run_dir, value) for key, value in spec.inputs.items()}
        found.append(Maker(graph.output_dir(name), spec.recipe.stem, values))
    return found


def architecture(source: str, makers: Sequence[Maker] = (), _seen: tuple[str, ...] = ()) -> Architecture:
    """Of a directory, a Hub id in the cache, what one of `makers` will make, a model built in, or of the Hub.

    Raises ConfigError where none of them knows `source`.
    """
    if is_gguf(source):
        return Architecture(gguf_config(source), f"the header of {source}")
    file = config_file(source)
    if file is not None:
        config = read_object(file)
        if "base_model_name_or_path" in config:
            return architecture(base_of(file, config), makers, _seen)
        return Architecture(config, str(file))
    for maker in makers:
        own = Path(source)
        if source not in _seen and (own == maker.output_dir or maker.output_dir in own.parents):
            return _of_stage(own, maker, makers, (*_seen, source))
    name = built_in_name(source)
    if name is not None:
        return Architecture(BUILT_IN[name], f"{name}, built in")
    return Architecture(_from_hub(source), f"config.json of {source}")


def _of_stage(source: Path, maker: Maker, makers: Sequence[Maker], seen: tuple[str, ...]) -> Architecture:
    models = maker.values.get("models")
    if maker.recipe == "base" and isinstance(models, Mapping) and models:
        name = source.name if source != maker.output_dir else next(iter(models))
        if name in models:
            shape = {"tie_word_embeddings": True, **models[name]}
            return Architecture({"model_type": shape.get("architecture"), **shape}, f"'{name}' of {maker.output_dir}")
    base = maker.values.get("model")
    if maker.recipe == "import_model" and (taken := maker.values.get("base_model")):
        base = taken  # what is taken in may not be here yet
    if not isinstance(base, str):
        raise ConfigError(f"{source}: the stage {maker.output_dir} names no model of which it could be made")
    return architecture(base, makers, seen)


def _from_hub(source: str) -> dict[str, Any]:
    """config.json alone, some kilobytes."""
    from huggingface_hub import hf_hub_download

    repo, _, revision = source.partition("@")
    advice = f"try a known model of the same kind, --set model=Qwen/{next(iter(BUILT_IN))}"
    if source.count("/") != 1 or source.startswith((".", "/")) or Path(source.split("/")[0]).exists():
        raise ConfigError(f"{source}: not here, and no YAML beside makes it; run its stage first, or {advice}")
    try:
        file = hf_hub_download(repo, "config.json", revision=revision or None)
        return read_object(Path(file))
    except Exception as error:  # the Hub's client raises what it likes
        reason = " ".join(str(error).split())[:150]
        raise ConfigError(
            f"{source}: its architecture is neither here nor built in, and not available ({reason}); {advice}"
        ) from error
