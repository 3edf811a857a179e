"""The Transformers engine: the same tokens as `generate`, streamed, stopped, budgeted and cancelled."""

import asyncio
import json
import queue
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_world import make_adapter, make_model, wait_for
from transformers import GenerationConfig

pytest.importorskip("aiohttp", reason="aiohttp is missing: make install EXTRAS=dev,serve")

from r1hf.serving.generation import Event, Generator, LoadedModel, Request, Sampling  # noqa: E402
from r1hf.serving.transformers_server import Body, Refused, Server, sampling_of  # noqa: E402

PROMPT = "User: What is 2 + 3 * 4?\nAssistant:\n"


def load(directory: Path, base: Path | None = None, context: int = 2048) -> LoadedModel:
    row = {"name": "m", "directory": str(directory), "base": str(base) if base else None, "chat_template": None}
    return LoadedModel({**row, "context": context, "dtype": "float32", "temperature": 0.6, "top_p": 0.95}, "cpu")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "m")


@pytest.fixture(scope="module")
def model(directory: Path) -> LoadedModel:
    return load(directory)


@pytest.fixture(scope="module")
def generator() -> Iterator[Generator]:
    thread = Generator()
    thread.start()
    yield thread
    assert thread.is_alive()


def start(generator: Generator, model: LoadedModel, prompt: list[int], **sampling: object):
    events: queue.Queue[Event] = queue.Queue()
    request = Request(model, prompt, Sampling(**{"max_tokens": 24, **sampling}), events.put)  # type: ignore[arg-type]
    generator.submit(request)
    return request, events


def finish(events: "queue.Queue[Event]", n: int = 1) -> list[tuple[str, int, str]]:
    """(text, tokens, finish reason) of each sample."""
    texts, ends = [""] * n, {}
    while len(ends) < n:
        event = events.get(timeout=300)
        texts[event.index] += event.text
        if event.finish:
            ends[event.index] = (event.tokens, event.finish)
    return [(texts[index], *ends[index]) for index in range(n)]


def sample(generator: Generator, model: LoadedModel, text: str = PROMPT, **sampling: object):
    _, events = start(generator, model, model.tokenizer.encode(text), **sampling)
    return finish(events, int(sampling.get("n", 1)))  # type: ignore[call-overload]


@pytest.mark.parametrize("text", [PROMPT, "a", "等于多少？", "x" * 300])
def test_greedy_is_what_generate_gives(generator: Generator, model: LoadedModel, text: str) -> None:
    ids = torch.tensor([model.tokenizer.encode(text)])
    config = GenerationConfig(max_new_tokens=24, do_sample=False, eos_token_id=0, pad_token_id=0)
    expected = model.model.generate(ids, generation_config=config)[0, ids.shape[1] :].tolist()
    ((got, tokens, reason),) = sample(generator, model, text, temperature=0.0)
    assert got == model.tokenizer.decode(expected, skip_special_tokens=True)
    assert tokens == len(expected) and reason == ("stop" if expected[-1] == 0 else "length")


def test_equal_seeds_give_equal_samples_whatever_runs_beside(generator: Generator, model: LoadedModel) -> None:
    first = sample(generator, model, seed=5, n=4)
    ids = model.tokenizer.encode(PROMPT)
    runs = [start(generator, model, ids, seed=seed, n=4)[1] for seed in (5, 6, 5)]
    results = [finish(events, 4) for events in runs]
    assert results[0] == results[2] == first != results[1]
    assert len({text for text, _, _ in first}) > 1


def test_samples_end_each_on_its_own(generator: Generator, model: LoadedModel) -> None:
    """Samples that finish early leave the batch; the others go on undisturbed."""
    with torch.no_grad():
        results = sample(generator, model, seed=3, n=16, max_tokens=400, temperature=2.0)
    lengths = {tokens for _, tokens, _ in results}
    assert len(lengths) > 1
    assert all((reason == "length") == (tokens == 400) for _, tokens, reason in results)


@settings(max_examples=30)
@given(st.data())
def test_a_stop_string_cuts_where_it_first_stands(
    generator: Generator, model: LoadedModel, data: st.DataObject
) -> None:
    ((whole, _, _),) = sample(generator, model, temperature=0.0, ignore_eos=True)
    start_at = data.draw(st.integers(0, len(whole) - 1))
    stops = [whole[start_at : start_at + data.draw(st.integers(1, 6))], data.draw(st.text(min_size=1, max_size=3))]
    ((got, _, reason),) = sample(generator, model, temperature=0.0, ignore_eos=True, stop=tuple(stops))
    # The stream knows a character only when its bytes are complete, so the cut is that of the decoded text.
    places = [at for stop in stops if (at := whole.find(stop)) >= 0]
    assert reason in ("stop", "length")
    if reason == "stop":
        assert whole.startswith(got) and not any(stop in got for stop in stops) and len(got) <= min(places)


def test_the_thinking_budget_closes_the_thought(generator: Generator, model: LoadedModel) -> None:
    prompt = PROMPT + "<think>"
    ((free, _, _),) = sample(generator, model, prompt, seed=1, ignore_eos=True, max_tokens=40)
    ((held, tokens, _),) = sample(
        generator, model, prompt, seed=1, ignore_eos=True, max_tokens=40, thinking_token_budget=7
    )
    assert "</think>" not in free[: len(held.partition("</think>")[0])]
    thought = held.partition("</think>")[0]
    assert "</think>" in held and free.startswith(thought) and tokens == 40
    assert sample(generator, model, prompt, seed=1, thinking_token_budget=0)[0][0].startswith("</think>")


def test_a_cancelled_request_stops_and_the_others_go_on(generator: Generator, model: LoadedModel) -> None:
    ids = model.tokenizer.encode(PROMPT)
    long, events = start(generator, model, ids, max_tokens=100_000, ignore_eos=True)
    events.get(timeout=300)
    _, other = start(generator, model, ids, max_tokens=5, ignore_eos=True)
    assert finish(other)[0][1] == 5
    long.cancelled = True
    wait_for(lambda: generator.active == 0)


def test_a_failing_request_harms_no_other(generator: Generator, model: LoadedModel) -> None:
    _, events = start(generator, model, [10**9])
    failure = events.get(timeout=300)
    assert failure.finish == "error" and "Error" in failure.text
    assert sample(generator, model, max_tokens=2, ignore_eos=True)[0][1] == 2


def test_an_adapter_is_merged(generator: Generator, directory: Path, tmp_path: Path, model: LoadedModel) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = make_adapter(tmp_path / "adapter", directory)
    loaded = load(adapter, directory)
    ids = torch.tensor([loaded.tokenizer.encode(PROMPT)])
    reference = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(directory), adapter).eval()
    with torch.no_grad():
        assert torch.allclose(loaded.model(ids).logits, reference(ids).logits, atol=1e-3)
        assert not torch.allclose(loaded.model(ids).logits, model.model(ids).logits, atol=1e-3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"max_tokens": 2048}, "maximum context length is 2048"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"presence_penalty": 1}, "presence_penalty"),
    ],
)
def test_what_cannot_be_done_is_refused(model: LoadedModel, body: dict, said: str) -> None:
    with pytest.raises((Refused, ValueError), match=said):
        sampling_of(Body.model_validate(body), model, 10)


def test_defaults_are_the_models(model: LoadedModel) -> None:
    sampling = sampling_of(Body(), model, 48)
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.n) == (0.6, 0.95, 2000, 1)
    assert sampling_of(Body(temperature=0, top_p=1), model, 48).temperature == 0


def test_streams_and_whole_answers_agree(generator: Generator, model: LoadedModel) -> None:
    """Over HTTP: chat and text, one sample and several, with usage."""
    from aiohttp.test_utils import TestClient, TestServer

    async def both(path: str, asked: dict) -> tuple[dict, list[dict]]:
        async with TestClient(TestServer(Server({"m": model}, generator).app())) as client:
            whole = await (await client.post(path, json=asked)).json()
            options = {"stream": True, "stream_options": {"include_usage": True}}
            lines = (await (await client.post(path, json={**asked, **options})).text()).split("\n\n")
            assert lines[-2:] == ["data: [DONE]", ""]
            return whole, [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]

    prompts = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "What is 2 + 3 * 4?"}]},
        "/v1/completions": {"prompt": PROMPT},
    }
    for path, prompt in prompts.items():
        chat = "chat" in path
        whole, events = asyncio.run(both(path, {**prompt, "model": "m", "seed": 4, "n": 3, "max_tokens": 30}))
        texts, reasons = [""] * 3, [None] * 3
        for event in events[:-1]:
            (choice,) = event["choices"]
            texts[choice["index"]] += choice["delta"]["content"] if chat else choice["text"]
            reasons[choice["index"]] = choice["finish_reason"] or reasons[choice["index"]]
        expected = [choice["message"]["content"] if chat else choice["text"] for choice in whole["choices"]]
        assert texts == expected and reasons == [choice["finish_reason"] for choice in whole["choices"]]
        assert events[-1]["usage"] == whole["usage"] and whole["usage"]["completion_tokens"] > 3
