"""Sampling from servers that speak OpenAI's interface: one or many replicas, each sample a request of its own."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import requests

from r1hf.core.errors import StageError
from r1hf.core.secrets import mask
from r1hf.models.loading import load_tokenizer
from r1hf.models.replicas import Replica, Replicas
from r1hf.models.sampling import TOO_LONG, Ask, Completion, Limits, Sampler, failed

Api = Literal["completions", "chat"]
API_KEY = "R1HF_OPENAI_API_KEY"  # the environment variable with the servers' key
TRIES = 6  # answers of 5xx, garbage and time-outs that one sample may cost before it counts as failed
_CONNECT = 10.0  # seconds
# What a server would otherwise take from the model's own generation settings.
OWN_DISTRIBUTION = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}


class OpenAiSampler(Sampler):
    """`Sampler` over servers. `batch_size`: requests under way at once, over all servers.

    api "completions": prompts are made here and sent as tokens, as every other sampler has them. "chat": the server
    applies its own template to the prompt as the user's turn; no tokenizer is needed here. models: source -> what the
    servers call it, where that is neither the source nor its last part. body: more keys of each request.

    Raises StageError where no server serves the model, the key is wrong, or none answers for `patience` seconds.
    """

    def __init__(
        self,
        source: str,
        batch_size: int,
        servers: Sequence[str],
        *,
        api: Api = "completions",
        models: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        timeout: float = 1200.0,
        patience: float = 600.0,
    ):
        self.source, self.batch_size, self.servers = source, batch_size, [url.rstrip("/") for url in servers]
        self.tokenizer = load_tokenizer(source) if api == "completions" else None
        self.api, self.timeout, self.patience = api, timeout, patience
        self.names = {source, os.path.abspath(source), Path(source.partition("@")[0]).name}
        self.names = {models[source]} if models and source in models else self.names
        self.body = (OWN_DISTRIBUTION if api == "completions" else {}) | (body or {})
        self._replicas: Replicas | None = None
        self._encoding = threading.Lock()  # tokenizers refuse two threads at once where one sets how it pads or cuts

    @property
    def engine(self) -> str:
        return f"openai {self.api}"

    def chat(self, questions: Sequence[str], template: str | None = None) -> list[str]:
        return list(questions) if self.api == "chat" and template is None else super().chat(questions, template)

    def answers(self, asks: Iterable[Ask], limits: Limits) -> Iterator[tuple[Ask, Completion]]:
        replicas = self._replicas = self._replicas or Replicas(self._found(), self.patience)
        todo: queue.Queue[Ask | None] = queue.Queue()
        done: queue.Queue[tuple[Ask, Completion | BaseException]] = queue.Queue()
        # Daemons: a server that hangs must not hold up the end of the process.
        threads = [
            threading.Thread(target=self._serve, args=(todo, done, replicas, limits), daemon=True)
            for _ in range(self.batch_size)
        ]
        waiting, source = 0, iter(asks)
        try:
            while True:
                for ask in islice(source, self.batch_size - waiting):
                    todo.put(ask)
                    waiting += 1
                    if threads:
                        threads.pop().start()
                if not waiting:
                    return
                ask, found = done.get()
                waiting -= 1
                if isinstance(found, BaseException):
                    raise found
                yield ask, found
        finally:
            for _ in range(self.batch_size - len(threads)):
                todo.put(None)

    def _serve(self, todo: Any, done: Any, replicas: Replicas, limits: Limits) -> None:
        with requests.Session() as session:
            while (ask := todo.get()) is not None:
                try:
                    done.put((ask, self._sampled(session, ask, replicas, limits)))
                except BaseException as error:  # raised where the samples are read
                    done.put((ask, error))

    def _sampled(self, session: requests.Session, ask: Ask, replicas: Replicas, limits: Limits) -> Completion:
        tries, why = 0, ""
        while tries < TRIES:
            one = replicas.take()
            body = self._request(ask, one, limits)
            if body is None:
                replicas.answered(one)
                return failed(f"{TOO_LONG}: it leaves no room in the context of {one.context} tokens")
            try:
                reply = self._post(session, one.url, body)
                found = self._read(reply)
            except _Busy as error:
                replicas.failed(one, str(error), error.rest)
            except _Down as error:
                replicas.failed(one, str(error))
            except _Wrong as error:
                tries, why = tries + 1, str(error)
                replicas.failed(one, why)
            except BaseException:
                replicas.answered(one)
                raise
            else:
                replicas.answered(one)
                return found
        return failed(f"the server failed: {why}, {TRIES} times")

    def _request(self, ask: Ask, one: Replica, limits: Limits) -> dict[str, Any] | None:
        body = {"model": one.name, "seed": ask.seed, "n": 1, "stream": False, **self.body}
        body |= {"temperature": limits.temperature, "top_p": limits.top_p, "max_tokens": limits.max_new_tokens}
        if self.api == "chat":
            return body | {"messages": [{"role": "user", "content": ask.prompt}]}
        with self._encoding:
            (ids,) = self.encode([ask.prompt])
        if one.context is not None:
            body["max_tokens"] = min(limits.max_new_tokens, one.context - len(ids))
        return body | {"prompt": ids} if body["max_tokens"] > 0 else None

    def _post(self, session: requests.Session, url: str, body: dict[str, Any]) -> requests.Response:
        path = "chat/completions" if self.api == "chat" else "completions"
        try:
            return session.post(
                f"{url}/{path}", json=body, timeout=(_CONNECT, self.timeout), auth=_key, allow_redirects=False
            )
        except requests.Timeout as error:
            raise _Wrong(f"no answer in {self.timeout:g} seconds") from error
        except requests.ConnectionError as error:
            raise _Down("no connection, or one that broke off") from error
        except requests.RequestException as error:
            raise _Wrong(type(error).__name__) from error

    def _read(self, reply: requests.Response) -> Completion:
        """The sample in an answer. Raises what says whether the server or the prompt is at fault."""
        said = f"{reply.status_code} {' '.join(reply.text.split())[:200]}"
        if reply.status_code in (429, 503):
            raise _Busy(said, reply.headers.get("Retry-After", ""))
        if reply.status_code in (401, 403):
            raise StageError(f"{reply.url}: {mask(said)}; set {API_KEY} in the environment to the servers' key")
        if reply.status_code == 404:
            raise _Down(f"it does not serve the model: {said}")
        if 400 <= reply.status_code < 500:
            long = "context" in said or "too long" in said or "maximum" in said
            return failed(f"{TOO_LONG if long else 'refused by the server'}: {said}")
        if reply.status_code != 200:
            raise _Wrong(said)
        try:
            content = reply.json()
            choice, tokens = content["choices"][0], content["usage"]["completion_tokens"]
            text = _said(choice["message"]) if self.api == "chat" else choice["text"]
            finish = choice["finish_reason"]
            text = (text or "").encode("utf-8", "replace").decode()  # half a surrogate is no text
            ended = finish != "length"
            return Completion(text, max(0, int(tokens) - ended), truncated=not ended)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise _Wrong(f"an answer that is none: {said}") from error

    def _found(self) -> list[Replica]:
        """The servers that serve the model, and those that do not answer yet. Raises StageError where none does."""
        found, told, silent = [], [], []
        for url in self.servers:
            try:
                rows = self._served(url)
            except (requests.RequestException, ValueError, KeyError, TypeError) as error:
                told.append(f"{url}: no answer ({type(error).__name__})")
                silent.append(url)
                continue
            if names := [name for name in rows if name in self.names]:
                context = rows[names[0]].get("max_model_len")
                found.append(Replica(url, names[0], context if isinstance(context, int) else None))
            else:
                told.append(f"{url} serves {', '.join(rows)[:200]}")
        if not found:
            raise StageError(
                f"no server serves {self.source} ({'; '.join(told)}); start one, or say what they call it with "
                f"openai: {{models: {{{self.source}: NAME}}}}"
            )
        if told:
            print(f"  note: {self.source}: {'; '.join(told)}", flush=True)
        return found + [Replica(url, found[0].name, found[0].context) for url in silent]

    def _served(self, url: str) -> dict[str, dict[str, Any]]:
        reply = requests.get(f"{url}/models", timeout=_CONNECT, auth=_key, allow_redirects=False)
        if reply.status_code in (401, 403):
            raise StageError(f"{url} wants a key: set {API_KEY} in the environment")
        return {row["id"]: row for row in reply.json()["data"]}


def _said(message: dict[str, Any]) -> str:
    """A chat's answer, with the thought that a server's reasoning parser took out of it before it."""
    content: str = message["content"] or ""
    thought = message.get("reasoning_content") or message.get("reasoning")
    if not thought or "</think>" in content:
        return content
    # Without content the thought was cut off: it stays open, as it would without the parser.
    return "<think>" + thought + ("</think>" + content if content else "")


def _key(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """The servers' key, if there is one; also where a .netrc would give another."""
    if key := os.environ.get(API_KEY):
        request.headers["Authorization"] = f"Bearer {key}"
    return request


class _Down(Exception):
    """The server is not there."""


class _Wrong(Exception):
    """The server answered with an error that may be the request's fault."""


class _Busy(Exception):
    """The server asks to wait, `rest` seconds if it says so; `Replicas` waits a minute of them at most."""

    def __init__(self, said: str, after: str):
        super().__init__(said)
        self.rest = float(after) if after.isdecimal() else 0.0
