"""The `r1hf` command: help, versions, wrong names."""

import importlib

import pytest

import r1hf
from r1hf.commands.main import COMMANDS, main


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
    assert importlib.import_module(COMMANDS[name][0]).__doc__
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"r1hf {name}" in capsys.readouterr().out
