"""A small HTTP server that speaks as much of vLLM's interface as TRL's client uses, and misbehaves when told to."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import double_server
import pytest
import torch
from double_server import DoubleHandler, DoubleServer
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


class Vllm(DoubleServer):
    """vocabulary: ids of the tokens that it writes. faults: path -> what happens there (`DoubleHandler.misbehave`)."""

    def __init__(self, vocabulary: list[int], end: int):
        super().__init__(_Handler)
        self.vocabulary, self.end = vocabulary, end
        self.faults: dict[str, str] = {}
        self.good: dict[str, int] = {}  # path -> answers before its fault begins
        self.asked: list[str] = []
        self.config: dict[str, Any] = {
            "weight_transfer_config": {"backend": "nccl"},
            "model_config": {"logprobs_mode": "processed_logprobs"},
        }
        self.max_model_len = 4096


class _Handler(DoubleHandler):
    server: Vllm

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.body()
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        generation = path == "/v1/completions"
        self.server.good[path] = self.server.good.get(path, 0) - 1
        if path in self.server.faults and self.server.good[path] < 0:
            self.misbehave(self.server.faults[path])
            return
        found = {
            "/health": {},
            "/v1/models": {"data": [{"id": "tiny", "max_model_len": self.server.max_model_len}]},
            "/server_info": {"vllm_config": self.server.config},
            "/get_world_size": {"world_size": 1},
            "/reset_prefix_cache": {"success": True},
            **dict.fromkeys(_WEIGHTS, {}),
        }.get(path)
        self.send(200 if found is not None or generation else 404, self._complete(body) if generation else found or {})

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


def running(vocabulary: list[int], end: int) -> AbstractContextManager[Vllm]:
    return double_server.running(Vllm(vocabulary, end))
