"""The stages that make the models which a stage reads: those of its graph, or the YAML files beside its own."""

from __future__ import annotations

from pathlib import Path

from r1hf.core.errors import ConfigError
from r1hf.core.graph import Graph, input_paths
from r1hf.core.yamlfile import read_yaml, read_yamls
from r1hf.dryrun.miniature import Known
from r1hf.pipeline.recipes import find_recipe


def beside(config: Path) -> list[Known]:
    """Every stage's YAML in the directory of `config`."""
    found = []
    for path in sorted(config.resolve().parent.glob("*.yaml")):
        values = read_yaml(path).values
        place = values.get("output_dir")
        if isinstance(place, str):
            try:
                found.append(Known(Path(place), find_recipe(path).stem, values))
            except ConfigError:
                continue  # a file of another kind
    return found


def of_graph(graph: Graph) -> list[Known]:
    """Every stage of a graph, its inputs as the graph gives them."""
    found = []
    for name, spec in graph.stages.items():
        values = read_yamls(spec.configs).values | spec.settings
        values |= {key: input_paths(graph.run_dir, value) for key, value in spec.inputs.items()}
        found.append(Known(graph.output_dir(name), spec.recipe.stem, values))
    return found
