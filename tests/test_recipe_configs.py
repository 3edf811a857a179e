"""Every YAML under recipes/configs: read as for its launch, explained line by line, and tried on miniatures."""

from __future__ import annotations

import dataclasses
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from small_run import ROOT

from r1hf.core.config import input_fields, jsonable
from r1hf.core.launch import opening
from r1hf.core.yamlfile import read_yaml
from r1hf.doctor.recipe import find_recipe
from r1hf.dryrun.jobs import job_of, jobs
from r1hf.dryrun.run import dry_run, read_as_launched
from r1hf.pipeline.check import load_recipe

CONFIGS = ROOT / "recipes" / "configs"
FRAGMENT = "No stage of its own"  # what a file that others extend opens with


def name(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


@cache
def keys(path: Path) -> frozenset[str]:
    return frozenset(read_yaml(path).values)


FILES = sorted(CONFIGS.rglob("*.yaml"))
PIPELINES = [path for path in FILES if "stages" in keys(path)]
FRAGMENTS = [path for path in FILES if opening(path).startswith(FRAGMENT)]
STAGES = [path for path in FILES if path not in PIPELINES and path not in FRAGMENTS]


def test_there_are_files() -> None:
    assert {path.parent.name for path in PIPELINES} >= {"tiny", "tiny-moe"} and len(STAGES) > 20


@pytest.mark.parametrize("path", FILES, ids=name)
def test_it_is_sound_yaml(path: Path) -> None:
    assert not read_yaml(path).problems
    lines = path.read_text(encoding="utf-8").splitlines()
    assert all(len(line) <= 135 or line.startswith("# accelerate launch ") for line in lines)


@pytest.mark.parametrize("path", STAGES + PIPELINES, ids=name)
def test_it_opens_with_launch_and_hardware(path: Path) -> None:
    head = opening(path)
    recipe = "pipeline" if path in PIPELINES else find_recipe(path).stem
    first = head.splitlines()[0]
    assert re.match(r"(accelerate launch|python|sbatch) ", first), first
    assert f"recipes/{recipe}.py" in first or ("slurm/pipeline.sbatch" in first and recipe == "pipeline")
    assert f"recipes/configs/{name(path)}" in first, "the command names another file"
    assert "\nHardware: " in head
    for file in re.findall(r"recipes/(?:accelerate|slurm)/\S+\.(?:yaml|sbatch)", head):
        assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("path", FRAGMENTS, ids=name)
def test_a_fragment_is_extended(path: Path) -> None:
    extending = [other for other in FILES if str(path.resolve()) in _bases(other)]
    assert extending, "no file extends it"


def _bases(path: Path) -> set[str]:
    found = re.search(r"^extends: *(.+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return (
        {str((path.parent / base).resolve()) for base in re.findall(r"[\w./-]+\.yaml", found[1])} if found else set()
    )


@pytest.mark.parametrize("path", STAGES, ids=name)
def test_it_passes_as_on_the_machine_of_its_launch(path: Path) -> None:
    read_as_launched(job_of(find_recipe(path), ["--config", str(path)], path))  # raises with all problems


@pytest.mark.parametrize("path", PIPELINES, ids=name)
def test_every_stage_of_a_pipeline_passes(path: Path) -> None:
    for job in jobs(path):
        read_as_launched(job)


@pytest.mark.parametrize("path", STAGES, ids=name)
def test_every_value_that_is_no_default_has_its_reason(path: Path) -> None:
    schemas = load_recipe(find_recipe(path)).CONFIGS  # type: ignore[attr-defined]
    exempt = input_fields(schemas) | {"output_dir"}
    file = read_yaml(path)
    bare = [
        f"{file.where(key)}: {key}"
        for key, value in file.values.items()
        if key not in exempt
        and "r1hf/tasks/" not in file.where(key)  # a benchmark's own page, explained in its head
        and not _is_default(schemas, key, value)
        and not _explained(file.where(key))
    ]
    assert not bare, "no reason in the line:\n" + "\n".join(bare)


def _is_default(schemas: tuple[type, ...], key: str, value: Any) -> bool:
    found = [item for schema in schemas for item in dataclasses.fields(schema) if item.name == key]
    return bool(found) and jsonable(found[0].default) == value and found[0].default is not dataclasses.MISSING


def _explained(where: str) -> bool:
    """A comment in the lines of the value: from its key to the next key."""
    place, _, number = where.rpartition(":")
    lines = Path(place).read_text(encoding="utf-8").splitlines()[int(number) - 1 :]
    own = [lines[0]]
    for line in lines[1:]:
        if re.match(r"[\w\"']", line):
            break
        own.append(line)
    while own[-1].startswith("#"):  # of the next key
        own.pop()
    return any(re.search(r"(^|\s)# *\S", line) for line in own)


@pytest.mark.slow
@pytest.mark.parametrize("path", STAGES, ids=name)
def test_a_stage_goes_its_way_on_miniatures_offline(path: Path, tmp_path: Path) -> None:
    words = ["--config", str(path), "--output_dir", str(tmp_path / path.stem)]
    report = dry_run(job_of(find_recipe(path), words, path))
    assert report.passed and report.built, str(report)
    assert [made.name for made in tmp_path.iterdir()] == [f"{path.stem}.dry-run.yaml"]
