"""The app as a Space: its folder and the modules of r1hf that it imports, alone, without torch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from chat_servers import APP, NO_GRADIO, ROOT, Server, free_port

pytest.importorskip("gradio", reason=NO_GRADIO)

HEAVY = ("torch", "transformers", "trl", "vllm", "datasets", "accelerate", "peft")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `r1hf push --space` uploads."""
    from r1hf.publish.space import modules

    space = tmp_path_factory.mktemp("space") / "files"
    shutil.copytree(APP, space, ignore=shutil.ignore_patterns("__pycache__"))
    for module in modules([path for path in APP.rglob("*.py")]):
        place = space / module.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, place)
    return space


def test_it_imports_itself_only_and_nothing_heavy(folder: Path) -> None:
    code = f"""import sys; sys.path.insert(0, {str(folder)!r})
import r1chat.page, r1hf, json
r1chat.page.Page(r1chat.page.Shared(r1chat.page.Settings()))
print(json.dumps([r1hf.__file__, [name for name in {HEAVY!r} if name in sys.modules]]))"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder.parent)
    assert run.returncode == 0, run.stderr
    place, heavy = json.loads(run.stdout.splitlines()[-1])
    assert Path(place).is_relative_to(folder) and heavy == []


def test_it_starts_without_a_server_behind_it(folder: Path) -> None:
    port = free_port()
    env = {"R1HF_CHAT_PORT": str(port), "R1HF_BACKEND": f"http://127.0.0.1:{free_port()}/v1", "PYTHONPATH": ""}
    server = Server([sys.executable, "app.py"], port, "/config", env, cwd=folder).start()
    try:
        with urllib.request.urlopen(server.url + "/") as answer:
            assert "img-src 'self' data: blob:" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
    finally:
        server.stop()


def test_the_readme_is_a_spaces() -> None:
    front = (APP / "README.md").read_text(encoding="utf-8").split("---")[1]
    values = dict(re.findall(r"^(\w+): (.+)$", front, re.MULTILINE))
    assert values["sdk"] == "gradio" and (APP / values["app_file"]).is_file()
    assert f"gradio=={values['sdk_version']}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert len(values["short_description"]) <= 60
    wanted = (APP / "requirements.txt").read_text(encoding="utf-8")
    assert not any(re.search(rf"^{name}\b", wanted, re.MULTILINE) for name in (*HEAVY, "gradio"))


def test_the_page_writes_no_file_beside_its_source(folder: Path) -> None:
    assert list(APP.rglob("*.pyi")) == [] and list(folder.rglob("*.pyi")) == []
