"""The memory budget, starts on demand, restarts, and what the gateway passes on; the engines are real processes."""

import asyncio
import dataclasses
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from serving_world import wait_for

pytest.importorskip("aiohttp", reason="aiohttp is missing: make install EXTRAS=dev,serve")

from aiohttp.test_utils import TestClient, TestServer  # noqa: E402

from r1hf.serving import engine as engines  # noqa: E402
from r1hf.serving.engine import EngineSpec  # noqa: E402
from r1hf.serving.engine_plan import GIB, Plan, Settings  # noqa: E402
from r1hf.serving.fleet import Fleet  # noqa: E402
from r1hf.serving.gateway import make_app  # noqa: E402
from r1hf.serving.models import ServedModel  # noqa: E402
from r1hf.text.served_prompts import Prompt  # noqa: E402

MESSAGES = [{"role": "user", "content": "x"}]
SCRIPT = Path(__file__).with_name("small_engine.py")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(engines, "LOOK", 0.1)


def model(name: str, base: Path | None = None) -> ServedModel:
    prompt = Prompt("chat", "inline", "{{ 'the template of " + name + "' }}")
    return ServedModel(
        name=name, directory=Path(name), base=base, stage=None, prompt=prompt, temperature=0.6, top_p=0.95,
        context=100, dtype="float32", weight_bytes=1, parameters=1, cache_bytes=1, think_tokens=False, head_size=64,
    )  # fmt: skip


def spec(name: str, models: tuple[str, ...], memory: int = GIB, kind: str = "works") -> EngineSpec:
    command = [sys.executable, str(SCRIPT), kind]
    return EngineSpec(name, "vllm", models, lambda socket: [*command, str(socket)], {}, memory)


def run(
    tmp_path: Path,
    specs: list[EngineSpec],
    scenario: Callable[[Fleet, TestClient], Awaitable[None]],
    routes: dict[str, tuple[str, ...]] | None = None,
    models: list[ServedModel] | None = None,
    **settings: Any,
) -> list[str]:
    """Plays `scenario` on a gateway over `specs`; returns what was reported."""
    said: list[str] = []

    async def main() -> None:
        names = {name: item.name for item in specs for name in item.models}
        found = routes or {name: (engine,) for name, engine in names.items()}
        plan = Plan(tuple(specs), found, dict.fromkeys(found, 100))
        chosen = dataclasses.replace(Settings(memory=2 * GIB), **settings)
        fleet = Fleet(models or [model(name) for name in found], plan, chosen, tmp_path, tmp_path)
        fleet.on_change(lambda engine, text: said.append(f"{engine.spec.name}: {text}"))
        try:
            async with TestClient(TestServer(make_app(fleet, next(iter(found))), handler_cancellation=True)) as client:
                await scenario(fleet, client)
        finally:
            await fleet.stop()

    asyncio.run(main())
    return said


async def ask(client: TestClient, name: str, **more: Any) -> tuple[int, Any, int]:
    async with client.post("/v1/completions", json={"model": name, "prompt": "x", **more}) as answer:
        return answer.status, await answer.json(), int(answer.headers.get("Retry-After", 0))


async def until(condition: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_for, condition, 60)


def states(fleet: Fleet) -> dict[str, str]:
    return {name: engine.state for name, engine in fleet.engines.items()}


def test_engines_start_on_demand_and_the_least_used_makes_room(tmp_path: Path) -> None:
    async def scenario(fleet: Fleet, client: TestClient) -> None:
        for name in ("a", "b"):
            status, body, retry = await ask(client, name)
            assert status == 503 and retry >= 1 and "is loading" in body["error"]["message"]
            await until(lambda name=name: fleet.engines[name].state == "ready")
            assert (await ask(client, name))[0] == 200
        assert (await ask(client, "a"))[0] == 200  # b is now the one longest unused
        assert (await ask(client, "c"))[0] == 503
        assert states(fleet)["b"] == "stopped"  # no request reaches it any more, from this moment
        await until(lambda: fleet.engines["c"].state == "ready")
        assert states(fleet) == {"a": "ready", "b": "stopped", "c": "ready"}
        assert (await ask(client, "c"))[0] == 200

    said = run(tmp_path, [spec(name, (name,)) for name in "abc"], scenario)
    assert "b: stopped, to make room for c" in said


def test_engines_in_use_are_not_stopped(tmp_path: Path) -> None:
    async def scenario(fleet: Fleet, client: TestClient) -> None:
        fleet.begin(fleet.engines["a"])
        await until(lambda: fleet.engines["a"].state == "ready")
        async with client.post("/v1/completions", json={"model": "a", "stream": True}) as stream:
            await stream.content.readline()
            status, body, retry = await ask(client, "b")
            assert status == 503 and retry >= 1
            assert "the memory budget (1.0 GiB) is in use by a" in body["error"]["message"]
            assert states(fleet) == {"a": "ready", "b": "stopped"}
        await until(lambda: fleet.engines["a"].in_flight == 0)
        await ask(client, "b")
        await until(lambda: fleet.engines["b"].state == "ready")

    run(tmp_path, [spec("a", ("a",)), spec("b", ("b",))], scenario, memory=GIB)


def test_the_second_choice_answers_until_the_first_is_ready(tmp_path: Path) -> None:
    async def scenario(fleet: Fleet, client: TestClient) -> None:
        first, second = fleet.engines["first"], fleet.engines["second"]
        fleet.begin(second)
        await until(lambda: second.state == "ready")
        slow = (await ask(client, "m"))[1]["pid"]
        fleet.begin(first)
        await until(lambda: first.state == "ready")
        quick = (await ask(client, "m"))[1]["pid"]
        assert quick != slow
        assert (await ask(client, "m", prompt="die"))[0] == 503
        assert (await ask(client, "m"))[1]["pid"] == slow  # at once, while the first is restarted
        await until(lambda: first.state == "ready")
        assert (await ask(client, "m"))[1]["pid"] not in (slow, quick)

    run(tmp_path, [spec("first", ("m",)), spec("second", ("m",))], scenario, routes={"m": ("first", "second")})


@pytest.mark.parametrize("prompt", ["die", "dead"])
def test_a_dead_engine_is_restarted(tmp_path: Path, prompt: str) -> None:
    """Dead as a process, or alive and reporting that its engine is dead, as vLLM does."""

    async def scenario(fleet: Fleet, client: TestClient) -> None:
        fleet.begin(fleet.engines["a"])
        await until(lambda: fleet.engines["a"].state == "ready")
        before = (await ask(client, "a"))[1]["pid"]
        await ask(client, "a", prompt=prompt)
        await until(lambda: fleet.engines["a"].restarts == 1 and fleet.engines["a"].state == "ready")
        assert (await ask(client, "a"))[1]["pid"] != before

    run(tmp_path, [spec("a", ("a",))], scenario)


def test_an_engine_that_never_starts_is_given_up(tmp_path: Path) -> None:
    async def scenario(fleet: Fleet, client: TestClient) -> None:
        await ask(client, "a")
        await until(lambda: fleet.engines["a"].state == "failed")
        status, body, _ = await ask(client, "a")
        assert status == 503 and "cannot be served" in body["error"]["message"]
        shown = await (await client.get("/v1/models/a")).json()
        assert shown["r1hf"]["state"] == "failed" and "its log:" in shown["r1hf"]["error"]
        assert not fleet.failed  # b can still be started
        await ask(client, "b")
        await until(lambda: fleet.engines["b"].state == "ready")
        assert (await client.get("/health")).status == 200

    said = run(tmp_path, [spec("a", ("a",), kind="fails"), spec("b", ("b",))], scenario)
    (last,) = [text for text in said if "given up" in text]
    assert f"{engines.TRIES} times in a row" in last and "this engine cannot start: boom" in last
    assert sum("starting it again" in text for text in said) == engines.TRIES - 1


def test_an_answer_cut_off_says_so(tmp_path: Path) -> None:
    async def scenario(fleet: Fleet, client: TestClient) -> None:
        fleet.begin(fleet.engines["a"])
        await until(lambda: fleet.engines["a"].state == "ready")
        async with client.post("/v1/completions", json={"model": "a", "stream": True}) as stream:
            assert await stream.content.readline() == b'data: {"part": 1}\n'
            await ask(client, "a", prompt="die")
            rest = (await stream.content.read()).decode()
        assert '"code": 503' in rest and "[DONE]" not in rest

    run(tmp_path, [spec("a", ("a",))], scenario)


def test_an_adapter_brings_its_template_and_nobody_elses(tmp_path: Path) -> None:
    async def scenario(fleet: Fleet, client: TestClient) -> None:
        fleet.begin(fleet.engines["e"])
        await until(lambda: fleet.engines["e"].state == "ready")
        seen = {}
        for name in ("base", "adapter"):
            asked = {"model": name, "messages": MESSAGES, "chat_template": "{{ 'evil' }}"}
            async with client.post("/v1/chat/completions", json=asked) as answer:
                seen[name] = (await answer.json())["body"].get("chat_template")
        assert seen == {"base": None, "adapter": "{{ 'the template of adapter' }}"}

    both = [model("base"), model("adapter", base=Path("base"))]
    run(tmp_path, [spec("e", ("base", "adapter"))], scenario, models=both)
