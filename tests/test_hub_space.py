"""The chat app as a Space: what is sent, and that it can be imported there alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hub_run import TOKEN, environment, python
from hub_server import HubServer
from small_run import ROOT

from r1hf.core.errors import R1Error
from r1hf.publish.space import modules, space_target

README = "---\ntitle: Chat\nsdk: gradio\napp_file: app.py\n---\n# Chat\n"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "chat").mkdir(parents=True)
    (folder / "README.md").write_text(README)
    (folder / "app.py").write_text(
        "import chat.view\nfrom r1hf.text.grammar import parse\nprint(parse('<think>a</think> b'))\n"
    )
    (folder / "chat/view.py").write_text("from r1hf.core import errors\n")
    (folder / "chat/__pycache__").mkdir()
    (folder / "chat/__pycache__/view.pyc").write_bytes(b"x")
    return folder


def test_the_app_goes_with_the_modules_that_it_needs(app: Path, tmp_path: Path) -> None:
    target = space_target("me/chat", "me/tiny-r1", app)
    assert (target.place.repo, target.place.repo_type, target.main) == ("me/chat", "space", True)
    paths = {item.path for item in target.uploads}
    assert {
        "README.md",
        "app.py",
        "chat/view.py",
        "r1hf/__init__.py",
        "r1hf/text/grammar.py",
        "r1hf/core/errors.py",
    } <= paths
    assert not [path for path in paths if "pycache" in path or path.startswith("r1hf/trainers")]
    place = tmp_path / "space"
    for item in target.uploads:
        (place / item.path).parent.mkdir(parents=True, exist_ok=True)
        content = item.source if isinstance(item.source, bytes) else item.source.read_bytes()
        (place / item.path).write_bytes(content)
    # -I: nothing of this checkout is on the path.
    code = f"import sys; sys.path.insert(0, {str(place)!r}); import app, r1hf; print(r1hf.__file__)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert str(place) in done.stdout


PUSH = """
from r1hf.publish.targets import Options, Plan
from r1hf.publish.push import push
from r1hf.publish.space import space_target
from pathlib import Path
print(push(Plan((space_target("me/chat", "me/tiny-r1", Path(APP)),)), Options("me/chat")).sent_files)
"""


def test_it_is_pushed_as_a_gradio_space(app: Path, tmp_path: Path) -> None:
    with HubServer(tmp_path / "hub") as hub:
        hub.store.add_user("me", TOKEN)
        env = environment(hub, tmp_path / "home")
        counts = [python(f"APP = {str(app)!r}\n{PUSH}", env).split()[-1] for _ in range(2)]
        files = hub.store.repos["space", "me/chat"].files()
    assert {"README.md", "app.py", "r1hf/text/grammar.py"} <= set(files)
    assert counts == [str(len(files) - 1), "0"]  # .gitattributes is the Hub's


def test_modules_are_followed_through_each_other() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in modules([ROOT / "r1hf/publish/space.py"])}
    assert {
        "r1hf/publish/targets.py",
        "r1hf/stage/manifest.py",
        "r1hf/core/errors.py",
        "r1hf/publish/__init__.py",
    } <= found


def test_an_app_without_the_spaces_settings_is_refused(app: Path) -> None:
    (app / "README.md").write_text("# Chat\n")
    with pytest.raises(R1Error, match="sdk: gradio"):
        space_target("me/chat", "me/tiny-r1", app)
