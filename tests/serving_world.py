"""Small random models, and `r1hf serve` as a process, for the tests of serving."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from r1hf.models.loading import save_model
from r1hf.text.chat_templates import chat_template

TEXT = "User: What is 2 + 3 * 4? <think>先算 3 * 4 = 12</think> <answer>14</answer> 等于多少？\nAssistant:\n"
START = [sys.executable, "-c", "import sys; from r1hf.commands.serve import *; import argparse\n"
         "p = argparse.ArgumentParser(); add_arguments(p)\n"
         "from r1hf.core.errors import R1Error\n"
         "try: sys.exit(run(p.parse_args()))\n"
         "except R1Error as error: sys.exit(str(error))"]  # fmt: skip


def make_tokenizer(think_tokens: bool = True) -> Any:
    """A byte-level tokenizer, with the tags as tokens or without."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([TEXT], trainer)
    if think_tokens:
        backend.add_tokens(["<think>", "</think>", "<answer>", "</answer>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", pad_token="<|end|>")
    tokenizer.chat_template = chat_template()
    return tokenizer


def make_model(directory: Path, seed: int = 0, think_tokens: bool = True, context: int = 2048, heads: int = 2) -> Path:
    """A random Qwen2 of one layer."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    tokenizer = make_tokenizer(think_tokens)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=heads,
        num_key_value_heads=1,
        max_position_embeddings=context,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.3,
    )
    save_model(Qwen2ForCausalLM(config), tokenizer, directory)
    return directory


def make_adapter(directory: Path, base: Path, seed: int = 1) -> Path:
    """A random LoRA adapter of rank 4 on `base`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    settings = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings).save_pretrained(directory)
    config = json.loads((directory / "adapter_config.json").read_text())
    (directory / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(base)}))
    return directory


class Served:
    """`r1hf serve` running as a process."""

    def __init__(self, *arguments: object, log_dir: Path, open_files: int | None = None, **environment: str):
        command = [*START, *map(str, arguments), "--port", "0", "--log-dir", str(log_dir)]
        self.output = log_dir.with_suffix(".out")
        environment = {**os.environ, **environment}

        def limit() -> None:
            if open_files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))

        with self.output.open("wb") as stream:
            self.process = psutil.Popen(
                command,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                preexec_fn=limit,
            )
        self.log_dir, self.key = log_dir, environment.get("R1HF_API_KEY", "")
        self._port: int | None = None

    @property
    def url(self) -> str:
        if self._port is None:

            def listening() -> Any:
                assert self.process.poll() is None, self.said
                return [item for item in self.process.net_connections("tcp") if item.status == "LISTEN"]

            self._port = wait_for(listening)[0].laddr.port
        return f"http://127.0.0.1:{self._port}"

    @property
    def said(self) -> str:
        return self.output.read_text()

    def tree(self) -> list[psutil.Process]:
        """All processes below it."""
        return self.process.children(recursive=True)

    def engines(self) -> list[psutil.Process]:
        """The engines' own processes, without the guards and what is not started yet."""
        return [item for item in self.tree() if item.cmdline()[1:3] == ["-m", "r1hf.serving.transformers_server"]]

    def request(self, path: str, body: Any = None, **headers: str) -> urllib.request.Request:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        known = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        return urllib.request.Request(self.url + path, data=data, headers={**known, **headers})

    def call(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """(status, JSON, headers) of one request."""
        try:
            with urllib.request.urlopen(self.request(path, body, **headers), timeout=120) as answer:
                return answer.status, json.loads(answer.read()), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read()), dict(error.headers)

    def events(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The server-sent events of a streaming request, as they come."""
        with urllib.request.urlopen(self.request(path, {**body, "stream": True}), timeout=120) as answer:
            for line in answer:
                if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
                    yield json.loads(line[6:])

    def ready(self, model: str | None = None, seconds: float = 240) -> Served:
        """Waits until everything, or one model, is ready."""

        def states() -> bool:
            assert self.process.poll() is None, self.said
            found = self.call("/health")[1]["models"]
            return all(state == "ready" for name, state in found.items() if model in (None, name))

        wait_for(states, seconds)
        return self

    def end(self, number: int = signal.SIGINT) -> int:
        """Signals it, waits, and returns its status."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.send_signal(number)
        return self.process.wait(300)


def wait_for(condition: Any, seconds: float = 300) -> Any:
    """What `condition()` returns as soon as it is true. The limit only ends a hopeless wait."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {condition}")


def gone(processes: list[psutil.Process]) -> bool:
    """True if none of them runs any more."""
    return not [item for item in processes if item.is_running() and item.status() != psutil.STATUS_ZOMBIE]
