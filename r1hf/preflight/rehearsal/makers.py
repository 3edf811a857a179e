"""The stages that make the models which a stage reads: those of its graph, or the YAML files beside its own."""

from __future__ import annotations

from pathlib import Path

from r1hf.core.errors import ConfigError
from r1hf.core.yamlfile import read_yaml
from r1hf.pipeline.graph import Graph
from r1hf.preflight.recipes import find_recipe
from r1hf.preflight.rehearsal.miniature import Known


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
        values = dict(read_yaml(spec.config).values)
        for key, reference in spec.inputs.items():
            if isinstance(reference, str):
                values[key] = str(graph.run_dir / reference)
        found.append(Known(graph.output_dir(name), spec.recipe.stem, values))
    return found
