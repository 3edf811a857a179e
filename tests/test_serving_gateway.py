"""`r1hf serve` as people run it: a process, real engines, and what happens when parts of it die."""

import importlib.util
import json
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_world import START, Served, gone, make_model, wait_for

pytest.importorskip("aiohttp", reason="aiohttp is missing: make install EXTRAS=dev,serve")

CHAT = "/v1/chat/completions"
ASKED = {"messages": [{"role": "user", "content": "What is 2 + 3 * 4?"}], "max_tokens": 8, "seed": 1}
ENDLESS = {**ASKED, "max_tokens": 16000, "ignore_eos": True}
LIMIT = 3


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with two stages; one was trained on a prompt template."""
    directory = tmp_path_factory.mktemp("run")
    make_model(directory / "base", seed=0, context=16384)
    make_model(directory / "r1", seed=1, context=16384)
    (directory / "r1" / "chat_template.jinja").write_text("{{ 'R1: ' + messages[-1]['content'] + '<think>' }}")
    return directory


@pytest.fixture(scope="module")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    secrets = {"HF_TOKEN": "hf_" + "s" * 34, "R1HF_API_KEY": "key-of-the-test"}
    logs = tmp_path_factory.mktemp("serve") / "logs"
    served = Served(run, "--engine", "transformers", "--max-requests", LIMIT, log_dir=logs, **secrets)
    try:
        yield served.ready()
        below = served.tree()
        assert served.end(signal.SIGINT) == 0 and gone(below), served.said
        everything = served.said + "".join(file.read_text() for file in logs.iterdir())
        assert "key-of-the-test" not in everything and "hf_sss" not in everything
    finally:
        served.end(signal.SIGKILL)


def active(server: Served) -> int:
    """Requests in the one engine."""
    return sum(engine["in_flight"] for engine in server.call("/health")[1]["engines"].values())


def test_models_are_described(server: Served) -> None:
    status, body, _ = server.call("/v1/models")
    assert status == 200 and [item["id"] for item in body["data"]] == ["base", "r1"]
    base, r1 = body["data"]
    assert base["max_model_len"] == 16384
    assert (r1["r1hf"]["form"], base["r1hf"]["form"]) == ("prefilled", "inline")
    assert base["r1hf"] | {"parameters": 0} == {
        "stage": None, "form": "inline", "prompt": "chat", "languages": None, "temperature": 0.6, "top_p": 0.95,
        "description": None, "tiny_world": False,
        "state": "ready", "engine": "transformers", "parameters": 0,
    }  # fmt: skip
    assert server.call("/v1/models/r1")[1] == r1


def test_each_model_answers_as_itself(server: Served) -> None:
    answers = {}
    for name in ("base", "r1"):
        status, body, _ = server.call(CHAT, {**ASKED, "model": name})
        assert status == 200 and body["model"] == name
        answers[name] = body["choices"][0]["message"]["content"]
        streamed = list(server.events(CHAT, {**ASKED, "model": name}))
        assert "".join(event["choices"][0]["delta"]["content"] for event in streamed) == answers[name]
    assert answers["base"] != answers["r1"]
    # Without a name, the primary model answers: of a run, R1.
    assert server.call(CHAT, ASKED)[1]["choices"][0]["message"]["content"] == answers["r1"]


def test_the_prompt_can_be_seen(server: Served) -> None:
    for path in ("", "/v1"):
        asked = {"model": "r1", "messages": ASKED["messages"], "return_token_strs": True}
        status, body, _ = server.call(f"{path}/tokenize", asked)
        assert status == 200 and body["count"] == len(body["tokens"]) and body["token_strs"][-1] == "<think>"
        shown = server.call(f"{path}/detokenize", {"model": "r1", "tokens": body["tokens"]})[1]["prompt"]
        assert shown == "R1: What is 2 + 3 * 4?<think>"


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({**ASKED, "model": "nobody"}, 404, "`nobody` does not exist; served are: base, r1"),
        ({**ASKED, "model": 3}, 404, "does not exist"),
        ({**ASKED, "model": "r1", "max_tokens": 16385}, 400, "maximum context length is 16384"),
        ({"model": "r1", "messages": [{"role": "user", "content": "x" * 40000}]}, 400, "maximum context length"),
        ({**ASKED, "n": 1000}, 400, "at most 64"),
        ({"model": "r1", "messages": []}, 400, "at least one"),
        (b"{", 400, "not JSON"),
        (b"[]", 400, "not a JSON object"),
    ],
)
def test_bad_requests(server: Served, body: object, status: int, said: str) -> None:
    got, answer, _ = server.call(CHAT, body)
    assert (got, answer["error"]["code"]) == (status, status) and said in answer["error"]["message"]


def test_unknown_paths_and_methods(server: Served) -> None:
    assert server.call("/v2/nothing")[0] == 404
    assert server.call(CHAT)[0] == 405
    assert server.call("/v1/models/nobody")[0] == 404


def test_a_web_page_of_another_site_is_refused(server: Served) -> None:
    assert server.call(CHAT, ASKED, Origin="http://evil.example")[0] == 403
    assert server.call(CHAT, ASKED, Origin="null")[0] == 403
    assert server.call(CHAT, ASKED, Origin=server.url)[0] == 200


def test_the_key_is_asked_for(server: Served) -> None:
    for authorization in ("", "Bearer wrong", "Bearer "):
        assert server.call(CHAT, ASKED, Authorization=authorization)[0] == 401
    assert server.call("/health", Authorization="")[0] == 200


def test_a_chat_template_of_the_client_is_ignored(server: Served) -> None:
    plain = server.call(CHAT, {**ASKED, "model": "base"})[1]["choices"]
    assert server.call(CHAT, {**ASKED, "model": "base", "chat_template": "{{ 'x' }}"})[1]["choices"] == plain


def test_a_client_that_goes_away_stops_its_generation(server: Served) -> None:
    stream = server.events(CHAT, {**ENDLESS, "model": "base"})
    next(stream), next(stream)
    assert active(server) == 1
    stream.close()
    # It would run for minutes; the engine itself is idle as soon as the request is cancelled.
    wait_for(lambda: active(server) == 0)
    whole = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
    body = json.dumps({**ENDLESS, "model": "base"})
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {server.key}\r\n"
    head = f"{head}Content-Length: {len(body)}\r\n\r\n"
    whole.sendall((head + body).encode())
    wait_for(lambda: active(server) == 1)
    whole.close()
    wait_for(lambda: active(server) == 0)


def test_row_29_the_queue_is_bounded(server: Served) -> None:
    streams = [server.events(CHAT, {**ENDLESS, "model": "base"}) for _ in range(LIMIT)]
    for stream in streams:
        next(stream)
    status, body, headers = server.call(CHAT, {**ASKED, "model": "base"})
    assert status == 503 and int(headers["Retry-After"]) >= 1 and "queue of base is full" in body["error"]["message"]
    assert server.call(CHAT, {**ASKED, "model": "r1"})[0] == 200  # another model's queue is its own
    for stream in streams:
        next(stream)  # all of them still progress
        stream.close()
    wait_for(lambda: active(server) == 0)
    assert server.call(CHAT, {**ASKED, "model": "base"})[0] == 200


def test_many_at_once_get_their_own_answers(server: Served) -> None:
    def ask(index: int) -> None:
        body = {"model": ("base", "r1")[index % 2], "prompt": f"{index} + ", "max_tokens": 20, "seed": index}
        alone[index] = server.call("/v1/completions", body)[1]["choices"] if index not in alone else alone[index]
        again = server.call("/v1/completions", body)
        results[index] = again[1]["choices"] if again[0] == 200 else again[0]

    alone: dict[int, object] = {}
    results: dict[int, object] = {}
    for index in range(LIMIT):
        ask(index)
    results.clear()
    threads = [threading.Thread(target=ask, args=(index,)) for index in range(LIMIT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == alone and len({str(choices) for choices in results.values()}) == LIMIT


def test_a_killed_engine_is_restarted(server: Served) -> None:
    """Last of those that share the server: kill -9 in the middle of an answer."""
    stream = server.events(CHAT, {**ENDLESS, "model": "r1"})
    next(stream), next(stream)
    (engine,) = server.engines()
    engine.send_signal(signal.SIGKILL)
    *_, last = stream
    assert last["error"]["code"] == 503 and "is being restarted" in last["error"]["message"]
    status, body, headers = server.call(CHAT, {**ASKED, "model": "r1"})
    assert status == 503 and int(headers["Retry-After"]) >= 1, body
    assert server.call("/v1/models/r1")[1]["r1hf"]["state"] == "loading"
    assert server.call("/health")[0] == 503
    server.ready()
    assert server.call(CHAT, {**ASKED, "model": "r1"})[0] == 200
    assert gone([engine]) and len(server.engines()) == 1
    assert "starting it again" in server.said


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0)])
def test_nothing_is_left(run: Path, tmp_path: Path, number: int, status: int) -> None:
    """However the server ends, while an engine loads: no process, no socket."""
    served = Served(run / "r1", "--engine", "transformers", log_dir=tmp_path / "logs")
    try:
        engine = wait_for(served.engines)[0]
        below = served.tree()
        sockets = Path(engine.cmdline()[-1]).parent
        assert served.end(number) == status
        wait_for(lambda: gone([engine, *below]))
        wait_for(lambda: not sockets.exists() or number == signal.SIGKILL and not any(sockets.iterdir()))
    finally:
        served.end(signal.SIGKILL)


def test_a_killed_guard_leaves_no_engine(run: Path, tmp_path: Path) -> None:
    served = Served(run / "r1", "--engine", "transformers", log_dir=tmp_path / "logs")
    try:
        engine = wait_for(served.engines)[0]
        engine.parent().send_signal(signal.SIGKILL)
        wait_for(lambda: gone([engine]))
    finally:
        served.end(signal.SIGTERM)


def refused(*arguments: object) -> str:
    done = subprocess.run([*START, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def test_what_cannot_be_served_is_said_at_once(run: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(run, "--port", port, "--engine", "transformers", "--log-dir", tmp_path)
    assert f"cannot listen on 127.0.0.1:{port}" in said and "--port" in said
    assert "the budget is 0.1 GiB" in refused(run, "--memory", "100MiB", "--engine", "transformers", "--port", "0")
    assert "does not exist" in refused("no/such/model")


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("config.json", {"model_type": "no_such_type"}, "no_such_type"),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {"<think>": -1}, "merges": [1]}}, "bad"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_given_up_at_once(
    tmp_path: Path, file: str, change: dict[str, object], said: str
) -> None:
    """What passes every check before, and no engine can load."""
    model = make_model(tmp_path / "bad")
    content = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**content, **change}))
    served = Served(model, "--engine", "transformers", log_dir=tmp_path / "logs")
    try:
        assert served.process.wait(300) == 1
        assert f"bad cannot be loaded from {model}: " in served.said and said in served.said, served.said
        assert "starting it again" not in served.said and "Traceback" not in served.said
    finally:
        served.end(signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="gradio is missing: make install EXTRAS=dev,serve,app"
)
def test_the_chat_starts_and_ends_with_the_server(run: Path, tmp_path: Path) -> None:
    served = Served(run, "--engine", "transformers", "--chat", log_dir=tmp_path / "logs", R1HF_CHAT_PORT="0")
    try:
        wait_for(lambda: "Ready: " in served.said and "The chat is at" in served.said)
        address = re.search(r"The chat is at (\S+)", served.said)
        assert address and urllib.request.urlopen(address[1], timeout=60).status == 200
        below = served.tree()
        assert served.end(signal.SIGINT) == 0 and gone(below)
    finally:
        served.end(signal.SIGKILL)
