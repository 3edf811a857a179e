"""Requests that no server should work for: each is refused with a sentence."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "What is 2 + 3 * 4?"}], "max_tokens": 8, "seed": 1}
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


def deep(levels: int, opening: str = "[", closing: str = "]") -> str:
    return opening * levels + "1" + closing * levels


def chat(**more: Any) -> bytes:
    return json.dumps({**ASKED, **more}).encode()


def say(content: Any, role: Any = "user") -> bytes:
    return chat(messages=[{"role": role, "content": content}])


def text(prompt: Any, **more: Any) -> bytes:
    return json.dumps({"prompt": prompt, "max_tokens": 4, **more}).encode()


def with_field(raw: str) -> bytes:
    """A request with `"x": raw`, which need not be JSON."""
    return json.dumps(ASKED)[:-1].encode() + f', "x": {raw}}}'.encode()


# name -> (path, body, headers)
MALFORMED: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "empty": (CHAT, b"", {}),
    "no JSON": (CHAT, b"hello", {}),
    "half of it": (CHAT, chat()[:-5], {}),
    "a list": (CHAT, b"[]", {}),
    "a number": (CHAT, b"1", {}),
    "null": (CHAT, b"null", {}),
    "two of them": (CHAT, chat() + chat(), {}),
    "no UTF-8": (CHAT, b'{"messages": "\xff\xfe"}', {}),
    "UTF-16": (CHAT, json.dumps(ASKED).encode("utf-16"), {}),
    "a lone surrogate in a message": (CHAT, say("\ud800"), {}),
    "a lone surrogate in a prompt": (TEXT, text("a\udc00b"), {}),
    "a lone surrogate as a role": (CHAT, say("x", "\ud800"), {}),
    "a lone surrogate as a stop": (CHAT, chat(stop="\ud800"), {}),
    "a lone surrogate as a key": (CHAT, chat(**{"\ud800": 1}), {}),
    "NaN": (CHAT, chat(temperature=float("nan")), {}),
    "Infinity": (CHAT, chat(temperature=float("inf")), {}),
    "1e999": (CHAT, with_field("1e999"), {}),
    "a number of 5,000 digits": (CHAT, with_field("1" * 5000), {}),
    "a seed of 400 digits": (CHAT, chat(seed=10**400), {}),
    "deep lists": (CHAT, with_field(deep(40)), {}),
    "deeper lists": (CHAT, with_field(deep(900)), {}),
    "very deep lists": (CHAT, with_field(deep(20_000)), {}),
    "very deep objects": (CHAT, with_field(deep(10_000, '{"a":', "}")), {}),
    "a deep list alone": (CHAT, b"[" * 50_000, {}),
    "many values": (CHAT, with_field(json.dumps([[]] * 30_000)), {}),
    "messages is a text": (CHAT, chat(messages="hi"), {}),
    "messages is an object": (CHAT, chat(messages={"role": "user"}), {}),
    "a message is a text": (CHAT, chat(messages=["hi"]), {}),
    "no messages": (CHAT, chat(messages=[]), {}),
    "3,000 messages": (CHAT, chat(messages=[{"role": "user", "content": ""}] * 3000), {}),
    "content is a number": (CHAT, say(3), {}),
    "content is an object": (CHAT, say({"text": "x"}), {}),
    "a part is a text": (CHAT, say(["x"]), {}),
    "a part is an address": (CHAT, say([{"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}]), {}),
    "a part without a type": (CHAT, say([{"text": "x"}]), {}),
    "a role is a list": (CHAT, say("x", ["user"]), {}),
    "a role is missing": (CHAT, chat(messages=[{"content": "x"}]), {}),
    "a long message": (CHAT, say("x" * 60_000), {}),
    "a long role": (CHAT, say("x", "x" * 60_000), {}),
    "a long message in parts": (CHAT, say([{"type": "text", "text": "x" * 100}] * 600), {}),
    "a long prompt": (TEXT, text("x" * 60_000), {}),
    "a prompt of too many tokens": (TEXT, text([1] * 10_000), {}),
    "a negative token": (TEXT, text([-1]), {}),
    "a token beyond the vocabulary": (TEXT, text([10**6]), {}),
    "a token of 100 digits": (TEXT, text([10**100]), {}),
    "a token is a boolean": (TEXT, text([True]), {}),
    "a token is a fraction": (TEXT, text([1.5]), {}),
    "prompts of both kinds": (TEXT, text(["a", [1]]), {}),
    "a prompt is an object": (TEXT, text({"a": 1}), {}),
    "an empty prompt": (TEXT, text([]), {}),
    "500 prompts": (TEXT, text(["a"] * 500), {}),
    "no prompt": (TEXT, b"{}", {}),
    "n is large": (CHAT, chat(n=10**6), {}),
    "n is a text": (CHAT, chat(n="1000000"), {}),
    "n is a fraction": (CHAT, chat(n=1e6), {}),
    "n is true": (CHAT, chat(n=True), {}),
    "n is negative": (CHAT, chat(n=-1), {}),
    "n is zero": (CHAT, chat(n=0), {}),
    "best_of is large": (TEXT, text("a", best_of=10**6), {}),
    "max_tokens is large": (CHAT, chat(max_tokens=10**9), {}),
    "max_tokens is a text": (CHAT, chat(max_tokens="10"), {}),
    "max_tokens is larger than any": (CHAT, chat(max_tokens=10**30), {}),
    "max_tokens is a list": (CHAT, chat(max_tokens=[1]), {}),
    "200,000 stops": (CHAT, chat(stop=["a"] * 200_000), {}),
    "1,000 stops": (CHAT, chat(stop=["a"] * 1000), {}),
    "a long stop": (CHAT, chat(stop="a" * 10_000), {}),
    "stops are numbers": (CHAT, chat(stop=[1, 2]), {}),
    "stop is an object": (CHAT, chat(stop={"a": 1}), {}),
    "a large logit_bias": (CHAT, chat(logit_bias={str(i): 1 for i in range(5000)}), {}),
    "many tools": (CHAT, chat(tools=[{"type": "function"}] * 2000), {}),
    "long tools": (CHAT, chat(tools=[{"type": "function", "function": {"name": "x" * 60_000}}]), {}),
    "a long user": (CHAT, chat(user="x" * 60_000), {}),
    "a long key": (CHAT, chat(**{"x" * 60_000: 1}), {}),
    "long metadata": (CHAT, chat(metadata={f"{i}": "x" * 100 for i in range(600)}), {}),
    "embeddings as a prompt": (TEXT, text("a", prompt_embeds="gASV"), {}),
    "a temperature of text": (CHAT, chat(temperature="hot"), {}),
    "a large temperature": (CHAT, chat(temperature=1e6), {}),
    "top_p of 2": (CHAT, chat(top_p=2), {}),
    "top_k of text": (CHAT, chat(top_k="1"), {}),
    "logprobs of a million": (TEXT, text("a", logprobs=10**6), {}),
    "stream of text": (CHAT, chat(stream="perhaps"), {}),
    "stream_options is a list": (CHAT, chat(stream=True, stream_options=[1]), {}),
    "a model is a list": (CHAT, chat(model=["r1"]), {}),
    "a model is a number": (CHAT, chat(model=3), {}),
    "a model with a surrogate": (CHAT, chat(model="\ud800"), {}),
    "a long model": (CHAT, chat(model="x" * 60_000), {}),
    "detokenize -1": ("/detokenize", b'{"tokens": [-1]}', {}),
    "detokenize 2^40": ("/detokenize", b'{"tokens": [1099511627776]}', {}),
    "detokenize 10^30": ("/v1/detokenize", b'{"tokens": [1000000000000000000000000000000]}', {}),
    "detokenize a text": ("/detokenize", b'{"tokens": "abc"}', {}),
    "detokenize texts": ("/detokenize", b'{"tokens": ["a"]}', {}),
    "detokenize booleans": ("/detokenize", b'{"tokens": [true]}', {}),
    "detokenize nothing": ("/detokenize", b"{}", {}),
    "detokenize too many": ("/detokenize", json.dumps({"tokens": [1] * 10_000}).encode(), {}),
    "tokenize a long text": ("/tokenize", json.dumps({"prompt": "x" * 60_000}).encode(), {}),
    "tokenize an object": ("/tokenize", b'{"prompt": {}}', {}),
    "tokenize nothing": ("/tokenize", b"{}", {}),
    "20 MiB": (CHAT, say("x" * (20 * 2**20)), {}),
    "20 MiB of brackets": (CHAT, b"[" * (20 * 2**20), {}),
    "gzip": (CHAT, gzip.compress(chat()), {"Content-Encoding": "gzip"}),
    "a bomb, deflate": (CHAT, zlib.compress(b" " * (100 * 2**20)), {"Content-Encoding": "deflate"}),
    "a bomb, gzip, wrong key": (
        CHAT, gzip.compress(b" " * (100 * 2**20)), {"Content-Encoding": "gzip", "Authorization": "Bearer no"},
    ),
    "an unknown encoding": (CHAT, chat(), {"Content-Encoding": "br, gzip"}),
    "a wrong key": (CHAT, chat(), {"Authorization": "Bearer no"}),
    "a key beyond ASCII": (CHAT, chat(), {"Authorization": "Bearer schl\xfcssel"}),
    "a key beyond UTF-8": (CHAT, chat(), {"Authorization": "Bearer \xff\xfe"}),
    "another scheme": (CHAT, chat(), {"Authorization": "Basic a2V5OmtleQ=="}),
    "another site's page": (CHAT, chat(), {"Origin": "http://evil.example"}),
    "an origin that is none": (CHAT, chat(), {"Origin": "http://[::1"}),
    "an empty origin": (CHAT, chat(), {"Origin": ""}),
    "a foreign host": (CHAT, chat(), {"Host": "evil.example"}),
    "a foreign host, its own page": (CHAT, chat(), {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}),
    "a host like ours": (CHAT, chat(), {"Host": "127.0.0.1.evil.example"}),
    "a host with a user": (CHAT, chat(), {"Host": "evil.example@127.0.0.1"}),
    "a host that is none": (CHAT, chat(), {"Host": "a b"}),
    "another address as host": (CHAT, chat(), {"Host": "10.1.2.3"}),
}  # fmt: skip
