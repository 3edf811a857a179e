"""The `r1hf` command: help, versions, wrong names."""

import errno
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import r1hf
from r1hf.commands.main import COMMANDS, main
from r1hf.commands.recipe import run_script

ROOT = Path(__file__).parents[1]


def test_without_a_command_the_list_of_commands_is_shown(capsys):
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_a_mistyped_command_is_answered_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["explian"])
    assert stop.value.code == 2
    assert "did you mean 'explain'?" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert r1hf.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    assert "Exit status" in (importlib.import_module(COMMANDS[name][0]).__doc__ or "")
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"r1hf {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["recipe", "--json"], "configurations"),
        (["evaluate", "--list", "--json"], "benchmark"),
        (["rollouts", "tests/fixtures/runs/all_right", "--json"], "rollouts"),
        (["explain", "tests/fixtures/runs/all_right", "--json"], "headline"),
        (["init", "copy", "--json"], "recipes"),
    ],
)
def test_what_prints_results_prints_json(words, key, tmp_path, monkeypatch, capsys):
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    assert main(words) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert key in (found[0] if isinstance(found, list) else found)


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("{r1hf} explain > /dev/full", 1, "r1hf explain: [Errno 28] No space left on device; make room and repeat"),
        ("{r1hf} explain | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}", 0, ""),
        ("{python} recipes/push.py nowhere --repo a/b > /dev/full", 1, "nowhere does not exist"),
    ],
)
def test_output_that_cannot_be_written(line, status, said):
    start = "import sys; from r1hf.commands.main import main; sys.exit(main())"
    places = {"python": sys.executable, "r1hf": f"{sys.executable} -c '{start}'"}
    done = subprocess.run(["bash", "-c", line.format(**places)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == status and said in done.stderr and "Error:" not in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_place_that_is_forbidden_or_full_is_a_sentence(number, monkeypatch, capsys):
    def fail(*given):
        raise OSError(number, os.strerror(number), "/somewhere/x")

    monkeypatch.setattr("r1hf.commands.explain.run", fail)
    assert main(["explain"]) == 1
    with pytest.raises(SystemExit) as ended:
        run_script(fail)
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and len(said) == 2
    assert all("'/somewhere/x'; " in line and re.search("room|permissions", line) for line in said)
