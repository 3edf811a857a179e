import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import install

# Printed by `pip config list` of pip 26; older ones print the same lines in another order.
LISTING = """\
global.cert='/etc/ssl/company.pem'
global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'
global.find-links='{folder}'
global.index-url='https://one.example/simple'
global.index-url='https://two.example/simple'
install.index-url='https://install.example/simple'
freeze.timeout='10'
:env:.default-timeout='180'
:env:.find-links=''
"""


def fake_pip(listing, **winners):
    def run(*args):
        if args == ("config", "list"):
            return listing
        assert args[:2] == ("config", "get")
        return winners[args[2].replace(".", "_").replace("-", "_")] + "\n"

    return run


def uv_words(listing, environ=None, **winners):
    return install.uv_settings(install.pip_config(fake_pip(listing, **winners)), environ or {})


def test_pip_configuration_is_passed_on(tmp_path):
    flags, env = uv_words(LISTING.format(folder=tmp_path), global_index_url="https://two.example/simple")
    assert flags == [
        *("--find-links", str(tmp_path)),
        *("--default-index", "https://install.example/simple"),
        *("--index", "https://a.example/simple", "--index", "https://b.example/simple"),
        *("--index-strategy", "unsafe-best-match"),
    ]
    assert env["SSL_CERT_FILE"] == "/etc/ssl/company.pem"
    assert env["UV_HTTP_TIMEOUT"] == "180"


def test_pip_decides_between_files_that_set_the_same_option():
    listing = "global.index-url='https://one.example/'\nglobal.index-url='https://two.example/'\n"
    flags, _ = uv_words(listing, global_index_url="https://one.example/")
    assert flags == ["--default-index", "https://one.example/"]


def test_environment_beats_command_section_beats_global():
    lines = ["global.proxy='http://g'", "install.proxy='http://i'", ":env:.proxy='http://e'"]
    for known, expected in ((lines, "http://e"), (lines[:2], "http://i"), (lines[:1], "http://g")):
        _, env = uv_words("\n".join(known))
        assert env["HTTPS_PROXY"] == expected


def test_several_folders_and_missing_ones(tmp_path, capsys):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    given = f"\\n{tmp_path}/one\\n{tmp_path}/gone\\nfile://{tmp_path}/two\\nhttps://wheels.example/list.html"
    flags, _ = uv_words(f"global.find-links='{given}'")
    assert flags[1::2] == [f"{tmp_path}/one", f"file://{tmp_path}/two", "https://wheels.example/list.html"]
    assert f"{tmp_path}/gone" in capsys.readouterr().out


def test_offline_pip_makes_uv_offline():
    assert uv_words(":env:.no-index='1'")[0] == ["--no-index"]
    assert uv_words(":env:.no-index='false'")[0] == []


def test_settings_of_uv_itself_win(tmp_path):
    environ = {
        "UV_FIND_LINKS": "x",
        "UV_INDEX": "y",
        "UV_DEFAULT_INDEX": "z",
        "SSL_CERT_FILE": "mine.pem",
        "UV_HTTP_TIMEOUT": "5",
    }
    flags, env = uv_words(LISTING.format(folder=tmp_path), environ, global_index_url="unused")
    assert flags == []
    assert not env.keys() & environ.keys()


class Shelf:
    """Stands in for uv where only the order of the questions matters: knows what can be had."""

    def __init__(self, *available):
        self.available = available

    def refusal(self, *args):
        return "" if args in self.available else f"cannot have {args}"


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """A machine whose nvidia-smi runs, or fails, as on a machine with tools but no GPU."""

    def set_up(works):
        smi = tmp_path / "nvidia-smi"
        smi.write_text(f"#!/bin/sh\nexit {0 if works else 9}\n")
        smi.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        monkeypatch.setattr(sys, "platform", "linux")

    return set_up


CPU, CUDA = "torch==2.13.0+cpu", "torch==2.13.0,!=2.13.0+cpu"


@pytest.mark.parametrize(
    ("works", "choice", "available", "expected"),
    [
        (False, "auto", [(CPU,), (CPU, "--torch-backend=cpu")], [CPU]),
        (False, "auto", [(CPU, "--torch-backend=cpu")], [CPU, "--torch-backend=cpu"]),
        (True, "auto", [(CPU,), (CUDA,), (CUDA, "--torch-backend=auto")], [CUDA, "--torch-backend=auto"]),
        (True, "auto", [(CPU,), (CUDA,)], [CUDA]),
        (True, "cpu", [(CPU,), (CUDA,)], [CPU]),
        (True, "cu130", [], ["torch==2.13.0", "--torch-backend=cu130"]),
        (False, "default", [], ["torch==2.13.0"]),
    ],
)
def test_build_of_torch(gpu, works, choice, available, expected):
    gpu(works)
    assert install.choose_torch(Shelf(*available), "2.13.0", choice)[0] == expected


@pytest.mark.parametrize(("works", "advice"), [(False, "PIP_FIND_LINKS="), (True, "R1HF_TORCH=cpu")])
def test_no_build_of_torch_says_why_and_what_to_do(gpu, capsys, works, advice):
    gpu(works)
    with pytest.raises(SystemExit) as stop:
        install.choose_torch(Shelf((CPU,)) if works else Shelf(), "2.13.0", "auto")
    said = capsys.readouterr().err
    assert stop.value.code == 1
    assert advice in said and "cannot have" in said and "2.13.0" in said


def test_other_systems_take_the_default_build(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert install.choose_torch(Shelf(), "2.13.0", "auto")[0] == ["torch==2.13.0"]


def test_pinned_set_fits_what_the_project_asks_for():
    pins = dict(line.split(";")[0].strip().split("==") for line in install.PINS.read_text().splitlines()[2:])
    project = tomllib.loads((install.ROOT / "pyproject.toml").read_text())["project"]
    asked = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    for requirement in map(Requirement, asked):
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    assert install.pinned_torch() == pins["torch"] and "+" not in pins["torch"]
