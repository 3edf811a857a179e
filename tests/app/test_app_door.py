"""Clients that mean harm, at the chat as people run it: a process, real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from chat_servers import NO_GRADIO, Server, chat
from tables import each

pytest.importorskip("gradio", reason=NO_GRADIO)

from chat_person import Person  # noqa: E402
from r1chat.history import new_store  # noqa: E402

OPEN_FILES = 320
EVENT = {"data": [], "fn_index": 0, "session_hash": "abc", "event_data": None}
JOIN, RUN = "/gradio_api/queue/join", "/gradio_api/run/predict"


@pytest.fixture(scope="module")
def page(faulty: Server) -> Iterator[Server]:
    with chat(faulty.url, OPEN_FILES, R1HF_ALLOW_HOSTS="chat.example", R1HF_LOGIN="") as server:
        yield server
        assert "Traceback" not in server.said, server.said[-3000:]


@pytest.fixture(scope="module")
def strict(faulty: Server) -> Iterator[Server]:
    """Two questions a minute."""
    with chat(faulty.url, R1HF_RATE="2") as server:
        yield server


@pytest.fixture(scope="module")
def small(faulty: Server) -> Iterator[Server]:
    """With few places, for short questions."""
    with chat(faulty.url, R1HF_MAX_STREAMS="4", R1HF_MAX_WAITING="8", R1HF_MAX_QUESTION="100") as server:
        yield server


def call(server: Server, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **headers,
        }.items():
            connection.putheader(name, value)
        connection.endheaders()
        with contextlib.suppress(ConnectionError):  # it does not read what is too much
            connection.send(content)
        answer = connection.getresponse()
        return answer.status, answer.read()


@contextlib.asynccontextmanager
async def people(
    server: Server, count: int = 1, source: str = "127.0.0.1", **headers: str
) -> AsyncIterator[list[Person]]:
    transport = httpx.AsyncHTTPTransport(local_address=source, limits=httpx.Limits(max_connections=None))
    async with httpx.AsyncClient(transport=transport, timeout=60, headers=headers) as client:
        config = (await client.get(f"{server.url}/config")).json()
        yield [Person(client, server.url, config, "echo") for _ in range(count)]


async def asked(server: Server, source: str = "127.0.0.1", **headers: str) -> bool:
    """Whether a new person's question is answered."""
    async with people(server, 1, source, **headers) as (person,):
        question, reply = await person.ask("Say 7.")
        return question == "Say 7." and bool(reply) and not reply["problem"]


def test_a_limit_counts_persons_and_not_names_that_anybody_can_make(strict: Server) -> None:
    async def main() -> list[bool]:
        # Another page each time, and another address that the client only claims.
        return [await asked(strict, **{"X-Forwarded-For": f"10.0.0.{index}"}) for index in range(8)]

    assert sum(asyncio.run(main())) == 2
    assert asyncio.run(asked(strict, "127.0.0.9"))  # another address has its own


def test_proxies_are_believed_as_far_as_they_are_known(faulty: Server) -> None:
    with chat(faulty.url, R1HF_RATE="2", R1HF_PROXIES="1") as server:

        async def main(claimed: str) -> list[bool]:
            forwarded = [claimed.format(index) for index in range(5)]
            return [await asked(server, **{"X-Forwarded-For": item}) for item in forwarded]

        assert sum(asyncio.run(main("10.0.0.{}"))) == 5
        assert sum(asyncio.run(main("10.0.0.{}, 10.9.9.9"))) == 2
        assert sum(asyncio.run(main("2001:db8::{}"))) == 2  # a network of IPv6 is one client


@each(
    "store, controls, said",
    [
        ({}, {"use_system": True, "system": "s" * 101}, "system text is longer than 100"),
        ({"question": "q" * 200_000}, {}, "too long to be sent again"),
        ({"answer": "a" * 200_000}, {}, "too long to be sent again"),
    ],
)
def test_the_limits_hold_for_all_that_is_sent(
    small: Server, store: dict[str, str], controls: dict[str, Any], said: str
) -> None:
    turn = {"question": store.get("question", "q"), "reply": {"answer": store.get("answer", "a"), "phase": "done"}}
    chats = [{"id": "1", "title": "t", "turns": [turn]}]

    async def main() -> str:
        async with people(small) as (person,):
            data = [
                "hi", {**new_store(), "open": "1", "chats": chats},
                {"language": "en", "model": "echo", "temperature": 0, "top_p": 1, **controls},
            ]  # fmt: skip
            return json.dumps([event async for event in person.events(data)])

    assert said in asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "path", "size"),
    [
        ("POST", "/gradio_api/upload", 10), ("POST", "/upload", 10), ("POST", "/gradio_api/upload/", 10),
        ("POST", "//gradio_api/upload", 10), ("POST", "/gradio_api/%75pload?upload_id=1", 300 * 2**20),
        ("POST", "/gradio_api/process_recording", 10), ("POST", "/gradio_api/api/predict", 10),
        ("POST", "/gradio_api/call/ask", 10), ("POST", "/gradio_api/vibe-edit", 10),
        ("PUT", "/gradio_api/queue/join", 10), ("OPTIONS", "/gradio_api/queue/join", 0),
        ("GET", "/gradio_api/file=/etc/passwd", 0), ("GET", "/gradio_api/file/etc/passwd", 0),
        ("GET", "/gradio_api/proxy=http://127.0.0.1/", 0), ("GET", "/assets/../../../../etc/passwd", 0),
        ("GET", "/gradio_api/stream/a/b/c/playlist.m3u8", 0), ("GET", "/monitoring", 0), ("GET", "/docs", 0),
    ],
)  # fmt: skip
def test_nothing_is_there_but_the_page(page: Server, method: str, path: str, size: int) -> None:
    assert call(page, method, path, b"x" * size)[0] == 404


@pytest.mark.parametrize("path", [JOIN, RUN, "/login"])
@pytest.mark.parametrize("size", [3 * 2**20, 30 * 2**20])
def test_a_body_is_measured_before_it_is_read(page: Server, path: str, size: int) -> None:
    status, said = call(page, "POST", path, b'{"data": ["' + b"x" * size + b'"]}')
    assert status == 413 and b"larger than" in said


def test_a_body_in_pieces_is_measured_too(page: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    with contextlib.closing(connection), contextlib.suppress(ConnectionError):
        connection.request("POST", JOIN, (b"x" * 10_000 for _ in range(1000)), encode_chunked=True)
        assert connection.getresponse().status == 413


BAD_EVENTS: dict[str, Any] = {
    "empty": b"", "no JSON": b"{", "no UTF-8": b'{"data": "\xff"}', "a list": [], "null": None and 0, "text": "x",
    "deep": b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}", "deeper": b"[" * 100_000,
    "NaN": b'{"data": [NaN], "fn_index": 0, "session_hash": "a"}',
    "many": {**EVENT, "data": [[]] * 30_000},
    "no session": {"data": [], "fn_index": 0}, "a long session": {**EVENT, "session_hash": "x" * 1000},
    "a session is a list": {**EVENT, "session_hash": ["a"]},
    "a session with a path": {**EVENT, "session_hash": "../a"},
    "data is a text": {**EVENT, "data": "x"}, "data is an object": {**EVENT, "data": {}},
    "no function": {**EVENT, "fn_index": 10**6}, "a negative function": {**EVENT, "fn_index": -1},
    "a function is a text": {**EVENT, "fn_index": "0"}, "a large function": {**EVENT, "fn_index": 10**300},
    "a surrogate": {**EVENT, "data": ["\ud800"]}, "a large number": b'{"data": [1e999]}',
}  # fmt: skip


@pytest.mark.parametrize("path", [JOIN, RUN, "/gradio_api/cancel", "/gradio_api/reset"])
@pytest.mark.parametrize("name", BAD_EVENTS)
def test_an_event_that_is_none_is_refused(page: Server, path: str, name: str) -> None:
    status, said = call(page, "POST", path, BAD_EVENTS[name])
    assert 400 <= status < 600 and b"Traceback" not in said
    assert call(page, "GET", "/config")[0] == 200


ODD_STORE = {
    "version": 1,
    "chats": [3, {"turns": [None, {"question": 3}, {"question": "q", "reply": {"verdict": []}}]}],
}


@pytest.mark.parametrize("value", [None, 3, "\u0000", [1], {"a": 1}, [[]], "x" * 60_000, ODD_STORE])
def test_a_function_gets_what_a_browser_never_sends(page: Server, value: Any) -> None:
    """Each function of the page, with as many values as it takes."""
    config = json.loads(call(page, "GET", "/config")[1])
    for index, event in enumerate(config["dependencies"]):
        if event["backend_fn"] and not event["queue"]:
            given = {**EVENT, "fn_index": index, "data": [value] * len(event["inputs"])}
            assert call(page, "POST", RUN, given)[0] in (200, 422, 500)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:80", "chat.example", "Chat.Example:443"])
def test_its_own_names_are_known(page: Server, host: str) -> None:
    assert call(page, "GET", "/", Host=host)[0] == 200
    assert call(page, "POST", JOIN, EVENT, Host=host, Origin=f"https://{host}")[0] != 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "a@127.0.0.1", "", "10.0.0.1", "[::1", "x" * 5000]
)
@pytest.mark.parametrize("path", ["/", JOIN, "/login", "/config", "/gradio_api/heartbeat/abc"])
def test_a_page_of_another_site_gets_nothing(page: Server, path: str, host: str) -> None:
    method = "POST" if path in (JOIN, "/login") else "GET"
    assert call(page, method, path, EVENT, Host=host, Origin=f"http://{host}")[0] in (400, 403)
    assert call(page, method, path, EVENT, Host=host)[0] in (400, 403)
    if host:
        assert call(page, "POST", JOIN, EVENT, Origin=f"http://{host}")[0] == 403


def test_what_the_browser_may_do_is_no_more_than_the_page_needs(page: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert "'unsafe-inline'" not in policy["script-src"] and "'sha256-" in policy["script-src"]
    assert policy["frame-ancestors"] == "'self'" and policy["connect-src"] == "'self'"


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n{",
        b"GET /theme.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /gradio_api/heartbeat/abc HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
    ids=["nothing", "half a head", "half a body", "idle", "streams"],
)
def test_connections_that_stay_open_keep_nobody_out(page: Server, begun: bytes) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(OPEN_FILES + 50):
            connection = stack.enter_context(
                socket.create_connection(("127.0.0.1", page.port), 30, source_address=("127.0.0.5", 0))
            )
            with contextlib.suppress(ConnectionError):
                connection.sendall(begun)
        for _ in range(3):
            assert asyncio.run(asked(page))


def test_a_question_right_behind_its_first_key_has_a_place(faulty: Server) -> None:
    """Gradio's own queue holds the event of the key too: it is no place of a question."""

    async def main(server: Server) -> list[bool]:
        async with people(server, 12) as persons:
            answers = [(await asyncio.gather(person.type(), person.ask("Say 7.")))[1] for person in persons]
        return [bool(reply) and not reply["problem"] for _, reply in answers]

    with chat(faulty.url, R1HF_MAX_STREAMS="1", R1HF_MAX_WAITING="1") as server:
        assert asyncio.run(main(server)) == [True] * 12


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.5"])
def test_somebody_who_types_without_end_keeps_nobody_out(small: Server, source: str) -> None:
    """More typing events than Gradio runs at once, each of a page of its own, also from the same address."""

    async def main() -> bool:
        async with people(small, 20, source) as writers:
            for turn in range(17):
                for writer in writers:
                    writer.session = f"{writer.session[:10]}-{turn}"
                await asyncio.gather(*(writer.type() for writer in writers))
            return await asked(small)

    assert asyncio.run(main())


def test_one_persons_questions_leave_places_for_the_others(small: Server) -> None:
    """All that one address can have of the places and of the queue is taken, for a minute."""

    async def main() -> list[bool]:
        async with people(small, 16, "127.0.0.5") as greedy:
            for person in greedy:
                person.model = "slow"
                await person.join(person.ask_index, person.question("hi"))
            await asyncio.sleep(0.5)
            return [await asked(small, f"127.0.0.{index}") for index in range(6, 10)]

    assert asyncio.run(main()) == [True] * 4
