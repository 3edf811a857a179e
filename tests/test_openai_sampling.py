"""Sampling from servers: the right request, and servers that fail, hang, say nonsense, die and come back."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from double_server import DoubleHandler, DoubleServer, running
from serving_world import Served
from small_run import answered, manifest, recipe, write
from tables import each

from r1hf.core.config import parse
from r1hf.core.errors import DataError, StageError
from r1hf.models import openai_sampling, replicas
from r1hf.models.generation import generate
from r1hf.models.openai_sampling import OpenAiSampler
from r1hf.models.sampler_config import SamplingConfig, check_sampler, load_sampler
from r1hf.models.sampling import Completion, Limits, asks_of
from r1hf.models.transformers_sampling import TransformersSampler

CONTEXT = 64


class Server(DoubleServer):
    """Answers by prompt and seed alone. faults: what becomes of the next requests, or of all if `always`."""

    def __init__(self, name: str, port: int = 0):
        super().__init__(Handler, port)
        self.name, self.key = name, ""
        self.faults: list[str] = []
        self.always = ""
        self.asked: list[dict[str, Any]] = []
        self.most = self.now = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"{super().url}/v1"


class Handler(DoubleHandler):
    server: Server

    def do_GET(self) -> None:
        self.send(200, {"data": [{"id": self.server.name, "max_model_len": CONTEXT}]})

    def do_POST(self) -> None:
        body = self.body()
        server = self.server
        with server.lock:
            server.asked.append(body)
            server.now += 1
            server.most = max(server.most, server.now)
            fault = server.always or (server.faults.pop(0) if server.faults else "")
        time.sleep(0.002)
        try:
            if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
                self.send(401, {"error": "no such key"})
            elif fault:
                self.misbehave(fault)
            else:
                self.send(200, self.answer(body))
        finally:
            with server.lock:
                server.now -= 1

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        asked = body.get("prompt") or body["messages"]
        text = hashlib.sha256(json.dumps([asked, body["seed"]]).encode()).hexdigest()[:8]
        content = {"text": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}
        return {"choices": [{**content, "finish_reason": "stop"}], "usage": {"completion_tokens": 9}}

    def misbehave(self, fault: str) -> None:
        if fault == "half":
            self.send(200, b'{"choices": [{"te')
        elif fault == "empty":
            self.send(200, {"choices": []})
        elif fault == "busy":
            self.send(429, {"error": "slow down"}, {"Retry-After": "0"})
        else:
            super().misbehave(fault)


def serving(name: str = "base", port: int = 0) -> AbstractContextManager[Server]:
    return running(Server(name, port))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "FIRST_REST", 0.005)
    monkeypatch.setattr(replicas, "LONGEST_REST", 0.05)


def sampled(source: Path, *servers: Server, prompts: int = 12, **given: Any) -> list[list[Completion]]:
    sampler = OpenAiSampler(str(source), given.pop("batch_size", 8), [one.url for one in servers], **given)
    questions = [f"What is {number} + 1?" for number in range(prompts)]
    with sampler:
        return sampler.sample(sampler.chat(questions), 2, max_new_tokens=30, temperature=0.7, seed=3)


def test_what_is_asked_and_what_is_read(tiny_base: Path, server: Server) -> None:
    groups = sampled(tiny_base, server, body={"min_p": 0.1})
    assert all(len({one.text for one in group}) == 2 for group in groups)
    assert {(one.tokens, one.truncated, one.finish) for group in groups for one in group} == {(8, False, "stop")}
    asked = server.asked[0]
    assert asked["model"] == "base" and asked["temperature"] == 0.7 and asked["max_tokens"] == 30
    assert (asked["top_k"], asked["repetition_penalty"], asked["min_p"]) == (-1, 1.0, 0.1)
    other = TransformersSampler(str(tiny_base))
    assert sorted(one["prompt"] for one in server.asked) == sorted(
        2 * other.encode(other.chat([f"What is {number} + 1?" for number in range(12)]))
    )
    assert 1 < server.most <= 8, "no more at once than batch_size"


def test_a_chat_server_applies_its_own_template_and_needs_no_tokenizer_here(server: Server, tmp_path: Path) -> None:
    groups = sampled(tmp_path / "nowhere", server, api="chat", models={str(tmp_path / "nowhere"): "base"})
    assert len(groups) == 12 and all(one.tokens == 8 for group in groups for one in group)
    assert server.asked[0]["messages"][0]["role"] == "user" and "top_k" not in server.asked[0]


@each(
    "message, text",
    [
        ({"content": "14", "reasoning_content": "3 * 4"}, "<think>3 * 4</think>14"),
        ({"content": "14", "reasoning": "3 * 4"}, "<think>3 * 4</think>14"),
        ({"content": None, "reasoning_content": "3 * 4"}, "<think>3 * 4"),
        ({"content": "14", "reasoning_content": None}, "14"),
        ({"content": "14", "reasoning_content": ""}, "14"),
        ({"content": "<think>3</think>14", "reasoning_content": "3"}, "<think>3</think>14"),
        ({"content": None}, ""),
    ],
)
def test_a_thought_that_the_server_parsed_is_joined_again(
    message: dict[str, Any], text: str, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 9}}
    monkeypatch.setattr(Handler, "answer", lambda self, body: choice)
    groups = sampled(tmp_path / "base", server, api="chat", prompts=1)
    assert {one.text for one in groups[0]} == {text}


def test_one_thread_at_a_time_makes_tokens(tiny_base: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    turn, whole = threading.Lock(), OpenAiSampler.encode

    def alone(self: OpenAiSampler, prompts: Any) -> Any:
        assert turn.acquire(blocking=False), "two threads in the tokenizer"
        time.sleep(0.001)
        turn.release()
        return whole(self, prompts)

    monkeypatch.setattr(OpenAiSampler, "encode", alone)
    assert len(sampled(tiny_base, server)) == 12


def test_faults_of_a_server_change_nothing_in_the_samples(tiny_base: Path, server: Server) -> None:
    whole = sampled(tiny_base, server)
    server.faults = ["500", "busy", "503", "page", "half", "empty", "cut", "502"]
    assert sampled(tiny_base, server) == whole
    with serving() as broken:
        for fault in ("500", "cut", "busy", "page", "404 no such model"):
            broken.always = fault
            assert sampled(tiny_base, broken, server) == whole
    server.faults = ["hang"] * 2
    assert sampled(tiny_base, server, timeout=1.0) == whole


def test_a_server_that_dies_and_comes_back_is_used_again(tiny_base: Path, server: Server) -> None:
    whole = sampled(tiny_base, server, prompts=60)
    found: list[Any] = []
    with serving() as first:
        run = threading.Thread(target=lambda: found.extend(sampled(tiny_base, first, server, prompts=60)))
        run.start()
        while not first.asked:
            time.sleep(0.001)
        port = first.server_address[1]
    with serving(port=port) as again:
        run.join(300)
        assert found == whole and again.asked


@each(
    "fault, reason",
    [
        ("400 maximum context length is 64", "prompt too long"),
        ("400 bad words", "refused by the server"),
        ("422 what?", "refused by the server"),
        ("500 boom", "the server failed"),
        ("page", "the server failed"),
    ],
)
def test_a_prompt_that_no_server_answers_fails_alone(fault: str, reason: str, tiny_base: Path, server: Server) -> None:
    server.always = fault
    groups = sampled(tiny_base, server, prompts=2)
    assert all(one.finish == "failed" and one.fault.startswith(f"{reason}: ") for group in groups for one in group)


def test_a_prompt_longer_than_the_servers_context_is_not_sent(tiny_base: Path, server: Server) -> None:
    with OpenAiSampler(str(tiny_base), 2, [server.url]) as sampler:
        ((long,), (short,)) = sampler.sample(["word " * 100, "word"], 1, max_new_tokens=500)
    assert long.fault.startswith("prompt too long") and not short.fault
    assert len(server.asked) == 1 and server.asked[0]["max_tokens"] == CONTEXT - len(server.asked[0]["prompt"])


def test_where_nobody_answers_the_run_stops_with_a_sentence(
    tiny_base: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.always = "cut"
    with pytest.raises(StageError, match=r"no server has answered for 0.1 seconds \(.*no connection.*repeat the comm"):
        sampled(tiny_base, server, patience=0.1)
    with serving("other") as other, pytest.raises(StageError, match="serves other.*openai: {models: {"):
        sampled(tiny_base, other)
    server.always, server.key = "", "secret-of-the-test"
    with pytest.raises(StageError, match="R1HF_OPENAI_API_KEY") as refused:
        sampled(tiny_base, server)
    assert "secret" not in str(refused.value)
    monkeypatch.setenv(openai_sampling.API_KEY, "secret-of-the-test")
    assert len(sampled(tiny_base, server)) == 12


def kept(source: Path, server: Server, folder: Path) -> list[Completion]:
    """24 samples in four shards, one after the other; the third that is no answer stops it."""
    given = {"output_dir": "made", "sampler": "openai", "servers": [server.url], "batch_size": 1, "shard_size": 6}
    (config,) = parse((SamplingConfig,), [f"--{key}={value}" for key, value in given.items()]).configs
    config.max_bad_samples = 0.1
    with load_sampler(config, str(source)) as sampler:
        prompts = sampler.chat([f"What is {number} + 1?" for number in range(12)])
        made = generate(folder, sampler, prompts, 2, Limits(max_new_tokens=30), config)
        return [one for group in made.groups() for one in group]


@each("fault, requests", [("400 bad words", 1), ("500 boom", 6), ("page", 6)])
def test_what_a_server_failed_is_asked_again_and_nothing_else(
    fault: str, requests: int, tiny_base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / fault
    with serving() as broken, serving() as mended:
        # A failed sample in a shard that is finished, and two in one that is not.
        broken.faults = [fault] * requests + [""] * 8 + [fault] * 2 * requests
        with pytest.raises(DataError, match="3 of 24 samples are no answer.*mend the cause"):
            kept(tiny_base, broken, folder)
        answered = broken.asked[requests : requests + 8]
        found, again = kept(tiny_base, mended, folder), [(one["prompt"], one["seed"]) for one in mended.asked]
        assert len(again) == 24 - 8 and not [one for one in answered if (one["prompt"], one["seed"]) in again]
        assert found == kept(tiny_base, mended, tmp_path / "undisturbed") and not list(folder.glob("*.jsonl"))
        ledger = json.loads((folder / "ledger.json").read_text())
        assert ledger["settings"]["servers"] == [mended.url], "workers join the servers of the present run"


def test_a_prompt_that_is_too_long_is_not_asked_again(tiny_base: Path, tmp_path: Path) -> None:
    with serving() as short, serving() as other:
        short.faults = [""] * 6 + ["400 maximum context length is 64"] * 8
        for server in (short, other):
            with pytest.raises(DataError, match="3 of 24 samples are no answer.*prompt too long"):
                kept(tiny_base, server, tmp_path / "made")
        assert len(short.asked) == 9 and not other.asked


def said(**given: object) -> list[str]:
    problems: list[str] = []
    words = [f"--{key}={value}" for key, value in {"output_dir": "made", "sampler": "openai", **given}.items()]
    parsed = parse((SamplingConfig,), words)
    if parsed.configs[0] is not None:
        check_sampler(problems, parsed.configs[0])
    return parsed.problems + problems


GOOD = "['http://127.0.0.1:8000/v1', 'https://a.example/v1']"


@each(
    "given, wrong",
    [
        ({"servers": GOOD}, None),
        ({"servers": GOOD, "openai": "{api: chat, models: {a: b}, body: {top_k: 5}}"}, None),
        ({}, "servers: sampler openai needs addresses"),
        ({"servers": "['127.0.0.1:8000']"}, "'127.0.0.1:8000' is no address"),
        ({"servers": "['http://me:secret@a.example/v1']"}, "R1HF_OPENAI_API_KEY"),
        ({"servers": GOOD, "openai": "{apl: chat}"}, "apl is unknown"),
        ({"servers": GOOD, "openai": "{api: tokens}"}, "api: 'tokens' is unknown"),
        ({"servers": GOOD, "openai": "{body: 3}"}, "body: 3 is not a mapping"),
        ({"servers": GOOD, "openai": "{body: {seed: 3}}"}, "body: seed is set by the stage"),
        ({"servers": GOOD, "sampler": "transformers"}, "set sampler: openai"),
        ({"servers": GOOD, "server_timeout": 0}, "server_timeout: 0 is not above 0"),
        ({"servers": GOOD, "vllm": "{max_model_len: 8}"}, "set sampler: vllm"),
        ({"servers": GOOD, "max_bad_samples": 2}, "max_bad_samples: 2 is above 1"),
        ({"servers": GOOD, "shard_size": 0}, "shard_size: 0 is below 1"),
        ({"servers": GOOD, "workers": 2}, "workers: 2 would not be read"),
        ({"servers": GOOD, "ray": "{workers: 2}"}, "set sampler: ray"),
        ({"sampler": "ray", "ray": "{worker: 2}"}, "worker is unknown"),
        ({"sampler": "ray", "ray": "{workers: two}"}, "workers: 'two' is not a whole number"),
        ({"sampler": "ray", "ray": "{workers: 0}"}, "workers: 0 is below 1"),
    ],
)
def test_keys_are_checked_before_the_run(given: dict[str, Any], wrong: str | None) -> None:
    found = said(**given)
    assert not found if wrong is None else any(wrong in text for text in found)
    assert "secret" not in " ".join(found)


def test_a_stage_samples_from_servers_that_fail_and_repeats_no_answer(
    tiny_base: Path, server: Server, tmp_path: Path
) -> None:
    rows = write(tmp_path / "rows.jsonl", answered(8))
    made = tmp_path / "made"
    server.faults = ["500", "cut"]
    given = {"models": [str(tiny_base)], "prompts": rows, "k": 2, "max_new_tokens": 8, "sampler": "openai"}
    given |= {"servers": [server.url], "output_dir": made, "batch_size": 4}
    recipe("evaluate").main([f"--{key}={value!s}" for key, value in given.items()])
    assert manifest(made)["metrics"]["models"]["base"]["questions"] == 8
    counts = Counter((tuple(one["prompt"]), one["seed"]) for one in server.asked)
    assert len(counts) == 16 and sum(counts.values()) == 18


@pytest.mark.slow
def test_two_real_servers_of_which_one_is_killed(memorised: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="aiohttp is missing: make install EXTRAS=dev,serve")
    given = ("--engine", "transformers", "--max-requests", 4)  # more are refused with 429: they come again
    servers = [Served(memorised, *given, log_dir=tmp_path / name) for name in ("first", "second")]
    try:
        urls = [f"{one.ready().url}/v1" for one in servers]
        rows = answered(8)
        with OpenAiSampler(str(memorised), 8, urls) as sampler:
            prompts = sampler.chat([row["question"] for row in rows])
            asks = asks_of(prompts, range(8), 3, seed=1)
            found = {}
            for ask, completion in sampler.answers(asks, Limits(temperature=0.01, max_new_tokens=60)):
                found[ask.place, ask.sample] = completion
                if len(found) == 3:
                    servers[0].process.kill()
        with TransformersSampler(str(memorised)) as other:
            wanted = other.sample(prompts, 3, temperature=0.01, max_new_tokens=60)
        assert found == {(i, j): one for i, group in enumerate(wanted) for j, one in enumerate(group)}
    finally:
        for one in servers:
            one.end()
