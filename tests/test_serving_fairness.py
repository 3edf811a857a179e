"""Places, turns and connections shared between clients, one of which wants them all."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("aiohttp", reason="aiohttp is missing: make install EXTRAS=dev,serve")

from r1hf.serving.connections import Connections, Patience  # noqa: E402
from r1hf.serving.fair import Fair, Full  # noqa: E402
from r1hf.serving.reading import Reader  # noqa: E402
from r1hf.serving.turns import Turns  # noqa: E402


class Visit:
    def __init__(self, who: tuple[str, ...], fair: Fair):
        self.name, self.inside, self.go = who[-1], False, asyncio.Event()
        self.task = asyncio.create_task(self._stay(who, fair))

    async def _stay(self, who: tuple[str, ...], fair: Fair) -> None:
        async with fair.hold(*who):
            self.inside = True
            try:
                await self.go.wait()
            finally:
                self.inside = False


class Crowd:
    """Visits to a `Fair` that stay until they are told to go."""

    def __init__(self, fair: Fair):
        self.fair, self.visits = fair, list[Visit]()

    async def settle(self) -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    async def come(self, *who: str) -> None:
        self.visits.append(Visit(who, self.fair))
        await self.settle()

    async def leave(self, name: str) -> None:
        next(visit for visit in self.visits if visit.name == name and visit.inside).go.set()
        await self.settle()

    @property
    def inside(self) -> Counter[str]:
        return Counter(visit.name for visit in self.visits if visit.inside)

    @property
    def refused(self) -> Counter[str]:
        done = [visit for visit in self.visits if visit.task.done() and not visit.task.cancelled()]
        return Counter(visit.name for visit in done if isinstance(visit.task.exception(), Full))


def play(size: int, queue: int, scenario: Callable[[Crowd], Awaitable[None]]) -> None:
    async def main() -> None:
        crowd = Crowd(Fair(size, queue))
        await scenario(crowd)
        for visit in crowd.visits:
            visit.go.set()
        await asyncio.gather(*(visit.task for visit in crowd.visits), return_exceptions=True)
        assert (crowd.fair.total, crowd.fair.waiting) == (0, 0)

    asyncio.run(main())


def test_another_client_need_not_wait_for_all_of_ones_requests() -> None:
    async def scenario(crowd: Crowd) -> None:
        for _ in range(10):
            await crowd.come("greedy")
        assert crowd.inside == {"greedy": 3}  # of four places
        await crowd.come("other")
        assert crowd.inside == {"greedy": 3, "other": 1}
        await crowd.come("third")
        await crowd.leave("greedy")
        assert crowd.inside == {"greedy": 2, "other": 1, "third": 1}

    play(4, 20, scenario)


def test_a_full_queue_turns_away_whoever_waits_most() -> None:
    async def scenario(crowd: Crowd) -> None:
        for _ in range(8):
            await crowd.come("greedy")
        assert crowd.refused == {"greedy": 3}  # one holds the place, four wait
        await crowd.come("other")
        assert crowd.refused == {"greedy": 4}
        await crowd.leave("greedy")
        assert crowd.inside == {"other": 1}

    play(1, 4, scenario)


def test_pages_of_one_client_share_what_it_has() -> None:
    async def scenario(crowd: Crowd) -> None:
        for _ in range(5):
            await crowd.come("client", "first page")
        await crowd.come("client", "second page")
        await crowd.leave("first page")
        assert crowd.inside == {"second page": 1}

    play(2, 20, scenario)


@pytest.mark.parametrize("others", [("client", "one"), ("client", "two"), ("another", "one")])
def test_of_equals_who_came_first_keeps_its_place_in_the_queue(others: tuple[str, str]) -> None:
    async def scenario(crowd: Crowd) -> None:
        await crowd.come("holds", "the place")
        await crowd.come("client", "first")
        await crowd.come(*others)
        assert crowd.refused == {others[-1]: 1}
        await crowd.leave("the place")
        assert crowd.inside == {"first": 1}

    play(1, 1, scenario)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["come", "cancel", "leave"])), max_size=40))
def test_no_place_is_lost_or_given_twice(events: list[tuple[str, str]]) -> None:
    async def scenario(crowd: Crowd) -> None:
        for who, what in events:
            if what == "come":
                await crowd.come(who)
            elif what == "leave" and crowd.inside[who]:
                await crowd.leave(who)
            elif what == "cancel" and crowd.visits:
                crowd.visits[-1].task.cancel()
                await crowd.settle()
            inside = crowd.inside
            assert crowd.fair.total == inside.total() <= 3 and crowd.fair.waiting <= 2
            assert not crowd.fair.waiting or inside.total() == 3 or max(inside.values()) == crowd.fair.each

    play(3, 2, scenario)


def test_clients_share_the_time_however_much_each_asks_for() -> None:
    turns, spent = Turns(), Counter[str]()
    # One client with 60 requests whose steps are slow, one with a few, one that comes late.
    for index in range(60):
        turns.add(SimpleNamespace(client="greedy", cost=0.1, index=index))
    turns.add(SimpleNamespace(client="other", cost=0.01, index=0))
    for turn in range(2000):
        if turn == 1000:
            turns.add(SimpleNamespace(client="late", cost=0.01, index=0))
            spent.clear()
        request = turns.next()
        spent[request.client] += request.cost
        turns.took(request, request.cost, True)
    assert max(spent.values()) - min(spent.values()) < 0.2


def test_a_client_that_leaves_and_comes_back_is_no_newcomer() -> None:
    turns, served = Turns(), Counter[str]()
    turns.add(SimpleNamespace(client="patient"))
    turns.add(SimpleNamespace(client="hasty"))
    for _ in range(100):
        request = turns.next()
        served[request.client] += 1
        goes_on = request.client == "patient"
        turns.took(request, 1.0, goes_on)
        if not goes_on:
            turns.add(SimpleNamespace(client="hasty"))
    assert served == {"patient": 50, "hasty": 50}


def test_the_event_loop_goes_on_while_a_prompt_is_read() -> None:
    go = threading.Event()

    async def main() -> list[str]:
        reader, done = Reader({}), []

        async def read(client: str, work: Callable[[], Any]) -> None:
            await reader.run(client, work)
            done.append(client)

        slow = [asyncio.create_task(read("greedy", lambda: go.wait(60))) for _ in range(20)]
        await asyncio.sleep(0.05)
        await asyncio.wait_for(read("other", lambda: None), 30)
        go.set()
        await asyncio.gather(*slow)
        reader.close()
        return done

    assert asyncio.run(main())[0] == "other"


class Echo(asyncio.Protocol):
    """A server of lines: `quiet` says nothing, `much` says more than fits, anything else is repeated."""

    def __init__(self, connections: Connections):
        self.connections = connections

    def connection_made(self, transport: Any) -> None:
        self.transport, self.peer = transport, transport.get_extra_info("peername")

    def data_received(self, data: bytes) -> None:
        if not data.endswith(b"\n"):
            if data.startswith(b"body"):
                self.connections.begin(self.peer)
            return
        self.connections.begin(self.peer)
        self.connections.answering(self.peer)
        if data == b"quiet\n":
            return
        self.transport.write(b"x" * 2**24 if data == b"much\n" else data)
        self.connections.end(self.peer)


async def end_of(port: int, sent: bytes, read: bool, seconds: float) -> bool:
    """Whether the server closes the connection within so many seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    try:
        writer.write(sent)
        if not read:
            await asyncio.sleep(4)
        async with asyncio.timeout(seconds):
            while await reader.read(2**20):
                pass
        return True
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    finally:
        writer.close()


HELD = {  # what is sent; whether the answer is read; whether the server closes
    "nothing": (b"", True, True), "half a head": (b"head", True, True), "half a body": (b"body", True, True),
    "idle": (b"line\n", True, True), "being answered": (b"quiet\n", True, False),
    "not reading": (b"much\n", False, True),
}  # fmt: skip


def test_a_connection_may_take_its_time_but_not_for_ever() -> None:
    async def ends(sent: bytes, read: bool, closed: bool) -> bool:
        connections = Connections(100, Patience(headers=0.5, body=0.5, idle=0.5, reading=0.5))
        server = await asyncio.get_running_loop().create_server(
            lambda: connections.watch(Echo(connections)), "127.0.0.1", 0
        )
        return await end_of(server.sockets[0].getsockname()[1], sent, read, 300 if closed else 4)

    async def main() -> list[bool]:
        return await asyncio.gather(*(ends(*case) for case in HELD.values()))

    assert dict(zip(HELD, asyncio.run(main()), strict=True)) == {name: closed for name, (_, _, closed) in HELD.items()}


def test_the_client_with_the_most_connections_loses_them_first() -> None:
    async def main() -> list[bool]:
        connections = Connections(20)
        server = await asyncio.get_running_loop().create_server(
            lambda: connections.watch(Echo(connections)), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        kept = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(5)]
        for _, writer in kept:
            writer.write(b"line\n")
        flood = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
        await asyncio.sleep(0.2)
        assert len(connections) <= 20 and len(flood) == 60
        for _, writer in kept:
            writer.write(b"again\n")
        return [await reader.readline() == b"line\n" and await reader.readline() == b"again\n" for reader, _ in kept]

    assert asyncio.run(main()) == [True] * 5
