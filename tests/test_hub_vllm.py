"""The pushed model through vLLM, loaded from the Hub by name: the same text as through Transformers."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from hub_run import TOKEN, environment, make_run, push, python
from hub_server import HubServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]
QUESTIONS = ["What is 2 + 3 * 4?", "What is 9 - 2 * 3?"]
GREEDY = """
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("me/one")
model = AutoModelForCausalLM.from_pretrained("me/one", dtype="float32")
for question in json.loads(sys.argv[1]):
    chat = [{"role": "user", "content": question}]
    inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    print(json.dumps(tokenizer.decode(output[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True)))
"""


def ask(port: int, question: str) -> str:
    body = {"model": "me/one", "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 32}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def wait(port: int, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "vLLM ended"
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(1)
    pytest.fail("vLLM did not become healthy")


def test_greedy_text_is_the_same(tiny_base: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "toy", tiny_base)
    with HubServer(tmp_path / "hub") as hub:
        hub.store.add_user("me", TOKEN)
        env = environment(hub, tmp_path / "home")
        assert push(run / "r1", "--repo", "me/one", env=env).returncode == 0
        fresh = environment(hub, tmp_path / "stranger", VLLM_CPU_KVCACHE_SPACE="1", VLLM_CPU_OMP_THREADS_BIND="nobind")
        shown = python(f"import sys; sys.argv[1:] = [{json.dumps(QUESTIONS)!r}]\n{GREEDY}", fresh)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "vllm.entrypoints.openai.api_server",
            "--model",
            "me/one",
            "--port",
            str(port),
        ]
        command += ["--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager", "--max-model-len", "128"]
        with subprocess.Popen(command, env=fresh) as server:
            try:
                wait(port, server)
                answers = [ask(port, question) for question in QUESTIONS]
            finally:
                server.terminate()
    assert answers == [json.loads(line) for line in shown.splitlines() if line.startswith('"')]
