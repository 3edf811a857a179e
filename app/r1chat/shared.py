"""What all tabs share: the server's models and health, the rounds that run, who asks, the interface's words."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from r1chat import defang
from r1chat.backend import Backend, BackendError, Model
from r1chat.controls import Controls
from r1chat.judge import Judge
from r1chat.lean_gradio import gradio as gr
from r1chat.limits import RateLimiter
from r1chat.questions import Asker, Question, Round
from r1chat.render import model_label, stage_order
from r1chat.settings import Settings
from r1chat.texts import Translator, translator
from r1hf.serving.fair import Fair, Who
from r1hf.serving.request import most_characters

LONGEST_CONTEXT = 16_384  # tokens, where the server does not say what a model holds
FRESH = 1.5  # seconds for which one look at the server serves everybody
DEFAULT_MODEL = "r1"
DEFAULT_TEMPERATURE, DEFAULT_TOP_P = 0.6, 0.95


class Words:
    """The components whose texts change with the language: {property: key of the text}."""

    def __init__(self) -> None:
        self.items: list[tuple[Any, dict[str, str]]] = []

    def __call__(self, component: Any, **keys: str) -> Any:
        self.items.append((component, keys))
        return component

    @property
    def components(self) -> list[Any]:
        return [component for component, _ in self.items]

    def updates(self, t: Translator) -> list[Any]:
        return [gr.update(**{name: t(key) for name, key in keys.items()}) for _, keys in self.items]


@dataclass
class Shared:
    """One per process."""

    settings: Settings
    words: Words = field(default_factory=Words)
    judge: Judge = field(default_factory=Judge)
    models: list[Model] = field(default_factory=list)
    error: str | None = "unknown"
    rounds: dict[tuple[str, str], Round] = field(default_factory=dict)
    # Of every event. Page adds `show_progress_on`: without it, each picture of a stream has Gradio's page update every
    # component that an event ever had as an output.
    quiet: dict[str, Any] = field(default_factory=lambda: {"show_progress": "hidden", "api_visibility": "private"})
    _looked: float = field(default=float("-inf"), init=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.backend = Backend(settings.backend, settings.key, settings.timeout)
        self.asker = Asker(self.backend, Fair(settings.max_streams, settings.max_waiting), settings.patience)
        self.limiter = RateLimiter(settings.rate)
        self._salt = secrets.token_bytes(16)

    async def look(self) -> None:
        """Refresh `models` and `error`; one request at a time, however many browsers ask."""
        async with self._lock:
            if time.monotonic() - self._looked < FRESH:
                return
            try:
                self.models = sorted(await self.backend.models(), key=lambda model: stage_order(model.id))
                self.error = None
            except BackendError as error:
                self.error = error.kind
            self._looked = time.monotonic()

    async def acquainted(self) -> None:
        """The models are known, if the server tells: a page may ask before it looks, as after a restart of the app."""
        if not self.models:
            await self.look()

    def model(self, name: str | None) -> Model:
        """The server's row for `name`; a bare one where it has none, so that the server itself refuses it."""
        return next((model for model in self.models if model.id == name), Model(str(name or "")))

    def choices(self) -> list[tuple[str, str]]:
        return [(self.label(model.id), model.id) for model in self.models]

    def label(self, name: str) -> str:
        """What a model is called on the page: with its own name beside where two would be called the same."""
        label = model_label(name)
        alike = [model.id for model in self.models if model_label(model.id) == label]
        return f"{label} · {name}" if len(alike) > 1 else label

    def knows(self, name: str | None, t: Translator) -> str:
        """The line about what a model knows; empty where nobody says."""
        model = self.model(name)
        return t("knows_tiny") if model.tiny_world else model.description or ""

    def default(self) -> str | None:
        names = [model.id for model in self.models]
        return DEFAULT_MODEL if DEFAULT_MODEL in names else names[-1] if names else None

    def sampling(self, name: str | None) -> tuple[float, float]:
        model = self.model(name)
        temperature = DEFAULT_TEMPERATURE if model.temperature is None else model.temperature
        return temperature, DEFAULT_TOP_P if model.top_p is None else model.top_p

    def status(self, name: str | None, t: Translator) -> tuple[str, str]:
        """(kind, sentence) about the server."""
        if self.error == "unknown":
            return "wait", t("status_unknown")
        if self.error == "refused":
            return "bad", t("status_refused")
        if self.error:
            return "bad", t("status_down")
        if self.model(name).state == "loading":
            return "wait", t("status_loading", model=name)
        return "good", t("status_ready", n=len(self.models)) if len(self.models) > 1 else t("status_ready_one")

    def refusal(
        self,
        question: str,
        model: str | None,
        request: gr.Request,
        t: Translator,
        units: int = 1,
        before: Sequence[dict[str, str]] = (),
    ) -> str:
        """Why a question is not even asked; empty if it is. before: the messages that are sent with it."""
        limit = self.settings.max_question
        if not question:
            return t("no_question")
        if len(question) > limit:
            return t("problem_question_too_long", limit=limit)
        if any(message["role"] == "system" and len(message["content"]) > limit for message in before):
            return t("problem_system_too_long", limit=limit)
        if not model:
            return t("no_model")
        context = self.model(model).max_model_len
        if sum(len(message["content"]) for message in before) > most_characters(context or LONGEST_CONTEXT):
            return t("problem_chat_too_long")
        seconds = self.limiter.take(person(request), units)
        return t("problem_too_fast", seconds=max(1, round(seconds))) if seconds else ""

    def begin(self, tab: str, questions: list[Question], request: gr.Request, at_once: int | None = None) -> Round:
        """A round that `stop` finds; end it with `finish`."""
        started = Round(self.asker, questions, at_once, who(request))
        self.rounds[str(request.session_hash), tab] = started
        return started

    def alias(self, request: gr.Request) -> str:
        """A person, for the server behind this page: always the same while the app runs, and nothing else known."""
        return hashlib.blake2b(person(request).encode("utf-8", "replace"), key=self._salt, digest_size=12).hexdigest()

    def running(self, tab: str, request: gr.Request) -> bool:
        return (str(request.session_hash), tab) in self.rounds

    def finish(self, tab: str, request: gr.Request, ended: Round) -> None:
        key = str(request.session_hash), tab
        if self.rounds.get(key) is ended:
            del self.rounds[key]

    def stop(self, tab: str, request: gr.Request) -> None:
        if running := self.rounds.get((str(request.session_hash), tab)):
            running.stop()

    def leave(self, request: gr.Request) -> None:
        """A page was closed: nobody reads its answers any more."""
        for (session, _), running in list(self.rounds.items()):
            if session == request.session_hash:
                running.stop()


def person(request: gr.Request) -> str:
    """Whom limits count: the login, else the address. Never the page, of which a browser can open any number."""
    if request.username:
        return f"user {request.username}"
    return f"address {request.client.host if request.client else ''}"


def who(request: gr.Request) -> Who:
    """Whom places are shared by: persons first, and the pages of each among themselves."""
    return person(request), f"page {request.session_hash}"


def free_dropdown(*given: Any, **options: Any) -> gr.Dropdown:
    """A dropdown whose choices the page got from an earlier life of this process are not refused."""
    dropdown = gr.Dropdown(*given, **options)
    # Not a subclass: Gradio would write a .pyi file beside its source.
    dropdown.preprocess = lambda payload: payload  # type: ignore[method-assign]
    return dropdown


def packed(components: Controls, quiet: dict[str, Any]) -> gr.JSON:
    """A hidden component that always holds the values of `components`.

    With each message of a stream Gradio's page updates every component that any event that ended had as an input:
    with the components themselves a first token took 20 ms longer. Of a hidden one nothing is drawn.
    """
    names = json.dumps(Controls._fields)
    value = {name: component.value for name, component in components._asdict().items()}
    held = gr.JSON(value, visible=False)
    pack = f"(...values) => Object.fromEntries({names}.map((name, index) => [name, values[index]]))"
    gr.on([part.change for part in components], None, list(components), held, js=pack, **quiet)
    return held


def translate(language: str | None) -> Translator:
    return translator(language or "en")


def alert(text: str) -> Any:
    """The line over an input that says why nothing was sent; announced by screen readers."""
    return gr.update(value=f'<div role="alert">{defang.html(text)}</div>' if text else "", visible=bool(text))


def buttons(running: bool) -> list[Any]:
    """Updates of a tab's start and Stop buttons, of which one is there."""
    return [gr.update(visible=not running), gr.update(visible=running)]


def plain(value: Any) -> str:
    """A text out of a box, which a browser may have sent as anything; halves of characters are shown as such."""
    return value.encode("utf-8", "replace").decode().strip() if isinstance(value, str) else ""


def number(value: Any, least: float, most: float, default: float) -> float:
    """A number out of a control, which a browser may have left empty or set to anything."""
    try:
        return min(most, max(least, float(value)))
    except (TypeError, ValueError):
        return default


def whole(value: Any) -> int | None:
    """A seed out of a control; None where it is empty."""
    try:
        return None if value in (None, "") else max(0, int(float(value))) % 2**31
    except (TypeError, ValueError, OverflowError):
        return None
