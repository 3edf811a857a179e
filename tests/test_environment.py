"""What the processes that r1hf starts see of its environment: what they need, and nobody's secrets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import psutil
import pytest

from r1hf.core.environment import HUB_TOKENS, child_environment, narrowed
from r1hf.text.renderer import Renderer
from r1hf.verify import gym, pool

SECRETS = {
    **dict.fromkeys(("GITHUB_PAT", "GITHUB_TOKEN", "MYSQL_PWD", "PGPASSWORD", "REDIS_AUTH", "OPENAI_API_KEY"), "x"),
    **dict.fromkeys(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "VLLM_API_KEY", "R1HF_API_KEY", "R1HF_LOGIN"), "x"),
    **dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "SSH_AUTH_SOCK", "KUBECONFIG", "MY_COMPANY"), "x"),
    "DATABASE_URL": "postgres://me:secret@db/x",
    "HTTPS_PROXY": "http://me:secret@proxy:1",
    "HF_ENDPOINT": "https://me:secret@hub.example",
    "PYTHON_NOTE": "ghp_" + "a" * 36,
}
NEEDED = {
    **dict.fromkeys(("CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "LC_ALL"), "1"),
    **dict.fromkeys(("VLLM_LOGGING_LEVEL", "OMP_NUM_THREADS", "NCCL_DEBUG", "TOKENIZERS_PARALLELISM"), "1"),
}


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECRETS | NEEDED).items():
        monkeypatch.setenv(name, value)


def seen() -> dict[str, str]:
    return dict(item.split("=", 1) for item in Path("/proc/self/environ").read_text().split("\0") if "=" in item)


def of_a_child(environment: Mapping[str, str]) -> set[str]:
    code = "import os; print(*os.environ, sep='\\n')"
    return set(
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout.split()
    )


MADE: dict[str, Callable[[], dict[str, str]]] = {
    "engine": lambda: child_environment({}),
    "judge": pool.worker_environment,
    "gym": gym.worker_environment,
}


@pytest.mark.parametrize("child", MADE)
def test_a_child_sees_what_it_needs_and_no_secret(full: None, child: str):
    found = of_a_child(MADE[child]())
    assert not found & set(SECRETS)
    assert found >= {"PATH", "HOME", *NEEDED}


def test_only_a_process_that_downloads_gets_the_token_of_the_hub(full: None):
    assert set(child_environment({}, names=HUB_TOKENS)) & set(SECRETS) == {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}


def test_the_chat_gets_its_settings_but_no_key_that_is_not_its_own(full: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("R1HF_MAX_TOKENS", "128")
    monkeypatch.setenv("R1HF_TOKENS", "abc")
    found = child_environment({"R1HF_BACKEND_KEY": "x"}, ("R1HF_",))
    assert set(found) & set(SECRETS) == {"R1HF_LOGIN"} and found["R1HF_BACKEND_KEY"] == "x"
    assert found["R1HF_MAX_TOKENS"] == "128" and "R1HF_TOKENS" not in found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_renders_a_models_template_has_no_secret(full: None):
    renderer, before = Renderer(), set(psutil.Process().children())
    try:
        assert renderer.render("{{ messages[0]['content'] }}", [{"role": "user", "content": "hi"}]) == "hi"
        (process,) = set(psutil.Process().children()) - before
        assert not set(process.environ()) & set(SECRETS)
    finally:
        renderer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_that_a_library_starts_inherit_no_secret(full: None):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as workers:
        with narrowed():
            os.environ["SET_MEANWHILE"] = "1"
            asked = workers.submit(seen)
        found = set(asked.result())
    assert not found & set(SECRETS) and found >= set(NEEDED)
    assert os.environ.pop("SET_MEANWHILE") and set(os.environ) >= set(SECRETS)
