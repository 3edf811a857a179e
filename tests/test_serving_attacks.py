"""Clients that mean harm, at `r1hf serve` and at the engine behind it: real processes, real sockets."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serving_attacks import ASKED, CHAT, MALFORMED, TEXT, chat, say
from serving_world import Served, make_model, wait_for

pytest.importorskip("aiohttp", reason="aiohttp is missing: make install EXTRAS=dev,serve")

KEY = "schlüssel"
LIMIT = 4
OPEN_FILES = 320  # of the server
ENDLESS = {**ASKED, "max_tokens": 2000, "ignore_eos": True, "stream": True}
# Each is harmless until a message asks for it, so that the model is served. `one` keeps Jinja from computing before.
HOSTILE_TEMPLATES = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "fills the memory": "{{ 'x' * one * 10**10 }}",
    "fills it slowly": "{% for i in range(60) %}{% set all.x = all.x + all.x %}{% endfor %}",
    "recurses": "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
    "divides by zero": "{{ one / 0 }}",
    "computes": "{{ ((6 + one) ** 99999) ** 999 }}",
    "refuses": "{{ raise_exception('not this') }}",
    "looks around": "{{ messages.__class__.__base__.__subclasses__() }}",
    "half a character": "{{ '\\ud800' }}",
    "undefined": "{{ nothing.at.all }}",
    "a long number": "{{ '%01000000000d' % one }}",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("run")
    make_model(directory / "base", seed=0)
    make_model(directory / "r1", seed=1)
    start = "{% set one = messages | length %}{% set all = namespace(x='aa') %}"
    branches = [
        f"{{% if messages[-1]['content'] == '{name}' %}}{text}{{% endif %}}"
        for name, text in HOSTILE_TEMPLATES.items()
    ]
    (directory / "base" / "chat_template.jinja").write_text(
        f"{start}{''.join(branches)}{{{{ messages[-1]['content'] }}}}"
    )
    return directory


@pytest.fixture(scope="module")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    logs = tmp_path_factory.mktemp("serve") / "logs"
    options = ("--engine", "transformers", "--max-requests", LIMIT, "--allow-host", "models.example")
    served = Served(run, *options, log_dir=logs, open_files=OPEN_FILES, R1HF_API_KEY=KEY)
    try:
        yield served.ready()
        assert served.end(signal.SIGINT) == 0
        everything = served.said + "".join(file.read_text() for file in logs.glob("*.log"))
        assert "Traceback" not in everything, everything[-3000:]
    finally:
        served.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def engine(server: Served) -> str:
    """The socket of the engine behind the gateway."""
    return server.engines()[0].cmdline()[-1]


def port(server: Served) -> int:
    return int(server.url.rpartition(":")[2])


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("engine", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def send(
    connection: http.client.HTTPConnection, path: str, body: bytes, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    own = {"Host": "127.0.0.1", "Authorization": f"Bearer {KEY}", "Content-Length": str(len(body)), **headers}
    connection.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
    for name, value in own.items():
        connection.putheader(name, value.encode("latin-1" if name in headers else "utf-8"))
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer, answer.read()


def ask(server: Served, path: str, body: bytes, source: str = "127.0.0.1", **headers: str) -> tuple[int, Any]:
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port(server), timeout=60, source_address=(source, 0))
    ) as connection:
        answer, content = send(connection, path, body, **headers)
        return answer.status, json.loads(content)


def works(server: Served, source: str = "127.0.0.1") -> bool:
    return ask(server, CHAT, json.dumps(ASKED).encode(), source)[0] == 200


@pytest.mark.parametrize("name", MALFORMED)
def test_a_request_that_is_no_good_gets_a_sentence(server: Served, name: str) -> None:
    path, body, headers = MALFORMED[name]
    status, answer = ask(server, path, body, **headers)
    assert 400 <= status < 500 and len(answer["error"]["message"]) > 10, answer
    assert works(server)


@pytest.mark.parametrize("name", [name for name, (path, _, headers) in MALFORMED.items() if not headers])
def test_the_engine_has_a_door_of_its_own(engine: str, name: str) -> None:
    path, body, _ = MALFORMED[name]
    with contextlib.closing(UnixConnection(engine)) as connection:
        answer, content = send(connection, path.replace("/v1/detok", "/detok"), body)
    assert 400 <= answer.status < 500 and len(json.loads(content)["error"]["message"]) > 10, content


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_the_engine_unpacks_nothing(engine: str, encoding: str) -> None:
    body, headers = next(
        (body, more) for _, body, more in MALFORMED.values() if more == {"Content-Encoding": encoding}
    )
    with contextlib.closing(UnixConnection(engine)) as connection:
        assert send(connection, CHAT, body, **headers)[0].status == 415


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ASKED),
        json.dumps({**ASKED, "stop": ["a"] * 16, "n": 2, "user": "me", "logit_bias": {}, "tools": []}),
        json.dumps({**ASKED, "temperature": 0, "seed": -1, "stream_options": None, "max_tokens": None, "stop": "3"}),
        json.dumps(
            {**ASKED, "messages": [{"role": "user", "content": [{"type": "text", "text": "等于多少？😀"}]}] * 8}
        ),
    ],
)
def test_what_people_send_is_answered(server: Served, body: str) -> None:
    assert ask(server, CHAT, body.encode())[0] == 200


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:80", "localhost", "LOCALHOST:1", "models.example", "Models.Example.:8"]
)
def test_its_own_names_are_known(server: Served, host: str) -> None:
    assert ask(server, CHAT, json.dumps(ASKED).encode(), Host=host)[0] == 200
    assert ask(server, CHAT, json.dumps(ASKED).encode(), Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X: a\r\n" * 5000 + b"\r\n",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://evil.example/health HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /%ff%fe\x80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_is_survived(server: Served, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port(server)), timeout=30) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
    assert works(server)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n{",
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "idle"],
)
def test_connections_that_stay_open_keep_nobody_out(server: Served, begun: bytes) -> None:
    """More of them than the server can have files open."""
    with contextlib.ExitStack() as stack:
        for _ in range(OPEN_FILES + 50):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port(server)), timeout=30))
            with contextlib.suppress(ConnectionError):
                connection.sendall(begun)
        for _ in range(5):
            assert works(server)
        assert server.process.num_fds() < OPEN_FILES


@pytest.mark.parametrize("name", HOSTILE_TEMPLATES)
def test_a_template_that_runs_away_holds_up_its_own_request_only(server: Served, name: str) -> None:
    asked = [threading.Thread(target=ask, args=(server, CHAT, say_to("base", name))) for _ in range(3)]
    for thread in asked:
        thread.start()
    assert works(server)
    for thread in asked:
        thread.join()
    status, answer = ask(server, CHAT, say_to("base", name))
    assert status == 400 and "the chat template" in answer["error"]["message"], answer
    assert ask(server, CHAT, say_to("base", "harmless"))[0] == 200


def say_to(model: str, content: str) -> bytes:
    return json.dumps({**json.loads(say(content)), "model": model}).encode()


def test_one_client_cannot_fill_a_models_queue_for_the_others(server: Served) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(LIMIT):
            connection = http.client.HTTPConnection(
                "127.0.0.1", port(server), timeout=60, source_address=("127.0.0.2", 0)
            )
            stack.enter_context(contextlib.closing(connection))
            connection.request("POST", CHAT, json.dumps(ENDLESS), {"Authorization": f"Bearer {KEY}".encode()})
            connection.getresponse().readline()
        assert not works(server, "127.0.0.2")
        assert works(server, "127.0.0.3")
    wait_for(lambda: works(server, "127.0.0.2"))


def test_samples_count_in_the_queue(server: Served) -> None:
    """One request for 64 samples is as much as 64 requests."""
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=60, source_address=("127.0.0.2", 0))
    with contextlib.closing(connection):
        connection.request("POST", CHAT, json.dumps({**ENDLESS, "n": 64}), {"Authorization": f"Bearer {KEY}".encode()})
        connection.getresponse().readline()
        assert not works(server, "127.0.0.2")
    wait_for(lambda: works(server, "127.0.0.2"))


def refused(server: Served, body: bytes, source: str) -> bool:
    try:
        status, answer = ask(server, CHAT, body, source)
        return (400 <= status < 500 or status == 503) and len(answer["error"]["message"]) > 10
    except ConnectionError:
        return True  # it stops listening before the end


def test_row_29_megabytes_and_huge_numbers_of_fifty_clients_hold_nobody_up(server: Served) -> None:
    long = [say("x " * (size * 2**19)) for size in (1, 4, 15)]
    large = [chat(max_tokens=10**9), chat(n=10**6), chat(stop=["a"] * 200_000)]
    with ThreadPoolExecutor(50) as pool:
        asked = [
            pool.submit(refused, server, body, f"127.0.1.{index}")
            for index, body in zip(range(1, 51), itertools.cycle(long + large), strict=False)
        ]
        assert all(works(server, "127.0.2.1") for _ in range(5))
        assert all(item.result() for item in asked)


def test_row_29_fifty_clients_at_once_are_answered_or_told_to_come_again(server: Served) -> None:
    body = chat(n=2, max_tokens=200, ignore_eos=True)
    with ThreadPoolExecutor(50) as pool:
        asked = [pool.submit(ask, server, CHAT, body, f"127.0.1.{index}") for index in range(1, 51)]
        answers = [item.result() for item in asked]
    assert {status for status, _ in answers} <= {200, 503} and LIMIT // 2 <= sum(s == 200 for s, _ in answers)
    assert all("try again" in answer["error"]["message"] for status, answer in answers if status == 503)
    assert works(server, "127.0.2.1")


@pytest.mark.parametrize("path", [TEXT, CHAT])
def test_a_body_in_pieces_is_measured_too(server: Served, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port(server), timeout=60)
    with contextlib.closing(connection):
        pieces = (b"x" * 10_000 for _ in range(10_000))
        headers = {"Authorization": f"Bearer {KEY}".encode(), "Transfer-Encoding": "chunked"}
        with contextlib.suppress(ConnectionError):  # it stops listening before the end
            connection.request("POST", path, pieces, headers, encode_chunked=True)
            assert connection.getresponse().status == 413
    assert works(server)
