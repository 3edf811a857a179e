"""Token-by-token generation for many requests at once, over Transformers models of one process.

One thread takes the clients and their requests in turn, one step each, so that all of them progress and a cancelled
one stops at its next step. A request's samples are one batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers.decoders import DecodeStream
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, LogitsProcessorList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from r1hf.core.foreign_code import NO_CODE, WEIGHTS
from r1hf.serving.turns import Turns
from r1hf.text.grammar import THINK_CLOSE, THINK_OPEN

CHUNK = 512  # tokens of a prompt that are read in one step


@dataclass(frozen=True)
class Sampling:
    """How a request is sampled; temperature 0 is greedy. max_tokens counts per sample, the end token included."""

    max_tokens: int
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    thinking_token_budget: int | None = None


@dataclass(frozen=True)
class Event:
    """What a step decided for sample `index`: text, tokens made, and at the end why ("stop", "length", "error")."""

    index: int
    text: str = ""
    tokens: int = 0
    finish: str | None = None


class LoadedModel:
    """A model and its tokenizer in memory, an adapter merged into its base."""

    def __init__(self, row: dict[str, Any], device: str):
        source = Path(row["base"] or row["directory"])
        own = Path(row["directory"])
        self.name: str = row["name"]
        self.context: int = row["context"]
        self.defaults = {"temperature": row["temperature"], "top_p": row["top_p"]}
        tokens_from = own if (own / "tokenizer.json").exists() else source
        self.tokenizer = AutoTokenizer.from_pretrained(tokens_from, **NO_CODE)
        try:
            self.template = row["chat_template"] or self.tokenizer.get_chat_template()
        except ValueError:
            self.template = None
        model = AutoModelForCausalLM.from_pretrained(source, dtype=row["dtype"], **WEIGHTS)
        if row["base"]:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, own).merge_and_unload()
        self.model = model.eval().to(device)
        self.device = device
        self.vocabulary = max(len(self.tokenizer), int(model.config.vocab_size))
        settings = model.generation_config.to_diff_dict()
        for name in ("top_k", "min_p", "repetition_penalty"):
            if settings.get(name) is not None:
                self.defaults[name] = settings[name]
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self.ends = {self.tokenizer.eos_token_id, *ends} - {None}
        self.think_open = self.tokenizer.encode(THINK_OPEN, add_special_tokens=False)
        self.think_close = self.tokenizer.encode(THINK_CLOSE, add_special_tokens=False)


@dataclass(eq=False)
class Request:
    """One request. `emit` is called from the generating thread. Set `cancelled` to stop it at its next step.

    client: for whom it is; clients share the time equally, however many requests each has.
    """

    model: LoadedModel
    prompt: list[int]
    sampling: Sampling
    emit: Callable[[Event], None]
    client: str = ""
    cancelled: bool = False
    read: int = 0  # tokens of the prompt that are in the cache
    history: torch.Tensor | None = None  # [samples, tokens], only where a sampler looks back
    rows: list[_Row] = field(default_factory=list)
    cache: DynamicCache | None = None
    warpers: LogitsProcessorList | None = None
    generator: torch.Generator | None = None


class _Row:
    """One sample: its tokens, its text decoded as far as it is certain, and what of it may go out."""

    def __init__(self, index: int, request: Request):
        self.index, self.request = index, request
        self.tokens: list[int] = []
        self.forced: deque[int] = deque()
        self._stream = DecodeStream(skip_special_tokens=True)
        self._held = ""
        self._text_length = 0
        self._thought = -1  # tokens of an open thought; -1 outside one
        if _ends_with(request.prompt, request.model.think_open):
            self._thought = 0
            self._close_thought()

    def add(self, token: int) -> Event | None:
        """Takes the next token. Returns an event if it decided text or the end."""
        sampling, model = self.request.sampling, self.request.model
        self.tokens.append(token)
        if token in model.ends and not sampling.ignore_eos:
            return self._finish("stop")
        piece = self._stream.step(model.tokenizer.backend_tokenizer, token) or ""
        self._held += piece
        self._text_length += len(piece)
        if found := [at for stop in sampling.stop if (at := self._held.find(stop)) >= 0]:
            return Event(self.index, self._held[: min(found)], len(self.tokens), "stop")
        if len(self.tokens) >= sampling.max_tokens:
            return self._finish("length")
        self._count_thought(token)
        keep = max((_overlap(self._held, stop) for stop in sampling.stop), default=0)
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return Event(self.index, text, len(self.tokens)) if text else None

    def _finish(self, reason: str) -> Event:
        # Bytes of an unfinished character are held back by the stream; the end shows them as a whole decode does.
        tokenizer = self.request.model.tokenizer
        whole = tokenizer.decode(self.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return Event(self.index, self._held + whole[self._text_length :], len(self.tokens), reason)

    def _count_thought(self, token: int) -> None:
        model = self.request.model
        if self.forced:
            return
        if self._thought >= 0:
            self._thought = -1 if _ends_with(self.tokens, model.think_close) else self._thought + 1
        elif _ends_with(self.tokens, model.think_open):
            self._thought = 0
        self._close_thought()

    def _close_thought(self) -> None:
        """Forces `</think>` when the budget of an open thought is used up."""
        budget = self.request.sampling.thinking_token_budget
        if budget is not None and self._thought >= budget:
            self.forced.extend(self.request.model.think_close)
            self._thought = -1


def _ends_with(tokens: list[int], end: list[int]) -> bool:
    return tokens[-len(end) :] == end


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    return next((size for size in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:size])), 0)


class Generator(threading.Thread):
    """The thread that generates."""

    def __init__(self) -> None:
        super().__init__(name="generator", daemon=True)
        self._turns = Turns()
        self._wake = threading.Condition()

    def submit(self, request: Request) -> None:
        """Queues a request; its events come through `request.emit`."""
        with self._wake:
            self._turns.add(request)
            self._wake.notify()

    @property
    def active(self) -> int:
        """Requests waiting or running."""
        return len(self._turns)

    def run(self) -> None:
        while True:
            with self._wake:
                while not self._turns:
                    self._wake.wait()
                request = self._turns.next()
            began = time.monotonic()
            try:
                going_on = not request.cancelled and step(request)
            except Exception as error:  # one request's failure must not end the others
                request.emit(Event(-1, f"{type(error).__name__}: {error}", 0, "error"))
                going_on = False
            if not going_on:
                request.cache = request.history = None
            with self._wake:
                self._turns.took(request, time.monotonic() - began, going_on)


@torch.inference_mode()
def step(request: Request) -> bool:
    """One token for every unfinished sample of a request. False when all are finished."""
    model = request.model
    if request.read < len(request.prompt):
        logits = _read(request)
        if logits is None:
            return True
    else:
        logits = _forward(request, torch.tensor([[row.tokens[-1]] for row in request.rows], device=model.device))
    kept = []
    for position, token in enumerate(_sample(request, logits)):
        row = request.rows[position]
        event = row.add(row.forced.popleft() if row.forced else token)
        if event is not None:
            request.emit(event)
        if event is None or event.finish is None:
            kept.append(position)
    if request.cache is not None and kept and len(kept) < len(request.rows):
        request.cache.batch_select_indices(torch.tensor(kept, device=model.device))
    if request.history is not None:
        new = torch.tensor([[row.tokens[-1]] for row in request.rows], device=model.device)
        request.history = torch.cat([request.history, new], dim=1)[kept]
    request.rows = [request.rows[position] for position in kept]
    return bool(kept)


def _read(request: Request) -> torch.Tensor | None:
    """Reads the next piece of the prompt. Its logits are for the first token of each sample; None before its end.

    In pieces, so that a long prompt does not make the others wait.
    """
    sampling, device = request.sampling, request.model.device
    if request.cache is None:
        request.cache = DynamicCache(config=request.model.model.config)
        request.warpers = _warpers(sampling)
        request.generator = torch.Generator(device)
        request.generator.manual_seed(sampling.seed) if sampling.seed is not None else request.generator.seed()
    piece = request.prompt[request.read : request.read + CHUNK]
    logits = _forward(request, torch.tensor([piece], device=device))
    request.read += len(piece)
    if request.read < len(request.prompt):
        return None
    if sampling.n > 1:
        request.cache.batch_repeat_interleave(sampling.n)
        logits = logits.repeat_interleave(sampling.n, 0)
    request.rows = [_Row(index, request) for index in range(sampling.n)]
    if sampling.repetition_penalty != 1.0:
        request.history = torch.tensor([request.prompt] * sampling.n, device=device)
    return logits


def _forward(request: Request, tokens: torch.Tensor) -> torch.Tensor:
    """Next-token logits, [samples, vocabulary], in float32."""
    output = request.model.model(tokens, past_key_values=request.cache, use_cache=True, logits_to_keep=1)
    return output.logits[:, -1, :].float()


def _sample(request: Request, logits: torch.Tensor) -> list[int]:
    sampling, warpers = request.sampling, request.warpers
    if warpers:  # without a penalty, none of them looks at the tokens before
        logits = warpers(logits if request.history is None else request.history, logits)
    if sampling.temperature == 0:
        return logits.argmax(-1).tolist()
    return torch.multinomial(logits.softmax(-1), 1, generator=request.generator).squeeze(-1).tolist()


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    warpers = LogitsProcessorList()
    if sampling.repetition_penalty != 1.0:
        warpers.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.temperature not in (0, 1.0):
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.temperature != 0:
        if sampling.top_k > 0:
            warpers.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1.0:
            warpers.append(TopPLogitsWarper(float(sampling.top_p)))
        if sampling.min_p > 0:
            warpers.append(MinPLogitsWarper(float(sampling.min_p)))
    return warpers
