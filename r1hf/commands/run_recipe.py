"""Run a recipe by its name, with a configuration of r1hf's own or a file of yours.

  r1hf recipe                                      the recipes and the configurations that there are
  r1hf recipe r1_zero --config tiny                with recipes/configs/tiny/r1_zero.yaml
  r1hf recipe r1_zero --config tiny --max_steps 20
  r1hf recipe sft --config mine/sft.yaml --learning_rate 1e-5
  r1hf recipe pipeline --config tiny --list        the whole graph; r1hf demo is recipe pipeline --config tiny

Every other word is the recipe's own (r1hf recipe r1_zero --help). Stages whose outputs it reads and that have not
run yet are run first. Outputs go below the working directory. Recipes of a directory `recipes/` here, as `r1hf init`
makes one, come before the packaged ones. Exit status: 0 done, 2 something must be mended, else as the recipe ended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from r1hf.core.errors import ConfigError
from r1hf.core.graph import GRAPH_FILE, Graph, StageSpec, load_graph
from r1hf.core.packaged import packaged
from r1hf.core.places import MANIFEST
from r1hf.core.yamlfile import nearest

_ASKED = ("--help", "-h", "--list", "--dry_run", "--dry-run")  # then nothing is run, so nothing is needed
_PIPELINE = "pipeline"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the list of recipes and configurations as JSON")
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="its name; without one, what there is")
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="…",
        help="--config NAME|FILE, --stage, --list, --dry_run, or --key value of its own",
    )


def run(options: argparse.Namespace) -> int:
    recipes = directory()
    if options.recipe is None:
        print(json.dumps(listed(recipes), indent=2) if options.json else overview(recipes))
        return 0
    names = sorted(path.stem for path in recipes.glob("*.py"))
    if options.recipe not in names:
        raise ConfigError(f"{recipes} has no recipe '{options.recipe}'; {nearest(options.recipe, names)}")
    script = recipes / f"{options.recipe}.py"
    words, config = _config(list(options.words))
    start = [sys.executable]
    if config is not None and not Path(config).is_file():
        file, stage = _found(recipes, options.recipe, config, words)
        words = ["--config", str(file), *words]
        if stage is not None:
            graph, spec = stage
            start = spec.launch.start()
            if not any(word in _ASKED for word in words) and (status := _upstream(recipes, graph, spec)):
                return status
    elif config is not None:
        words = ["--config", config, *words]
    return subprocess.run([*start, str(script), *words]).returncode


def directory() -> Path:
    """Where the recipes are: here, else the packaged ones. Raises ConfigError where there are none."""
    for place in (Path("recipes"), packaged("recipes")):
        if (place / "pipeline.py").is_file():
            return place
    raise ConfigError(f"no recipes at {packaged('recipes')}: install r1hf again, or run in its checkout")


def overview(recipes: Path) -> str:
    """The recipes with their first line, and the configurations."""
    there = listed(recipes)
    lines = [f"  {name:<20}{head}" for name, head in there["recipes"].items()]
    configurations = f"configurations (--config): {', '.join(there['configurations'])}"
    return "\n".join([f"recipes in {recipes}:", *lines, "", configurations])


def listed(recipes: Path) -> dict[str, Any]:
    heads = {
        path.stem: path.read_text(encoding="utf-8").split('"""')[1].strip().splitlines()[0]
        for path in sorted(recipes.glob("*.py"))
    }
    return {"directory": str(recipes), "recipes": heads, "configurations": folders(recipes)}


def folders(recipes: Path) -> list[str]:
    """The configurations that have a graph, as --config names them."""
    configs = recipes / "configs"
    return sorted(path.parent.relative_to(configs).as_posix() for path in configs.rglob(GRAPH_FILE))


def _config(words: list[str]) -> tuple[list[str], str | None]:
    """The words without --config, and its value."""
    for place, word in enumerate(words):
        if word == "--config" and place + 1 < len(words):
            return words[:place] + words[place + 2 :], words[place + 1]
        if word.startswith("--config="):
            return words[:place] + words[place + 1 :], word.partition("=")[2]
    return words, None


def _value(words: list[str], key: str) -> str | None:
    found = [word.partition("=")[2] for word in words if word.startswith(f"{key}=")]
    return words[words.index(key) + 1] if key in words[:-1] else found[-1] if found else None


def _found(recipes: Path, recipe: str, config: str, words: list[str]) -> tuple[Path, tuple[Graph, StageSpec] | None]:
    """The file that a configuration's name stands for, and the stage that it is of the graph beside it.

    Raises ConfigError.
    """
    folder = Path(config) if Path(config).is_dir() else recipes / "configs" / config
    if not folder.is_dir():
        names = folders(recipes)
        raise ConfigError(f"--config {config}: no such file, and no such configuration; {nearest(config, names)}")
    graph_file = folder / GRAPH_FILE
    if recipe == _PIPELINE or not graph_file.is_file():
        return _file(folder, recipe), None
    graph, problems = load_graph(graph_file, recipes, _value(words, "--run_dir"))
    if problems:
        raise ConfigError(problems)
    wanted = _value(words, "--stage")
    stages = [spec for spec in graph.stages.values() if spec.recipe.stem == recipe and wanted in (None, spec.name)]
    if len(stages) > 1:
        stages = [spec for spec in stages if spec.name == recipe] or stages
    if len(stages) == 1:
        if wanted is None:
            words += ["--stage", stages[0].name]
        return graph_file, (graph, stages[0])
    if stages:
        several = ", ".join(spec.name for spec in stages)
        raise ConfigError(
            f"--config {config}: several of its stages are made by {recipe}: add --stage, one of {several}"
        )
    return _file(folder, recipe), None


def _file(folder: Path, recipe: str) -> Path:
    path = folder / f"{recipe}.yaml"
    if not path.is_file():
        there = sorted(one.stem for one in folder.glob("*.yaml"))
        raise ConfigError(f"{folder} has no {recipe}.yaml; {nearest(recipe, there)}")
    return path


def _upstream(recipes: Path, graph: Graph, spec: StageSpec) -> int:
    """Runs the stages above that are not there; the pipeline's exit status."""
    needed: list[str] = []
    waiting = list(spec.parents)
    while waiting:
        name = waiting.pop()
        if name not in needed and not (graph.output_dir(name) / MANIFEST).is_file():
            needed.append(name)
            waiting += graph.stages[name].parents
    if not needed:
        return 0
    ordered = [name for name in graph.stages if name in needed]
    seconds = sum(graph.stages[name].seconds or 0 for name in ordered)
    about = f", about {max(1, round(seconds / 60))} min on two cores" if seconds else ""
    print(f"{spec.name} reads {', '.join(ordered)}, which {'are' if ordered[1:] else 'is'} not there: first{about}")
    sys.stdout.flush()
    words = ["--config", str(graph.file), "--run_dir", str(graph.run_dir), "--only", ",".join(ordered)]
    return subprocess.run([sys.executable, str(recipes / "pipeline.py"), *words]).returncode
