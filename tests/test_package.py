"""r1hf outside a checkout: what the wheel holds, and the commands that use it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from r1hf.commands.main import COMMANDS, main
from r1hf.commands.run_recipe import _upstream
from r1hf.core.graph import load_graph
from r1hf.core.packaged import packaged
from r1hf.core.yamlfile import read_yaml

ROOT = Path(__file__).parents[1]
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"]["wheel"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library as the wheel lays it out."""
    place = tmp_path_factory.mktemp("site")
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "r1hf", place / "r1hf", ignore=leave)
    for source, target in WHEEL["force-include"].items():
        shutil.copytree(ROOT / source, place / target, ignore=leave)
    return place


def installed(site: Path, where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    start = "import sys; from r1hf.commands.main import main; sys.exit(main())"
    env = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", start, *words]
    return subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, timeout=600)


def test_recipes_run_from_the_package_and_outputs_stay_in_the_working_directory(site: Path, tmp_path: Path) -> None:
    done = installed(site, tmp_path, "demo", "--list")
    assert done.returncode == 0 and "16 stages: 0 done, 16 run" in done.stdout, done.stderr
    stages = read_yaml(ROOT / "recipes/configs/tiny/pipeline.yaml").values["stages"]
    lines = done.stdout.partition("16 stages: ")[2].splitlines()[1:]
    assert [line.split()[2] for line in lines[: len(stages)]] == list(stages)
    assert f"recipes in {site}/r1hf/packaged/recipes" in installed(site, tmp_path, "recipe").stdout
    assert not list(tmp_path.iterdir())


def test_init_copies_what_is_then_taken_in_place_of_the_package(site: Path, tmp_path: Path) -> None:
    assert installed(site, tmp_path, "init", "mine").returncode == 0
    copied = {path.relative_to(tmp_path / "mine") for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    own = {path.relative_to(ROOT) for path in (ROOT / "recipes").rglob("*") if path.is_file()}
    assert copied == {path for path in own if "__pycache__" not in path.parts}
    assert installed(site, tmp_path / "mine", "recipe").stdout.startswith("recipes in recipes:")


def test_init_writes_nothing_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.py").write_text("x")
    assert main(["init", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "recipes").iterdir()] == ["mine.py"]
    assert main(["init", str(tmp_path / "recipes" / "mine.py")]) == 1
    assert "is a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["r1_zer"], "did you mean 'r1_zero'?"),
        (["r1_zero", "--config", "tniy"], "did you mean 'tiny'?"),
        (["sft", "--config", "tiny"], "add --stage, one of sft1, sft2"),
        (["r1_zero", "--config", "shared"], "has no r1_zero.yaml"),
    ],
)
def test_a_recipe_or_configuration_that_is_not_there(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", *words]) == 1
    assert said in capsys.readouterr().err


def test_stages_above_that_are_not_there_are_run_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes = packaged("recipes")
    graph, _ = load_graph(recipes / "configs" / "tiny" / "pipeline.yaml", recipes, str(tmp_path))
    started = []
    monkeypatch.setattr(
        subprocess, "run", lambda words: started.append(words) or subprocess.CompletedProcess(words, 7)
    )
    assert _upstream(recipes, graph, graph.stages["sft1"]) == 7
    assert started[0][-1] == "base,r1_zero,cold_start" and str(tmp_path) in started[0]
    assert "sft1 reads base, r1_zero, cold_start, which are not there" in capsys.readouterr().out
    for name in ("base", "r1_zero", "cold_start"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    assert _upstream(recipes, graph, graph.stages["sft1"]) == 0 and len(started) == 1


def test_chat_without_a_run_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["chat"]) == 1
    assert "there is no runs/tiny, which r1hf demo makes" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_recipes_and_configurations(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    cases = {"ex": "explain", "explain --col": "--columns", "recipe r1": "r1_zero", "recipe sft --config tin": "tiny"}
    for line, word in cases.items():
        words = ["r1hf", *line.split(" ")]
        ask = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _r1hf; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True)
        assert word in done.stdout.split(), (line, done.stdout, done.stderr)
    assert all(f"      {name}) words=" in script for name in COMMANDS)


@pytest.mark.slow
def test_the_wheel_is_built_with_all_of_it(tmp_path: Path) -> None:
    uv = ROOT / ".uv" / "bin" / "uv"
    if not uv.is_file():
        pytest.skip("uv is not here")
    done = subprocess.run([uv, "build", "--wheel", "-o", tmp_path, ROOT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for source, target in WHEEL["force-include"].items():
        for path in (ROOT / source).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert f"{target}/{path.relative_to(ROOT / source)}" in names
