"""The pushed model through vLLM, loaded from the Hub by name: the same text as through Transformers."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from hub_run import TOKEN, environment, make_run, push, python
from hub_server import HubServer
from vllm_run import ask, vllm

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


def said(port: int, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    body = {"model": "me/one", "messages": messages, "temperature": 0, "max_tokens": 32}
    return str(ask(port, "/v1/chat/completions", body)["choices"][0]["message"]["content"])


def test_greedy_text_is_the_same(tiny_base: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path / "toy", tiny_base)
    with HubServer(tmp_path / "hub") as hub:
        hub.store.add_user("me", TOKEN)
        env = environment(hub, tmp_path / "home")
        assert push(run / "r1", "--repo", "me/one", env=env).returncode == 0
        fresh = environment(hub, tmp_path / "stranger")
        shown = python(f"import sys; sys.argv[1:] = [{json.dumps(QUESTIONS)!r}]\n{GREEDY}", fresh)
        with vllm("me/one", fresh) as port:
            answers = [said(port, question) for question in QUESTIONS]
    assert answers == [json.loads(line) for line in shown.splitlines() if line.startswith('"')]
