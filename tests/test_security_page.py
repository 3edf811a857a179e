"""What SECURITY.md and docs/sandbox.md promise is held by tests that exist, and the workflows run what is pinned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from skipped_here import functions

from r1hf.commands.serve import add_arguments
from r1hf.sandbox.backends import ORDER

ROOT = Path(__file__).resolve().parents[1]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
PROMISES = SECURITY.split("\n## Reporting")[0].split("\n- ")[1:]
WORKFLOWS = sorted((ROOT / ".github").rglob("*.y*ml"))
NAMED = re.compile(r"`(?:(tests/[\w/]+\.py))?(?:::)?(test_\w+)?`")


def missing(text: str) -> list[str]:
    """Tests that `text` names and that are not there; one without a file is in the file named before it."""
    found, file = [], ROOT / "nowhere"
    for path, name in NAMED.findall(text):
        file = ROOT / path if path else file
        if (path or name) and (not file.is_file() or (name and name not in functions(file))):
            found.append(f"{path}::{name}")
    return found


@pytest.mark.parametrize("promise", PROMISES, ids=lambda text: text.split("**")[1][:40])
def test_a_promise_names_tests_that_exist(promise: str) -> None:
    assert "`tests/" in promise, "no test is named"
    assert not missing(promise)


def test_a_name_that_is_none_is_seen() -> None:
    assert missing("`tests/test_security_page.py::test_nothing` `test_none`") and missing("`tests/test_none.py`")
    assert not missing("`tests/test_security_page.py`, `test_a_name_that_is_none_is_seen`, `r1hf/core/files.py`")


@pytest.mark.parametrize("page", ["docs/sandbox.md", "docs/hub.md", "docs/serving.md"])
def test_a_page_names_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not [name for name in re.findall(r"`((?:tests|r1hf)/[\w/]+\.\w+)`", text) if not (ROOT / name).exists()]


def test_the_sandboxes_are_those_of_the_page() -> None:
    text = (ROOT / "docs/sandbox.md").read_text(encoding="utf-8")
    (head,) = re.findall(r"^\| \|((?: `\w+` \|){2,})$", text, re.MULTILINE)
    assert re.findall(r"`(\w+)`", head) == list(ORDER)


def test_a_server_listens_on_this_machine_alone_unless_told() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args(["runs/x"]).host == "127.0.0.1"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_may_only_read(file: Path) -> None:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    used = re.findall(r"uses:\s*(\S+)", file.read_text(encoding="utf-8"))
    assert used and not [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one)]
    assert content["permissions"] == {"contents": "read"}


def test_the_sandbox_that_needs_a_package_is_tried_where_it_can_be_had() -> None:
    for file in (ROOT / ".ci/run", *WORKFLOWS):
        text = file.read_text(encoding="utf-8")
        assert re.search(r"bubblewrap", text) and re.search(r"apt-get install[^\n]*(\|\||\\?\n\s*\|\|)|\|\|\n", text)
