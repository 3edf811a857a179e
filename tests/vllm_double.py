"""A small HTTP server that speaks as much of vLLM's interface as TRL's client uses, and misbehaves when told to."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trl.generation import vllm_client, vllm_generation
from urllib3.util.retry import Retry

_WEIGHTS = ("/init_weight_transfer_engine", "/start_weight_update", "/update_weights", "/finish_weight_update")


def client_on_cpu(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """TRL's client without vLLM's package and without NCCL: every request and answer is real, and only the weights
    themselves do not travel. Returns what would have been sent, one mapping of names to weights a time.
    """
    sent: list[dict[str, torch.Tensor]] = []

    class Nccl:
        @staticmethod
        def trainer_init(info: Any) -> Any:
            return SimpleNamespace(group=SimpleNamespace())

        @staticmethod
        def trainer_send_weights(iterator: Any, trainer_args: Any) -> None:
            sent.append({name: tensor.clone() for name, tensor in iterator})

    begin = vllm_client.VLLMClient.init_communicator
    for module in (vllm_client, vllm_generation):
        monkeypatch.setattr(module, "is_vllm_available", lambda *_, **__: True)
    monkeypatch.setattr(vllm_client, "_HAS_STATEFUL_TRAINER_ENGINE", False)
    monkeypatch.setattr(vllm_client, "NCCLWeightTransferEngine", Nccl, raising=False)
    monkeypatch.setattr(vllm_client, "NCCLTrainerSendWeightsArgs", SimpleNamespace, raising=False)
    monkeypatch.setattr(vllm_client, "get_ip", lambda: "127.0.0.1", raising=False)
    monkeypatch.setattr(vllm_client.VLLMClient, "init_communicator", lambda self, device=0: begin(self, "cuda"))
    monkeypatch.setattr(Retry, "get_backoff_time", lambda self: 0.01)
    return sent


class Vllm(ThreadingHTTPServer):
    """vocabulary: ids of the tokens that it writes. faults: path -> what happens there (see `_Handler._misbehave`)."""

    daemon_threads = True

    def __init__(self, vocabulary: list[int], end: int):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.vocabulary, self.end = vocabulary, end
        self.faults: dict[str, str] = {}
        self.good: dict[str, int] = {}  # path -> answers before its fault begins
        self.asked: list[str] = []
        self.released = threading.Event()
        self.config: dict[str, Any] = {
            "weight_transfer_config": {"backend": "nccl"},
            "model_config": {"logprobs_mode": "processed_logprobs"},
        }
        self.max_model_len = 4096

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Vllm
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        generation = path == "/v1/completions"
        self.server.good[path] = self.server.good.get(path, 0) - 1
        if path in self.server.faults and self.server.good[path] < 0:
            self._misbehave(self.server.faults[path])
            return
        found = {
            "/health": {},
            "/v1/models": {"data": [{"id": "tiny", "max_model_len": self.server.max_model_len}]},
            "/server_info": {"vllm_config": self.server.config},
            "/get_world_size": {"world_size": 1},
            "/reset_prefix_cache": {"success": True},
            **dict.fromkeys(_WEIGHTS, {}),
        }.get(path)
        self._send(200 if found is not None or generation else 404, self._complete(body) if generation else found)

    def _misbehave(self, fault: str) -> None:
        if fault == "hang":
            self.server.released.wait(30)
            self.close_connection = True
        elif fault == "cut":
            self.close_connection = True  # no answer at all
            self.connection.close()
        elif fault == "page":
            self._send(200, None, b"<html>hello</html>")
        else:
            self._send(int(fault), {"error": {"message": "CUDA out of memory"}})

    def _send(self, status: int, content: Any, raw: bytes | None = None) -> None:
        data = raw if raw is not None else json.dumps(content if content is not None else {}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        choices = []
        for prompt in body["prompt"]:
            for number in range(body["n"]):
                draw = random.Random(str((prompt, number, body.get("seed"))))
                ids = [draw.choice(self.server.vocabulary) for _ in range(draw.randint(1, body["max_tokens"] - 1))]
                ids.append(self.server.end)
                names = [f"token_id:{one}" for one in ids]
                logprobs = {"tokens": names, "token_logprobs": [-5.0] * len(ids), "top_logprobs": [None] * len(ids)}
                choices.append({"prompt_token_ids": prompt, "token_ids": ids, "logprobs": logprobs})
        return {"choices": choices}


@contextmanager
def running(vocabulary: list[int], end: int) -> Iterator[Vllm]:
    server = Vllm(vocabulary, end)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
